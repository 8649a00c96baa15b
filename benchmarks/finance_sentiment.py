"""Figures of the finance plugin's sentiment: held out on SEntFiN, untouched elsewhere, calibration, speed.

    python -m benchmarks.finance_sentiment held-out --model DIR      # DIR: the --out of mmsdk_finance.train
    python -m benchmarks.finance_sentiment untouched                 # PhraseBank and Twitter, bundled model
    python -m benchmarks.finance_sentiment phrasebank --start bundled  # 5-fold, trained in protocol
    python -m benchmarks.finance_sentiment speed

Data under ../shared/data (--data). Intervals are 95 % bootstrap. An entity that its headline does not name counts as
neutral, which is what ``score_text`` says of it. VADER (Hutto and Gilbert 2014) by its usual thresholds of 0.05.
"""

import argparse
import csv
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsdk.evaluation import accuracy, ece, f1
from mmsdk.heads import Head
from mmsdk.settings import Settings
from mmsdk_finance.fitting import Plan
from mmsdk_finance.marking import marked
from mmsdk_finance.sentiment import LABELS, SentimentModel, script
from mmsdk_finance.train import SHAPE, Case, Trainer, crossed, out_of_fold, read

PLOT = Path(__file__).parents[1] / "docs" / "plots" / "finance-sentiment.png"
Floats = NDArray[np.float64]


def line(name: str, labels: Sequence[int], guesses: Sequence[int], mixed: Sequence[int] = ()) -> None:
    """Print accuracy and macro-F1, and macro-F1 over the rows of ``mixed``."""
    more = f" · mixed {f1([labels[n] for n in mixed], [guesses[n] for n in mixed])}" if mixed else ""
    print(f"{name:34s} accuracy {accuracy(labels, guesses)} · macro-F1 {f1(labels, guesses)}{more}", flush=True)


def held_out(data: Path, model: Path) -> None:
    everything = read(data / "fin_sentfin" / "SEntFiN.csv")
    cases, absent = [case for case in everything if case.ways], [case for case in everything if not case.ways]
    print(f"{len(everything)} entities, {len(absent)} not named by their headline")
    kept = np.load(model / "held-out.npz")
    labels: list[int] = kept["labels"].tolist()
    assert labels == [case.label for case in cases], "the held-out figures are of other data"
    mixed = [n for n, case in enumerate(cases) if case.mixed]
    majority = Counter(labels).most_common(1)[0][0]
    line("majority", labels, [majority] * len(labels), mixed)
    line("entity-blind linear head", labels, blind(cases, kept["folds"]).argmax(axis=1).tolist(), mixed)
    line("linear head", labels, kept["features"][:, :3].argmax(axis=1).tolist(), mixed)
    line("reader", labels, kept["features"][:, 3:6].argmax(axis=1).tolist(), mixed)
    chances = kept["chances"]
    guesses = chances.argmax(axis=1)
    line("joined", labels, guesses.tolist(), mixed)
    more = [*mixed, *(len(cases) + n for n, case in enumerate(absent) if case.mixed)]
    line(
        "joined, with those not named",
        [*labels, *(case.label for case in absent)],
        [*guesses, *[1] * len(absent)],
        more,
    )
    for fold in range(kept["folds"].max() + 1):
        rows = np.flatnonzero(kept["folds"] == fold)
        right = guesses[rows] == kept["labels"][rows]
        print(f"fold {fold}: ECE {ece(right.tolist(), chances[rows].max(axis=1).tolist())}")
    right = (guesses == kept["labels"]).tolist()
    print("ECE of all folds:", ece(right, chances.max(axis=1).tolist()))
    coverage(chances, np.array(right), PLOT)


def blind(cases: Sequence[Case], folds: Any) -> Floats:
    """Give held-out probabilities of a linear head that sees the headline and not whom it is asked about."""
    texts = [(case.text,) for case in cases]
    chances = np.zeros((len(cases), len(LABELS)))
    for fold in np.unique(folds):
        learn, held = np.flatnonzero(folds != fold).tolist(), np.flatnonzero(folds == fold).tolist()
        head = Head.fit([texts[n] for n in learn], [LABELS[cases[n].label] for n in learn], shape=SHAPE)
        chances[held] = head.predict_proba([texts[n] for n in held])
    return chances


