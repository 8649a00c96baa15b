"""Fit mmsdk/answerability.json, and report how it does on documents that it was not fitted on.

    python -m benchmarks.answerability.fit --dstc9 --cmrc

Fitted on invented.md and benchmarks/library, which are ours, by language; DSTC9 knowledge and CMRC 2018 (trial) are
only measured. Never on examples/data or cs_ecommerce_faq. Each place is predicted
by a model fitted on the others. The threshold is where the share of unanswerable questions that are answered falls
to ``ALLOWED`` on our documents. Questions whose answering sentence was removed are fitted on, but do not set the
threshold, because what is left often answers them in part.
"""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from benchmarks.answerability import data
from mmsdk import answerability, encoders, evaluation
from mmsdk.lexicon import is_cjk
from mmsdk.protocols import Encoder
from mmsdk.settings import Settings
from mmsdk.types import Content, Role, Vectors

TABLE = Path(answerability.__file__).with_name("answerability.json")
ALLOWED = 0.03
NAME = "text:all-MiniLM-L6-v2"


class Remembering:
    """Encode every text once."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder, self.dimension, self.rows = encoder, encoder.dimension, dict[Content, Any]()
        self.space, self.modalities, self.fingerprint = encoder.space, encoder.modalities, encoder.fingerprint

    def encode(self, inputs: Sequence[Content], *, role: Role = "document") -> Vectors:
        """Encode what is new and give all rows."""
        new = [text for text in dict.fromkeys(inputs) if text not in self.rows]
        self.rows.update(zip(new, self.encoder.encode(new, role=role), strict=True))
        return np.stack([self.rows[text] for text in inputs])


@dataclass(frozen=True)
class Row:
    """A question with the features of its candidates and which of them answer it."""

    set: str
    place: str
    question: str
    answerable: bool
    removed: bool
    features: NDArray[np.float64]
    gold: NDArray[np.bool_]


def rows(name: str, cases: Any, encoder: Encoder) -> list[Row]:
    found = []
    for case in cases:
        ranked = answerability.rank(case.question, case.hits, encoder=encoder)
        left = [one for one in ranked if not any(one.features[veto] > 0 for veto in answerability.VETOES)]
        values = np.array([[one.features[feature] for feature in answerability.FEATURES] for one in left])
        gold = np.array([bool(case.gold) and bool(re.search(case.gold, one.sentence.text)) for one in left], bool)
        found.append(Row(name, case.place, case.question, bool(case.gold), case.removed, values, gold))
    print(f"{name}: {len(found)} questions", file=sys.stderr)
    return found


def fitted(train: Sequence[Row]) -> LogisticRegression:
    kept = [row for row in train if len(row.features)]
    model = LogisticRegression(C=1.0, max_iter=5000)
    return model.fit(np.concatenate([row.features for row in kept]), np.concatenate([row.gold for row in kept]))


def judged(model: LogisticRegression, row: Row) -> tuple[float, bool]:
    """Give the probability of the best candidate and whether it answers."""
    if not len(row.features):
        return 0.0, False
    chances = model.predict_proba(row.features)[:, 1]
    best = int(chances.argmax())
    return float(chances[best]), bool(row.gold[best])


def crossed(ours: Sequence[Row]) -> list[tuple[Row, float, bool]]:
    """Predict each place by a model fitted on the others."""
    results = []
    for place in sorted({row.place for row in ours}):
        model = fitted([row for row in ours if row.place != place])
        results += [(row, *judged(model, row)) for row in ours if row.place == place]
    return results


def threshold(results: Sequence[tuple[Row, float, bool]]) -> float:
    false = sorted((chance for row, chance, _ in results if not (row.answerable or row.removed)), reverse=True)
    return round(false[int(ALLOWED * len(false))] + 0.005, 2)


def report(name: str, results: Sequence[tuple[Row, float, bool]], least: float) -> None:
    can = [float(chance >= least and right) for row, chance, right in results if row.answerable]
    wrong = [float(chance >= least and not right) for row, chance, right in results if row.answerable]
    false = [float(chance >= least) for row, chance, _ in results if not (row.answerable or row.removed)]
    gone = [float(chance >= least) for row, chance, _ in results if row.removed] or [0.0]
    print(f"{name:22} at {least:.2f}: right {evaluation.mean(can)} wrong {evaluation.mean(wrong)} of {len(can)}")
    print(f"{'':22} unanswerable, answered {evaluation.mean(false)} of {len(false)}; removed {np.mean(gone):.3f}")


def main() -> None:
    encoder = Remembering(encoders.shared(NAME, Settings.load()))
    ours = [*rows("invented", data.invented(encoder), encoder), *rows("library", data.library(encoder), encoder)]
    table: dict[str, Any] = {"encoder": NAME}
    for language, chinese in (("english", False), ("chinese", True)):
        mine = [row for row in ours if is_cjk(row.question) == chinese]
        results = crossed(mine)
        least = threshold(results)
        for name in ("invented", "library"):
            report(f"{language} {name}", [result for result in results if result[0].set == name], least)
        model = fitted(mine)
        weights = {name: round(float(w), 3) for name, w in zip(answerability.FEATURES, model.coef_[0], strict=True)}
        table[language] = {"threshold": least, "bias": round(float(model.intercept_[0]), 3), "weights": weights}
        for row, chance, _ in sorted(results, key=lambda result: -result[1]):
            if "--verbose" in sys.argv and not row.answerable and chance >= least:
                print("   ", round(chance, 2), row.place, row.question)
        for name, cases in (("cmrc", data.cmrc),) if chinese else (("dstc9", data.dstc9),):
            if f"--{name}" in sys.argv:
                others = rows(name, cases(encoder), encoder)
                report(name, [(row, *judged(model, row)) for row in others], least)
    TABLE.write_text(json.dumps(table, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
