"""Measure an agent on the company's own test messages, each figure with a 95 % interval; compare with an earlier run.

A file (CSV or JSONL) has the column ``text`` and any of: ``intent`` (``out_of_scope`` for none), ``source`` (part of
the name of the document that answers), ``answer`` (words that the reply must hold), ``handover`` (yes or no),
``session`` (rows of one conversation, in order). A figure is left out where no row speaks of it.
"""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from mmsdk import evaluation
from mmsdk.errors import InputError, MmsdkError
from mmsdk.evaluation import Estimate
from mmsdk_service.agent import ServiceAgent
from mmsdk_service.examples import read_rows
from mmsdk_service.reply import Reply

OUTSIDE = frozenset({"out_of_scope", "oos", "none", "out-of-scope"})
DIALS = (0.0, 0.25, 0.5, 0.75, 1.0)
_TRUE, _FALSE = frozenset({"1", "yes", "true", "y"}), frozenset({"0", "no", "false", "n", ""})


class RegressionError(MmsdkError):
    """Say which figures fell below those of an earlier run."""


@dataclass(frozen=True)
class Case:
    """Hold a row of a test file and the reply to it."""

    row: Mapping[str, Any]
    reply: Reply
    grounded: bool

    @property
    def right(self) -> bool:
        """Whether the reply answers as the row says."""
        wanted, source = str(self.row.get("answer") or ""), str(self.row.get("source") or "")
        cited = [piece.citation.hit.chunk.source for piece in self.reply.pieces if piece.citation is not None]
        if wanted:
            return wanted.casefold() in self.reply.reply.casefold()
        if source:
            return any(source in one for one in cited)
        guessed = [one["intent"] for one in self.reply.intents if one["verdict"] == "sure"]
        return str(self.row.get("intent") or "") in guessed

    @property
    def answered(self) -> bool:
        """Whether the agent gave an answer of its own."""
        return self.reply.status in ("answered", "flow")


def read_cases(file: str | Path) -> list[dict[str, Any]]:
    """Read test messages. Raises ``InputError`` naming the row that is wrong."""
    rows = read_rows(file, needed=("text",))
    if not rows:
        raise InputError(f"{file} has no rows")
    for number, row in enumerate(rows, 1):
        value = str(row.get("handover") or "").strip().casefold()
        if value not in _TRUE | _FALSE:
            raise InputError(f"row {number} of {file}: handover is yes or no, not {row['handover']!r}")
        row["handover"] = None if row.get("handover") in (None, "") else value in _TRUE
        if str(row.get("answer") or "").strip().casefold() in {"yes", "no", "true", "false"}:
            raise InputError(f"row {number} of {file}: answer is words that the reply must hold, not {row['answer']!r}")
        row["intent"] = str(row.get("intent") or "").strip()
    return rows


def run(rows: Sequence[Mapping[str, Any]], make: Callable[[str], ServiceAgent]) -> list[Case]:
    """Let an agent with an empty state reply to every row; ``make`` builds it over the folder it is given."""
    cases: list[Case] = []
    names: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder, closing(make(folder)) as agent:
        for row in rows:
            name = str(row.get("session") or "")
            reply = agent.reply(str(row["text"]), session=names.get(name))
            if name:
                names[name] = reply.session
            cases.append(Case(row, reply, agent.grounded(reply)))
    return cases


def measure(cases: Sequence[Case], agent: ServiceAgent, *, alarm: float = 0.05) -> dict[str, Estimate]:
    """Give the figures of cases by name; recall of out-of-scope messages is at ``alarm`` false alarms."""
    found: dict[str, Estimate] = {}
    if agent.classifier is not None:
        found |= _understanding(cases, agent, alarm)
    sourced = [case for case in cases if case.row.get("source")]
    if sourced and agent.collection is not None:
        hits = [agent.collection.retrieve(str(case.row["text"]), 5) for case in sourced]
        pairs = zip(sourced, hits, strict=True)
        named = [any(str(case.row["source"]) in hit.chunk.source for hit in some) for case, some in pairs]
        found["retrieval_recall_at_5"] = evaluation.mean([float(one) for one in named])
    wanted = [case for case in cases if case.row.get("answer") or case.row.get("source")]
    if wanted:
        found["answer_rate"] = evaluation.mean([float(case.answered and case.right) for case in wanted])
        answered = [case for case in wanted if case.answered]
        if answered:
            found["wrong_of_answered"] = evaluation.mean([float(not case.right) for case in answered])
    found["grounded_rate"] = evaluation.mean([float(case.grounded) for case in cases])
    judged = [case for case in cases if case.row.get("handover") is not None]
    handed = [case for case in judged if case.reply.status == "handover"]
    due = [case for case in judged if case.row["handover"]]
    if handed:
        found["handover_precision"] = evaluation.mean([float(bool(case.row["handover"])) for case in handed])
    if due:
        found["handover_recall"] = evaluation.mean([float(case in handed) for case in due])
    return found


