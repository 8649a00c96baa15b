"""From a pool of good items to the list that is shown: diversity, business rules, exploration.

Applied in this order: boosts, then slot by slot the pinned item, or the best that the caps allow, traded against its
likeness to what is shown already; and with exploration sometimes another of the pool, with its probability told.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mmsdk.errors import InputError
from mmsdk.types import Filter
from mmsdk_recommend.conditions import Mask, Table
from mmsdk_recommend.interactions import Floats, Numbers

Alike = Callable[[Numbers], Floats]
"""From item numbers to how alike they are; float32 ``[n, n]`` in [-1, 1], 1 on the diagonal."""


@dataclass(frozen=True, eq=False)
class Served:
    """Hold item numbers and scores ``[rows, k]``, best first, -inf where there are no more.

    ``propensities``: the probability that the slot showed this item, given those before it; None without exploration.
    """

    items: Numbers
    scores: Floats
    propensities: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Rules:
    """Hold what a business asks of a list.

    ``caps``: of items with one value of a metadata key, at most so many, such as ``{"brand": 2}``. ``boosts``: pairs of
    a filter and what is added to the scores that match it, in standard deviations of the pool's scores. ``pinned``:
    item to its rank, from 1; an item that the request's filter excludes stays out.
    """

    caps: Mapping[str, int] = field(default_factory=dict)
    boosts: Sequence[tuple[Filter, float]] = ()
    pinned: Mapping[Hashable, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Serving:
    """Say how a list is made of a pool.

    ``diversity`` in [0, 1] is the dial: 0 ranks by score alone, 1 by difference alone. ``method`` is maximal marginal
    relevance (Carbonell and Goldstein 1998) or a determinantal point process (greedy, Chen et al. 2018).
    ``exploration`` is the probability that a slot shows a random item of the pool; ``seed`` decides which.

    >>> Serving(diversity=0.3).pool(10)
    100
    """

    diversity: float = 0.0
    method: Literal["mmr", "dpp"] = "mmr"
    rules: Rules = field(default_factory=Rules)
    exploration: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("diversity", "exploration"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is in [0, 1], not {getattr(self, name)!r}")
        if self.method not in ("mmr", "dpp"):
            raise InputError(f"the method of diversity is mmr or dpp, not {self.method!r}")
        wrong = [f"{k}: {v!r}" for k, v in [*self.rules.caps.items(), *self.rules.pinned.items()] if v < 1]
        if wrong:
            raise InputError(f"caps and pinned ranks are at least 1, not {', '.join(wrong)}")

    def pool(self, k: int) -> int:
        """How many candidates to take for a list of ``k``."""
        return max(10 * k, 100)

    def arranged(self, served: Served, k: int, *, world: "World") -> Served:
        """Make the lists; ``served`` is the pool of each row."""
        random = np.random.default_rng(self.seed)
        rows = [
            self._row(*pair, k, world=world, random=random) for pair in zip(served.items, served.scores, strict=True)
        ]
        wide = max(map(len, rows), default=0)
        items, scores = np.zeros((len(rows), wide), np.int64), np.full((len(rows), wide), -np.inf, np.float32)
        chances = np.ones((len(rows), wide))
        for row, shown in enumerate(rows):
            for rank, (item, score, chance) in enumerate(shown):
                items[row, rank], scores[row, rank], chances[row, rank] = item, score, chance
        return Served(items, scores, chances if self.exploration else None)

    def _row(
        self, items: Numbers, scores: Floats, k: int, *, world: "World", random: np.random.Generator
    ) -> list[tuple[int, float, float]]:
        """Fill the slots of one list."""
        there = np.isfinite(scores)
        items, scores = items[there], self._boosted(items[there], scores[there], world)
        pins = {rank: world.places[name] for name, rank in self.rules.pinned.items() if name in world.places}
        pins = {rank: place for rank, place in pins.items() if world.allowed is None or world.allowed[place]}
        free = ~np.isin(items, list(pins.values()))
        items, scores = items[free], scores[free]
        picker = _Picker(self, items, scores, world=world)
        shown: list[tuple[int, float, float]] = []
        for rank in range(1, k + 1):
            if rank in pins:
                shown.append((pins[rank], float(scores.max(initial=0.0)), 1.0))
                picker.count(pins[rank])
            elif (found := picker.next(random)) is not None:
                shown.append(found)
        return shown

    def _boosted(self, items: Numbers, scores: Floats, world: "World") -> Floats:
        if not self.rules.boosts or not len(items):
            return scores
        table = Table([world.records[place] for place in items.tolist()])
        spread = float(scores.std()) or 1.0
        added = sum(table.mask(where) * (amount * spread) for where, amount in self.rules.boosts)
        return np.asarray(scores + added, np.float32)


@dataclass(frozen=True, eq=False)
class World:
    """Hold what a list is made with: likeness, metadata, numbers by name, and what the filter allows."""

    alike: Alike
    records: Sequence[Mapping[str, Any]]
    places: Mapping[Hashable, int]
    allowed: Mask | None = None


class _Picker:
    """Give the items of one pool slot by slot."""

    def __init__(self, serving: Serving, items: Numbers, scores: Floats, *, world: World) -> None:
        self.serving, self.items, self.scores, self.world = serving, items, scores, world
        self.left = np.ones(len(items), bool)
        self.taken = {key: Counter[str]() for key in serving.rules.caps}
        span = float(np.ptp(scores)) if len(scores) else 0.0
        self.worth = (scores - scores.min(initial=np.inf)) / span if span > 0 else np.zeros(len(scores), np.float32)
        self.alike = world.alike(items) if serving.diversity and len(items) else np.zeros((len(items), 0), np.float32)
        self.nearest = np.zeros(len(items), np.float32)
        self.dpp = _Determinant(self.worth, self.alike, serving.diversity) if serving.method == "dpp" else None

    def next(self, random: np.random.Generator) -> tuple[int, float, float] | None:
        """Give number, score and propensity of what fills the next slot; None when nothing may."""
        open_ = self.left & np.array([self._fits(int(place)) for place in self.items], bool)
        choices = np.flatnonzero(open_)
        if not len(choices):
            return None
        best = int(choices[np.argmax(self._values()[choices])])
        chosen, rate = best, self.serving.exploration
        if rate and random.random() < rate:
            chosen = int(random.choice(choices))
        chance = rate / len(choices) + (1 - rate) * (chosen == best)
        self.left[chosen] = False
        self.count(int(self.items[chosen]))
        if self.serving.diversity:
            self.nearest = np.maximum(self.nearest, self.alike[:, chosen])
            if self.dpp is not None:
                self.dpp.take(chosen)
        return int(self.items[chosen]), float(self.scores[chosen]), float(chance)

    def count(self, place: int) -> None:
        """Count an item against the caps."""
        for key, counter in self.taken.items():
            counter.update(_values(self.world.records[place].get(key)))

    def _values(self) -> Floats:
        dial = self.serving.diversity
        if not dial:
            return self.scores
        if self.dpp is not None:
            return self.dpp.gains
        return np.asarray((1 - dial) * self.worth - dial * self.nearest)

    def _fits(self, place: int) -> bool:
        record = self.world.records[place]
        return all(
            self.taken[key][value] < most
            for key, most in self.serving.rules.caps.items()
            for value in _values(record.get(key))
        )


class _Determinant:
    """Add to a set what raises the determinant of its kernel most, step by step."""

    def __init__(self, worth: Floats, alike: Floats, dial: float) -> None:
        self.quality = np.exp(np.minimum((1 - dial) / max(2 * dial, 1e-3) * worth, 50)).astype(np.float64)
        self.alike = alike
        self.rest = np.ones(len(worth)) + 1e-6
        self.rows: list[NDArray[np.float64]] = []

    @property
    def gains(self) -> Floats:
        """What each item would add, in logarithms."""
        return np.asarray(2 * np.log(self.quality) + np.log(np.maximum(self.rest, 1e-12)), np.float32)

    def take(self, chosen: int) -> None:
        """Add an item."""
        before = sum((row * row[chosen] for row in self.rows), np.zeros(len(self.rest)))
        row = (self.alike[chosen] - before) / np.sqrt(max(float(self.rest[chosen]), 1e-12))
        self.rows.append(row)
        self.rest = self.rest - row**2


def _values(value: Any) -> list[str]:
    """Give the values of a metadata key, one or several."""
    if value is None:
        return []
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]
