"""Train the sentiment model: ``python -m mmsdk_finance.train --data CSV --out DIR``.

The CSV has the columns text, entity and label (negative, neutral or positive; one row for each entity, empty for a
whole text), or is SEntFiN as its authors give it. The reader is only trained where most texts are in Latin script,
because its body knows English; Chinese gets the linear head. Every figure is of texts held out: folds keep a text,
whatever its case and white space, on one side.
"""

import argparse
import ast
import csv
import hashlib
import json
import logging
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsdk.errors import InputError
from mmsdk.evaluation import accuracy, ece, f1
from mmsdk.heads import Head, Shape
from mmsdk.settings import Settings
from mmsdk_finance.fitting import Plan, save, trained
from mmsdk_finance.marking import Marked, marked
from mmsdk_finance.reader import Reader
from mmsdk_finance.sentiment import DESCRIPTION, HEAD, LABELS, READER, places, script, softmax, stacked, views

Floats = NDArray[np.float64]
SHAPE = Shape(words=2, penalty=0.03, folds=0)  # the joining model calibrates
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Case:
    """Hold an entity of a text with its label; ``group`` is the text, ``mixed`` says that its entities differ.

    ``ways`` are the ways to mark it, first the one it is read in; none where the text does not name the entity.
    """

    text: str
    entity: str
    label: int
    group: int
    mixed: bool
    ways: tuple[Marked, ...]


def read(file: Path) -> list[Case]:
    """Read labelled entities, texts that are equal but for case and white space as one.

    Raises ``InputError`` naming the line that is wrong.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            rows = list(csv.DictReader(opened))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {file}: {error}") from error
    columns = set(rows[0]) if rows else set()
    if not ({"text", "entity", "label"} <= columns or {"Title", "Decisions"} <= columns):
        raise InputError(f"{file} needs the columns text, entity and label, it has {sorted(columns) or 'no rows'}")
    texts: dict[str, tuple[str, dict[str, int]]] = {}
    for line, row in enumerate(rows, 2):
        text, labels = _labels(row, f"{file}, line {line}")
        texts.setdefault(" ".join(text.casefold().split()), (text, {}))[1].update(labels)
    return [case for group, (text, labels) in enumerate(texts.values()) for case in _cases(text, labels, group)]


def _labels(row: dict[str, str], where: str) -> tuple[str, dict[str, int]]:
    text = (row.get("text") or row.get("Title") or "").strip()
    try:
        given = {row["entity"].strip(): row["label"]} if "label" in row else ast.literal_eval(row["Decisions"])
        labels = {entity: LABELS.index(label.strip().casefold()) for entity, label in given.items()}
    except (ValueError, SyntaxError, AttributeError) as error:
        if "Decisions" in row and isinstance(error, SyntaxError):
            return text, {}  # 13 rows of SEntFiN are no Python
        raise InputError(f"{where}: the label must be one of {', '.join(LABELS)}") from error
    if not text:
        raise InputError(f"{where} has no text")
    return text, labels


def _cases(text: str, labels: dict[str, int], group: int) -> Iterator[Case]:
    names = list(labels)
    where = places(text, names)
    known = sorted({span for spans in where.values() for span in spans})
    mixed = len(set(labels.values())) > 1
    for n, name in enumerate(names):
        spans = where.get(n, [])
        if name and not spans:
            yield Case(text, name, labels[name], group, mixed, ())
            continue
        ways = [marked(text, spans, [span for span in known if span not in spans])]
        if name:
            ways += [marked(text, spans)] + ([] if mixed else [marked(text, [])])
        yield Case(text, name, labels[name], group, mixed, tuple(ways))


def fold_of(cases: Sequence[Case], folds: int) -> NDArray[np.int64]:
    """Give each case the number of its fold; cases of one text share it."""
    from sklearn.model_selection import GroupKFold

    number = np.zeros(len(cases), np.int64)
    groups = [case.group for case in cases]
    for fold, (_, held) in enumerate(GroupKFold(folds, shuffle=True, random_state=0).split(groups, groups=groups)):
        number[held] = fold
    return number


@dataclass
class Trainer:
    """Train the two parts on some cases and apply them to others; ``plan`` None leaves the reader out."""

    settings: Settings
    plan: Plan | None
    shape: Shape = SHAPE

    def head(self, cases: Sequence[Case]) -> Head:
        """Fit the linear head."""
        labels = [LABELS[case.label] for case in cases]
        return Head.fit([views(c.ways[0]) for c in cases], labels, groups=[c.group for c in cases], shape=self.shape)

    def readers(self, cases: Sequence[Case], work: Path, *, seed: int) -> list[Path]:
        """Train the adapters and write them to a folder; those that are there already are taken from it."""
        if self.plan is None:
            return []
        files = [work / READER.format(n) for n in range(self.plan.readers)]
        work.mkdir(parents=True, exist_ok=True)
        reader = Reader((), settings=self.settings)
        ways, labels = [[way.text for way in case.ways] for case in cases], [case.label for case in cases]
        starts = started(self.plan.start)
        for n, file in enumerate(files):
            if not file.exists():
                plan = replace(self.plan, seed=seed + n)
                save(trained(reader, ways, labels, plan=plan, start=starts[n % len(starts)]), file)
        return files

    def features(self, cases: Sequence[Case], head: Head, files: Sequence[Path]) -> Floats:
        """Give the features of the joining model for cases."""
        seen = [case.ways[0] for case in cases]
        logits = Reader(files, settings=self.settings).logits([way.text for way in seen]) if files else None
        return stacked(seen, head.predict_proba([views(way) for way in seen]), logits)


def started(name: str) -> Sequence[Path | None]:
    """Give the files of the readers to go on from: of a folder, of the ``bundled`` model, or none."""
    if not name:
        return [None]
    folder = Path(__file__).parent if name == "bundled" else Path(name)
    found = sorted(folder.glob(READER.format("[0-9]")))
    if not found:
        raise InputError(
            f"{folder} holds no readers to go on from: name a folder that this command wrote, or 'bundled'"
        )
    return found


def joined(features: Floats, labels: NDArray[np.int64]) -> Floats:
    """Fit the joining model, weights ``[features + 1, labels]``."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=1000).fit(features, labels)
    return np.vstack([model.coef_.T, model.intercept_])


