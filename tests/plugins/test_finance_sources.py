"""Sources, good and bad: what can be used comes out, the rest is named with its reason."""

import io
import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mmsdk.errors import InputError
from mmsdk.settings import Fetch, Settings
from mmsdk_finance.items import Item, Rejected, moment
from mmsdk_finance.sources import Follower, Reading, batches, live, read, records, replay

EXAMPLES = Path(__file__).parents[2] / "examples" / "data"
ENTRY = "<item><guid>{id}</guid><title>{title}</title><pubDate>{date}</pubDate><link>{link}</link></item>"
MONDAY = "Mon, 06 Jan 2025 09:30:00 +0100"


def rss(*entries: str) -> str:
    return f'<rss version="2.0"><channel><title>Wire &amp; Co</title>{"".join(entries)}</channel></rss>'


def entry(title: str, *, number: str = "1", date: str = MONDAY, link: str = "https://wire.example/1") -> str:
    return ENTRY.format(id=number, title=title, date=date, link=link)


def _codes(found: list[Item | Rejected]) -> Counter[str]:
    return Counter(one.code if isinstance(one, Rejected) else "item" for one in found)


def test_a_feed_gives_items_with_source_times_and_link(tmp_path: Path) -> None:
    file = tmp_path / "wire.rss"
    file.write_text(rss(entry("Calder &amp; Sons &lt;b&gt;rises&lt;/b&gt;")))
    (item,) = read(file)
    assert isinstance(item, Item)
    assert (item.text, item.source, item.id) == ("Calder & Sons rises", "Wire & Co", "1")
    assert item.event == datetime(2025, 1, 6, 8, 30, tzinfo=UTC)
    assert item.arrival > item.event
    assert item.url == "https://wire.example/1"


def test_atom_is_a_feed_too(tmp_path: Path) -> None:
    file = tmp_path / "wire.atom"
    file.write_text(
        '<feed xmlns="http://www.w3.org/2005/Atom"><title>Blog</title><entry><id>a</id><title>Calder rises</title>'
        "<updated>2025-01-06T08:30:00Z</updated><author><name>Kim</name></author></entry></feed>"
    )
    (item,) = read(file)
    assert isinstance(item, Item)
    assert (item.author, item.event.hour) == ("Kim", 8)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<!doctype html><html><body>Sign in</body></html>", "an HTML page, not RSS or Atom"),
        ("", "something else, not RSS"),
        ('<!DOCTYPE r [<!ENTITY a "b">]><rss version="2.0"></rss>', "XML entities"),
    ],
)
def test_what_is_no_feed_is_named(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "wire.xml"
    file.write_text(text)
    (found,) = read(file)
    assert isinstance(found, Rejected)
    assert found.code == "decode"
    assert reason in found.reason


def test_bad_entries_do_not_stop_the_good_ones(tmp_path: Path) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    file = tmp_path / "wire.rss"
    file.write_text(
        rss(
            entry("Calder rises"),
            entry("Calder falls"),
            entry("Calder again", number="3", date="yesterday-ish"),
            entry("Calder in future", number="4", date=tomorrow),
            entry("\U0001f680\U0001f680", number="5"),
            entry("ارتفعت أسهم الشركة", number="6"),
            entry("Calder \U0001f680 \u202eto the moon\u202c", number="7"),
            entry("Calder was founded", number="8", date="Mon, 01 Jan 1900 00:00:00 GMT"),
        ),
        "utf-8",
    )
    found = list(read(file))
    assert _codes(found) == {"item": 2, "duplicate_id": 1, "date": 2, "future": 1, "empty": 1, "script": 1}
    assert [one.text for one in found if isinstance(one, Item)] == ["Calder rises", "Calder \U0001f680 to the moon"]
    assert all(one.reason for one in found if isinstance(one, Rejected))


def test_ten_megabytes_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "stream.jsonl"
    huge = json.dumps({"id": "2", "text": "x" * 10_000_000})
    long = json.dumps({"id": "3", "text": "word " * 60_000})
    file.write_text("\n".join(['{"id": "1", "text": "Calder rises"}', huge, long, '{"id": "4", "text": "Done"}']))
    found = list(read(file))
    assert _codes(found) == {"item": 2, "size": 2}


def test_json_lines_keep_every_field_and_name_broken_ones(tmp_path: Path) -> None:
    file = tmp_path / "stream.jsonl"
    row = {"id": 7, "text": "Calder rises", "source": "Wire", "event": 1736152200, "kind": "social", "author": "Kim"}
    lines = [json.dumps({**row, "url": "https://x.example", "about": "CLD, BRW"}), "{broken", "plain", "", '{"a": 1}']
    file.write_text("\n".join([*lines, '{"text": "Calder", "kind": "rumour"}']))
    found = list(read(file))
    assert _codes(found) == {"item": 1, "decode": 2, "empty": 1, "kind": 1}
    item = found[0]
    assert isinstance(item, Item)
    assert (item.id, item.source, item.kind, item.author, item.about) == ("7", "Wire", "social", "Kim", ("CLD", "BRW"))
    assert item.event.isoformat() == "2025-01-06T08:30:00+00:00"


def test_csv_columns_are_mapped(tmp_path: Path) -> None:
    file = tmp_path / "news.csv"
    file.write_text("day,words,no\n2025-01-06,Calder rises,1\n2025-01-07,Calder falls,1\nsoon,Calder,2\n")
    reading = Reading(columns={"event": "day", "text": "words", "id": "no"}, replay=True)
    found = list(read(file, reading))
    assert _codes(found) == {"item": 1, "duplicate_id": 1, "date": 1}
    (item,) = [one for one in found if isinstance(one, Item)]
    assert item.arrival == item.event
    (wrong,) = read(file)
    assert isinstance(wrong, Rejected)
    assert "not text; map them by columns" in wrong.reason
    with pytest.raises(InputError, match="columns maps headline"):
        Reading(columns={"headline": "text"})


def test_usual_names_of_fields_are_known(tmp_path: Path) -> None:
    lines = [
        {"Title": "Calder rises", "summary": "More of it.", "publishedAt": "2025-01-06T08:30:00Z", "guid": "a"},
        {
            "text": "Calder falls",
            "headline": "no",
            "date": "2025-01-07",
            "link": "https://x.example",
            "publisher": "Wire",
        },
        {"words": "Calder", "date": "2025-01-07"},
    ]
    file = tmp_path / "news.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    first, second, third = read(file, Reading(replay=True))
    assert isinstance(first, Item)
    assert (first.text, first.id, first.event.hour) == ("Calder rises", "a", 8)
    assert isinstance(second, Item)
    assert (second.text, second.url, second.source) == ("Calder falls", "https://x.example", "Wire")
    assert isinstance(third, Rejected)
    assert third.reason == "it has no text among words, date; map it by columns"
    (tmp_path / "news.csv").write_text("Date,Headline\n2025-01-06,Calder rises\n")
    assert _codes(list(read(tmp_path / "news.csv"))) == {"item": 1}


def test_a_future_date_is_no_news_in_a_replay_either(tmp_path: Path) -> None:
    (tmp_path / "news.jsonl").write_text('{"text": "Calder rises", "event": "2999-01-01"}')
    assert _codes(list(read(tmp_path / "news.jsonl", Reading(replay=True)))) == {"future": 1}


def test_lone_surrogates_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "news.jsonl").write_text('{"text": "Calder rises \\ud800", "id": "\\udfff", "author": "\\ud800"}')
    (found,) = read(tmp_path / "news.jsonl")
    assert isinstance(found, Item)
    assert (found.text, found.id, found.author) == ("Calder rises ?", "?", "?")


