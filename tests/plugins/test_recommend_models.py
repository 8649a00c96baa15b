"""Every model keeps one contract: finite scores, any history, parts that sum to the score, saved and read the same."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from mmsdk.errors import InputError, PluginNotFoundError
from mmsdk_recommend.interactions import Histories, Interactions
from mmsdk_recommend.models import blending
from mmsdk_recommend.models.cold import ColdMap
from mmsdk_recommend.models.ease import EASE
from mmsdk_recommend.models.ials import IALS
from mmsdk_recommend.models.item_knn import ItemKNN
from mmsdk_recommend.models.popularity import Popularity
from mmsdk_recommend.models.protocol import Corpus, Factored, Model, create, names, towards
from mmsdk_recommend.ranking import top

SMALL: dict[str, dict[str, Any]] = {
    "sasrec": {"dimension": 16, "epochs": 60, "dropout": 0.1},
    "ials": {"factors": 8},
    "hybrid": {
        "components": {
            "ease": {"model": "ease", "l2": 5.0},
            "recent": {"model": "ease", "l2": 5.0, "half_life": 3.0},
            "item_knn": {"model": "item_knn"},
            "sasrec": {"model": "sasrec", "dimension": 16, "epochs": 2},
            "popularity": {"model": "popularity"},
            "content": {"model": "content"},
        }
    },
}


def corpus(users: int = 80, items: int = 40, seed: int = 0) -> Corpus:
    """Users who stay within one of four groups of items most of the time; the last two items are taken by nobody."""
    random = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        own = [item for item in range(items - 2) if item % 4 == user % 4]
        others = random.choice(items - 2, 3, replace=False).tolist()
        rows.append([*random.choice(own, min(7, len(own)), replace=False).tolist(), *others])
    content = np.eye(4, dtype=np.float32)[np.arange(items) % 4] + random.normal(size=(items, 4)).astype(np.float32) / 10
    return Corpus(Histories.of(rows, width=items), content.astype(np.float32), seed)


def dense(taken: NDArray[Any], l2: float) -> NDArray[Any]:
    """EASE as the paper writes it."""
    inverse = np.linalg.inv(taken.T @ taken + l2 * np.eye(taken.shape[1]))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return np.asarray(weights)


@pytest.fixture(scope="module", params=names())
def fitted(request: pytest.FixtureRequest) -> Model:
    model = create(request.param, **SMALL.get(request.param, {}))
    model.fit(corpus())
    return model


class TestContract:
    def test_scores_are_finite_for_any_history(self, fitted: Model) -> None:
        scores = fitted.score(Histories.of([[0, 4], [], [5, 5, 5], list(range(40))], width=40))
        assert scores.shape == (4, 40)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()

    def test_a_history_scores_the_same_alone_and_among_others(self, fitted: Model) -> None:
        together = fitted.score(Histories.of([[0, 4, 8], [1]], width=40))[0]
        np.testing.assert_allclose(fitted.score(Histories.of([[0, 4, 8]], width=40))[0], together, atol=1e-4)

    @pytest.mark.parametrize("history", [[0, 4, 8, 1], [3], [], [2, 6, 2]])
    def test_contributions_sum_to_the_score(self, fitted: Model, history: list[int]) -> None:
        one = Histories.of([history], width=40)
        scores = fitted.score(one)[0]
        for item in (9, 20, 38, 39):
            told = fitted.contributions(one, towards(item, 40))
            assert told.history.shape == (len(history),)
            assert abs(told.total - scores[item]) < 1e-4

    def test_what_was_learned_is_restored(self, fitted: Model) -> None:
        again = type(fitted)(**fitted.get_params())
        again.restore(fitted.arrays())
        one = Histories.of([[0, 4], [7]], width=40)
        np.testing.assert_allclose(again.score(one), fitted.score(one), atol=1e-5)

    def test_fitting_again_gives_the_same(self, fitted: Model) -> None:
        again = type(fitted)(**fitted.get_params())
        again.fit(corpus())
        one = Histories.of([[0, 4], [7]], width=40)
        np.testing.assert_allclose(again.score(one), fitted.score(one), rtol=1e-3, atol=1e-3)

    def test_it_ranks_the_own_group_first(self, fitted: Model) -> None:
        if isinstance(fitted, Popularity):
            pytest.skip("popularity knows nobody")
        scores = fitted.score(Histories.of([[0, 4, 8, 12]], width=40))
        scores[0, [0, 4, 8, 12]] = -np.inf
        groups = top(scores, 5)[0] % 4
        assert (groups == 0).sum() >= 3


def test_the_three_forms_of_ease_are_the_paper() -> None:
    taken = corpus().histories
    expected = taken.binary @ dense(taken.binary.toarray(), 20.0)
    wide = Histories.of([taken.row(row).tolist() for row in range(30)], width=40)
    for histories, kind in ((taken, "weights"), (wide, "factors")):
        model = EASE(l2=20.0)
        model.fit(Corpus(histories))
        assert kind in model.arrays()
        right = histories.binary @ dense(histories.binary.toarray(), 20.0)
        np.testing.assert_allclose(model.score(histories), right, atol=1e-5)
    sparse = EASE(l2=20.0, limit=10, neighbours=39)
    sparse.fit(Corpus(taken))
    assert np.corrcoef(sparse.score(taken).ravel(), np.asarray(expected).ravel())[0, 1] > 0.95


def test_item_knn_learns_new_interactions_as_by_fitting_again() -> None:
    before, after = corpus().histories, corpus(seed=1).histories
    model = ItemKNN(neighbours=10)
    model.fit(Corpus(before))
    rows = [before.row(row).tolist() for row in range(len(before))]
    rows[3] = after.row(3).tolist()
    rows[5] = [*rows[5], 40, 41]
    whole = Histories.of(rows, width=42)
    model.update(before.take([3, 5]), whole.take([3, 5]))
    again = ItemKNN(neighbours=10)
    again.fit(Corpus(whole))
    assert (abs(model.near - again.near)).max() < 1e-6


def test_ials_folds_in_what_implicit_solved() -> None:
    from implicit.cpu.als import AlternatingLeastSquares

    taken = corpus().histories
    model = IALS(factors=8, alpha=5.0)
    model.fit(Corpus(taken))
    other = AlternatingLeastSquares(factors=8, regularization=0.1, alpha=1.0, use_cg=False)
    other.item_factors = model.items
    confidence = taken.matrix.copy()
    confidence.data = 1 + 5.0 * confidence.data
    known = model.score(taken)
    model.solved.clear()
    np.testing.assert_array_equal(model.score(taken), known)
    np.testing.assert_allclose(
        model.vectors(taken), other.recalculate_user(np.arange(len(taken)), confidence), atol=1e-3
    )


def test_ials_stores_the_users_of_the_fit_and_no_others() -> None:
    taken = corpus().histories
    model = IALS(factors=8)
    model.fit(Corpus(taken))
    model.score(Histories.of([[0, 1, 2]], width=taken.width))
    read = IALS(factors=8)
    read.restore(model.arrays())
    assert list(read.solved) == list(model.solved)[: len(read.solved)]
    assert len(read.solved) == len(model.solved) - 1
    np.testing.assert_array_equal(read.score(taken), model.score(taken))
    older = IALS(factors=8)
    older.restore({"items": model.items})
    np.testing.assert_array_equal(older.score(taken), model.score(taken))


def test_popularity_follows_time_where_it_helps() -> None:
    random = np.random.default_rng(0)
    days = np.sort(random.uniform(0, 300, 3000)) * 86400
    items = np.where(random.random(3000) < days / (300 * 86400), 1, 0)
    histories = Histories(np.array([0, 3000]), items, np.ones(3000, np.float32), days, 2)
    timely, whole = Popularity(), Popularity(half_life_days=None)
    for model in (timely, whole):
        model.fit(Corpus(histories))
    assert timely.scores[0] < whole.scores[0]


def test_the_map_learns_which_content_is_liked() -> None:
    random = np.random.default_rng(0)
    content = random.normal(size=(50, 5)).astype(np.float32)
    scores = (content @ np.array([1, -2, 0, 0, 3], np.float32))[None, :]
    counts = np.full(50, 20)
    counts[40:] = 0
    fitted = ColdMap.fit(content, counts, l2=0.01)
    filled = fitted.filled(np.where(counts > 0, scores, 0).astype(np.float32))
    assert np.corrcoef(filled[0, 40:], scores[0, 40:])[0, 1] > 0.99
    target = fitted.target(45, 50)
    assert abs(filled[0] @ target - filled[0, 45]) < 1e-4


@pytest.mark.parametrize(("width", "k"), [(7, 3), (6000, 10), (5000, 1), (3, 10), (4097, 7)])
def test_the_best_are_those_of_a_stable_sort(width: int, k: int) -> None:
    scores = np.random.default_rng(width).integers(0, 50, (20, width)).astype(np.float32)
    scores[3] = 1.0
    scores[4, ::2] = -np.inf
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    assert (top(scores, k) == expected).all()


def test_unknown_models_and_parameters_are_named() -> None:
    with pytest.raises(PluginNotFoundError, match="did you mean 'ease'"):
        create("eaze")
    with pytest.raises(InputError, match="l2"):
        create("ease", lambda_=3)
    with pytest.raises(InputError, match="catalogue"):
        create("content").fit(Corpus(Histories.of([[0]], width=1)))


def test_weights_for_both_questions_lose_nothing_on_what_is_missing() -> None:
    def reached(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        shares = weights / weights.sum()
        values = np.array([0.1 + 0.4 * shares[1], 0.5 + 0.2 * shares[2] - 0.8 * max(0.0, shares[1] - 0.25)])
        return np.repeat(values[:, None], 20, axis=1)

    both = np.array(blending.search(reached, 3))
    best = max(reached(one)[1, 0] for one in np.eye(3))
    assert reached(both)[1, 0] >= best - 1e-9
    last = blending.search(lambda weights: reached(weights)[:1], 3)
    assert last[1] > 0
    assert last[2] == 0


def test_times_hold_out_the_last_and_random_ones_by_default() -> None:
    rows, items = np.repeat(np.arange(30), 20), np.tile(np.arange(20), 30)
    frame = pd.DataFrame({"user": rows, "item": items, "time": np.tile(np.arange(20), 30)})
    timed = Interactions.from_frame(frame).histories
    inner, held = blending.hold_out(timed, "auto", 0)
    last, random = held.targets
    assert set(last[1]) == {18, 19}
    assert len(set(random[1])) > 10
    assert not {*zip(*last, strict=True)} & {*zip(*random, strict=True)}
    assert len(inner.items) == 600 - len(last[0]) - len(random[0])
    untimed = Interactions.from_frame(frame.drop(columns="time")).histories
    assert len(blending.hold_out(untimed, "auto", 0)[1].targets) == 1


def test_with_two_questions_a_gain_in_the_second_counts() -> None:
    def reached(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        found = [0.4, 0.6 + 0.1 * (weights[1] > 0)] if weights[0] else [0.1, 0.1]
        return np.repeat(np.array(found)[:, None], 20, axis=1)

    assert blending.search(reached, 2)[1] > 0
    assert blending.search(lambda weights: reached(weights)[:1], 2)[1] == 0


def test_a_gain_within_its_noise_changes_no_weight() -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, 100)
    noise += 0.01 - noise.mean()  # half a standard error

    def reached(weights: NDArray[np.float64], gain: NDArray[np.float64]) -> NDArray[np.float64]:
        if not weights[0]:
            return np.full((1, 100), 0.1)
        return np.asarray(0.5 + gain * (weights[1] > 0))[None, :]

    assert blending.search(lambda weights: reached(weights, noise), 2)[1] == 0
    assert blending.search(lambda weights: reached(weights, noise + 0.05), 2)[1] > 0


def test_histories_keep_order_and_count() -> None:
    frame = pd.DataFrame({"user": ["a", "b", "a"], "item": [1, 2, 3], "time": [5, 1, 2]})
    taken = Interactions.from_frame(frame)
    assert taken.items[taken.histories.row(0)].tolist() == [3, 1]
    assert taken.histories.faded(1.0).toarray()[0].tolist() == [1.0, 0.0, 0.5]


@pytest.mark.parametrize("name", ["ials", "sasrec", "content"])
def test_factors_multiply_to_the_score(name: str) -> None:
    model = create(name, **{"sasrec": {"epochs": 1, "dimension": 16}, "ials": {"factors": 8}}.get(name, {}))
    model.fit(corpus())
    assert isinstance(model, Factored)
    histories = Histories.of([[0, 1, 2], [], [3]], width=corpus().histories.width)
    np.testing.assert_allclose(model.vectors(histories) @ model.item_vectors().T, model.score(histories), atol=1e-5)
