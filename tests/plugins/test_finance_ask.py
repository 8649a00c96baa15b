"""Questions to the evidence: the right name, time and side, and answers with dates."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mmsdk.errors import UnsupportedModalityError
from mmsdk.runtime import Runtime
from mmsdk_finance.ask import Evidence, ask, period
from mmsdk_finance.monitor import SentimentMonitor

from .doubles import WordScorer
from .test_finance_monitor import PLAIN, WATCH, item, monitor, script

NEWS = [
    item(1, "Calder Motors cuts its outlook after a recall of 40,000 cars", hours=24 * 10),
    item(2, "Calder Motors plunges as a lawsuit over brakes is filed", hours=24 * 11),
    item(3, "Calder Motors beats forecasts", hours=24 * 12),
    item(4, "Brightwater Foods loses its largest customer", hours=24 * 12),
    item(5, "Calder Motors misses in January", hours=1),
]


@pytest.mark.parametrize(
    ("question", "numbers"),
    [
        ("Why did Calder Motors turn negative this week?", {1, 2}),
        ("Why is Calder Motors up?", {3}),
        ("What happened to Brightwater Foods in the last 5 days?", {4}),
        ("Why was Calder Motors negative on 2025-01-06?", {5}),
        ("Why was Calder Motors negative in January?", {1, 2, 5}),
        ("Why was Calder Motors negative since 2025-01-17?", {2}),
        ("Which names turned negative this week?", {1, 2, 4}),
        ("Why is Norrland Timber negative?", set()),
    ],
)
def test_the_evidence_is_of_the_name_time_and_side(tmp_path: Path, question: str, numbers: set[int]) -> None:
    with monitor(tmp_path) as opened:
        opened.take(NEWS)
        hits = Evidence(opened).retrieve(question)
    assert {int(hit.chunk.id.removeprefix("item:")) for hit in hits} == numbers
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(hit.chunk.text.startswith("2025-01-") for hit in hits)


def test_no_more_than_k_and_only_words(tmp_path: Path) -> None:
    with monitor(tmp_path) as opened:
        opened.take(script())
        evidence = Evidence(opened)
        assert len(evidence.retrieve("Why is Calder Motors positive this month?", 3)) == 3
        with pytest.raises(UnsupportedModalityError, match="asked in words"):
            evidence.retrieve("  ")
        with pytest.raises(UnsupportedModalityError, match="not by where"):
            evidence.retrieve("Calder?", where={"ticker": "CLD"})


def test_months_of_the_year_before_are_meant_when_they_have_not_come_yet() -> None:
    now = datetime(2025, 3, 6, tzinfo=UTC).timestamp()
    start, stop = period("Why was it negative in November?", now)
    assert datetime.fromtimestamp(start, UTC).isoformat() == "2024-11-01T00:00:00+00:00"
    assert datetime.fromtimestamp(stop, UTC).isoformat() == "2024-12-01T00:00:00+00:00"
    assert period("How is it since February?", now) == (datetime(2025, 2, 1, tzinfo=UTC).timestamp(), now + 1)


def test_an_answer_cites_date_and_source(tmp_path: Path, bundled: Runtime) -> None:
    with SentimentMonitor(tmp_path, WATCH, scorer=WordScorer(), options=PLAIN, runtime=bundled) as opened:
        opened.take(NEWS)
        answer = ask(opened, "Why did Calder Motors turn negative this week?")
        nothing = ask(opened, "Why did Norrland Timber turn negative?")
    assert answer.status == "answered"
    assert {citation.hit.chunk.metadata["date"] for citation in answer.citations} <= {"2025-01-16", "2025-01-17"}
    assert any("recall" in citation.quote or "lawsuit" in citation.quote for citation in answer.citations)
    assert nothing.status == "not_in_sources"
