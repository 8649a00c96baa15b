"""Fuse ranked lists of one question into one list with scores in [0, 1].

Within a part of the question, a text's score is a convex combination of its calibrated cosine and of its
BM25 over that of the best (Bruch et al. 2023, https://arxiv.org/abs/2210.11934). A picture has no words to
match and is scored by its cosine alone. Parts count equally.

Calibration maps a cosine linearly, for each modality of query and content, so that what is unrelated
and what is related score as they do for texts. Fusion knows nothing of encoders or stores.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmsdk.types import Modality

DENSE = 0.75
"""Share of the cosine in a text's score, the rest is full text's; chosen on CISI."""
UNREAD = 0.3
"""That share for an encoder that does not know the language of the question; chosen on the CMRC 2018 trial set."""
SCALES: Mapping[tuple[Modality, Modality], tuple[float, float]] = {
    ("text", "text"): (0.0, 1.0),
    ("text", "image"): (-0.146, 0.654),
    ("image", "text"): (-0.146, 0.654),
    ("image", "image"): (-0.096, 1.094),
}
"""Query and content to the cosines that score 0 and 1; by benchmarks/calibration.py on the bundled encoders."""


@dataclass(frozen=True)
class Ranking:
    """Hold one list for one part of a question, best first: cosines in a space, or BM25 when ``space`` is ``None``.

    ``share`` is what a cosine counts beside full text, in [0, 1].
    """

    part: int
    query: Modality
    content: Modality
    space: str | None
    found: Sequence[tuple[str, float]]
    share: float = DENSE


@dataclass
class Fused:
    """Hold one result: its score in [0, 1] and how it came about."""

    id: str
    score: float = 0.0
    trace: dict[str, Any] = field(default_factory=dict)


def fuse(rankings: Sequence[Ranking]) -> list[Fused]:
    """Give every id of the lists once, best first, ties by id."""
    parts: dict[int, list[Ranking]] = defaultdict(list)
    fused: dict[str, Fused] = {}
    for ranking in rankings:
        parts[ranking.part].append(ranking)
        for rank, (name, raw) in enumerate(ranking.found, 1):
            _note(fused.setdefault(name, Fused(name)).trace, ranking, rank, raw)
    for lists in parts.values():
        for name, score in _scores(lists).items():
            fused[name].score += score / len(parts)
    for result in fused.values():
        result.score = min(1.0, max(0.0, result.score))
        result.trace["fused"] = result.score
    return sorted(fused.values(), key=lambda result: (-result.score, result.id))


def calibrated(cosine: float, query: Modality, content: Modality) -> float:
    """Map a cosine to [0, 1] so that values compare across modalities."""
    low, high = SCALES.get((query, content), (0.0, 1.0))
    return min(1.0, max(0.0, (cosine - low) / (high - low)))


def _scores(lists: Sequence[Ranking]) -> dict[str, float]:
    """Score what the lists of one part found."""
    dense: dict[str, list[float]] = defaultdict(list)
    floors: dict[Modality, list[float]] = defaultdict(list)
    words: dict[str, float] = {}
    contents: dict[str, Modality] = {}
    for ranking in lists:
        contents.update(dict.fromkeys((name for name, _ in ranking.found), ranking.content))
        if ranking.space is None:
            best = max((raw for _, raw in ranking.found), default=1.0)
            words.update({name: raw / best for name, raw in ranking.found})
            continue
        values = [(name, calibrated(raw, ranking.query, ranking.content)) for name, raw in ranking.found]
        for name, value in values:
            dense[name].append(value)
        floors[ranking.content].append(values[-1][1] if values else 0.0)
    has_words = any(ranking.space is None for ranking in lists)
    share = max((ranking.share for ranking in lists if ranking.space is not None), default=0.0)
    scores = {}
    for name, content in contents.items():
        known = dense.get(name) or floors[content] or [0.0]
        cosine = sum(known) / len(known)
        by_words = has_words and content == "text"
        scores[name] = share * cosine + (1 - share) * words.get(name, 0.0) if by_words else cosine
    return scores


def _note(trace: dict[str, Any], ranking: Ranking, rank: int, raw: float) -> None:
    if ranking.space is None:
        trace.setdefault("text", []).append({"part": ranking.part, "score": raw, "rank": rank})
        return
    shown = {"part": ranking.part, "space": ranking.space, "query": ranking.query, "content": ranking.content}
    trace.setdefault("spaces", []).append({**shown, "cosine": raw, "rank": rank})
