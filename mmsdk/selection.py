"""Choose among ranked candidates: unlike each other, of wanted modalities, without near-duplicates.

Diversity is maximal marginal relevance (Carbonell and Goldstein 1998, https://doi.org/10.1145/290941.291025).
It knows nothing of stores, encoders or of how candidates came to their scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from mmsdk.types import Modality

POOL = 5
"""Diversity chooses among this many times k of the best."""


@dataclass(frozen=True)
class Candidate:
    """Hold one result before it is fetched; ``rank`` is that of fusion, ``note`` what the selection did."""

    id: str
    score: float
    rank: int
    note: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Selection:
    """Say how results are chosen; ``Collection.search`` explains the three.

    >>> Selection(quota={"image": 2}).check(k=8)
    >>> Selection(diversity=2.0).check(k=8)
    Traceback (most recent call last):
    ValueError: diversity is in [0, 1], not 2.0
    """

    diversity: float = 0.0
    quota: Mapping[Modality, int] = field(default_factory=dict)
    collapse: float | None = None

    @property
    def compares(self) -> bool:
        """Whether candidates are compared with each other."""
        return self.diversity > 0 or self.collapse is not None

    def check(self, k: int) -> None:
        """Raise ``ValueError`` for what makes no sense."""
        if not 0 <= self.diversity <= 1:
            raise ValueError(f"diversity is in [0, 1], not {self.diversity!r}")
        if self.collapse is not None and not 0 < self.collapse <= 1:
            raise ValueError(f"collapse is a cosine in (0, 1], or None, not {self.collapse!r}")
        for modality, count in self.quota.items():
            if modality not in get_args(Modality) or isinstance(count, bool) or not isinstance(count, int) or count < 0:
                known = ", ".join(get_args(Modality))
                raise ValueError(f"quota maps {known} to counts, not {modality!r} to {count!r}")
        if sum(self.quota.values()) > k:
            raise ValueError(f"the quota asks for {sum(self.quota.values())} hits, but k is {k}")


def collapsed(
    candidates: Sequence[Candidate], similar: NDArray[np.float32], threshold: float
) -> tuple[list[Candidate], list[int]]:
    """Drop what is as similar as ``threshold`` to a better candidate; give the kept ones and their places.

    ``similar`` is float32 ``[n, n]``. Dropped ids are noted with the one that stands for them.
    """
    kept: list[int] = []
    dropped: dict[int, list[str]] = {}
    for place, candidate in enumerate(candidates):
        close = similar[place, kept] if kept else np.zeros(0, np.float32)
        if close.size and close.max() >= threshold:
            dropped.setdefault(kept[int(close.argmax())], []).append(candidate.id)
        else:
            kept.append(place)
    shown = [
        Candidate(found.id, found.score, found.rank, {"collapsed": dropped[place]} if place in dropped else {})
        for place in kept
        for found in (candidates[place],)
    ]
    return shown, kept


def select(
    candidates: Sequence[Candidate],
    k: int,
    *,
    selection: Selection,
    modalities: Mapping[str, Modality],
    similar: NDArray[np.float32] | None = None,
) -> list[Candidate]:
    """Put ``k`` chosen ones first, the others behind them as they were.

    While there are so many, a modality gets at least its quota; ``modalities`` tells it of every candidate that
    may count. ``similar``, float32 ``[n, n]`` in [0, 1], is needed for diversity.
    """
    owed = _owed(candidates, selection.quota, modalities)
    penalty = np.zeros(len(candidates), np.float32)
    left = list(range(len(candidates)))
    chosen: list[int] = []
    while left and len(chosen) < k:
        open_slots = k - len(chosen)
        allowed = (
            left if open_slots > sum(owed.values()) else [n for n in left if owed.get(_of(candidates[n], modalities))]
        )
        allowed = allowed[: POOL * k] if selection.diversity else allowed[:1]
        best = max(
            allowed, key=lambda n: (1 - selection.diversity) * candidates[n].score - selection.diversity * penalty[n]
        )
        left.remove(best)
        chosen.append(best)
        modality = _of(candidates[best], modalities)
        if owed.get(modality):
            owed[modality] -= 1
        if similar is not None:
            penalty = np.maximum(penalty, similar[best])
    return [candidates[n] for n in (*chosen, *left)]


def _owed(
    candidates: Sequence[Candidate], quota: Mapping[Modality, int], modalities: Mapping[str, Modality]
) -> dict[Modality | None, int]:
    held = [_of(candidate, modalities) for candidate in candidates]
    return {modality: min(count, held.count(modality)) for modality, count in quota.items()}


def _of(candidate: Candidate, modalities: Mapping[str, Modality]) -> Modality | None:
    return modalities.get(candidate.id)
