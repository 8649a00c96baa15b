"""Fuse ranked lists of one question into one list of hits with scores in [0, 1].

It knows nothing of encoders or stores: lists of (id, raw score) come in, fused (id, score, trace) go out.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmsdk.types import Modality

CONSTANT = 60


@dataclass(frozen=True)
class Ranking:
    """Hold one list: of a space (cosines) or of full text (BM25), for one part of a question, best first."""

    space: str | None
    modality: Modality
    found: Sequence[tuple[str, float]]
    weight: float = 1.0


@dataclass
class Fused:
    """Hold one result: its score in [0, 1] and how it came about."""

    id: str
    score: float = 0.0
    trace: dict[str, Any] = field(default_factory=dict)


def fuse(rankings: Sequence[Ranking], kinds: Mapping[str, Modality]) -> list[Fused]:
    """Fuse by reciprocal rank (Cormack et al. 2009), best first, ties by id."""
    fused: dict[str, Fused] = {}
    for ranking in rankings:
        for rank, (name, raw) in enumerate(ranking.found, 1):
            result = fused.setdefault(name, Fused(name))
            result.score += ranking.weight / (CONSTANT + rank)
            _note(result.trace, ranking, rank, raw)
    most = sum(ranking.weight for ranking in rankings) / (CONSTANT + 1) or 1.0
    for result in fused.values():
        result.score = min(1.0, result.score / most)
        result.trace["fused"] = result.score
    return sorted(fused.values(), key=lambda result: (-result.score, result.id))


def _note(trace: dict[str, Any], ranking: Ranking, rank: int, raw: float) -> None:
    if ranking.space is None:
        trace["text"] = {"score": raw, "rank": rank}
    else:
        trace.setdefault("spaces", {})[ranking.space] = {"cosine": raw, "rank": rank, "query": ranking.modality}


def finite(value: float) -> float:
    """Keep a score within [0, 1]."""
    return min(1.0, max(0.0, value)) if math.isfinite(value) else 0.0
