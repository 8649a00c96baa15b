"""Questions over the evidence: a retriever that knows names, times and moods, for the assistant to answer from.

"Why did Calder turn negative this week?" is about the stories of that name, in that week, of that side, in the order
of how much they count. The retriever only chooses; what is said is checked and cited by the assistant.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from mmsdk import Answer, Assistant, Audio, Chunk, Hit, Image, Locator
from mmsdk.errors import UnsupportedModalityError
from mmsdk.filters import parse
from mmsdk.types import Filter, Query
from mmsdk_finance.monitor import SentimentMonitor
from mmsdk_finance.mood import HOUR
from mmsdk_finance.state import marks, stamp

DAY = 24 * HOUR
_BAD = r"\b(?:negative|down|fall|fell|worse|bad|weak|drop\w*|risk\w*|trouble\w*|concern\w*)\b|负面|下跌|利空"
_GOOD = r"\b(?:positive|up|rise|rose|better|good|strong|gain\w*|improv\w*)\b|正面|上涨|利好"
_SIDES = ((-1, re.compile(_BAD, re.IGNORECASE)), (1, re.compile(_GOOD, re.IGNORECASE)))
_WHY = re.compile(r"\bwhy\b|\bwhat happened\b|为什么|为何|怎么", re.IGNORECASE)
_SPANS = (
    (re.compile(r"\btoday\b|今天", re.IGNORECASE), 1),
    (re.compile(r"\byesterday\b|昨天", re.IGNORECASE), 2),
    (re.compile(r"\b(?:this|last|past) week\b|本周|上周|这周", re.IGNORECASE), 7),
    (re.compile(r"\b(?:this|last|past) month\b|本月|上月", re.IGNORECASE), 31),
    (re.compile(r"\b(?:this|last|past) quarter\b|本季", re.IGNORECASE), 92),
)
_DAYS = re.compile(r"\b(?:last|past) (\d{1,3}) days\b", re.IGNORECASE)
_DATE = re.compile(r"\b(\d{4}-\d{2}-\d{2})\b")
_MONTH = re.compile(
    r"\b(?:in|of|during|since) (january|february|march|april|may|june|july|august|september|october|november|december)"
    r"(?: (\d{4}))?\b",
    re.IGNORECASE,
)
_MONTHS = "january february march april may june july august september october november december".split()  # noqa: SIM905


class Evidence:
    """Retrieve the stories that a question is about, most telling first; a ``Retriever`` over a monitor's state."""

    def __init__(self, monitor: SentimentMonitor) -> None:
        self.monitor = monitor

    def retrieve(self, query: Query, k: int = 8, *, where: Filter | None = None) -> list[Hit]:
        """Give at most ``k`` stories as hits whose text starts with date and source. ``where`` must be empty.

        Raises ``UnsupportedModalityError`` for a question that is not in words.
        """
        parts = [query] if isinstance(query, str | Image | Audio) else query
        question = " ".join(part for part in parts if isinstance(part, str))
        if not question.strip():
            raise UnsupportedModalityError("the evidence is asked in words")
        if where:
            parse(where)
            raise UnsupportedModalityError("the evidence is narrowed by the words of the question, not by where")
        start, stop = period(question, self.monitor.state.watermark)
        tickers = list(self.monitor.watchlist.find(question).watched) or list(self.monitor.watchlist.names)
        side = next((side for side, pattern in _SIDES if pattern.search(question)), 0)
        rows = self._rows(tickers, side, start=start, stop=stop)[:k]
        strongest = max((row["force"] for row in rows), default=1.0) or 1.0
        return [Hit(_chunk(row), float(row["force"] / strongest)) for row in rows]

    def _rows(self, tickers: list[str], side: int, *, start: float, stop: float) -> list[dict[str, Any]]:
        rows = self.monitor.state.rows(
            "SELECT v.*, i.text, i.source, i.url, i.event, i.number FROM votes v "  # noqa: S608  question marks
            "JOIN items i ON i.number = (SELECT min(number) FROM items f WHERE f.story = v.story) "
            f"WHERE v.ticker IN ({marks(tickers)}) AND v.at >= ? AND v.at < ? AND v.value * ? >= 0 "
            "ORDER BY v.at DESC LIMIT 1000",
            *(*tickers, start, stop, side),
        )
        recipe = self.monitor.options.recipe
        for row in rows:
            age = (stop - row["at"]) / recipe.decay(row["kind"])
            row["force"] = row["weight"] * abs(row["value"]) * 2.0 ** -min(age, 20.0)
        rows = [row for row in rows if row["force"] > 0 and (not side or abs(row["value"]) > 0.1)]
        return sorted(rows, key=lambda row: -float(row["force"]))


def ask(monitor: SentimentMonitor, question: str) -> Answer:
    """Answer a question from the evidence, with citations that carry date and source.

    A question that names a watched name is answered from what is found in its period, and is not in the sources when
    nothing was; any other needs a sentence that is likely to answer it, as everywhere in mmsdk.
    """
    named = bool(monitor.watchlist.find(question).watched) and bool(_WHY.search(question))
    runtime = monitor.runtime
    assistant = Assistant(Evidence(monitor), runtime.llm(), settings=runtime.settings, threshold=0.0 if named else None)
    return assistant.ask(question)


def period(question: str, watermark: float) -> tuple[float, float]:
    """Give start and stop, in seconds since 1970, of the time a question is about; without one the last 31 days.

    "Now" is the watermark, so an archive can be asked as if it were today.

    >>> [stamp(at) for at in period("What happened this week?", 1738368000.0)]
    ['2025-01-25T00:00:00Z', '2025-02-01T00:00:01Z']
    """
    end = watermark + 1
    dates = [datetime.fromisoformat(found).replace(tzinfo=UTC).timestamp() for found in _DATE.findall(question)]
    if dates:
        return min(dates), max(dates) + DAY if len(dates) > 1 or "since" not in question.casefold() else end
    if month := _MONTH.search(question):
        return _month(month, watermark)
    days = next((days for pattern, days in _SPANS if pattern.search(question)), 31)
    if counted := _DAYS.search(question):
        days = int(counted.group(1))
    return watermark - days * DAY, end


def _month(found: re.Match[str], watermark: float) -> tuple[float, float]:
    now = datetime.fromtimestamp(watermark, UTC)
    month = _MONTHS.index(found.group(1).casefold()) + 1
    year = int(found.group(2) or (now.year if month <= now.month else now.year - 1))
    start = datetime(year, month, 1, tzinfo=UTC)
    stop = (start + timedelta(days=32)).replace(day=1)
    since = found.group(0).casefold().startswith("since")
    return start.timestamp(), watermark + 1 if since else stop.timestamp()


def _chunk(row: Mapping[str, Any]) -> Chunk:
    date = stamp(row["event"])[:10]
    text = f"{date}, {row['source']}: {row['text']}"
    metadata = {"ticker": row["ticker"], "date": date, "url": row["url"], "value": row["value"]}
    locator = Locator("characters", 0, len(text))
    source = row["url"] or row["source"]
    return Chunk(f"item:{row['number']}", f"story:{row['story']}", text, text, "text", locator, metadata, source)
