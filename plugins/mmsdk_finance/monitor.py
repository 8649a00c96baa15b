"""The monitor: news in, stories, sentiments, votes, levels and alerts out, remembered in one folder.

It puts the steps in order and decides nothing itself: what a copy is, what a name, a mood or an alert, is said where
that is defined. Alerts are judged at the watermark, the latest event time taken in so far.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsdk import Runtime
from mmsdk.entities import Mention, organizations
from mmsdk.errors import InputError
from mmsdk.protocols import Closing, Encoder
from mmsdk.runtime import default
from mmsdk_finance import dispatch
from mmsdk_finance.alerts import Alert, Rule
from mmsdk_finance.events import Sketch, Stories, Story, sketch
from mmsdk_finance.items import Item
from mmsdk_finance.judge import Judge
from mmsdk_finance.ledger import Ledger
from mmsdk_finance.mood import HOUR, Level, Recipe, exposure
from mmsdk_finance.scoring import Scorer, version
from mmsdk_finance.sinks import Sink
from mmsdk_finance.sources import Follower, Found, Reading, batches, live, read, replay
from mmsdk_finance.state import State, marks
from mmsdk_finance.watchlist import Name, Names, Watchlist

BATCH = 256
_END: tuple[list[Found], bool] = ([], False)


@dataclass(frozen=True)
class Options:
    """Say how the monitor counts, alerts and finds copies.

    Copies are looked for within ``copies_hours``; with ``meaning`` also by the sentence vectors of the runtime's text
    encoder. With ``organizations`` names that nobody listed are proposed for review by NER.
    """

    recipe: Recipe = field(default_factory=Recipe)
    alert: Rule = field(default_factory=Rule)
    copies_hours: float = 72.0
    meaning: bool = True
    organizations: bool = True


@dataclass
class Taken:
    """Count what became of what was read: new items, copies among them, repeated, corrected, rejected, alerts."""

    items: int = 0
    copies: int = 0
    repeated: int = 0
    corrected: int = 0
    rejected: int = 0
    alerts: list[Alert] = field(default_factory=list)


@dataclass
class _Work:
    """Hold an item on its way: the names in it, what it is compared by, and where it was put."""

    item: Item
    names: Names
    compared: Sketch
    vector: NDArray[np.float32] | None
    number: int = 0
    story: int = 0
    lead: bool = False
    stirred: tuple[int, ...] = ()


class SentimentMonitor(Closing):
    """Watch names in the news, in a folder that remembers everything; the same folder goes on where it stopped.

    ``watchlist`` is a ``Watchlist``, a CSV file, or None for the one the folder knows. Raises ``InputError``, and
    ``CollectionNotFoundError`` when there is no monitor in the folder and no watch list to make one.
    """

    def __init__(
        self,
        folder: str | Path,
        watchlist: Watchlist | str | Path | None = None,
        *,
        scorer: Scorer | None = None,
        sinks: Sequence[Sink] = (),
        options: Options | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        self.options = options or Options()
        self.sinks = tuple(sinks)
        listed = Watchlist.read(watchlist) if isinstance(watchlist, str | Path) else watchlist
        self.state = State(folder, create=listed is not None)
        self.ledger = Ledger(self.state, self.options.recipe)
        self.judge = Judge(self.ledger, self.options.alert, sinks=[sink.name for sink in self.sinks])
        self._scorer = scorer
        self._runtime = runtime
        self._lock = threading.RLock()
        self._looking = threading.Lock()  # spaCy's pipeline is not made for two threads
        self._remembered: Stories | None = None
        self._version = 0
        self.watchlist = kept_watchlist(self.state, listed)
        recipe = json.dumps(asdict(self.options.recipe), sort_keys=True)
        if self.state.fact("recipe") != recipe:
            with self.state.writing():
                self.ledger.rebuild()
                self.state.set_fact("recipe", recipe)
                self.state.note("monitor", "recipe", {"recipe": json.loads(recipe)})

    def run(
        self, *sources: str | Path, reading: Reading | None = None, speed: float | None = None, batch: int = BATCH
    ) -> Taken:
        """Take in sources once, send what is due, and say what became of them.

        With ``speed`` they are replayed by event time, that many times as fast as they happened (``inf`` for at once).
        """
        chosen = reading or Reading(replay=speed is not None)
        found: Iterable[Found | None] = (one for source in sources for one in live(source, chosen))
        if speed is not None:
            dated = (one for source in sources for one in read(source, chosen))
            found, batch = replay(dated, speed), batch if speed == float("inf") else 1
        return self.take(found, batch=batch, deliver=True)

    def follow(self, follower: Follower, *, stop: Callable[[], bool] = lambda: False) -> Iterator[Taken]:
        """Take in what sources bring until ``stop`` says so; give what each look brought, then wait for the next."""
        while not stop():
            taken = self.take(follower.poll(), deliver=True)
            self.tick(time.time())
            self.deliver()
            yield taken
            time.sleep(follower.every)

    def take(self, found: Iterable[Found | None], *, batch: int = BATCH, deliver: bool = False) -> Taken:
        """Take in items; each batch with everything that follows from it is one transaction.

        While a batch is scored and counted, a thread finds the names and vectors of the next. A batch that a source
        ended, by a pause or by breaking off, is counted before the source is waited for. With ``deliver`` alerts are
        sent after each batch.
        """
        taken = Taken()
        waiting = batches(found, batch)
        ready, is_full = next(waiting, _END)
        looked = self._looked(self._unknown(ready))
        with ThreadPoolExecutor(1, "mmsdk-finance") as ahead:
            while ready:
                coming = next(waiting, _END) if is_full else _END
                looking = ahead.submit(self._looked, self._unknown(coming[0])) if coming[0] else None
                with self._lock:
                    self._batch(ready, looked, taken)
                if deliver:
                    self.deliver()
                ready, is_full = coming if coming[0] else next(waiting, _END)
                looked = looking.result() if looking else self._looked(self._unknown(ready))
        return taken

    def tick(self, now: float) -> None:
        """Let alerts that have faded by a time, in seconds since 1970, be over."""
        with self._lock, self.state.writing():
            for row in self.state.rows("SELECT DISTINCT ticker FROM standings WHERE raised"):
                self.judge.clear(row["ticker"], max(now, self.state.watermark))

    def deliver(self) -> int:
        """Send alerts that are due to the sinks, and give how many were taken."""
        with self._lock:
            return dispatch.deliver(self.state, self.sinks)

    def levels(self, at: float | None = None) -> dict[str, Level]:
        """Give the index of every name, and of every sector as ``sector:<name>``, at the watermark or later."""
        when = self.state.watermark if at is None else at
        levels = {ticker: self.ledger.level([ticker], when) for ticker in self.watchlist.names}
        sectors = {f"sector:{sector}": self.ledger.level(t, when) for sector, t in self.watchlist.sectors.items()}
        return {**levels, **sectors}

    def portfolio(self) -> tuple[float, float]:
        """Give the exposure-weighted index and its negative tail, as ``mood.exposure`` defines them."""
        weights = {ticker: name.weight for ticker, name in self.watchlist.names.items() if name.weight}
        return exposure(weights, {ticker: level.index for ticker, level in self.levels().items()})

    def alerts(self, *, since: float = 0.0, ticker: str | None = None) -> list[Alert]:
        """Give the alerts so far, in the order they were raised."""
        return dispatch.alerts(self.state, since=since, ticker=ticker)

    def acknowledge(self, number: int, by: str, *, note: str = "") -> None:
        """Say that somebody has seen an alert; kept in the audit trail."""
        self.state.acknowledge(number, by, note=note)

    def close(self) -> None:
        """Close the folder; calling it twice is fine."""
        self.state.close()

    @property
    def scorer(self) -> Scorer:
        """What scores texts: the plugin's own model unless another was given."""
        if self._scorer is None:
            from mmsdk_finance.sentiment import SentimentModel  # loads the model libraries

            self._scorer = SentimentModel(settings=self.runtime.settings)
        return self._scorer

    # One batch.

    def _batch(self, found: Sequence[Found], looked: Mapping[str, _Work], taken: Taken) -> None:
        items = [one for one in found if isinstance(one, Item)]
        now = self.state.watermark
        try:
            with self.state.writing():
                self._notice()
                for one in found:
                    if not isinstance(one, Item):
                        taken.rejected += self.state.reject(one, time.time())
                placed = [work for item in items if (work := self._placed(item, looked, taken)) is not None]
                self._score([work for work in placed if work.lead])
                for work in placed:
                    now = max(now, work.item.event.timestamp())
                    self._count(work, now, taken)
        except BaseException:
            self._remembered = None  # what was rolled back must not be remembered
            raise
        self._stories.forget(now - 2 * self.options.copies_hours * HOUR)

    def _notice(self) -> None:
        """Forget the stories in memory when another process has written since."""
        version = self.state.rows("PRAGMA data_version")[0]["data_version"]
        if version != self._version:
            self._version, self._remembered = version, None

    def _unknown(self, found: Sequence[Found]) -> list[Item]:
        """Leave out what was rejected and what the state holds already."""
        with self._lock:
            held = [self.state.item(one.key) if isinstance(one, Item) else None for one in found]
        pairs = zip(found, held, strict=True)
        return [one for one, row in pairs if isinstance(one, Item) and (row is None or row["digest"] != one.digest)]

    def _looked(self, items: Sequence[Item]) -> dict[str, _Work]:
        """Find names and vectors, before anything is locked; by digest and key."""
        with self._looking:
            return self._read(items)

    def _read(self, items: Sequence[Item]) -> dict[str, _Work]:
        texts = [item.text for item in items]
        listed: Sequence[Sequence[Mention]] = [()] * len(texts)
        if self.options.organizations and texts:
            listed = organizations([text[:1000] for text in texts], settings=self.runtime.settings)
        names = [self._names(item, mentions) for item, mentions in zip(items, listed, strict=True)]
        vectors: dict[int, NDArray[np.float32]] = {}
        wanted = [place for place, found in enumerate(names) if found.watched] if self.options.meaning else []
        if wanted:
            rows = self._encoder().encode([texts[place][:1000] for place in wanted])
            vectors = dict(zip(wanted, rows, strict=True))
        return {
            item.key + item.digest: _Work(item, found, sketch(item.text, list(found.watched)), vectors.get(place))
            for place, (item, found) in enumerate(zip(items, names, strict=True))
        }

    def _names(self, item: Item, mentions: Sequence[Mention]) -> Names:
        found = self.watchlist.find(item.text, mentions)
        about = {t: self.watchlist.names[t].names[0] for t in item.about if t in self.watchlist.names}
        return Names({**about, **found.watched}, found.doubts)

    def _placed(self, item: Item, looked: Mapping[str, _Work], taken: Taken) -> _Work | None:
        """Put an item into its story, a new one when it repeats none; None when it is known already."""
        known = self.state.item(item.key)
        if known is not None and known["digest"] == item.digest:
            taken.repeated += 1
            return None
        name = item.key + item.digest
        work = replace(looked.get(name) or self._looked([item])[name])
        if known is not None:
            taken.corrected += 1
            work.stirred = self._withdraw(known)
        at = item.event.timestamp()
        match = self._stories.match(work.compared, at, vector=work.vector)
        story, how = match or (None, "")
        work.number, work.story = self.state.put_item(item, story, copied=how)
        work.lead = match is None
        taken.items += known is None
        taken.copies += match is not None
        if match is None:
            self._stories.add(Story(work.story, at, work.compared, work.vector))
            if work.vector is not None:
                blob = work.vector.astype(np.float16).tobytes()
                self.state.run("UPDATE stories SET vector = ? WHERE number = ?", blob, work.story)
        for doubt in work.names.doubts:
            self.state.run(
                "INSERT INTO reviews VALUES (?, ?, ?, 1, ?) ON CONFLICT DO UPDATE SET times = times + 1",
                *(doubt.written, doubt.ticker, doubt.reason, work.number),
            )
        return work

    def _withdraw(self, known: Mapping[str, Any]) -> tuple[int, ...]:
        """Take an item that was corrected out of its story; give the story if others still tell it."""
        self.state.note(
            "monitor", "corrected", {key: known[key] for key in ("key", "text", "event", "digest", "story")}
        )
        self.state.run("DELETE FROM items WHERE number = ?", known["number"])
        story = int(known["story"])
        if self.state.rows("SELECT 1 FROM items WHERE story = ? LIMIT 1", story):
            return (story,)
        self.state.run("DELETE FROM scores WHERE story = ?", story)
        self.state.run("DELETE FROM stories WHERE number = ?", story)
        self._stories.remove(story)
        return (story,)

    def _score(self, leads: Sequence[_Work]) -> None:
        """Score new stories in one go."""
        spoken = [work for work in leads if work.names.watched]
        if not spoken:
            return
        texts, entities = [], []
        for work in spoken:
            written = list(work.names.watched.values())
            absent = [name for name in written if name not in work.item.text]
            texts.append(f"{', '.join(absent)}: {work.item.text}" if absent else work.item.text)
            entities.append(written)
        scored, model = self.scorer.score_texts(texts, entities), version(self.scorer)
        for work, sentiments in zip(spoken, scored, strict=True):
            by_ticker = dict(zip(work.names.watched, sentiments, strict=True))
            self.ledger.score(work.story, by_ticker, model=model)

    def _count(self, work: _Work, now: float, taken: Taken) -> None:
        """Let the stories that an item touches vote, and judge the names they speak of."""
        stories = (*work.stirred, work.story)
        rows = self.state.rows(
            f"SELECT ticker FROM scores WHERE story IN ({marks(stories)}) UNION "  # noqa: S608  question marks
            f"SELECT ticker FROM votes WHERE story IN ({marks(stories)})",
            *(*stories, *stories),
        )
        tickers = [row["ticker"] for row in rows]
        for ticker in tickers:
            self.judge.clear(ticker, now)
        for story in stories:
            self.ledger.count(story, upto=work.number)
        for ticker in tickers:
            taken.alerts += self.judge.decide(ticker, now, upto=work.number)

    # What is built on first use.

    @property
    def runtime(self) -> Runtime:
        """The models beside the scorer: text encoder, LLM."""
        if self._runtime is None:
            self._runtime = default()
        return self._runtime

    def _encoder(self) -> Encoder:
        return next(encoder for encoder in self.runtime.encoders() if "text" in encoder.modalities)

    @property
    def _stories(self) -> Stories:
        """The stories of late, read from the state at first use and after a batch that failed."""
        if self._remembered is None:
            hours = self.options.copies_hours
            self._remembered = Stories(window=hours * HOUR)
            for story in recent_stories(self.state, since=self.state.watermark - 2 * hours * HOUR):
                self._remembered.add(story)
        return self._remembered


