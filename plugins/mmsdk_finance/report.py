"""The report: what the state holds as one HTML file with charts, for people without a server."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mmsdk.report import Cell, Report
from mmsdk_finance.monitor import SentimentMonitor
from mmsdk_finance.mood import Level
from mmsdk_finance.state import stamp
from mmsdk_finance.views import (
    DAY,
    Wanted,
    course,
    evidence,
    first_event,
    quarantine,
    reviews,
    stories_a_day,
    times_of,
)

_EVIDENCE = 200
_COLOURS = {"negative": "#d1495b", "positive": "#2a9d8f"}
_LINES = ("#3b7dd8", "#e08e2b", "#2a9d8f", "#b1567f", "#8b6fd1", "#7a8b3c", "#c15a3a", "#4a93a8")


def write_report(monitor: SentimentMonitor, file: str | Path, *, days: float = 90) -> Path:
    """Write what the monitor knows of the last days before its watermark, and give the path."""
    end = monitor.state.watermark
    start = max(end - days * DAY, first_event(monitor.state))
    report = Report("Sentiment monitor", f"{stamp(start)} to {stamp(end)} (event time, UTC)")
    _summary(monitor, report)
    report.heading("Index by name")
    _overview(monitor, report, start=start, end=end)
    report.heading("Alerts")
    _alerts(monitor, report, start=start)
    for ticker in monitor.watchlist.names:
        _name(monitor, report, ticker, start=start, end=end)
    _evidence(monitor, report, start=start)
    _left_out(monitor, report)
    return report.write(file)


def _summary(monitor: SentimentMonitor, report: Report) -> None:
    counts = monitor.state.counts()
    whole, tail = monitor.portfolio()
    report.figures(
        {
            "items": counts["items"],
            "stories": counts["stories"],
            "alerts": counts["alerts"],
            "not taken in": counts["rejected"],
            "portfolio": f"{whole:+.3f}",
            "worst quarter": f"{tail:+.3f}",
        }
    )
    report.text(
        "The index is in [-1, 1]: decayed votes of stories, shrunk towards neutral. The portfolio figure is weighted "
        "by exposure; the worst quarter is its mean over the worst 25 % of exposure."
    )
    recipe, rule = monitor.options.recipe, monitor.options.alert
    half_lives = ", ".join(f"{kind} {hours:g} h" for kind, hours in recipe.half_lives.items())
    report.text(
        f"Half-lives: {half_lives}; prior weight {recipe.prior:g}. An alert is raised at {rule.on:g} and over at "
        f"{rule.off:g}, by at least {rule.sources} sources, at most one per side in {rule.cool_down:g} h."
    )


def _overview(monitor: SentimentMonitor, report: Report, *, start: float, end: float) -> None:
    levels, lines, rows = monitor.levels(), [], []
    times = times_of(start, end)
    for place, (ticker, name) in enumerate(monitor.watchlist.names.items()):
        now = levels[ticker]
        rows.append((name.names[0], ticker, name.sector, *_shown(now), f"{name.weight:+.0%}" if name.weight else ""))
        drawn = [level.index for level in course(monitor, ticker, times)]
        lines.append(_line(times, drawn, ticker, _LINES[place % len(_LINES)]))
    report.chart(lines, {"yaxis": {"title": {"text": "index"}, "range": [-1, 1]}, "hovermode": "x unified"}, height=420)
    report.table(("name", "ticker", "sector", "index", "95 % band", "volume", "surprise", "exposure"), rows)
    sectors = [(key.removeprefix("sector:"), *_shown(now)) for key, now in levels.items() if key.startswith("sector:")]
    if sectors:
        report.table(("sector", "index", "95 % band", "volume", "surprise"), sectors)


def _shown(level: Level) -> tuple[str, str, str, str]:
    return (
        f"{level.index:+.2f}",
        f"{level.low:+.2f} … {level.high:+.2f}",
        f"{level.volume:.1f}",
        f"{level.surprise:+.1f}",
    )


def _line(times: list[float], values: list[float], name: str, colour: str) -> dict[str, Any]:
    return {
        "x": [_date(at) for at in times],
        "y": [round(value, 4) for value in values],
        "name": name,
        "mode": "lines",
        "line": {"color": colour, "width": 2},
    }


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def _minute(at: str) -> str:
    return at[:16].replace("T", " ")


def _alerts(monitor: SentimentMonitor, report: Report, *, start: float) -> None:
    rows: list[tuple[Cell, ...]] = []
    for alert in monitor.alerts(since=start):
        first = alert.reasons[0] if alert.reasons else None
        said = f"{first.quote} [{', '.join(first.words)}]" if first else ""
        state = f"acknowledged by {alert.acknowledged_by}" if alert.acknowledged_by else "open"
        over = f"over {_minute(alert.cleared)}" if alert.cleared else "standing"
        turn = f"{alert.name} turned {alert.side}"
        band = f"{alert.index:+.2f} [{alert.low:+.2f}, {alert.high:+.2f}]"
        link = (said, first.url if first else "")
        rows.append((_minute(alert.at), alert.severity, turn, band, ", ".join(alert.sources), link, f"{state}, {over}"))
    if not rows:
        report.text("None.")
        return
    report.table(("raised", "severity", "what", "index", "sources", "first reason", "state"), rows)


def _name(monitor: SentimentMonitor, report: Report, ticker: str, *, start: float, end: float) -> None:
    """Draw a name: index with its band and alerts above, stories a day below."""
    times = times_of(start, end)
    levels = course(monitor, ticker, times)
    report.heading(f"{monitor.watchlist.names[ticker].names[0]} ({ticker})")
    dates = [_date(at) for at in times]
    band: dict[str, Any] = {
        "x": [*dates, *reversed(dates)],
        "fill": "toself",
        "fillcolor": "rgba(59,125,216,0.18)",
        "mode": "none",
    }
    band |= {"y": [level.high for level in levels] + [level.low for level in reversed(levels)], "hoverinfo": "skip"}
    drawn = [band | {"name": "95 % band"}, _line(times, [level.index for level in levels], "index", _LINES[0])]
    for alert in monitor.alerts(since=start, ticker=ticker):
        at = _minute(alert.at)
        mark: dict[str, Any] = {
            "x": [at],
            "y": [alert.index],
            "mode": "markers",
            "name": f"{alert.severity}: {alert.side}",
        }
        drawn.append(mark | {"marker": {"size": 13, "symbol": "diamond", "color": _COLOURS[alert.side]}})
    days = stories_a_day(monitor.state, ticker, start)
    bars = {"x": [_date(day) for day, _ in days], "y": [count for _, count in days], "type": "bar"}
    drawn.append(bars | {"name": "stories a day", "yaxis": "y2", "marker": {"color": "rgba(130,140,150,0.6)"}})
    layout = {
        "yaxis": {"domain": [0.3, 1], "range": [-1, 1], "title": {"text": "index"}},
        "yaxis2": {"domain": [0, 0.22], "title": {"text": "stories"}},
        "legend": {"orientation": "h"},
    }
    report.chart(drawn, layout, height=380)


def _evidence(monitor: SentimentMonitor, report: Report, *, start: float) -> None:
    report.heading("Evidence")
    rows = evidence(monitor.state, Wanted(since=start, strong=0.1), limit=_EVIDENCE)
    shown: list[tuple[Cell, ...]] = [
        (
            _minute(row["at"]),
            row["ticker"],
            f"{row['value']:+.2f}",
            ((row["quote"] or row["text"])[:300], row["url"]),
            ", ".join(row["words"]),
            row["source"] if row["sources"] == 1 else f"{row['source']} and {row['sources'] - 1} more",
        )
        for row in rows
    ]
    report.text(f"The latest {len(shown)} stories that were not neutral.")
    report.table(("when", "ticker", "value", "said", "words", "source"), shown)


def _left_out(monitor: SentimentMonitor, report: Report) -> None:
    report.heading("Not taken in")
    rejected = quarantine(monitor.state)
    report.table(("source", "code", "reason", "times"), [tuple(row.values()) for row in rejected])
    report.heading("Names for review")
    report.table(("written", "could be", "why", "times"), [tuple(row.values()) for row in reviews(monitor.state)])
