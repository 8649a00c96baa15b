"""The sentiment index of a name: decayed sums of votes, shrunk towards neutral, with a band and a surprise.

A vote has a value in [-1, 1] (probability positive minus negative) and the weight of its source, and fades by half
within the half-life of its kind. All sums are linear, so a late or withdrawn vote is added or taken out exactly, at
its own time. Nothing here is stored or knows what is voted on.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

HOUR = 3600.0
HALF_LIVES: Mapping[str, float] = {"news": 48, "social": 12, "filing": 120, "call": 120, "picture": 24}
"""Hours after which a vote of a kind counts half."""


@dataclass(frozen=True)
class Recipe:
    """Say how votes become an index.

    ``half_lives`` are in hours by kind; ``sources`` weigh sources (1 when not named); ``prior`` is the weight of the
    neutral opinion that a name starts with, so one headline of weight 1 moves a quiet name by at most 1 / (1 + prior).
    ``memory`` is the half-life, in hours, of a name's own history.
    """

    half_lives: Mapping[str, float] = field(default_factory=lambda: dict(HALF_LIVES))
    sources: Mapping[str, float] = field(default_factory=dict)
    prior: float = 4.0
    spread: float = 0.5
    memory: float = 30 * 24.0

    def __post_init__(self) -> None:
        if not all(0 < hours < self.memory for hours in self.half_lives.values()) or "news" not in self.half_lives:
            raise ValueError(f"half-lives must be between 0 and memory = {self.memory} hours, and name news")

    def decay(self, kind: str) -> float:
        """Give the half-life of a kind in seconds."""
        return self.half_lives.get(kind, self.half_lives["news"]) * HOUR


@dataclass
class Sums:
    """Hold sums of votes as they count at a time: weights, squared weights, values, squared values.

    >>> sums = Sums(decay=10.0)
    >>> sums.add(0.0, 1.0, -1.0)
    >>> sums.add(10.0, 1.0, 1.0)
    >>> (sums.at, sums.w, sums.wx)
    (10.0, 1.5, 0.5)
    """

    decay: float
    at: float = 0.0
    w: float = 0.0
    ww: float = 0.0
    wx: float = 0.0
    wxx: float = 0.0

    def add(self, at: float, weight: float, value: float, *, sign: int = 1) -> None:
        """Count a vote of any time, or with ``sign=-1`` take it out."""
        if at > self.at:
            faded = self.faded(at)
            self.at, self.w, self.ww, self.wx, self.wxx = faded.at, faded.w, faded.ww, faded.wx, faded.wxx
        now = weight * 2.0 ** ((at - self.at) / self.decay)
        self.w += sign * now
        self.ww += sign * now * now
        self.wx += sign * now * value
        self.wxx += sign * now * value * value

    def faded(self, at: float) -> "Sums":
        """Give the sums as they count at a later time."""
        factor = 2.0 ** (min(0.0, self.at - at) / self.decay)
        w, ww, wx, wxx = self.w * factor, self.ww * factor * factor, self.wx * factor, self.wxx * factor
        return Sums(self.decay, max(at, self.at), w, ww, wx, wxx)


@dataclass(frozen=True)
class Level:
    """Hold the index of a name at a time, in seconds since 1970.

    ``index`` is in [-1, 1]; ``low`` and ``high`` bound it with 95 % confidence under the normal approximation;
    ``volume`` is the weight of the votes that still count; ``surprise`` is the z-score of their mean against the name's
    own history.
    """

    at: float
    index: float
    low: float
    high: float
    volume: float
    surprise: float


def level(recent: Sequence[Sums], history: Sums | None, at: float, *, recipe: Recipe) -> Level:
    """Give the index of the sums of one name, or of several as one, at a time."""
    faded = [sums.faded(at) for sums in recent]
    w, ww = (max(0.0, sum(getattr(sums, key) for sums in faded)) for key in ("w", "ww"))
    wx, wxx = (sum(getattr(sums, key) for sums in faded) for key in ("wx", "wxx"))
    index, spread = _shrunk(w, wx, wxx, recipe=recipe)
    votes = (w + recipe.prior) ** 2 / (ww + recipe.prior)
    error = 1.96 * math.sqrt(spread / votes)
    surprise = 0.0
    if history is not None and w > 1e-6:
        past = history.faded(at)
        usual, usual_spread = _shrunk(past.w, past.wx, past.wxx, recipe=recipe)
        surprise = (wx / w - usual) / math.sqrt(max(usual_spread, 1e-6) * ww / (w * w))
    return Level(at, index, max(-1.0, index - error), min(1.0, index + error), w, surprise)


def _shrunk(w: float, wx: float, wxx: float, *, recipe: Recipe) -> tuple[float, float]:
    """Give mean and variance after the prior: neutral, of variance ``spread``, counting ``prior`` votes."""
    whole = w + recipe.prior
    mean = wx / whole
    return mean, max(0.0, (wxx + recipe.prior * recipe.spread) / whole - mean * mean)


def series(
    votes: Iterable[tuple[float, str, float, float]], times: Sequence[float], *, recipe: Recipe
) -> Iterator[Level]:
    """Give the index at rising times from votes (time, kind, weight, value) in the order of their time."""
    sums: dict[float, Sums] = {}
    history = Sums(recipe.memory * HOUR)
    waiting = iter(votes)
    vote = next(waiting, None)
    for at in times:
        while vote is not None and vote[0] <= at:
            moment, kind, weight, value = vote
            decay = recipe.decay(kind)
            sums.setdefault(decay, Sums(decay)).add(moment, weight, value)
            history.add(moment, weight, value)
            vote = next(waiting, None)
        yield level(list(sums.values()), history, at, recipe=recipe)


def exposure(weights: Mapping[str, float], indexes: Mapping[str, float], *, tail: float = 0.25) -> tuple[float, float]:
    """Give the exposure-weighted index of a portfolio and the mean over its worst ``tail`` of exposure.

    The first is sum(e * index) / sum(abs(e)) over the names' exposures e. For the second, names are put in the order
    of sign(e) * index from the worst, and their mean weighted by abs(e) is taken until ``tail`` of all exposure is
    used (an expected shortfall of sentiment). Both are 0 without exposure.

    >>> exposure({"A": 0.75, "B": -0.25}, {"A": 0.5, "B": 0.9})
    (0.15, -0.9)
    """
    whole = sum(abs(weight) for weight in weights.values())
    if whole < 1e-100:
        return 0.0, 0.0
    signed = sorted((math.copysign(1, weight) * indexes.get(t, 0.0), abs(weight)) for t, weight in weights.items())
    mean = sum(value * weight for value, weight in signed) / whole
    left, worst = tail * whole, 0.0
    for value, weight in signed:
        used = min(weight, left)
        worst += used * value
        left -= used
    return round(mean, 9), round(worst / (tail * whole), 9)
