"""The monitor over scripted streams: every turn once, nothing lost, nothing twice, late and corrected news exact."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mmsdk.errors import CollectionNotFoundError, InputError
from mmsdk_finance.items import Item, Rejected
from mmsdk_finance.monitor import Options, SentimentMonitor
from mmsdk_finance.mood import Recipe
from mmsdk_finance.sinks import File
from mmsdk_finance.sources import Follower, Reading
from mmsdk_finance.state import State
from mmsdk_finance.watchlist import Name, Watchlist

from .doubles import WordScorer

START = datetime(2025, 1, 6, tzinfo=UTC)
WATCH = Watchlist(
    [
        Name("CLD", ("Calder Motors",), "Autos", 0.5),
        Name("BRW", ("Brightwater Foods",), "Food", -0.25),
        Name("NRT", ("Norrland Timber",), "Food", 0.25),
    ]
)
PLAIN = Options(meaning=False, organizations=False)
SUBJECTS = ("profit", "revenue", "order book", "margin", "cash flow", "output", "deliveries", "backlog", "pricing")


def item(number: int, text: str, *, hours: float, source: str = "Wire") -> Item:
    when = START + timedelta(hours=hours)
    return Item(str(number), text, source, when, when)


def script() -> list[Item]:
    """Sixty days: Calder turns negative on day 20 and positive on day 45, Brightwater hovers inside the band."""
    chance = random.Random(7)
    items: list[Item] = []

    def say(day: float, name: str, verb: str) -> None:
        number = len(items)
        text = f"{name} {verb} in {chance.choice(SUBJECTS)} of unit {number}"
        items.append(item(number, text, hours=24 * day + chance.random(), source=f"Paper {number % 4}"))

    for day in range(60):
        for name in ("Calder Motors", "Brightwater Foods", "Norrland Timber"):
            say(day + 0.2, name, "sees little change")
        if 20 <= day < 24 or day == 30:
            for _ in range(4 if day < 24 else 0):
                say(day + 0.5, "Calder Motors", "misses and cuts")
        if 45 <= day < 49:
            for _ in range(4):
                say(day + 0.5, "Calder Motors", "beats and raises")
        if day % 4 == 0:
            say(day + 0.6, "Brightwater Foods", "loses ground")
    return sorted(items, key=lambda one: one.event)


def monitor(folder: Path, **more: object) -> SentimentMonitor:
    return SentimentMonitor(folder, WATCH, scorer=WordScorer(), options=PLAIN, **more)  # type: ignore[arg-type]


def told(opened: SentimentMonitor) -> list[tuple[str, str, str]]:
    return [(alert.ticker, alert.side, alert.at) for alert in opened.alerts()]


def test_every_turn_is_alerted_once_and_the_band_is_quiet(tmp_path: Path) -> None:
    with monitor(tmp_path) as opened:
        taken = opened.take(script())
        assert [(alert.ticker, alert.side) for alert in taken.alerts] == [("CLD", "negative"), ("CLD", "positive")]
        assert told(opened) == [(alert.ticker, alert.side, alert.at) for alert in taken.alerts]
        negative, positive = opened.alerts()
        assert negative.at.startswith("2025-01-27")
        assert positive.at.startswith("2025-02-2")
        assert negative.cleared
        assert len(negative.sources) >= 2
        assert "misses" in negative.reasons[0].quote
        assert negative.reasons[0].words[:1] == ("misses",)
        assert opened.ledger.verify() == []


@pytest.mark.parametrize("size", [1, 7, 500])
def test_how_items_are_batched_changes_nothing(tmp_path: Path, size: int) -> None:
    with monitor(tmp_path / "a") as one, monitor(tmp_path / "b") as other:
        one.take(script(), batch=64)
        other.take(script(), batch=size)
        assert told(one) == told(other)
        assert one.levels() == other.levels()


def test_a_restart_in_mid_stream_repeats_nothing(tmp_path: Path) -> None:
    items = script()
    with monitor(tmp_path / "whole") as whole:
        whole.take(items)
        expected, levels = told(whole), whole.levels()
    for stop in (10, len(items) // 2, len(items) - 3):
        folder = tmp_path / str(stop)
        with monitor(folder) as first:
            first.take(items[:stop])
        with monitor(folder) as second:
            taken = second.take(items)
            assert taken.repeated == stop
            assert told(second) == expected
            assert second.levels() == levels
            assert second.ledger.verify() == []


def test_a_batch_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    class Failing(WordScorer):
        def score_texts(self, texts: Sequence[str], entities: Sequence[Sequence[str]]) -> list:  # type: ignore[type-arg]
            if any("unit 40" in text for text in texts):
                raise RuntimeError("out of memory")
            return super().score_texts(texts, entities)

    items = script()
    with monitor(tmp_path) as opened:
        opened._scorer = Failing()
        with pytest.raises(RuntimeError, match="out of memory"):
            opened.take(items, batch=16)
        kept = opened.state.counts()["items"]
        assert kept % 16 == 0
        opened._scorer = WordScorer()
        assert opened.take(items).repeated == kept
        assert [alert.side for alert in opened.alerts()] == ["negative", "positive"]


def test_a_source_that_breaks_off_takes_nothing_along_that_was_read_before(tmp_path: Path) -> None:
    def broken() -> Iterator[Item]:
        yield from script()[:32]
        raise OSError("the feed is gone")

    with monitor(tmp_path) as opened:
        with pytest.raises(OSError, match="the feed is gone"):
            opened.take(broken(), batch=16)
        assert opened.state.counts()["items"] == 32


def test_late_items_count_at_their_own_time(tmp_path: Path) -> None:
    items = script()
    shuffled = list(items)
    random.Random(3).shuffle(shuffled)
    with monitor(tmp_path / "a") as one, monitor(tmp_path / "b") as other:
        one.take(items)
        other.take(shuffled)
        for ticker, level in one.levels().items():
            late = other.levels()[ticker]
            assert (late.index, late.low, late.surprise) == pytest.approx((level.index, level.low, level.surprise))
        assert other.ledger.verify() == []


def test_a_correction_takes_the_place_of_what_was_said(tmp_path: Path) -> None:
    wrong = item(1, "Calder Motors misses in profit", hours=1)
    right = replace(wrong, text="Calder Motors beats in profit")
    with monitor(tmp_path / "a") as corrected, monitor(tmp_path / "b") as clean:
        corrected.take([wrong])
        assert corrected.levels()["CLD"].index < 0
        taken = corrected.take([right])
        assert (taken.items, taken.corrected) == (0, 1)
        clean.take([right])
        assert corrected.levels()["CLD"].index == pytest.approx(clean.levels()["CLD"].index)
        assert corrected.state.counts()["items"] == 1
        (line,) = corrected.state.rows("SELECT detail FROM audit WHERE action = 'corrected'")
        assert json.loads(line["detail"])["text"] == wrong.text
        back = corrected.take([wrong, right, wrong])
        assert (back.corrected, corrected.levels()["CLD"].index < 0) == (3, True)


def test_copies_are_one_story_with_all_their_sources(tmp_path: Path) -> None:
    text = "Calder Motors cuts its 2025 profit outlook after a weak second quarter"
    scorer = WordScorer()
    with SentimentMonitor(tmp_path, WATCH, scorer=scorer, options=PLAIN) as opened:
        lead = opened.take([item(1, text, hours=2)])
        before = opened.levels()["CLD"].index
        taken = opened.take(
            [
                item(2, f"UPDATE 1-{text}", hours=3, source="Echo"),
                item(3, text.upper(), hours=1, source="Early Bird"),
            ]
        )
        assert (lead.copies, taken.copies, taken.items, scorer.asked) == (0, 2, 2, 1)
        assert opened.state.counts()["stories"] == opened.state.counts()["votes"] == 1
        (vote,) = opened.state.rows("SELECT at FROM votes")
        assert vote["at"] == (START + timedelta(hours=1)).timestamp()
        assert abs(opened.levels()["CLD"].index) < abs(before)
        rows = opened.state.rows("SELECT source, copied FROM items ORDER BY number")
        assert [row["source"] for row in rows] == ["Wire", "Echo", "Early Bird"]
        assert [row["copied"] for row in rows] == ["", "exact", "exact"]


def test_copies_of_one_outlet_are_not_several_sources(tmp_path: Path) -> None:
    with monitor(tmp_path) as opened:
        opened.take([item(n, f"Calder Motors misses in {s}", hours=n, source="Wire") for n, s in enumerate(SUBJECTS)])
        assert opened.levels()["CLD"].index < -0.35
        assert opened.alerts() == []
        opened.take([item(99, "Calder Motors plunges in Frankfurt", hours=20, source="Tribune")])
        assert [alert.sources for alert in opened.alerts()] == [("Tribune", "Wire")]


def test_entities_of_one_sentence_are_told_apart(tmp_path: Path) -> None:
    with monitor(tmp_path) as opened:
        opened.take([item(1, "Calder Motors soars, Brightwater Foods plunges; Norrland Timber sleeps", hours=1)])
        levels = opened.levels()
        assert levels["CLD"].index > 0 > levels["BRW"].index
        assert levels["NRT"].index == pytest.approx(0)
        assert levels["sector:Food"].index < 0
        whole, tail = opened.portfolio()
        assert whole > 0
        assert tail <= whole


def test_what_the_model_cannot_read_does_not_vote(tmp_path: Path) -> None:
    with monitor(tmp_path) as opened:
        opened.take([item(1, "Calder Motors unreadable", hours=1)])
        assert opened.state.counts()["votes"] == 0
        assert opened.state.rows("SELECT label FROM scores") == [{"label": "unread"}]


def test_a_ticker_that_the_source_names_needs_not_be_in_the_text(tmp_path: Path) -> None:
    with monitor(tmp_path) as opened:
        opened.take([replace(item(1, "Carmaker cuts jobs", hours=1), about=("CLD", "XYZ"))])
        assert opened.levels()["CLD"].index < 0


def test_rejected_items_and_doubts_are_kept_once(tmp_path: Path) -> None:
    bad = Rejected("wire", "date", "no time", "soon")
    odd = item(1, "Zenith Pumps Ltd loses a lawsuit", hours=1)
    with monitor(tmp_path) as opened:
        assert opened.take([bad, odd]).rejected == 1
        assert opened.take([bad, odd]).rejected == 0
        assert opened.state.counts()["rejected"] == 1
        (review,) = opened.state.rows("SELECT * FROM reviews")
        assert (review["written"], review["ticker"], review["times"]) == ("Zenith Pumps Ltd", "", 1)
        assert opened.state.counts()["votes"] == 0


def test_alerts_are_acknowledged_by_somebody(tmp_path: Path) -> None:
    with monitor(tmp_path) as opened:
        opened.take(script())
        opened.acknowledge(1, "kim", note="seen")
        first, second = opened.alerts()
        assert (first.acknowledged_by, first.note, second.acknowledged_by) == ("kim", "seen", "")
        assert opened.state.rows("SELECT actor FROM audit WHERE action = 'acknowledged'") == [{"actor": "kim"}]
        with pytest.raises(InputError, match="no alert 9"):
            opened.acknowledge(9, "kim")
        with pytest.raises(InputError, match="say who"):
            opened.acknowledge(1, " ")


def test_an_alert_is_over_when_time_alone_has_faded_it(tmp_path: Path) -> None:
    with monitor(tmp_path) as opened:
        items = script()
        opened.take([one for one in items if one.event < START + timedelta(days=23)])
        assert not opened.alerts()[0].cleared
        opened.tick((START + timedelta(days=60)).timestamp())
        assert opened.alerts()[0].cleared.startswith("2025-03-07")


def test_following_alerts_on_what_is_appended(tmp_path: Path) -> None:
    file, out = tmp_path / "news.jsonl", tmp_path / "alerts.jsonl"
    now = datetime.now(UTC)
    rows = [
        {
            "id": str(n),
            "text": f"Calder Motors misses in {subject}",
            "source": f"Paper {n % 3}",
            "event": now.isoformat(),
        }
        for n, subject in enumerate(SUBJECTS)
    ]
    file.write_text("")
    follower = Follower([file], Reading(), every=0.01)
    with monitor(tmp_path / "state", sinks=[File(out)]) as opened:
        looks = opened.follow(follower, stop=out.exists)
        assert next(looks).items == 0
        with file.open("a") as stream:
            stream.writelines(json.dumps(row) + "\n" for row in rows)
        assert [alert.ticker for look in looks for alert in look.alerts] == ["CLD"]
    assert json.loads(out.read_text())["side"] == "negative"


def test_a_changed_recipe_counts_everything_anew(tmp_path: Path) -> None:
    with monitor(tmp_path) as opened:
        opened.take(script())
    other = replace(PLAIN, recipe=Recipe(sources={"Paper 1": 0.2}, half_lives={"news": 24.0}))
    with SentimentMonitor(tmp_path, scorer=WordScorer(), options=other) as changed:
        assert changed.ledger.verify() == []
        assert {row["weight"] for row in changed.state.rows("SELECT DISTINCT weight FROM votes")} == {1.0, 0.2}
        with SentimentMonitor(tmp_path / "b", WATCH, scorer=WordScorer(), options=other) as fresh:
            fresh.take(script())
            assert fresh.levels()["CLD"].index == pytest.approx(changed.levels()["CLD"].index)


def test_what_is_forgotten_leaves_the_index_as_it_was(tmp_path: Path) -> None:
    with monitor(tmp_path) as opened:
        opened.take(script())
        levels, items = opened.levels(), opened.state.counts()["items"]
        gone = opened.state.forget(10)
        assert 0 < gone == items - opened.state.counts()["items"]
        assert opened.levels() == levels
        assert opened.ledger.verify() == []
        with pytest.raises(InputError, match="7 days at least"):
            opened.state.forget(2)


def test_a_monitor_is_read_while_another_writes(tmp_path: Path) -> None:
    with monitor(tmp_path) as writer:
        writer.take(script()[:50])
        with writer.state.writing():
            writer.state.run("DELETE FROM items")
            with SentimentMonitor(tmp_path, options=PLAIN) as reader:
                assert reader.state.counts()["items"] == 50
                assert set(reader.levels()) >= set(WATCH.names)


def test_a_folder_without_a_monitor_or_watch_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(CollectionNotFoundError, match="no monitor in"):
        State(tmp_path / "none", create=False)
    with pytest.raises(CollectionNotFoundError, match="run: mmsdk finance monitor"):
        SentimentMonitor(tmp_path)


def test_alerts_are_delivered_once_across_restarts(tmp_path: Path) -> None:
    out = tmp_path / "alerts.jsonl"
    items = script()
    for stop in (len(items) // 2, len(items)):
        with monitor(tmp_path / "state", sinks=[File(out)]) as opened:
            opened.take(items[:stop])
            opened.deliver()
            opened.deliver()
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(line["ticker"], line["side"]) for line in lines] == [("CLD", "negative"), ("CLD", "positive")]
    assert len({line["id"] for line in lines}) == 2