def _understanding(cases: Sequence[Case], agent: ServiceAgent, alarm: float) -> dict[str, Estimate]:
    classifier = agent.classifier
    if classifier is None:
        return {}
    found = {}
    inside = [case for case in cases if case.row["intent"] and case.row["intent"] not in OUTSIDE]
    outside = [case for case in cases if case.row["intent"] in OUTSIDE]
    if inside:
        guessed = classifier.predict([str(case.row["text"]) for case in inside]).tolist()
        found["intent_accuracy"] = evaluation.accuracy([case.row["intent"] for case in inside], guessed)
    if inside and outside:
        near, far = (classifier.out_of_scope_score([str(c.row["text"]) for c in part]) for part in (inside, outside))
        found["out_of_scope_auroc"] = auroc(near, far)
        least = float(np.quantile(near, 1 - alarm))
        found["out_of_scope_recall"] = evaluation.mean([float(score > least) for score in far])
    return found


def auroc(inside: NDArray[Any], outside: NDArray[Any], *, resamples: int = 500) -> Estimate:
    """Give the area under the ROC curve with its bootstrap interval, both sides drawn anew."""
    random = np.random.default_rng(0)

    def score(a: NDArray[Any], b: NDArray[Any]) -> float:
        return float(roc_auc_score(np.repeat([0, 1], [len(a), len(b)]), np.concatenate([a, b])))

    drawn = [score(random.choice(inside, len(inside)), random.choice(outside, len(outside))) for _ in range(resamples)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(score(inside, outside), float(low), float(high))


def shown(figures: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
    """Write figures as JSON; ``n`` is the number of messages that one is the mean of, where it is a mean."""
    return {
        name: {"value": one.value, "low": one.low, "high": one.high} | ({"n": len(one.samples)} if one.samples else {})
        for name, one in figures.items()
    }


def point(cases: Sequence[Case], dial: float) -> dict[str, float]:
    """Give one point of the dial's curve: the shares answered, wrong among them, handed over, asked to say again."""
    judged = [case for case in cases if case.row.get("answer") or case.row.get("source") or case.row.get("intent")]
    answered = [case for case in judged if case.answered]
    wrong = sum(not case.right for case in answered)
    return {
        "dial": dial,
        "answered": len(answered) / max(1, len(judged)),
        "wrong_of_answered": wrong / max(1, len(answered)),
        "handed_over": sum(case.reply.status == "handover" for case in judged) / max(1, len(judged)),
        "asked_again": sum(case.reply.status in ("unsure", "clarify") for case in judged) / max(1, len(judged)),
    }


def compare(figures: Mapping[str, Estimate], baseline: str | Path) -> None:
    """Raise ``RegressionError`` when a figure is worse than the interval of an earlier run."""
    try:
        earlier = json.loads(Path(baseline).read_text("utf-8"))["figures"]
        limits = {name: (float(one["low"]), float(one["high"])) for name, one in earlier.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{baseline} is no file of an earlier evaluation: {error!r}; make one with --out") from error
    worse = []
    for name, (low, high) in limits.items():
        value = figures[name].value if name in figures else None
        if value is None:
            worse.append(f"{name} is missing")
        elif name == "wrong_of_answered" and value > high:
            worse.append(f"{name} is {value:.3f}, above {high:.3f}")
        elif name != "wrong_of_answered" and value < low:
            worse.append(f"{name} is {value:.3f}, below {low:.3f}")
    if worse:
        raise RegressionError("worse than before: " + "; ".join(worse))
