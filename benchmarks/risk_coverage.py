"""Draw risk against coverage on cs_ecommerce_faq: every question with its entry in the collection, then without.

    python benchmarks/risk_coverage.py

Each of the 157 questions is asked twice over the answers of the FAQ (the questions are not indexed): all
answers present, and its own answer (and others that say the same) taken away. At a threshold t, coverage is
the share of present questions that are answered with their own entry, risk the share of given answers that
are wrong: another entry while the own one is there, or any entry while it is not. Nothing was fitted on this
set. Writes docs/plots/risk_coverage.png and prints the table; the LLM has no say in whether to answer.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmsdk import answerability, encoders, evaluation
from mmsdk.chunking import chunks
from mmsdk.protocols import Encoder, PairScorer
from mmsdk.settings import Settings
from mmsdk.types import Document, Hit, Locator, Part

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("MMSDK_SHARED_DATA", ROOT.parent / "shared" / "data"))
FIGURE = ROOT / "docs" / "plots" / "risk_coverage.png"
SAME = 0.9
"""Cosine from which two answers count as saying the same."""


def main() -> None:
    groups = json.loads((SHARED / "cs_ecommerce_faq" / "Ecommerce_FAQ_Chatbot_dataset.json").read_text("utf-8"))
    pairs = [(pair["question"], pair["answer"]) for group in groups.values() for pair in group]
    encoder = encoders.shared(answerability.table()["encoder"], Settings.load())
    scorers = [encoders.scorer(name, Settings.load()) for name in answerability.table()["scorers"]]
    rows = asked(pairs, encoder, scorers)
    curve = [point(rows, float(threshold)) for threshold in np.linspace(0.02, 0.98, 49)]
    chosen = point(rows, answerability.table()["english"]["threshold"])
    for row in [*curve[::6], chosen]:
        print(json.dumps(row))
    draw(curve, chosen)


def asked(pairs: list[tuple[str, str]], encoder: Encoder, scorers: Sequence[PairScorer]) -> list[dict[str, Any]]:
    """Give for each question the probability of the best sentence with and without its entry."""
    cut = [
        next(iter(chunks(Document(str(number), (Part(answer, Locator("characters", 0, len(answer))),), "", ""))))
        for number, (_, answer) in enumerate(pairs)
    ]
    vectors = encoder.encode([answer for _, answer in pairs])
    queries = encoder.encode([question for question, _ in pairs], role="query")
    alike = vectors @ vectors.T >= SAME
    rows = []
    for number, (question, _) in enumerate(pairs):
        same = set(np.flatnonzero(alike[number]).tolist())
        order = np.argsort(-(vectors @ queries[number]))
        result: dict[str, Any] = {}
        for name, gone in (("present", set()), ("removed", same)):
            hits = [Hit(cut[row], float(vectors[row] @ queries[number])) for row in order if row not in gone][:12]
            best = answerability.rank(question, hits, encoder=encoder, scorers=scorers)[:1]
            result[name] = best[0].probability if best else 0.0
            result[f"{name}_own"] = bool(best) and int(best[0].sentence.hit.chunk.document_id) in same
        rows.append(result)
        print(f"\r{number + 1}/{len(pairs)}", end="", file=sys.stderr)
    return rows


def point(rows: list[dict[str, Any]], threshold: float) -> dict[str, Any]:
    """Give coverage and risks at a threshold, with 95 % intervals by resampling questions."""
    right = [float(row["present"] >= threshold and row["present_own"]) for row in rows]
    wrong = [float(row["present"] >= threshold and not row["present_own"]) for row in rows]
    false = [float(row["removed"] >= threshold) for row in rows]
    given = sum(right) + sum(wrong) + sum(false)
    return {
        "threshold": round(threshold, 2),
        "coverage": str(evaluation.mean(right)),
        "wrong_entry": str(evaluation.mean(wrong)),
        "answered_without_entry": str(evaluation.mean(false)),
        "risk": round((sum(wrong) + sum(false)) / given, 3) if given else 0.0,
    }


def draw(curve: list[dict[str, Any]], chosen: dict[str, Any]) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    def values(rows: list[dict[str, Any]], name: str) -> list[float]:
        return [float(str(row[name]).split()[0]) for row in rows]

    figure, axes = pyplot.subplots(figsize=(5, 3.5))
    axes.plot(values(curve, "coverage"), values(curve, "wrong_entry"), label="another entry, own present")
    axes.plot(values(curve, "coverage"), values(curve, "answered_without_entry"), label="an entry, own removed")
    for name in ("wrong_entry", "answered_without_entry"):
        axes.plot(values([chosen], "coverage"), values([chosen], name), "ko", markersize=4)
    axes.set(xlabel="coverage (own entry given)", ylabel="share of questions", title="E-commerce FAQ, 157 questions")
    axes.legend()
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURE, bbox_inches="tight", dpi=110)


if __name__ == "__main__":
    main()
