"""Measure the intent classifier on BANKING77 and CLINC150, with 95 % intervals.

    python -m benchmarks.service_intents [banking few clinc] [--data ../shared/data]

``banking`` is the official split, all of it and without the test texts that are in train; ``few`` is five draws of 5
and of 10 examples an intent from its train, on the whole test; ``clinc`` trains on the 15,000 in-scope examples of the
full set, without any out-of-scope example. Width, surface, noise and names are the defaults of ``IntentClassifier``;
they were chosen on the train of both alone (docs/decisions/0100). Test splits are read here only.
"""

import argparse
import csv
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from mmsdk import evaluation
from mmsdk.evaluation import Estimate
from mmsdk_service import IntentClassifier

Split = tuple[list[str], list[str]]


def banking(data: Path, split: str) -> Split:
    with (data / "cs_banking77" / f"{split}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["category"] for row in rows]


def clinc(data: Path) -> dict[str, Split]:
    read = json.loads((data / "cs_clinc150" / "data_full.json").read_text("utf-8"))
    return {name: ([text for text, _ in rows], [label for _, label in rows]) for name, rows in read.items()}


def measure_banking(data: Path) -> None:
    texts, labels = banking(data, "train")
    model, seconds = fitted(texts, labels)
    asked, right = banking(data, "test")
    chances = model.predict_proba(asked)
    guessed = model.classes_[chances.argmax(axis=1)]
    print(f"BANKING77, {len(texts)} examples, fitted in {seconds:.0f} s: {evaluation.accuracy(right, list(guessed))}")
    known = {evaluation.folded(text) for text in texts}
    fresh = [place for place, text in enumerate(asked) if evaluation.folded(text) not in known]
    same = evaluation.accuracy([right[place] for place in fresh], [guessed[place] for place in fresh])
    print(f"  without the {len(asked) - len(fresh)} test texts that are in train: {same}")
    hit = guessed == np.array(right)
    print(f"  macro F1 {evaluation.f1(right, list(guessed))}, ECE {evaluation.ece(hit.tolist(), chances.max(axis=1))}")


def measure_few(data: Path) -> None:
    texts, labels = map(np.array, banking(data, "train"))
    asked, right = banking(data, "test")
    for shots in (5, 10):
        draws: list[Estimate] = []
        for seed in range(5):
            random = np.random.default_rng(seed)
            chosen = [random.choice(np.flatnonzero(labels == one), shots, replace=False) for one in np.unique(labels)]
            rows = np.concatenate(chosen)
            model, _ = fitted(texts[rows].tolist(), labels[rows].tolist())
            draws.append(evaluation.accuracy(right, model.predict(asked).tolist()))
        values = [draw.value for draw in draws]
        print(f"BANKING77, {shots} an intent: {np.mean(values):.4f} (draws {min(values):.4f} to {max(values):.4f})")


def measure_clinc(data: Path) -> None:
    sets = clinc(data)
    model, seconds = fitted(*sets["train"])
    asked, right = sets["test"]
    guessed = model.predict(asked)
    print(f"CLINC150, {len(sets['train'][0])} examples, fitted in {seconds:.0f} s:")
    print(f"  in-scope accuracy {evaluation.accuracy(right, guessed.tolist())}")
    inside = model.out_of_scope_score(asked)
    outside = model.out_of_scope_score(sets["oos_test"][0])
    print(f"  out-of-scope AUROC {auroc(inside, outside)}, on validation {validation(model, sets):.4f}")
    hit = guessed == np.array(right)
    print("  threshold  in-scope accuracy when those above are refused  out-of-scope recall  in-scope refused")
    for alarm in (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3):
        kept = inside <= 1 - alarm
        print(f"  {1 - alarm:.2f}  {np.mean(hit & kept):.4f}  {np.mean(outside > 1 - alarm):.4f}  {np.mean(~kept):.4f}")
    for shots in (10,):
        random, texts, labels = np.random.default_rng(0), np.array(sets["train"][0]), np.array(sets["train"][1])
        chosen = [random.choice(np.flatnonzero(labels == one), shots, replace=False) for one in np.unique(labels)]
        rows = np.concatenate(chosen)
        small, seconds = fitted(texts[rows].tolist(), labels[rows].tolist())
        scores = auroc(small.out_of_scope_score(asked), small.out_of_scope_score(sets["oos_test"][0]))
        accuracy = evaluation.accuracy(right, small.predict(asked).tolist())
        print(f"  150 x {shots} examples, fitted in {seconds:.1f} s: accuracy {accuracy}, AUROC {scores}")


def validation(model: IntentClassifier, sets: dict[str, Split]) -> float:
    scores = [model.out_of_scope_score(sets[name][0]) for name in ("val", "oos_val")]
    return float(roc_auc_score(np.repeat([0, 1], [len(one) for one in scores]), np.concatenate(scores)))


def auroc(inside: NDArray[Any], outside: NDArray[Any], *, resamples: int = 500) -> Estimate:
    """Give the AUROC with its bootstrap interval, both sides drawn anew."""
    random = np.random.default_rng(0)

    def score(a: NDArray[Any], b: NDArray[Any]) -> float:
        return float(roc_auc_score(np.repeat([0, 1], [len(a), len(b)]), np.concatenate([a, b])))

    drawn = [score(random.choice(inside, len(inside)), random.choice(outside, len(outside))) for _ in range(resamples)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(score(inside, outside), float(low), float(high))


def fitted(texts: list[str], labels: list[str]) -> tuple[IntentClassifier, float]:
    started = time.perf_counter()
    model = IntentClassifier().fit(texts, labels)
    return model, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["banking", "few", "clinc"])
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    given = parser.parse_args()
    for name in given.what:
        {"banking": measure_banking, "few": measure_few, "clinc": measure_clinc}[name](given.data)


if __name__ == "__main__":
    main()
