"""Where news comes from: feeds, JSON lines, CSV, folders, standard input, texts, calls, pictures.

Everything becomes an ``Item`` or a ``Rejected`` with its reason; a bad item never stops the good ones. Sources do
not know the watch list, and remember nothing: what was seen before is the monitor's to know.
"""

import csv
import hashlib
import io
import json
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from mmsdk import loaders, read_text
from mmsdk.errors import InputError, MmsdkError
from mmsdk.loaders.fetch import fetch
from mmsdk.loaders.folders import files
from mmsdk.settings import Settings
from mmsdk_finance.calls import TRANSCRIPTS, heard, read_transcript
from mmsdk_finance.feeds import read_feed
from mmsdk_finance.items import Item, Kind, Rejected, checked, moment

Found = Item | Rejected
MOST_BYTES = 1 << 20
"""Size of one line or record."""
_FEED_BYTES = 20 << 20
_SOUND = {".mp3", ".wav", ".flac", ".ogg", ".m4a", ".mp4", ".opus"}
_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tiff"}
_FEEDS = {".rss", ".atom", ".xml"}
_FIELDS = ("id", "text", "source", "event", "arrival", "kind", "author", "url", "language", "about")

_USUAL = {
    "text": ("title", "headline", "content", "body", "summary", "description"),
    "event": ("published", "published_at", "publishedat", "pubdate", "date", "time", "datetime", "timestamp"),
    "source": ("publisher", "outlet"),
    "id": ("guid", "uuid"),
    "url": ("link",),
}
"""Other names of fields, in lower case, the first that there is counts."""