def test_a_folder_gives_its_files_by_kind(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Calder files its annual report.")
    (tmp_path / "b.rss").write_text(rss(entry("Calder rises")))
    (tmp_path / ".hidden").write_text("nothing")
    found = list(read(tmp_path))
    assert [(one.kind, one.id) for one in found if isinstance(one, Item)] == [("filing", "a.txt"), ("news", "1")]


@pytest.mark.usefixtures("bundled")
def test_recordings_and_pictures_are_items_with_their_place() -> None:
    (picture,) = read(EXAMPLES / "pictures" / "store-map.png")
    assert isinstance(picture, Item)
    assert picture.kind == "picture"
    first, *_ = read(EXAMPLES / "recordings" / "voicemail-opening-hours.ogg")
    assert isinstance(first, Item)
    assert (first.kind, first.language) == ("call", "en")
    assert "#t=" in first.url
    assert "open" in first.text


def test_a_transcript_gives_turns_by_speaker_and_second(tmp_path: Path) -> None:
    cues = """WEBVTT

00:01.000 --> 00:04.000
<v Jane Roe>Good morning.

00:00:04.000 --> 00:00:09.500
<v Jane Roe>Calder Motors grew by <b>12%</b>.

01:00:10.250 --> 01:00:12.000
John van Dyk: And the outlook?

01:00:12.000 --> 01:00:14.000
It worries us: costs rise.
"""
    (tmp_path / "call.vtt").write_text(cues, "utf-8")
    first, second = (one for one in read(tmp_path / "call.vtt") if isinstance(one, Item))
    assert (first.author, first.text) == ("Jane Roe", "Good morning. Calder Motors grew by 12%.")
    assert first.url.endswith("call.vtt#t=1.0,9.5")
    assert (second.author, second.text) == ("John van Dyk", "And the outlook? It worries us: costs rise.")
    assert (second.kind, second.url.partition("#")[2]) == ("call", "t=3610.2,3614.0")
    (tmp_path / "call.srt").write_text("\ufeff1\r\n00:00:01,000 --> 00:00:02,000\r\nOperator: 早上好。\r\n", "utf-8")
    (only,) = read(tmp_path / "call.srt")
    assert isinstance(only, Item)
    assert (only.author, only.text) == ("Operator", "早上好。")
    for name, text in (("a.vtt", "no transcript"), ("b.srt", "no transcript"), ("c.srt", "")):
        (tmp_path / name).write_text(text, "utf-8")
    assert [list(_codes(list(read(tmp_path / name)))) for name in ("a.vtt", "b.srt", "c.srt")] == [["decode"]] * 3


def test_a_pause_and_a_break_end_a_batch() -> None:
    some = [item for item in records([{"text": f"Calder {n}"} for n in range(7)]) if isinstance(item, Item)]

    def broken() -> Iterator[Item | None]:
        yield from some[:2]
        yield None
        yield None
        yield from some[2:]
        raise OSError("gone")

    given = batches(broken(), 4)
    assert [next(given) for _ in range(3)] == [(some[:2], False), (some[2:6], True), (some[6:], False)]
    with pytest.raises(OSError, match="gone"):
        next(given)
    given = batches(broken(), 5)
    assert [next(given) for _ in range(3)] == [(some[:2], False), (some[2:], True), ([], False)]
    with pytest.raises(OSError, match="gone"):
        next(given)


def test_standard_input_that_is_slow_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb") as stdin, os.fdopen(theirs, "wb") as stream:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stdin))
        stream.write(b"Calder rises\n")
        stream.flush()
        given = batches(live("-"), 256)
        first, is_full = next(given)
        assert [one.text for one in first if isinstance(one, Item)] == ["Calder rises"]
        assert not is_full
        stream.close()
        assert not list(given)


def test_standard_input_takes_records_and_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = b'{"text": "Calder rises", "id": "1"}\nCalder falls\n'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    assert [one.text for one in read("-") if isinstance(one, Item)] == ["Calder rises", "Calder falls"]


def test_records_are_what_was_pushed() -> None:
    assert _codes(list(records([{"text": "Calder rises"}, {"text": ""}]))) == {"item": 1, "empty": 1}


def test_a_source_that_is_not_there_is_an_error() -> None:
    with pytest.raises(InputError, match="no file, folder or address 'nowhere'"):
        list(read("nowhere"))


@pytest.fixture
def wire() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = rss(entry("Calder rises")).encode()
            self.send_response(200 if self.path == "/rss" else 500)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_feed_is_fetched_and_a_failure_is_named(wire: str) -> None:
    reading = Reading(settings=Settings(fetch=Fetch(allow_private=True)))
    (item,) = read(f"{wire}/rss", reading)
    assert isinstance(item, Item)
    (failed,) = read(f"{wire}/down", reading)
    assert isinstance(failed, Rejected)
    assert "500" in failed.reason
    (refused,) = read(f"{wire}/rss", Reading(settings=Settings()))
    assert isinstance(refused, Rejected)
    assert "allow_private" in refused.reason


def test_replay_keeps_the_order_and_the_distances() -> None:
    rows = [{"text": f"Calder {hour}", "event": f"2025-01-06T{hour:02}:00:00Z"} for hour in (9, 7, 8)]
    slept: list[float] = []
    items = replay(records([*rows, {"text": ""}]), speed=3600, sleep=slept.append)
    assert [one.text if isinstance(one, Item) else one.code for one in items] == [
        "empty",
        "Calder 7",
        "Calder 8",
        "Calder 9",
    ]
    assert slept == [1.0, 1.0]
    with pytest.raises(ValueError, match="speed must be positive"):
        list(replay([], speed=0))


def test_following_gives_what_is_appended_once_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "stream.jsonl"
    file.write_text('{"text": "one"}\n{"text": "tw')
    follower = Follower([tmp_path], Reading())
    assert [one.text for one in follower.poll() if isinstance(one, Item)] == ["one"]
    assert list(follower.poll()) == []
    with file.open("a") as stream:
        stream.write('o"}\n')
    (tmp_path / "b.rss").write_text(rss(entry("Calder rises")))
    assert {one.text for one in follower.poll() if isinstance(one, Item)} == {"two", "Calder rises"}
    os.utime(tmp_path / "b.rss", (1, 1))
    assert len(list(follower.poll())) == 1


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("2025-01-06T09:30:00+01:00", "2025-01-06T08:30:00+00:00"),
        ("2025-01-06", "2025-01-06T00:00:00+00:00"),
        ("Mon, 06 Jan 2025 08:30:00 GMT", "2025-01-06T08:30:00+00:00"),
        ("1736152200", "2025-01-06T08:30:00+00:00"),
        (1736152200000, "2025-01-06T08:30:00+00:00"),
    ],
)
def test_times_are_read_as_feeds_write_them(written: str | int, read_as: str) -> None:
    assert moment(written).isoformat() == read_as


@pytest.mark.parametrize("written", ["", "soon", "2025-13-01", "0001-01-01", "99999999999999999999"])
def test_what_is_no_time_is_refused(written: str) -> None:
    with pytest.raises(InputError, match=r"write it as|before 1990"):
        moment(written)
