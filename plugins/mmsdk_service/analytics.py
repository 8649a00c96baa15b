"""What happened at the desk: containment, reasons, unanswered questions in clusters, latency, ratings, coverage.

A session is contained when no person was needed. It is contained wrongly when the customer rated it 1 or 2, or left
right after the agent had no answer: a figure of containment alone rewards an agent that nobody can get past.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmsdk.errors import InputError
from mmsdk.evaluation import mean
from mmsdk.protocols import Encoder
from mmsdk.report import Report
from mmsdk_service.examples import read_rows
from mmsdk_service.state import Row, State

LIKE = 0.6
"""The cosine from which two unanswered questions are in one cluster."""


def figures(state: State, *, since: float = 0.0, encoder: Encoder | None = None) -> dict[str, Any]:
    """Give everything that can be counted about sessions that began since a time, as JSON.

    With an encoder, unanswered questions that mean the same are one cluster; without, those that are equal.
    """
    sessions = state.rows("SELECT id, created FROM sessions WHERE created >= ?", since)
    turns = state.rows(
        "SELECT t.* FROM turns t JOIN sessions s ON s.id = t.session WHERE s.created >= ? ORDER BY t.number", since
    )
    for turn in turns:
        turn["detail"] = json.loads(turn["detail"])
    asked = [turn for turn in turns if turn["role"] == "customer"]
    handed = state.rows("SELECT session, reason, at, taken, due FROM handovers WHERE at >= ?", since)
    ratings = {row["session"]: row["score"] for row in state.rows("SELECT session, score FROM ratings")}
    return {
        "sessions": len(sessions),
        "messages": len(asked),
        **_containment(sessions, asked, handed, ratings),
        "handover_reasons": dict(Counter(row["reason"] for row in handed).most_common()),
        "taken_in_time": _estimate([float(row["taken"] <= row["due"]) for row in handed if row["taken"]]),
        "csat": _estimate([ratings[row["id"]] for row in sessions if row["id"] in ratings]),
        "latency": _latency(asked),
        "unanswered": clusters([turn["text"] for turn in asked if _is_gap(turn)], encoder),
        "intents": _coverage(asked),
    }


def clusters(questions: Sequence[str], encoder: Encoder | None = None) -> list[dict[str, Any]]:
    """Put questions that mean the same together, the largest cluster first; each is named by its first question.

    Each question joins the first cluster whose first question is like it (leader clustering), so the order matters a
    little; for a few thousand questions.
    """
    counts = Counter(question for question in questions if question.strip())
    texts = list(counts)
    vectors = encoder.encode(texts) if encoder is not None and texts else None
    found: list[list[int]] = []
    for place in range(len(texts)):
        home = None
        if vectors is not None and found:
            cosines = vectors[[members[0] for members in found]] @ vectors[place]
            home = int(cosines.argmax()) if cosines.max() >= LIKE else None
        if home is None:
            found.append([place])
        else:
            found[home].append(place)
    shaped = [
        {"question": texts[m[0]], "times": sum(counts[texts[n]] for n in m), "like": [texts[n] for n in m[1:6]]}
        for m in found
    ]
    return sorted(shaped, key=lambda one: -int(one["times"]))


def import_ratings(state: State, file: str | Path) -> int:
    """Take in a CSV or JSONL of ``session`` and ``score`` (1 to 5) and give how many there were."""
    rows = read_rows(file, needed=("session", "score"))
    for number, row in enumerate(rows, 1):
        try:
            state.rate(str(row["session"]).strip(), float(row["score"]))
        except (ValueError, InputError) as error:
            raise InputError(f"row {number} of {file}: {error}") from error
    return len(rows)


def page(found: Mapping[str, Any]) -> Report:
    """Make a page of figures, with plots."""
    report = Report("Customer service", f"{found['sessions']} sessions, {found['messages']} messages")
    csat, contained, wrongly = found["csat"], found["containment"], found["wrong_containment"]
    report.figures(
        {
            "contained": _written(contained, percent=True),
            "contained wrongly": _written(wrongly, percent=True),
            "handed over": sum(found["handover_reasons"].values()),
            "satisfaction (1-5)": _written(csat),
            "median seconds": found["latency"]["p50"],
            "95 % within seconds": found["latency"]["p95"],
        }
    )
    report.text("Contained wrongly: rated 1 or 2, or left right after the agent had no answer. In brackets: 95 %.")
    _bars(report, "Why threads were handed over", found["handover_reasons"])
    _bars(report, "Messages by intent", {name: one["messages"] for name, one in found["intents"].items()})
    report.heading("Questions without an answer")
    rows = [(one["question"], one["times"], " · ".join(one["like"])) for one in found["unanswered"][:50]]
    if rows:
        report.table(("question", "times", "like it"), rows)
    else:
        report.text("None.")
    report.heading("Coverage by intent")
    counted = [(name, one["messages"], one["answered"], one["handed_over"]) for name, one in found["intents"].items()]
    report.table(("intent", "messages", "answered", "handed over"), counted)
    return report


def evaluation_page(done: Mapping[str, Any]) -> Report:
    """Make a page of an evaluation: its figures, and the dial's curve if it was tried."""
    report = Report("Evaluation of the service agent", f"{done['messages']} messages")
    rows = [
        (name.replace("_", " "), one["value"], one["low"], one["high"], one.get("n"))
        for name, one in done["figures"].items()
    ]
    report.table(("figure", "value", "95 % from", "to", "messages"), rows)
    if "curve" in done:
        report.heading("The dial")
        x = [one["dial"] for one in done["curve"]]
        names = {"answered": "answered", "wrong_of_answered": "wrong among them", "handed_over": "handed over"}
        names["asked_again"] = "asked again"
        traces = [{"x": x, "y": [one[key] for one in done["curve"]], "name": name} for key, name in names.items()]
        axes = {"xaxis": {"title": {"text": "dial: 0 answers more, 1 hands over more"}}, "yaxis": {"range": [0, 1]}}
        axes |= {"legend": {"orientation": "h", "y": -0.25}, "margin": {"l": 40, "r": 20, "t": 20, "b": 110}}
        report.chart([trace | {"mode": "lines+markers"} for trace in traces], axes, height=420)
    return report