def out_of_fold(cases: Sequence[Case], trainer: Trainer, *, folds: int, work: Path) -> tuple[Floats, NDArray[np.int64]]:
    """Give the features of every case by parts that were trained without its text, and the folds.

    Folds already in ``work`` are taken from there.
    """
    number = fold_of(cases, folds)
    features: Floats | None = None
    for fold in range(folds):
        kept = work / f"fold-{fold}.npy"
        held = np.flatnonzero(number == fold).tolist()
        if not kept.exists():
            learnt = [cases[n] for n in np.flatnonzero(number != fold).tolist()]
            files = trainer.readers(learnt, work / f"fold-{fold}", seed=100 * (fold + 1))
            np.save(kept, trainer.features([cases[n] for n in held], trainer.head(learnt), files))
        part = np.load(kept)
        features = np.zeros((len(cases), part.shape[1])) if features is None else features
        features[held] = part
        _LOG.info("fold %d of %d: %s", fold + 1, folds, _parts(part, [cases[n] for n in held]))
    assert features is not None  # noqa: S101
    return features, number


def crossed(features: Floats, labels: NDArray[np.int64], number: NDArray[np.int64]) -> Floats:
    """Give held-out probabilities: the joining model of a fold is fitted on the features of the others."""
    chances = np.zeros((len(labels), len(LABELS)))
    for fold in np.unique(number):
        weights = joined(features[number != fold], labels[number != fold])
        chances[number == fold] = softmax(features[number == fold] @ weights[:-1] + weights[-1])
    return chances


