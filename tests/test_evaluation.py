"""Measures agree with worked examples and refuse what cannot be measured."""

import numpy as np
import pytest

from mmsdk import evaluation


def test_ndcg_is_the_worked_example() -> None:
    qrels = {"q": {"a": 3, "b": 2, "c": 0}}
    ideal = 3 + 2 / np.log2(3)
    assert evaluation.ndcg({"q": ["b", "c", "a"]}, qrels).value == pytest.approx((2 + 3 / 2) / ideal)
    assert evaluation.ndcg({"q": ["a", "b"]}, qrels).value == pytest.approx(1.0)


def test_binary_gains_ignore_grades() -> None:
    qrels = {"q": {"a": 3, "b": 1}}
    assert evaluation.ndcg({"q": ["b", "a"]}, qrels, binary=True).value == pytest.approx(1.0)
    assert evaluation.ndcg({"q": ["b", "a"]}, qrels).value < 1.0


def test_scores_and_rankings_agree_and_missing_queries_count_zero() -> None:
    qrels = {"1": {"a": 1}, "2": {"b": 1}}
    ranked = evaluation.recall({"1": ["x", "a"]}, qrels, k=2)
    scored = evaluation.recall({"1": {"a": 0.1, "x": 0.9}}, qrels, k=2)
    assert ranked.samples == scored.samples == (1.0, 0.0)
    assert ranked.value == 0.5
    assert evaluation.mrr({"1": ["x", "a"]}, qrels).value == 0.25
    assert evaluation.hits({"1": ["x", "a"], "2": ["b"]}, qrels, k=1).samples == (0.0, 1.0)
    assert evaluation.ndcg({}, qrels).value == 0.0


def test_f1_accuracy_and_ece() -> None:
    labels, guesses = ["a", "a", "b", "c"], ["a", "b", "b", "a"]
    assert evaluation.accuracy(labels, guesses).value == 0.5
    assert evaluation.f1(labels, guesses, average="micro").value == pytest.approx(0.5)
    assert evaluation.f1(labels, guesses).value == pytest.approx((0.5 + 2 / 3 + 0) / 3)
    assert evaluation.ece([True, False], [0.75, 0.75]).value == pytest.approx(0.25)
    assert evaluation.ece([True, True, False, False], [1.0, 1.0, 0.0, 0.0]).value == 0.0


def test_wer_folds_case_punctuation_and_width() -> None:
    assert evaluation.wer(["Don't stop, it's 5."], ["dont stop its ５"]).value == 0.0
    assert evaluation.wer(["one two three four"], ["one too three"]).value == 0.5
    assert evaluation.cer(["今天，天气好。"], ["今天天汽好"]).value == pytest.approx(0.2)
    assert evaluation.wer(["hello there", ""], ["hello there", "noise"]).value == 0.5


def test_interval_holds_the_value_and_repeats() -> None:
    values = np.random.default_rng(1).random(200).tolist()
    first, second = evaluation.mean(values), evaluation.mean(values)
    assert (first.low, first.high) == (second.low, second.high)
    assert first.low < first.value < first.high
    assert first.high - first.low == pytest.approx(2 * 1.96 * np.std(values) / 200**0.5, rel=0.15)
    assert evaluation.mean([0.5]).low == 0.5


def test_paired_bootstrap_sees_a_small_steady_difference() -> None:
    base = np.random.default_rng(2).random(100)
    better = evaluation.paired_bootstrap((base + 0.02).tolist(), base.tolist())
    assert better.value == pytest.approx(0.02)
    assert better.low > 0


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: evaluation.paired_bootstrap([1.0], [1.0, 2.0]), "1 a, 2 b"),
        (lambda: evaluation.f1([], []), "empty"),
        (lambda: evaluation.mean([]), "empty"),
        (lambda: evaluation.wer(["..."], ["a"]), "no reference"),
        (lambda: evaluation.ece([True], [1.5]), r"\[0, 1\]"),
        (lambda: evaluation.ndcg({"q": ["a"]}, {}), "qrels are empty"),
        (lambda: evaluation.ndcg({"x": ["a"]}, {"q": {"a": 1}}), "'x'"),
        (lambda: evaluation.ndcg({"q": ["a", "a"]}, {"q": {"a": 1}}), "twice"),
        (lambda: evaluation.ndcg({"q": ["a"]}, {"q": {"a": 1}}, k=0), "k must"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, said) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=said):
        call()