@dataclass(frozen=True)
class Reading:
    """Say how sources are read.

    ``columns`` maps fields of an item (text, event, id, source, ...) to columns or keys of the source; a field that
    is not mapped is looked for under its own name and usual others (title, headline, published, date, ...). ``kind``
    and ``source`` hold for items that name none. With ``replay`` an item arrives at its event time, otherwise now.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    kind: Kind = "news"
    source: str = ""
    replay: bool = False
    settings: Settings | None = None

    def __post_init__(self) -> None:
        unknown = set(self.columns) - set(_FIELDS)
        if unknown:
            raise InputError(f"columns maps {', '.join(sorted(unknown))}; the fields are {', '.join(_FIELDS)}")

    def named(self, given: Iterable[str]) -> Mapping[str, str]:
        """Give fields and the columns or keys of a source, of which there are these, that hold them."""
        there = {name.casefold(): name for name in reversed(list(given))}
        found = {key: there[name] for key, names in _USUAL.items() for name in reversed(names) if name in there}
        return {**found, **{key: there[key] for key in _FIELDS if key in there}, **self.columns}


def read(source: str | Path, reading: Reading | None = None) -> Iterator[Found]:
    """Read a file, a folder, an http(s) address of a feed, or ``-`` for standard input, as it comes.

    Files are taken by suffix: .jsonl, .csv, .rss .atom .xml, recordings, transcripts with times (.vtt .srt), pictures;
    any other is one item of text.
    Raises ``InputError`` when the source is not there; what is wrong within it is given as ``Rejected``.
    """
    reading = reading or Reading()
    if str(source) == "-":
        yield from _checked(_lines(sys.stdin.buffer, "stdin", reading))
    elif str(source).startswith(("http://", "https://")):
        yield from _checked(_address(str(source), reading))
    elif Path(source).is_dir():
        for path, error in files(Path(source)):
            yield from [Rejected(path.name, "decode", str(error))] if error else _file(path, reading)
    elif Path(source).exists():
        yield from _file(Path(source), reading)
    else:
        raise InputError(f"there is no file, folder or address {str(source)!r}")


def live(source: str | Path, reading: Reading | None = None) -> Iterator[Found | None]:
    """Read as ``read`` does, and give None whenever standard input has had nothing for half a second."""
    if str(source) != "-":
        yield from read(source, reading)
        return
    waiting: queue.Queue[Found | BaseException | None] = queue.Queue(1024)

    def work() -> None:
        try:
            for one in read(source, reading):
                waiting.put(one)
            waiting.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again where the items are taken
            waiting.put(error)

    threading.Thread(target=work, name="mmsdk-finance-stdin", daemon=True).start()
    while True:
        try:
            one = waiting.get(timeout=0.5)
        except queue.Empty:
            yield None
            continue
        if one is None:
            return
        if isinstance(one, BaseException):
            raise one
        yield one


def batches(found: Iterable[Found | None], size: int) -> Iterator[tuple[list[Found], bool]]:
    """Give items by ``size``, and whether a batch is full, so that more may be at hand.

    A batch ends early where the source pauses (None) or breaks off, which is raised after it.
    """
    held: list[Found] = []
    is_full = False
    try:
        for one in found:
            if one is not None:
                held.append(one)
            if held and (one is None or len(held) == size):
                is_full = size > 1 and one is not None
                yield held, is_full
                held = []
    except (Exception, KeyboardInterrupt):
        if held or is_full:
            yield held, False
        raise
    if held:
        yield held, False


def records(rows: Iterable[Mapping[str, Any]], reading: Reading | None = None) -> Iterator[Found]:
    """Make items of mappings, for example of a JSON body that was pushed."""
    reading = reading or Reading()
    yield from _checked(_item(row, reading.source or "push", reading) for row in rows)


def replay(
    items: Iterable[Found], speed: float = float("inf"), *, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Found]:
    """Give items in the order of their event time, ``speed`` times as fast as they happened; all at once if infinite.

    They are held in memory to be put in order. Raises ``ValueError`` for a speed that is not positive.
    """
    if not speed > 0:
        raise ValueError(f"speed must be positive, not {speed}")
    held = list(items)
    yield from (one for one in held if isinstance(one, Rejected))
    before: datetime | None = None
    for item in sorted((one for one in held if isinstance(one, Item)), key=lambda item: item.event):
        if before is not None and item.event > before:
            sleep((item.event - before).total_seconds() / speed)
        before = item.event
        yield item


class Follower:
    """Look at sources again and again: files that grew or changed, folders, feeds.

    Of JSON lines only what was appended is read. ``every`` and ``every_feed`` are seconds between two looks.
    """

    def __init__(self, sources: Iterable[str | Path], reading: Reading, *, every: float = 2, every_feed: float = 60):
        self.sources = [str(source) for source in sources]
        self.reading = reading
        self.every, self.every_feed = every, every_feed
        self._seen: dict[Path, tuple[int, int]] = {}
        self._next: dict[str, float] = {}

    def poll(self) -> Iterator[Found]:
        """Give what is new since the last look; an address that cannot be fetched gives one ``Rejected``."""
        for source in self.sources:
            if source.startswith(("http://", "https://")):
                if time.monotonic() >= self._next.get(source, 0.0):
                    self._next[source] = time.monotonic() + self.every_feed
                    yield from read(source, self.reading)
            elif Path(source).is_dir():
                for path, _ in files(Path(source)):
                    yield from self._changed(path)
            elif Path(source).exists():
                yield from self._changed(Path(source))

    def _changed(self, path: Path) -> Iterator[Found]:
        size, stamp = path.stat().st_size, path.stat().st_mtime_ns
        before, last = self._seen.get(path, (0, 0))
        if (size, stamp) == (before, last):
            return
        if path.suffix.lower() not in (".jsonl", ".ndjson"):
            yield from read(path, self.reading)
            self._seen[path] = (size, stamp)
            return
        with path.open("rb") as file:
            file.seek(before if size >= before else 0)
            yield from _checked(_lines(file, path.name, self.reading, whole=True))
            self._seen[path] = (file.tell(), stamp)


def _checked(found: Iterable[Found]) -> Iterator[Found]:
    for one in found:
        yield checked(one) if isinstance(one, Item) else one


def _file(path: Path, reading: Reading) -> Iterator[Found]:
    suffix = path.suffix.lower()
    try:
        if suffix in (".jsonl", ".ndjson"):
            with path.open("rb") as file:
                yield from _checked(_lines(file, path.name, reading))
        elif suffix == ".csv":
            yield from _checked(_table(path, reading))
        elif suffix in _FEEDS:
            with path.open("rb") as file:
                data = file.read(_FEED_BYTES + 1)
            yield from _checked(_feed(data, reading.source or path.stem, reading))
        elif suffix in _PICTURES:
            yield from _checked(_picture(path, reading))
        elif suffix in _SOUND | TRANSCRIPTS:
            yield from _checked(_call(path, reading))
        else:
            yield from _checked(_document(path, reading))
    except (MmsdkError, OSError) as error:
        yield Rejected(path.name, "decode", str(error))


def _address(url: str, reading: Reading) -> Iterator[Found]:
    settings = reading.settings or Settings.load()
    try:
        answer = fetch(url, settings.fetch, offline=settings.offline)
    except MmsdkError as error:
        yield Rejected(url, "decode", str(error))
        return
    yield from _feed(answer.data, reading.source or url, reading)


def _feed(data: bytes, name: str, reading: Reading) -> Iterator[Found]:
    """Read a feed; of several entries with one id and different texts the first counts, the others are in doubt."""
    texts: dict[str, str] = {}
    if len(data) > _FEED_BYTES:
        yield Rejected(name, "size", f"the feed has more than {_FEED_BYTES} bytes")
        return
    try:
        for row in read_feed(data, name):
            found = _item(row, name, reading)
            if isinstance(found, Item) and texts.setdefault(found.id, found.text) != found.text:
                reason = f"the id {found.id!r} already stands for another text in this feed"
                found = Rejected(name, "duplicate_id", reason, found.text[:200])
            yield found
    except InputError as error:
        yield Rejected(name, "decode", str(error), data[:200].decode("utf-8", "replace"))


def _lines(stream: BinaryIO, name: str, reading: Reading, *, whole: bool = False) -> Iterator[Found]:
    """Read JSON lines, or one text a line; with ``whole`` a last line without its end is left for later."""
    for number, line in _bounded(stream, whole=whole):
        where = f"{name}#line {number}"
        if line is None:
            yield Rejected(where, "size", f"the line has more than {MOST_BYTES} bytes")
            continue
        text = line.decode("utf-8", "replace").strip()
        if not text:
            continue
        if not text.startswith("{"):
            yield (
                Rejected(where, "decode", "it is no JSON object", text[:200])
                if name != "stdin"
                else _item({"text": text}, name, reading)
            )
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            yield Rejected(where, "decode", f"the JSON is broken: {error}", text[:200])
            continue
        yield _item(row, name, reading)


def _bounded(stream: BinaryIO, *, whole: bool) -> Iterator[tuple[int, bytes | None]]:
    """Give numbered lines, None for one that is too long; it is passed over without being held."""
    number = 0
    while line := stream.readline(MOST_BYTES + 1):
        number += 1
        too_long = len(line) > MOST_BYTES
        while not line.endswith(b"\n") and too_long and (line := stream.readline(MOST_BYTES)):
            pass
        if whole and not too_long and not line.endswith(b"\n"):
            stream.seek(-len(line), io.SEEK_CUR)
            return
        yield number, None if too_long else line


def _table(path: Path, reading: Reading) -> Iterator[Found]:
    """Read CSV; an id that comes twice with different texts is in doubt."""
    csv.field_size_limit(max(csv.field_size_limit(), MOST_BYTES))
    texts: dict[str, str] = {}
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = csv.DictReader(file)
        missing = {column for column in reading.columns.values() if column not in (rows.fieldnames or ())}
        if missing or "text" not in reading.named(rows.fieldnames or ()):
            wanted = sorted(missing) or ["text"]
            raise InputError(f"{path} has the columns {rows.fieldnames}, not {', '.join(wanted)}; map them by columns")
        while True:
            try:
                row = next(rows, None)
            except csv.Error as error:
                yield Rejected(f"{path.name}#line {rows.line_num}", "size", str(error))
                continue
            if row is None:
                return
            found = _item({key: value for key, value in row.items() if key}, path.name, reading)
            if isinstance(found, Item) and texts.setdefault(found.key, found.digest) != found.digest:
                found = Rejected(f"{path.name}#line {rows.line_num}", "duplicate_id", f"the id {found.id!r} is taken")
            yield found


def _picture(path: Path, reading: Reading) -> Iterator[Found]:
    lines = [part.content for part in read_text(path) if isinstance(part.content, str)]
    row = {"id": path.name, "text": " ".join(lines), "kind": "picture", "url": path.as_uri()}
    yield _item({**row, "event": _modified(path)}, reading.source or path.name, reading)


def _call(path: Path, reading: Reading) -> Iterator[Found]:
    """Take the turns of a recording or a transcript, each with its seconds; the file's time is the event's."""
    is_written = path.suffix.lower() in TRANSCRIPTS
    turns, language = (read_transcript(path), "") if is_written else heard(path)
    when = _modified(path)
    for turn in turns:
        place = f"#t={turn.start:.1f},{turn.stop:.1f}"
        row: dict[str, Any] = {"id": path.name + place, "text": turn.text, "author": turn.speaker, "language": language}
        row |= {"event": when, "kind": "call", "url": path.as_uri() + place}
        yield _item(row, reading.source or path.name, reading)


def _modified(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _document(path: Path, reading: Reading) -> Iterator[Found]:
    when = _modified(path)
    for document in loaders.read(path, settings=reading.settings):
        text = "\n".join(part.content.strip() for part in document.parts if isinstance(part.content, str))
        row = {"id": path.name, "text": text, "event": when, "kind": "filing", "url": path.as_uri()}
        yield _item(row, reading.source or path.name, reading)


def _item(row: Mapping[str, Any], name: str, reading: Reading) -> Found:
    """Make an item of a record. Without an id it is named by its text, without a time it happened on arrival."""
    names = reading.named(row)

    def cell(key: str) -> Any:
        found = row.get(names.get(key, key)) or ""
        return found.encode("utf-8", "replace").decode() if isinstance(found, str) else found  # no lone surrogates

    text, source = str(cell("text")), str(cell("source") or name)
    if not text.strip():
        reason = "it has no text" if "text" in names else f"it has no text among {', '.join(row)}; map it by columns"
        return Rejected(source, "empty", reason, json.dumps(row, default=str, ensure_ascii=False)[:200])
    try:
        arrived = moment(cell("arrival")) if cell("arrival") else datetime.now(UTC)
        event = moment(cell("event")) if cell("event") else arrived
    except InputError as error:
        return Rejected(source, "date", str(error), text[:200])
    about = cell("about") or ()
    item = Item(
        id=str(cell("id") or hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]),
        text=text,
        source=source,
        event=event,
        arrival=min(event, datetime.now(UTC)) if reading.replay else arrived,
        kind=cell("kind") or reading.kind,
        about=tuple(about.replace(",", " ").split() if isinstance(about, str) else map(str, about)),
    )
    return replace(item, author=str(cell("author")), url=str(cell("url")), language=str(cell("language")))
