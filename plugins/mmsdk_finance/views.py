"""What people look at: the course of an index and the evidence behind it, read from a state by filters.

Both the report and the dashboard show these; neither how they look nor how they are asked for is known here.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmsdk_finance.monitor import SentimentMonitor
from mmsdk_finance.mood import HOUR, Level, series
from mmsdk_finance.state import Row, State, stamp

DAY = 24 * HOUR
_POINTS = 400


@dataclass(frozen=True)
class Wanted:
    """Say which evidence: of a name, a source, a label, with words in it, of event times in [since, until).

    What is empty does not choose. ``strong`` leaves out votes that are no farther than it from 0.
    """

    ticker: str = ""
    source: str = ""
    label: str = ""
    words: str = ""
    since: float = 0.0
    until: float = float("inf")
    strong: float = -1.0


def first_event(state: State) -> float:
    """Give the earliest event time that is kept, the watermark when there is none."""
    return float(state.rows("SELECT min(event) AS at FROM items")[0]["at"] or state.watermark)


def times_of(start: float, end: float) -> list[float]:
    """Give times from start to end, six hours apart or 400 of them."""
    count = min(_POINTS, max(2, int((end - start) / (6 * HOUR)) + 1))
    return [start + (end - start) * place / (count - 1) for place in range(count)]


def course(monitor: SentimentMonitor, ticker: str, times: Sequence[float]) -> list[Level]:
    """Give the index of a name at rising times."""
    sql = "SELECT at, kind, weight, value FROM votes WHERE ticker = ? ORDER BY at"
    votes = ((row["at"], row["kind"], row["weight"], row["value"]) for row in monitor.state.rows(sql, ticker))
    return list(series(votes, times, recipe=monitor.options.recipe))


def stories_a_day(state: State, ticker: str, start: float) -> list[tuple[float, int]]:
    """Give days, as seconds since 1970, with the number of stories of a name."""
    sql = (
        "SELECT CAST(at / 86400 AS INTEGER) AS day, count(*) AS n FROM votes WHERE ticker = ? AND at >= ? GROUP BY day"
    )
    return [(row["day"] * DAY, row["n"]) for row in state.rows(sql, ticker, start)]


def evidence(state: State, wanted: Wanted, *, limit: int, offset: int = 0) -> list[Row]:
    """Give what stories said of names, the latest first, each with its first telling and number of sources."""
    rows = state.rows(
        "SELECT v.at, v.ticker, v.value, v.story, s.label, s.positive, s.neutral, s.negative, s.quote, s.words, "
        "s.events, s.model, i.source, i.author, i.url, i.text, i.kind, i.number AS item, "
        "(SELECT count(DISTINCT source) FROM items c WHERE c.story = v.story) AS sources "
        "FROM votes v JOIN scores s USING (story, ticker) "
        "JOIN items i ON i.number = (SELECT min(number) FROM items f WHERE f.story = v.story) "
        "WHERE v.at >= ? AND v.at < ? AND abs(v.value) > ? AND (? = '' OR v.ticker = ?) AND (? = '' OR s.label = ?) "
        "AND (? = '' OR EXISTS (SELECT 1 FROM items c WHERE c.story = v.story AND c.source = ?)) "
        "AND (? = '' OR instr(lower(i.text), lower(?))) ORDER BY v.at DESC, v.story DESC LIMIT ? OFFSET ?",
        *(wanted.since, wanted.until, wanted.strong, wanted.ticker, wanted.ticker, wanted.label, wanted.label),
        *(wanted.source, wanted.source, wanted.words, wanted.words, limit, offset),
    )
    lists: dict[str, Any] = {"words": json.loads, "events": json.loads, "at": stamp}
    return [{key: lists.get(key, lambda kept: kept)(kept) for key, kept in row.items()} for row in rows]


def quarantine(state: State, *, limit: int = 100) -> list[Row]:
    """Count what was not taken in, by source and reason."""
    sql = "SELECT source, code, reason, count(*) AS times FROM rejected GROUP BY source, code, reason "
    return state.rows(f"{sql} ORDER BY times DESC, source, code LIMIT ?", limit)


def reviews(state: State, *, limit: int = 100) -> list[Row]:
    """Give names that were not resolved, the most frequent first."""
    sql = "SELECT written, ticker, reason, times FROM reviews ORDER BY times DESC, written LIMIT ?"
    return state.rows(sql, limit)