def coverage(chances: Floats, right: NDArray[np.bool_], file: Path) -> None:
    """Draw accuracy over coverage, and accuracy over confidence."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    sure = chances.max(axis=1)
    order = np.argsort(-sure)
    share = np.arange(1, len(order) + 1) / len(order)
    reached = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    for at in (0.5, 0.7, 0.8, 0.9, 1.0):
        print(f"accuracy at coverage {at:.0%}: {reached[round(at * len(order)) - 1]:.3f}")
    figure, (left, other) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    left.plot(share[99:], reached[99:], color="#1f5fa8")
    left.set(xlabel="share of entities answered, surest first", ylabel="accuracy", title="Accuracy over coverage")
    bins = np.array_split(np.argsort(sure), 12)
    other.plot([1 / 3, 1], [1 / 3, 1], color="#999999", linewidth=1)
    other.plot([sure[b].mean() for b in bins], [right[b].mean() for b in bins], "o-", color="#1f5fa8")
    other.set(xlabel="mean probability of the label", ylabel="accuracy", title="Calibration, held-out folds")
    for axes in (left, other):
        axes.grid(alpha=0.3)
    file.parent.mkdir(exist_ok=True)
    figure.savefig(file, dpi=110)


def phrasebank(data: Path, level: str) -> tuple[list[str], list[int]]:
    rows = (data / "fin_phrasebank" / f"Sentences_{level}.txt").read_text("latin-1").splitlines()
    pairs = dict(row.rsplit("@", 1) for row in rows if "@" in row)
    return list(pairs), [LABELS.index(label.strip()) for label in pairs.values()]


def twitter(data: Path) -> tuple[list[str], list[int]]:
    with (data / "fin_twitter_news_sentiment" / "sent_train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [{"0": 0, "1": 2, "2": 1}[row["label"]] for row in rows]


def vader(texts: Sequence[str]) -> list[int]:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    score = SentimentIntensityAnalyzer().polarity_scores
    return [0 if found <= -0.05 else 2 if found >= 0.05 else 1 for found in (score(text)["compound"] for text in texts)]


def untouched(data: Path) -> None:
    model = SentimentModel()
    for name, (texts, labels) in (("PhraseBank", phrasebank(data, "AllAgree")), ("Twitter", twitter(data))):
        print(f"{name}: {len(texts)} texts, each as a whole")
        found = [result[0] for result in model.score_texts(texts, [[""]] * len(texts))]
        guesses = [LABELS.index(result.label) for result in found]
        line("  majority", labels, [Counter(labels).most_common(1)[0][0]] * len(labels))
        line("  VADER", labels, vader(texts))
        line("  bundled model", labels, guesses)
        right = [guess == label for guess, label in zip(guesses, labels, strict=True)]
        print("  ECE", ece(right, [max(result.probabilities.values()) for result in found]))


def in_protocol(data: Path, work: Path, plan: Plan) -> None:
    texts, labels = phrasebank(data, "50Agree")
    cases = [
        Case(text, "", label, group, mixed=False, ways=(marked(text, []),))
        for group, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]
    work.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(Settings.load(), plan)
    features, folds = out_of_fold(cases, trainer, folds=5, work=work)
    line("PhraseBank, joined", labels, crossed(features, np.array(labels), folds).argmax(axis=1).tolist())
    line("PhraseBank, linear head", labels, features[:, :3].argmax(axis=1).tolist())
    line("PhraseBank, reader", labels, features[:, 3:6].argmax(axis=1).tolist())


def speed(data: Path) -> None:
    cases = read(data / "fin_sentfin" / "SEntFiN.csv")
    names: dict[str, list[str]] = {}
    for case in [case for case in cases if case.ways][:3000]:
        names.setdefault(case.text, []).append(case.entity)
    texts = [text for text in names if script(text) == "latin"][:2000]
    model = SentimentModel()
    model.score_texts(texts[:64], [names[text] for text in texts[:64]])
    start, used = time.perf_counter(), time.process_time()
    found = model.score_texts(texts, [names[text] for text in texts])
    for name, seconds in (("second", time.perf_counter() - start), ("CPU second", time.process_time() - used)):
        print(f"{len(texts) / seconds:.0f} headlines, {sum(map(len, found)) / seconds:.0f} entities a {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("held-out", "untouched", "phrasebank", "speed"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", type=Path, default=Path("sentiment-model"))
    parser.add_argument("--epochs", type=int, default=Plan.epochs)
    parser.add_argument("--start", default="", help="of phrasebank: readers to go on from")
    parser.add_argument("--readers", type=int, default=Plan.readers, help="of phrasebank")
    parser.add_argument(
        "--average", type=float, default=Plan.average, help="of phrasebank: as mmsdk_finance.train has it"
    )
    given = parser.parse_args()
    if given.part == "held-out":
        held_out(given.data, given.model)
    elif given.part == "untouched":
        untouched(given.data)
    elif given.part == "phrasebank":
        plan = Plan(start=given.start, epochs=given.epochs, readers=given.readers, average=given.average)
        in_protocol(given.data, given.model / "phrasebank", plan)
    else:
        speed(given.data)


if __name__ == "__main__":
    main()