def _containment(
    sessions: Sequence[Row], asked: Sequence[Row], handed: Sequence[Row], ratings: Mapping[str, float]
) -> dict[str, Any]:
    needed = {row["session"] for row in handed}
    last = {turn["session"]: turn for turn in asked}
    used = [row["id"] for row in sessions if row["id"] in last]
    contained = [name for name in used if name not in needed]
    wrong = [name for name in contained if ratings.get(name, 5) <= 2 or _is_gap(last[name])]
    return {
        "containment": _estimate([float(name not in needed) for name in used]),
        "wrong_containment": _estimate([float(name in wrong) for name in contained]),
    }


def _is_gap(turn: Row) -> bool:
    detail = turn["detail"]
    return (detail.get("status"), detail.get("reason")) == ("handover", "unsure") or detail.get("status") == "unsure"


def _latency(asked: Sequence[Row]) -> dict[str, float]:
    seconds = [turn["detail"]["seconds"]["total"] for turn in asked if "total" in turn["detail"].get("seconds", {})]
    if not seconds:
        return {"p50": 0.0, "p95": 0.0}
    return {f"p{part}": round(float(np.percentile(seconds, part)), 4) for part in (50, 95)}


def _coverage(asked: Sequence[Row]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = defaultdict(lambda: {"messages": 0, "answered": 0, "handed_over": 0})
    for turn in asked:
        sure = [one["intent"] for one in turn["detail"].get("intents", ()) if one.get("verdict") == "sure"]
        for intent in sure:
            found[intent]["messages"] += 1
            found[intent]["answered"] += turn["detail"].get("status") in ("answered", "flow")
            found[intent]["handed_over"] += turn["detail"].get("status") == "handover"
    return dict(sorted(found.items(), key=lambda pair: -pair[1]["messages"]))


def _estimate(samples: Sequence[float]) -> dict[str, Any] | None:
    if not samples:
        return None
    found = mean(list(samples))
    return {"value": round(found.value, 4), "low": round(found.low, 4), "high": round(found.high, 4), "n": len(samples)}


def _written(one: Mapping[str, Any] | None, *, percent: bool = False) -> str:
    if one is None:
        return "none yet"
    pattern = "{:.0%}" if percent else "{:.2f}"
    value, low, high = (pattern.format(one[key]) for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _bars(report: Report, title: str, counts: Mapping[str, int]) -> None:
    if counts:
        report.heading(title)
        names, values = list(counts)[:20][::-1], list(counts.values())[:20][::-1]
        whole = {"dtick": 1} if max(values) <= 5 else {"tickformat": ",d"}
        layout = {
            "margin": {"l": 10, "r": 20, "t": 10, "b": 45},
            "xaxis": {"title": {"text": "number"}, **whole},
            "yaxis": {"automargin": True, "ticklabelstandoff": 6},
        }
        report.chart(
            [{"type": "bar", "orientation": "h", "x": values, "y": names}], layout, height=120 + 24 * len(names)
        )
