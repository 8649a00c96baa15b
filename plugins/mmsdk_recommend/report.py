"""The report of an evaluation: tables with intervals, warm and cold apart, and plots, in one HTML file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmsdk.evaluation import Estimate
from mmsdk.report import Report
from mmsdk_recommend.evaluation import Evaluation

_MEANING = {
    "coverage": "share of items that any list shows",
    "gini": "inequality of how often items are shown, 0 equal",
    "novelty": "mean surprise in bits",
    "popularity_lift": "how much more popular lists are than histories",
    "variety": "distance within a list by content",
    "calibration": "how far the mix of labels is from the history's, 0 equal",
}


class Measured(dict[str, Any]):
    """Hold what ``mmsdk recommend evaluate --json`` prints, and give it as a table for people."""

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Give columns and rows: each model with accuracy and intervals, over all and by segment."""
        k = self["k"]
        names = [f"NDCG@{k}", f"recall@{2 * k}", f"HR@{k}", f"MRR@{k}", f"MAP@{k}", "coverage"]
        rows = []
        for one in self["models"]:
            for label, figures in (("all", one["figures"]), *one["segments"].items()):
                rows.append([one["model"], label, *(_written(figures.get(name)) for name in names)])
        counts, rest = self["counts"], [""] * (len(names) - 1)
        rows.append([self["split"], "known users", f"{counts['warm_test_users']} of {counts['test_users']}", *rest])
        if self["report"]:
            rows.append(["report", "", str(self["report"]), *rest])
        return ["model", "users, items", *names], rows


def write_report(evaluation: Evaluation, file: str | Path) -> Path:
    """Write the report and give its path."""
    split, counts = evaluation.split, evaluation.counts
    report = Report(f"Recommendation: {split.name}", split.about)
    report.figures({name.replace("_", " "): value for name, value in counts.items()})
    report.text(
        "All items that a user does not have are ranked, none are sampled. Intervals are 95 % bootstrap intervals over "
        f"users. {counts['warm_test_users']} of {counts['test_users']} users of the test are known to the training."
    )
    report.heading("Accuracy")
    _accuracy(report, {one.model: one.figures for one in evaluation.results})
    measure = f"NDCG@{evaluation.k}"
    report.chart([_bars(evaluation, measure)], {"yaxis": {"title": {"text": measure}, "rangemode": "tozero"}})
    for name in dict.fromkeys(label for one in evaluation.results for label in one.segments):
        report.heading(name[0].upper() + name[1:])
        _accuracy(report, {one.model: one.segments.get(name, {}) for one in evaluation.results})
    report.heading("Beyond accuracy")
    others = [n for n in dict.fromkeys(n for one in evaluation.results for n in one.figures) if "@" not in n]
    report.table(
        ("measure", *(one.model for one in evaluation.results), "meaning"),
        [(n, *(_cell(one.figures.get(n)) for one in evaluation.results), _MEANING.get(n, "")) for n in others],
    )
    trace = {
        "type": "scatter",
        "mode": "markers+text",
        "text": [one.model for one in evaluation.results],
        "textposition": "top center",
        "x": [one.figures["coverage"].value for one in evaluation.results],
        "y": [one.figures[measure].value for one in evaluation.results],
        "marker": {"size": 11},
    }
    report.chart([trace], {"xaxis": {"title": {"text": "coverage"}}, "yaxis": {"title": {"text": measure}}})
    report.heading("Models")
    report.table(
        ("model", "seconds to fit", "seconds to rank", "parameters"),
        [(one.model, *(float(s) for s in one.seconds), str(one.params)) for one in evaluation.results],
    )
    return report.write(file)


def _accuracy(report: Report, figures: Mapping[str, Mapping[str, Estimate]]) -> None:
    names = [n for n in dict.fromkeys(n for row in figures.values() for n in row) if "@" in n]
    report.table(("model", *names), [(model, *(_cell(row.get(n)) for n in names)) for model, row in figures.items()])


def _bars(evaluation: Evaluation, measure: str) -> dict[str, Any]:
    found = [one.figures[measure] for one in evaluation.results]
    return {
        "type": "bar",
        "x": [one.model for one in evaluation.results],
        "y": [one.value for one in found],
        "error_y": {
            "type": "data",
            "array": [one.high - one.value for one in found],
            "arrayminus": [one.value - one.low for one in found],
        },
    }


def _cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    return f"{estimate.value:.3f}" if estimate.low == estimate.high else str(estimate)


def _written(figure: Mapping[str, float] | None) -> str:
    if figure is None:
        return "-"
    value = f"{figure['value']:.3f}"
    return value if figure["low"] == figure["high"] else f"{value} [{figure['low']:.3f}, {figure['high']:.3f}]"
