"""Small classifiers that are trained in seconds: a calibrated linear head over word n-grams and encoder vectors.

A head reads texts, each seen from one or several sides (``views``: a sentence, the clause, the window around
a word), and, if it was fitted with them, vectors beside them. It is a multinomial logistic regression (L2)
over hashed TF-IDF n-grams and the vectors, with a temperature fitted on held-out folds (Guo et al. 2017,
https://arxiv.org/abs/1706.04599). It is saved as safetensors, never pickled, and knows nothing of encoders. With
fewer than two texts of every label, held-out folds say nothing: probabilities are then as the regression gives them.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from mmsdk.chunking import CJK
from mmsdk.errors import InputError, WeightsError
from mmsdk.types import Vectors

Views = tuple[str, ...]
"""One text from one or several sides; every text of a head has the same number of them."""
Floats = NDArray[np.float64]
_TOKEN = re.compile(rf"[{CJK}]|[^\W_]+(?:['’.&-][^\W_]+)*|[%$€£¥]|[^\w\s]", re.UNICODE)
_FORMAT = 1


@dataclass(frozen=True)
class Shape:
    """Say what a head looks at and how it is fitted.

    Texts are counted as ``buckets`` of hashed n-grams of 1 to ``words`` tokens; vectors are scaled by
    ``vector_weight`` beside them; ``penalty`` is the strength of L2; ``folds`` calibrate, 0 leaves that out.
    """

    buckets: int = 2**17
    words: int = 2
    vector_weight: float = 1.0
    penalty: float = 0.25
    folds: int = 5


class Head:
    """Give each text a calibrated probability for each of ``labels``.

    >>> texts = [("a splendid day",), ("a dreadful day",)] * 6
    >>> head = Head.fit(texts, ["good", "bad"] * 6)
    >>> head.labels, head.predict([("splendid",)])
    (('bad', 'good'), ['good'])
    """

    def __init__(self, labels: Sequence[str], weights: Floats, idf: Floats, shape: Shape, temperature: float) -> None:
        self.labels = tuple(labels)
        self.weights = weights
        self.idf = idf
        self.shape = shape
        self.temperature = temperature

    @classmethod
    def fit(
        cls,
        texts: Sequence[Views],
        labels: Sequence[str],
        *,
        vectors: Vectors | None = None,
        groups: Sequence[Any] | None = None,
        shape: Shape | None = None,
    ) -> "Head":
        """Fit to texts, their labels and, if given, vectors ``[n, dimension]`` of theirs.

        Texts of one ``group`` never stand on both sides of a fold. Raises ``InputError`` for fewer than two
        labels or lengths that differ.
        """
        shape = shape or Shape()
        _check(texts, labels, vectors)
        names = sorted(set(labels))
        if len(names) < 2:
            raise InputError(f"a head needs texts of two labels or more, these have {names}")
        counts = _counts(texts, shape)
        tfidf = TfidfTransformer(sublinear_tf=True).fit(counts)
        rows = _rows(tfidf.transform(counts), vectors, shape)
        wanted = np.array([names.index(label) for label in labels])
        apart = np.arange(len(wanted)) if groups is None else np.unique(np.array(groups), return_inverse=True)[1]
        temperature = _temperature(*_held_out(rows, wanted, apart, shape))
        return cls(names, _fitted(rows, wanted, len(names), shape), tfidf.idf_, shape, temperature)

    def predict_proba(self, texts: Sequence[Views], *, vectors: Vectors | None = None) -> Floats:
        """Give probabilities ``[n, len(labels)]``, rows that sum to 1."""
        return _softmax(self._logits(texts, vectors) / self.temperature)

    def predict(self, texts: Sequence[Views], *, vectors: Vectors | None = None) -> list[str]:
        """Give the most probable label of each text."""
        return [self.labels[best] for best in self._logits(texts, vectors).argmax(axis=1)]

    def contributions(self, views: Views, label: str) -> list[tuple[str, float]]:
        """Give the n-grams of a text that speak for a label, strongest first: what each adds to its logit.

        Contributions are relative to the mean of the labels; those against the label are negative, and come last.
        """
        times = Counter(_grams(views, self.shape.words))
        if not times:
            return []
        buckets = self._hashing.transform([gram] for gram in times).indices
        counts: dict[int, int] = defaultdict(int)
        for bucket, count in zip(buckets.tolist(), times.values(), strict=True):
            counts[bucket] += count
        places = np.array(list(counts), np.int64)
        values = (1 + np.log(list(counts.values()))) * self.idf[places]
        relative = self.weights[places] - self.weights[places].mean(axis=1, keepdims=True)
        added = values / np.linalg.norm(values) * relative[:, self.labels.index(label)]
        amount = dict(zip(counts, added.tolist(), strict=True))
        found: dict[str, float] = defaultdict(float)
        for gram, bucket in zip(times, buckets.tolist(), strict=True):
            found[gram.partition(":")[2]] += amount[bucket]
        return sorted(found.items(), key=lambda pair: -pair[1])

    def save(self, file: str | Path, *, about: str = "") -> None:
        """Write a safetensors file: weights as float16, labels and shape in its header."""
        header = {
            "format": _FORMAT,
            "labels": self.labels,
            "shape": asdict(self.shape),
            "temperature": self.temperature,
        }
        arrays = {"weights": self.weights.astype(np.float16), "idf": self.idf.astype(np.float16)}
        save_file(arrays, str(file), metadata={"head": json.dumps(header), "about": about})

    @classmethod
    def load(cls, file: str | Path) -> "Head":
        """Read what ``save`` wrote. Raises ``WeightsError`` for anything else."""
        try:
            with safetensors.safe_open(str(file), "np") as opened:
                header = json.loads((opened.metadata() or {})["head"])
                weights, idf = (opened.get_tensor(name).astype(np.float64) for name in ("weights", "idf"))
        except (OSError, KeyError, ValueError, safetensors.SafetensorError) as error:
            raise WeightsError(f"{file} is not a head saved by mmsdk: {error}") from error
        if header["format"] > _FORMAT:
            raise WeightsError(f"{file} has format {header['format']}, this mmsdk reads {_FORMAT}; install a newer one")
        return cls(header["labels"], weights, idf, Shape(**header["shape"]), header["temperature"])

    @cached_property
    def _hashing(self) -> HashingVectorizer:
        return _vectorizer(self.shape)

    @cached_property
    def _scale(self) -> TfidfTransformer:
        scale = TfidfTransformer(sublinear_tf=True)
        scale.idf_ = self.idf
        return scale

    def _tfidf(self, texts: Sequence[Views]) -> csr_matrix:
        return self._scale.transform(self._hashing.transform(_grams(views, self.shape.words) for views in texts))

    def _logits(self, texts: Sequence[Views], vectors: Vectors | None) -> Floats:
        _check(texts, texts, vectors)
        wide = len(self.weights) - len(self.idf) - 1
        if wide and (vectors is None or vectors.shape[1] != wide):
            raise InputError(f"this head was fitted with vectors of {wide} dimensions; give as many beside the texts")
        rows = _rows(self._tfidf(texts), vectors if wide else None, self.shape)
        return np.asarray(rows @ self.weights[:-1] + self.weights[-1])


def _check(texts: Sequence[Views], labels: Sequence[Any], vectors: Vectors | None) -> None:
    if len(texts) != len(labels) or (vectors is not None and len(vectors) != len(texts)):
        given = "" if vectors is None else f" and {len(vectors)} vectors"
        raise InputError(f"{len(texts)} texts, {len(labels)} labels{given}: give one of each for every text")


def _grams(views: Views, words: int) -> Iterator[str]:
    """Give n-grams with the number of their view in front; figures become ``0``."""
    for place, view in enumerate(views):
        tokens = [re.sub(r"\d+", "0", token.casefold()) for token in _TOKEN.findall(view)]
        for size in range(1, words + 1):
            for start in range(len(tokens) - size + 1):
                yield f"{place}:{' '.join(tokens[start : start + size])}"


def _vectorizer(shape: Shape) -> HashingVectorizer:
    return HashingVectorizer(analyzer=list, n_features=shape.buckets, alternate_sign=False, norm=None)


def _counts(texts: Sequence[Views], shape: Shape) -> csr_matrix:
    return _vectorizer(shape).transform(_grams(views, shape.words) for views in texts)


def _rows(tfidf: csr_matrix, vectors: Vectors | None, shape: Shape) -> csr_matrix:
    return tfidf if vectors is None else hstack([tfidf, csr_matrix(vectors * shape.vector_weight)], format="csr")


def _fitted(rows: csr_matrix, wanted: NDArray[np.int64], labels: int, shape: Shape) -> Floats:
    """Give weights ``[features + 1, labels]``, the last row the intercepts; two labels share one margin."""
    model = LogisticRegression(C=1 / shape.penalty, max_iter=300).fit(rows, wanted)
    found = np.vstack([model.coef_.T, model.intercept_])
    if len(model.classes_) == 2:
        found = np.hstack([-found / 2, found / 2])
    whole = np.zeros((len(found), labels))
    whole[-1] = -20.0  # a label that a fold has never seen
    whole[:, model.classes_] = found
    return whole


def _held_out(
    rows: csr_matrix, wanted: NDArray[np.int64], groups: NDArray[np.int64], shape: Shape
) -> tuple[Floats, NDArray[np.int64]]:
    """Give logits of texts by heads fitted without them, and their labels; a label that a fold lacks is left out."""
    labels = int(wanted.max()) + 1
    folds = min(shape.folds, len(np.unique(groups)), int(np.bincount(wanted).max()))
    if folds < 2:
        return np.zeros((0, labels)), wanted[:0]
    logits: list[Floats] = []
    right: list[NDArray[np.int64]] = []
    for train, test in StratifiedGroupKFold(folds).split(rows, wanted, groups):
        test = test[np.isin(wanted[test], wanted[train])]
        if len(np.unique(wanted[train])) > 1 and len(test):
            weights = _fitted(rows[train], wanted[train], labels, shape)
            logits.append(np.asarray(rows[test] @ weights[:-1] + weights[-1]))
            right.append(wanted[test])
    return (np.vstack(logits), np.concatenate(right)) if logits else (np.zeros((0, labels)), wanted[:0])


def _temperature(logits: Floats, wanted: NDArray[np.int64]) -> float:
    """Give the divisor of logits under which held-out labels are most likely, 1 without any."""
    if not len(wanted):
        return 1.0

    def surprise(log: float) -> float:
        chances = _softmax(logits / np.exp(log))[np.arange(len(wanted)), wanted]
        return float(-np.log(np.maximum(chances, 1e-12)).mean())

    return float(np.exp(minimize_scalar(surprise, bounds=(-2, 2), method="bounded").x))


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
