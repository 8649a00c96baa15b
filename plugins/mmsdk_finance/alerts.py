"""When a mood becomes an alert: on and off thresholds, least number of sources, cool-down, severity.

The rule is a function of a level and of what stands already; keeping and sending alerts is done elsewhere.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from mmsdk_finance.mood import HOUR, Level
from mmsdk_finance.state import stamp

Severity = Literal["low", "medium", "high"]
Step = Literal["raise", "clear"]


@dataclass(frozen=True)
class Rule:
    """Say when an alert is raised and when it is over.

    It is raised when the index is at or beyond ``on`` (on either side of 0), at least ``sources`` different sources
    said so within ``window`` hours, and ``cool_down`` hours have passed since the last alert of that name and side;
    with ``surprise`` also only if the z-score against the name's history is as large. It is over when the index is
    back within ``off``. Between ``off`` and ``on`` nothing changes.
    """

    on: float = 0.35
    off: float = 0.15
    sources: int = 2
    cool_down: float = 24.0
    window: float = 96.0
    surprise: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.off < self.on <= 1:
            raise ValueError(f"a rule needs 0 <= off < on <= 1, not off={self.off}, on={self.on}")


@dataclass(frozen=True)
class Standing:
    """Hold whether an alert of a name and side is raised, and the event time of the last one."""

    raised: bool = False
    last: float = float("-inf")


@dataclass(frozen=True)
class Reason:
    """Hold a sentence that made an alert, the words that decided, the kinds of event, where and when it was said."""

    quote: str
    words: tuple[str, ...]
    events: tuple[str, ...]
    value: float
    source: str
    url: str
    at: str
    item: int


@dataclass(frozen=True)
class Alert:
    """Hold an alert: ``side`` is positive or negative, ``at`` the event time (ISO 8601, UTC) at which it was raised.

    ``id`` stays the same however often it is sent. ``cleared`` and ``acknowledged_by`` are empty until they happen.
    """

    number: int
    id: str
    ticker: str
    name: str
    side: Literal["positive", "negative"]
    at: str
    severity: Severity
    index: float
    low: float
    high: float
    surprise: float
    sources: tuple[str, ...]
    reasons: tuple[Reason, ...]
    cleared: str = ""
    acknowledged_by: str = ""
    note: str = ""

    @property
    def text(self) -> str:
        """One line for people."""
        said = f': "{self.reasons[0].quote}" ({self.reasons[0].source})' if self.reasons else ""
        return (
            f"{self.at} {self.severity.upper()} {self.name} ({self.ticker}) turned {self.side}, "
            f"index {self.index:+.2f} [{self.low:+.2f}, {self.high:+.2f}], {len(self.sources)} sources{said}"
        )

    def to_json(self) -> dict[str, Any]:
        """Write it as sinks and the command line do."""
        return asdict(self)


def step(standing: Standing, level: Level, side: int, *, sources: int, rule: Rule) -> Step | None:
    """Say what follows from a level for one side (1 or -1), None for nothing. ``sources`` said so lately."""
    strength = side * level.index
    if standing.raised:
        return "clear" if strength < rule.off else None
    cooled = level.at - standing.last >= rule.cool_down * HOUR
    surprising = side * level.surprise >= rule.surprise
    return "raise" if strength >= rule.on and sources >= rule.sources and cooled and surprising else None


def severity(level: Level, *, sources: int, rule: Rule) -> Severity:
    """Grade an alert: medium when the band excludes 0 or twice the least sources agree, high when both."""
    signs = [level.low > 0 or level.high < 0, sources >= 2 * rule.sources]
    return ("low", "medium", "high")[sum(signs)]


def alert_of(row: dict[str, Any], body: dict[str, Any]) -> Alert:
    """Read an alert as the state keeps it."""
    reasons = tuple(
        Reason(**{**reason, "words": tuple(reason["words"]), "events": tuple(reason["events"])})
        for reason in body["reasons"]
    )
    return Alert(
        **{**body, "sources": tuple(body["sources"]), "reasons": reasons},
        number=row["number"],
        id=row["id"],
        ticker=row["ticker"],
        side="positive" if row["side"] > 0 else "negative",
        at=stamp(row["at"]),
        severity=row["severity"],
        cleared=stamp(row["cleared"]),
        acknowledged_by=row["acknowledged_by"] or "",
        note=row["note"] or "",
    )
