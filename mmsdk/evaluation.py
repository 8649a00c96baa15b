"""Measure retrieval, classification, calibration and speech, each figure with a confidence interval.

The measures are those of kept libraries: ir-measures (trec_eval), scikit-learn, jiwer, and SciPy's
bootstrap. This module knows nothing of collections or models: it takes plain mappings and sequences
of what was found, said or predicted, and of what was right.

Every function gives an ``Estimate``; its interval is the percentile bootstrap (Efron 1979) over
queries, items or recordings with a fixed seed, so equal input gives equal output.
"""

import re
import unicodedata
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Run = Mapping[str, Mapping[str, float] | Sequence[str]]
"""Query id to what was found: document ids best first, or document id to score (higher is better)."""
Qrels = Mapping[str, Mapping[str, int]]
"""Query id to document id to relevance grade (0: judged not relevant)."""

Floats = NDArray[np.float64]
_CHINESE = re.compile(r"([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff])")


@dataclass(frozen=True)
class Estimate:
    """Hold a figure and its 95 % interval; ``samples`` are the values per query or item where the figure is their mean.

    >>> print(Estimate(0.4351, 0.4012, 0.4688))
    0.435 [0.401, 0.469]
    """

    value: float
    low: float
    high: float
    samples: tuple[float, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def ndcg(run: Run, qrels: Qrels, *, k: int = 10, binary: bool = False) -> Estimate:
    """Measure nDCG@k (Järvelin and Kekäläinen 2002), in [0, 1]; ``binary`` makes every positive grade 1.

    >>> ndcg({"q": ["a", "b"]}, {"q": {"b": 1}}, k=10).value.__round__(3)
    0.631
    """
    if binary:
        qrels = {query: {name: int(grade > 0) for name, grade in judged.items()} for query, judged in qrels.items()}
    return _retrieval("nDCG", run, qrels, k)


def recall(run: Run, qrels: Qrels, *, k: int = 10) -> Estimate:
    """Measure the share of relevant documents among the first ``k``, mean over queries, in [0, 1]."""
    return _retrieval("R", run, qrels, k)


def mrr(run: Run, qrels: Qrels, *, k: int = 10) -> Estimate:
    """Measure the mean reciprocal rank of the first relevant document within ``k``, in [0, 1]."""
    return _retrieval("RR", run, qrels, k)


def hits(run: Run, qrels: Qrels, *, k: int = 5) -> Estimate:
    """Measure the share of queries with a relevant document among the first ``k`` (success@k), in [0, 1]."""
    return _retrieval("Success", run, qrels, k)


def accuracy(labels: Sequence[Hashable], predictions: Sequence[Hashable]) -> Estimate:
    """Measure the share of predictions that equal their label, in [0, 1]."""
    _matched(labels=labels, predictions=predictions)
    return mean([float(label == guess) for label, guess in zip(labels, predictions, strict=True)])


def f1(
    labels: Sequence[Any], predictions: Sequence[Any], *, average: Literal["macro", "micro", "weighted"] = "macro"
) -> Estimate:
    """Measure F1 over the classes that occur in ``labels`` or ``predictions``, in [0, 1]; absent classes count 0."""
    from sklearn.metrics import f1_score

    _matched(labels=labels, predictions=predictions)
    truth, guess = np.asarray(labels), np.asarray(predictions)
    classes = np.unique(np.concatenate([truth, guess]))

    def score(chosen: NDArray[np.intp]) -> float:
        return float(f1_score(truth[chosen], guess[chosen], labels=classes, average=average, zero_division=0))

    return _estimate(score, len(truth), resamples=500)


def ece(correct: Sequence[bool], confidences: Sequence[float], *, bins: int = 10) -> Estimate:
    """Measure the expected calibration error with ``bins`` equal bins (Guo et al. 2017), in [0, 1], lower is better.

    ``confidences`` are the probabilities given to the predicted class, in [0, 1].
    """
    _matched(correct=correct, confidences=confidences)
    right, sure = np.asarray(correct, dtype=np.float64), np.asarray(confidences, dtype=np.float64)
    if not np.isfinite(sure).all() or sure.min() < 0 or sure.max() > 1:
        raise ValueError(f"confidences are in [0, 1], not between {sure.min()} and {sure.max()}")
    place = np.minimum((sure * bins).astype(int), bins - 1)

    def score(chosen: NDArray[np.intp]) -> float:
        gaps = np.bincount(place[chosen], weights=(right - sure)[chosen], minlength=bins)
        return float(np.abs(gaps).sum() / len(chosen))

    return _estimate(score, len(right))


def wer(references: Sequence[str], hypotheses: Sequence[str]) -> Estimate:
    """Measure the word error rate over all recordings, case and punctuation folded; lower is better, may exceed 1."""
    return _errors(references, hypotheses, words=True)


def cer(references: Sequence[str], hypotheses: Sequence[str]) -> Estimate:
    """Measure the character error rate, folded and without spaces: the measure for Chinese and Japanese."""
    return _errors(references, hypotheses, words=False)


def folded(text: str) -> str:
    """Fold case, width and punctuation, and give the words separated by single spaces.

    Apostrophes are dropped and other punctuation becomes a space; Chinese and Japanese characters are words.

    >>> folded("Don't STOP—it's 5 o'clock！好的。")
    'dont stop its 5 oclock 好 的'
    """
    kept = []
    for letter in unicodedata.normalize("NFKC", text).casefold():
        kind = unicodedata.category(letter)
        if letter in "'\u2019\u2018`":
            continue
        kept.append(" " if kind[0] in "PSZC" else letter)
    return " ".join(_CHINESE.sub(r" \1 ", "".join(kept)).split())


def mean(samples: Sequence[float]) -> Estimate:
    """Give the mean of values with its bootstrap interval."""
    _matched(samples=samples)
    values = np.asarray(samples, dtype=np.float64)
    return _estimate(lambda chosen: float(values[chosen].mean()), len(values), samples=tuple(values.tolist()))


def paired_bootstrap(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """Measure mean(a) - mean(b) over the same queries or items; an interval without 0 speaks for a difference.

    >>> paired_bootstrap([1.0, 1.0, 1.0], [0.0, 0.0, 0.0])
    Estimate(value=1.0, low=1.0, high=1.0)
    """
    _matched(a=a, b=b)
    return mean((np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)).tolist())


def _retrieval(measure: str, run: Run, qrels: Qrels, k: int) -> Estimate:
    import ir_measures

    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    if not qrels:
        raise ValueError("qrels are empty: there is nothing to measure against")
    unknown = sorted(set(run) - set(qrels))
    if unknown:
        raise ValueError(f"{len(unknown)} queries of the run have no judgements, for example {unknown[0]!r}")
    ranked = {query: _ranks(found) for query, found in run.items() if found}
    values = dict.fromkeys(qrels, 0.0)
    if ranked:
        judged = {query: dict(grades) for query, grades in qrels.items()}
        for metric in ir_measures.iter_calc([getattr(ir_measures, measure) @ k], judged, ranked):
            values[metric.query_id] = float(metric.value)
    return mean([values[query] for query in sorted(values)])


def _ranks(found: Mapping[str, float] | Sequence[str]) -> dict[str, float]:
    """Turn what was found into strictly falling scores, so that no evaluator breaks ties in its own way."""
    if isinstance(found, Mapping):
        names: Sequence[str] = sorted(found, key=lambda name: (-found[name], name))
    else:
        names = found
    if len(set(names)) < len(names):
        raise ValueError(f"a document appears twice in one ranking: {names[:10]}")
    return {name: float(len(names) - rank) for rank, name in enumerate(names)}


def _errors(references: Sequence[str], hypotheses: Sequence[str], *, words: bool) -> Estimate:
    import jiwer

    _matched(references=references, hypotheses=hypotheses)
    pairs = []
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        said, heard = folded(reference), folded(hypothesis)
        if not words:
            said, heard = (" ".join(text.replace(" ", "")) for text in (said, heard))
        if not said:
            pairs.append((len(heard.split()), 0))
            continue
        output = jiwer.process_words(said, heard)
        pairs.append((output.substitutions + output.deletions + output.insertions, len(said.split())))
    counts = np.asarray(pairs, dtype=np.float64)
    if counts[:, 1].sum() == 0:
        raise ValueError("no reference has a word in it: an error rate is not defined")

    def score(chosen: NDArray[np.intp]) -> float:
        wrong, total = counts[chosen].sum(axis=0)
        return float(wrong / total) if total else 0.0

    return _estimate(score, len(counts))


def _matched(**columns: Sequence[Any]) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError("lengths differ: " + ", ".join(f"{count} {name}" for name, count in lengths.items()))
    if 0 in lengths.values():
        raise ValueError(f"{' and '.join(lengths)} are empty: there is nothing to measure")


def _estimate(
    score: Callable[[NDArray[np.intp]], float], n: int, *, resamples: int = 2000, samples: tuple[float, ...] = ()
) -> Estimate:
    """Apply ``score`` to all indices, and to resamples of them for the interval."""
    from scipy.stats import bootstrap

    everything = np.arange(n)
    value = score(everything)
    if n == 1:
        return Estimate(value, value, value, samples)
    interval = bootstrap(
        (everything,), score, vectorized=False, n_resamples=resamples, method="percentile", rng=0
    ).confidence_interval
    return Estimate(value, float(interval.low), float(interval.high), samples)