def figures(cases: Sequence[Case], chances: Floats) -> dict[str, str]:
    """Give the figures of held-out probabilities with their intervals."""
    labels, guesses = [case.label for case in cases], chances.argmax(axis=1)
    mixed = [n for n, case in enumerate(cases) if case.mixed]
    found = {
        "accuracy": str(accuracy(labels, guesses.tolist())),
        "macro_f1": str(f1(labels, guesses.tolist())),
        "ece": str(ece((guesses == labels).tolist(), chances.max(axis=1).tolist())),
    }
    if mixed:
        found["macro_f1_mixed"] = str(f1([labels[n] for n in mixed], guesses[mixed].tolist()))
    return found


def _parts(features: Floats, cases: Sequence[Case]) -> str:
    from sklearn.metrics import f1_score

    right = [case.label for case in cases]
    parts = {"head": features[:, :3]} | ({"reader": features[:, 3:6]} if features.shape[1] > 3 + 16 else {})
    return ", ".join(
        f"{n} macro-F1 {f1_score(right, part.argmax(axis=1), average='macro'):.3f}" for n, part in parts.items()
    )


def train(file: Path, out: Path, *, plan: Plan | None, folds: int, settings: Settings) -> dict[str, Any]:
    """Train on a CSV, write the model to a folder, and give its description. Raises ``InputError``."""
    cases = [case for case in read(file) if case.ways]
    scripts = Counter(script(case.text) for case in cases)
    found = sorted(name for name, count in scripts.items() if name and count > 0.05 * len(cases))
    trainer = Trainer(settings, plan if scripts["latin"] > len(cases) / 2 else None)
    labels = np.array([case.label for case in cases])
    if len(set(labels)) < len(LABELS) or np.bincount(labels).min() < folds:
        raise InputError(f"{file}: every label needs {folds} entities or more, these are {Counter(labels.tolist())}")
    work = out / "work" / _digest(file, trainer)
    work.mkdir(parents=True, exist_ok=True)
    trainer.head(cases).save(out / HEAD)
    features, number = out_of_fold(cases, trainer, folds=folds, work=work)
    readers = trainer.readers(cases, work / "all", seed=0)
    for reader in readers:
        shutil.copyfile(reader, out / reader.name)
    chances = crossed(features, labels, number)
    np.savez(out / "held-out.npz", chances=chances, labels=labels, folds=number, features=features)
    description = {
        "format": 1,
        "made": datetime.now(UTC).date().isoformat(),
        "data": {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "entities": len(cases)},
        "labels": LABELS,
        "scripts": found,
        "readers": len(readers),
        "head": asdict(trainer.shape),
        "plan": asdict(trainer.plan) if trainer.plan else None,
        "held_out": {"folds": folds, **figures(cases, chances)},
        "stack": joined(features, labels).round(5).tolist(),
    }
    (out / DESCRIPTION).write_text(json.dumps(description, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return description


def _digest(file: Path, trainer: Trainer) -> str:
    """Name data and plan, so that what was trained for others is not taken up."""
    made = json.dumps([asdict(trainer.shape), asdict(trainer.plan) if trainer.plan else None])
    return hashlib.sha256(file.read_bytes() + made.encode()).hexdigest()[:12]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m mmsdk_finance.train", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="CSV with the columns text, entity, label")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=Plan.epochs)
    parser.add_argument(
        "--frozen", type=int, default=Plan.frozen, help="layers of the body left as they are, from below"
    )
    parser.add_argument("--start", default="", help="'bundled' or a model's folder: go on from its readers")
    parser.add_argument("--readers", type=int, default=Plan.readers, help="readers whose logits are averaged")
    parser.add_argument(
        "--average",
        type=float,
        default=Plan.average,
        help="share of the last steps whose weights a reader is the mean of",
    )
    parser.add_argument("--no-reader", action="store_true", help="train the linear head only")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    plan = Plan(given.readers, given.start, given.epochs, frozen=given.frozen, average=given.average)
    try:
        found = train(
            given.data, given.out, plan=None if given.no_reader else plan, folds=given.folds, settings=Settings.load()
        )
    except InputError as error:
        _LOG.error("%s", error)
        return error.exit_code
    _LOG.info("%s: %s", given.out, found["held_out"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
