"""Fit mmsdk/answerability.json, and report how it does on documents that it was not fitted on.

    python -m benchmarks.answerability.fit

Fitted by language on documents of our own that the scorers were not trained on: invented.md, benchmarks/library, every
tenth place of invented-2.md, -3.md and -7.md to -10.md, every fifth company of customers.md; in Chinese, which the
scorers do not read, on all that is Chinese. Never on examples/data, benchmarks/hotel or cs_ecommerce_faq. A place is
predicted by a model fitted on the places of the other folds. The threshold is where the share of unanswerable questions
that are answered falls to ``ALLOWED``.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from benchmarks.answerability import data
from benchmarks.answerability.data import HERE, Case
from mmsdk import answerability, encoders, evaluation
from mmsdk.answerability import CHINESE, ENGLISH, VETOES
from mmsdk.lexicon import is_cjk
from mmsdk.protocols import Encoder
from mmsdk.settings import Settings
from mmsdk.types import Content, Role, Vectors

TABLE = Path(answerability.__file__).with_name("answerability.json")
ALLOWED = {"english": 0.07, "chinese": 0.14}
"""Which share of unanswerable questions may be answered all the same; in English of those of ``invented.md``,
``library`` and ``customers.md``, which ask as people do, while the other places ask for near misses on purpose."""
FITTED = 10
"""Every how many-th place of ``MORE`` is fitted on; none of them may be trained on."""
MORE = tuple(HERE / f"invented-{number}.md" for number in (2, 3, 7, 8, 9, 10))
COMPANIES = 5
"""Every how many-th company of customers.md is fitted on; none of them may be trained on."""
AGAINST = dict.fromkeys(("missing_numbers", "missing_names", "missing_names_here", "unsaid"), -0.5)
"""Weights that are at most this: a name or number that is missing speaks against a sentence. The places fitted on have
few questions about another product or country than the sentence; folders of their own showed it (docs/LOG.md)."""
FOLDS = 8
ENCODER, SCORERS = "text:all-MiniLM-L6-v2", ("cross", "reader")


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

    place: str
    answerable: bool
    features: NDArray[np.float64]
    gold: NDArray[np.bool_]


def held(encoder: Encoder, *, chinese: bool) -> Iterator[Case]:
    """Give the questions of a language over documents that the scorers were not trained on."""
    files = [data.invented(encoder, file, keep=lambda place: chinese or place % FITTED == 0) for file in MORE]
    for cases in (data.invented(encoder), data.library(encoder), *files):
        yield from (case for case in cases if is_cjk(case.question) == chinese)


def customers(encoder: Encoder) -> Iterator[Case]:
    """Give messages of customers to companies that the scorers were not trained on."""
    return data.invented(encoder, HERE / "customers.md", keep=lambda place: place % COMPANIES == 0)


def row(case: Case, names: Sequence[str], encoder: Encoder) -> Row:
    scorers = [encoders.scorer(name, Settings.load()) for name in SCORERS]
    ranked = answerability.rank(case.question, case.hits, encoder=encoder, scorers=scorers)
    left = [one for one in ranked if not any(one.features.get(veto, 0) > 0 for veto in VETOES)]
    values = np.array([[one.features[name] for name in names] for one in left]).reshape(len(left), len(names))
    gold = np.array([bool(case.gold) and bool(re.search(case.gold, one.sentence.text)) for one in left], bool)
    return Row(case.place, bool(case.gold), values, gold)


def fitted(train: Sequence[Row], names: Sequence[str]) -> NDArray[np.float64]:
    """Give weights and, last, the bias of a logistic model with L2 = 1; those ``AGAINST`` stay below a limit."""
    features = np.concatenate([row.features for row in train])
    gold = np.concatenate([row.gold for row in train]).astype(float)

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = features @ values[:-1] + values[-1]
        error = expit(logits) - gold
        penalty = np.append(values[:-1], 0)
        cost = float(np.logaddexp(0, logits).sum() - gold @ logits + penalty @ penalty / 2)
        return cost, np.append(features.T @ error, error.sum()) + penalty

    most = [(None, AGAINST.get(name)) for name in [*names, "bias"]]
    found = minimize(loss, np.zeros(len(most)), jac=True, bounds=most, options={"maxiter": 5000})
    return np.asarray(found.x, np.float64)


def judged(model: NDArray[np.float64], row: Row) -> tuple[float, bool]:
    """Give the probability of the best candidate and whether it answers."""
    if not len(row.features):
        return 0.0, False
    chances = expit(row.features @ model[:-1] + model[-1])
    best = int(chances.argmax())
    return float(chances[best]), bool(row.gold[best])


def crossed(rows: Sequence[Row], names: Sequence[str]) -> list[tuple[Row, float, bool]]:
    """Predict the places of each fold by a model fitted on those of the others."""
    places, results = sorted({row.place for row in rows}), []
    for fold in range(FOLDS):
        mine = set(places[fold::FOLDS])
        model = fitted([row for row in rows if row.place not in mine], names)
        results += [(row, *judged(model, row)) for row in rows if row.place in mine]
    return results


def threshold(results: Sequence[tuple[Row, float, bool]], allowed: float) -> float:
    false = sorted((chance for row, chance, _ in results if not row.answerable), reverse=True)
    return round(false[int(allowed * len(false))] + 0.005, 2)


def report(name: str, results: Sequence[tuple[Row, float, bool]], least: float) -> None:
    can = [float(chance >= least and right) for row, chance, right in results if row.answerable]
    wrong = [float(chance >= least and not right) for row, chance, right in results if row.answerable]
    false = [float(chance >= least) for row, chance, _ in results if not row.answerable]
    first = [float(right) for row, _, right in results if row.answerable]
    print(
        f"{name} at {least:.2f}: right {evaluation.mean(can)}, wrong {evaluation.mean(wrong)} of {len(can)} answerable"
    )
    print(f"  answered {evaluation.mean(false)} of {len(false)} unanswerable; ranked first {evaluation.mean(first)}")


def main() -> None:
    encoder = Remembering(encoders.shared(ENCODER, Settings.load()))
    plain = {case.place for cases in (data.invented(encoder), data.library(encoder)) for case in cases}
    companies = {case.place for case in customers(encoder)}
    table: dict[str, Any] = {"encoder": ENCODER, "scorers": SCORERS}
    for language, names in (("english", ENGLISH), ("chinese", CHINESE)):
        english = language == "english"
        cases = [*held(encoder, chinese=not english), *(customers(encoder) if english else ())]
        rows = [row(case, names, encoder) for case in cases]
        results = crossed(rows, names)
        people = [result for result in results if not english or result[0].place in plain | companies]
        least = threshold(people, ALLOWED[language])
        report(language, results, least)
        if english:
            report("everyday questions", [result for result in people if result[0].place in plain], least)
            report("customers' messages", [result for result in people if result[0].place in companies], least)
        *found, bias = fitted(rows, names)
        weights = {name: round(w, 3) for name, w in zip(names, found, strict=True)}
        table[language] = {"threshold": least, "bias": round(bias, 3), "weights": weights}
    TABLE.write_text(json.dumps(table, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