def recent_stories(state: State, *, since: float) -> Iterator[Story]:
    """Give the stories since a time as their first item told them."""
    rows = state.rows(
        "SELECT i.story, i.event, i.text, s.vector, (SELECT group_concat(ticker, char(10)) FROM scores c "
        "WHERE c.story = i.story) AS tickers FROM items i JOIN stories s ON s.number = i.story "
        "WHERE i.event >= ? AND i.copied = '' ORDER BY i.number",
        since,
    )
    for row in rows:
        vector = None if row["vector"] is None else np.frombuffer(row["vector"], np.float16).astype(np.float32)
        tickers = (row["tickers"] or "").split("\n") if row["tickers"] else []
        yield Story(row["story"], row["event"], sketch(row["text"], tickers), vector)


def kept_watchlist(state: State, given: Watchlist | None) -> Watchlist:
    """Keep the watch list that was given, or give the one that was kept. Raises ``InputError`` when there is none."""
    if given is None:
        kept = state.fact("watchlist")
        if kept is None:
            raise InputError(f"{state.folder} has no watch list yet; give a CSV with the columns ticker and names")
        rows = json.loads(kept)
        return Watchlist(
            [Name(r["ticker"], tuple(r["names"]), r["sector"], r["weight"], tuple(r["subsidiaries"])) for r in rows]
        )
    shape = json.dumps([asdict(name) for name in given.names.values()], ensure_ascii=False)
    if shape != state.fact("watchlist"):
        with state.writing():
            state.set_fact("watchlist", shape)
            state.note("monitor", "watch list", {"tickers": list(given.names)})
    return given
