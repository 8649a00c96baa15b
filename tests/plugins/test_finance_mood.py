"""The index: decay, shrinkage, bands, surprise, exact under late and withdrawn votes; the alert rule."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsdk_finance.alerts import Rule, Standing, severity, step
from mmsdk_finance.mood import HOUR, Level, Recipe, Sums, exposure, level, series

DAY = 24 * HOUR
Votes = st.lists(st.tuples(st.floats(0, 60 * DAY), st.floats(0.1, 3), st.floats(-1, 1)), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(Votes, st.randoms(use_true_random=False))
def test_the_order_of_votes_changes_nothing(votes: list[tuple[float, float, float]], shuffle: random.Random) -> None:
    one, other = Sums(2 * DAY), Sums(2 * DAY)
    for vote in votes:
        one.add(*vote)
    shuffle.shuffle(votes)
    for vote in votes:
        other.add(*vote)
    for key in ("at", "w", "ww", "wx", "wxx"):
        assert getattr(one, key) == pytest.approx(getattr(other, key), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(Votes)
def test_a_vote_taken_out_was_never_there(votes: list[tuple[float, float, float]]) -> None:
    (at, weight, value), *rest = votes
    with_it, without = Sums(2 * DAY), Sums(2 * DAY)
    for vote in votes:
        with_it.add(*vote)
    with_it.add(at, weight, value, sign=-1)
    for vote in rest:
        without.add(*vote)
    end = without.faded(61 * DAY)
    for key in ("w", "ww", "wx", "wxx"):
        assert getattr(with_it.faded(61 * DAY), key) == pytest.approx(getattr(end, key), abs=1e-9)


def test_a_vote_counts_half_after_its_half_life() -> None:
    recipe = Recipe(prior=1.0)
    levels = list(series([(0.0, "news", 1.0, 1.0)], [0.0, 48 * HOUR, 480 * HOUR], recipe=recipe))
    assert levels[0].index == pytest.approx(0.5)
    assert levels[1].index == pytest.approx(0.5 / 1.5)
    assert abs(levels[2].index) < 0.01
    (social,) = series([(0.0, "social", 1.0, 1.0)], [12 * HOUR], recipe=recipe)
    assert social.index == pytest.approx(levels[1].index)


def test_one_headline_cannot_swing_a_quiet_name() -> None:
    (one,) = series([(0.0, "news", 1.0, -1.0)], [0.0], recipe=Recipe())
    assert one.index == pytest.approx(-0.2)
    assert one.low < one.index < one.high
    assert one.low < 0 < one.high
    (many,) = series([(0.0, "news", 1.0, -1.0)] * 30, [0.0], recipe=Recipe())
    assert many.high < -0.6


def test_bands_narrow_with_votes_and_stay_within_bounds() -> None:
    widths = []
    for count in (1, 5, 25, 125):
        votes = [(0.0, "news", 1.0, (-1.0) ** place) for place in range(count)]
        (found,) = series(votes, [0.0], recipe=Recipe())
        assert -1 <= found.low <= found.index <= found.high <= 1
        widths.append(found.high - found.low)
    assert widths[1:] == sorted(widths[1:], reverse=True)


def test_surprise_is_against_the_names_own_history() -> None:
    dull = [(day * DAY, "news", 1.0, 0.1) for day in range(40)]
    gloomy = [(day * DAY, "news", 1.0, -0.8) for day in range(40)]
    turn = [(40 * DAY, "news", 1.0, -0.8)] * 4
    (surprised,) = series([*dull, *turn], [40 * DAY], recipe=Recipe())
    (bored,) = series([*gloomy, *turn], [40 * DAY], recipe=Recipe())
    assert surprised.surprise < -2
    assert abs(bored.surprise) < 1
    assert bored.index < surprised.index


def test_nothing_is_neutral() -> None:
    assert level([], None, 0.0, recipe=Recipe()).index == 0
    (empty,) = series([], [0.0], recipe=Recipe())
    assert (empty.index, empty.volume, empty.surprise) == (0, 0, 0)


def test_a_recipe_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="half-lives"):
        Recipe(half_lives={"news": 2000.0})


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from("ABCDEF"), st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1))
def test_the_tail_is_never_better_than_the_whole(names: dict[str, tuple[float, float]]) -> None:
    weights, indexes = ({t: pair[place] for t, pair in names.items()} for place in (0, 1))
    whole, tail = exposure(weights, indexes)
    assert -1 - 1e-6 <= tail <= whole + 1e-6 <= 1 + 2e-6


def test_a_short_position_turns_the_sign() -> None:
    assert exposure({"A": -1.0}, {"A": -0.5}) == (0.5, 0.5)
    assert exposure({"A": 3.0, "B": 1.0}, {"A": 0.2, "B": -0.6}) == (0.0, -0.6)
    assert exposure({}, {"A": 1.0}) == (0.0, 0.0)


def _level(index: float, at: float = 100 * DAY, surprise: float = 0.0) -> Level:
    return Level(at, index, index - 0.1, index + 0.1, 5.0, surprise)


def test_nothing_happens_between_off_and_on() -> None:
    rule = Rule()
    for index in (0.16, 0.2, 0.3, 0.34):
        assert step(Standing(), _level(index), 1, sources=9, rule=rule) is None
        assert step(Standing(raised=True), _level(index), 1, sources=9, rule=rule) is None
    assert step(Standing(), _level(0.35), 1, sources=2, rule=rule) == "raise"
    assert step(Standing(raised=True), _level(0.14), 1, sources=0, rule=rule) == "clear"
    assert step(Standing(), _level(-0.9), 1, sources=9, rule=rule) is None
    assert step(Standing(), _level(-0.9), -1, sources=9, rule=rule) == "raise"


def test_sources_cool_down_and_surprise_hold_an_alert_back() -> None:
    assert step(Standing(), _level(0.9), 1, sources=1, rule=Rule()) is None
    recent = Standing(raised=False, last=100 * DAY - 23 * HOUR)
    assert step(recent, _level(0.9), 1, sources=5, rule=Rule()) is None
    assert step(recent, _level(0.9, at=101 * DAY), 1, sources=5, rule=Rule()) == "raise"
    assert step(Standing(), _level(0.9), 1, sources=5, rule=Rule(surprise=2.0)) is None
    assert step(Standing(), _level(-0.9, surprise=-3.0), -1, sources=5, rule=Rule(surprise=2.0)) == "raise"


def test_severity_grows_with_certainty_and_sources() -> None:
    wide = Level(0.0, 0.4, -0.1, 0.9, 5.0, 0.0)
    assert severity(wide, sources=2, rule=Rule()) == "low"
    assert severity(wide, sources=4, rule=Rule()) == "medium"
    assert severity(_level(0.5), sources=4, rule=Rule()) == "high"


def test_a_rule_needs_its_thresholds_in_order() -> None:
    with pytest.raises(ValueError, match="off < on"):
        Rule(on=0.2, off=0.3)
    assert math.isinf(Standing().last)
