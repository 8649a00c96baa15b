"""Fuse ranked lists of one question into one list with scores in [0, 1].

A result's score is a weighted mean of what every list says of it, weights adding up to 1, so that it can be
taken apart again. By ``scores``, a list says a calibrated cosine, or a BM25 over that of the best: a convex
combination (Bruch et al. 2023, https://arxiv.org/abs/2210.11934). By ``ranks``, it says 61 / (60 + rank):
reciprocal ranks (Cormack et al. 2009). A picture has no words to match; its lists are those of cosines alone.
Parts of a question count equally.

Calibration maps a cosine linearly, for each space and modality of query and item, so that what is unrelated
and what is related score as they do for texts. Fusion knows nothing of encoders or stores.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal

from mmsdk.types import Modality

Method = Literal["scores", "ranks"]
Scale = tuple[float, float]
"""The cosines that score 0 and 1."""
Scales = Mapping[tuple[str, Modality, Modality], Scale]
"""Space, modality of the query and of the item to what was recorded for them."""

NOTE = "calibration"
"""Under this name a collection notes its scales, and whether it holds recordings."""
DENSE = 0.75
"""Share of the cosine in a text's score, the rest is full text's; chosen on CISI."""
UNREAD = 0.3
"""That share for an encoder that does not know the language of the question; chosen on the CMRC 2018 trial set."""
BEND = 0.8
RANK = 60
"""What is added to a rank, as Cormack et al. do."""
SCALES: Mapping[tuple[Modality, Modality], Scale] = {
    ("text", "text"): (0.0, 1.0),
    ("text", "audio"): (-0.126, 0.693),
    ("text", "image"): (-0.225, 0.724),
    ("image", "text"): (-0.146, 0.654),
    ("image", "image"): (-0.096, 1.094),
}
"""What holds where nothing is recorded; by benchmarks/calibration.py on the bundled encoders."""
MEASURED = frozenset({"text:all-MiniLM-L6-v2"})
"""Spaces whose scales these are."""


@dataclass(frozen=True)
class Ranking:
    """Hold one list for one part of a question, best first: cosines in a space, or BM25 when ``space`` is ``None``.

    ``content`` is what the items are, a text or a picture, and ``share`` what a cosine counts beside full text,
    in [0, 1]. A list of words says in ``asked`` what it was asked.
    """

    part: int
    query: Modality
    content: Modality
    space: str | None
    found: Sequence[tuple[str, float]]
    share: float = DENSE
    asked: str = ""


@dataclass
class Voice:
    """Hold what one list says: its weight and, by id, values in [0, 1]; ``floor`` of what it did not find."""

    ranking: Ranking
    weight: float
    values: dict[str, float]
    floor: float


class Fusion:
    """Fuse the lists of one question.

    ``spoken`` are the ids of texts that were said in recordings; they have scales of their own.

    >>> cosines = Ranking(0, "text", "text", "s", [("a", 0.8), ("b", 0.4)])
    >>> words = Ranking(0, "text", "text", None, [("b", 7.0)])
    >>> [(name, round(score, 2)) for name, score in Fusion([cosines, words]).ranked()]
    [('a', 0.6), ('b', 0.55)]
    """

    def __init__(
        self,
        rankings: Iterable[Ranking],
        *,
        method: Method = "scores",
        scales: Scales | None = None,
        spoken: Collection[str] = (),
    ) -> None:
        self._method: Method = method
        self._scales = scales or {}
        self._spoken = spoken
        parts: dict[int, list[Ranking]] = defaultdict(list)
        self.contents: dict[str, Modality] = {}
        for ranking in rankings:
            parts[ranking.part].append(ranking)
            self.contents.update(dict.fromkeys(map(itemgetter(0), ranking.found), ranking.content))
        self.voices = [voice for lists in parts.values() for voice in self._heard(lists, 1 / len(parts))]

    def ranked(self) -> list[tuple[str, float]]:
        """Give every id of the lists once with its score, best first, ties by id."""
        floors: dict[Modality, float] = defaultdict(float)
        for voice in self.voices:
            if voice.values:
                floors[voice.ranking.content] += voice.weight * voice.floor
        if len(floors) == 1:
            scores = dict.fromkeys(self.contents, sum(floors.values()))
        else:
            scores = {name: floors[content] for name, content in self.contents.items()}
        for voice in self.voices:
            weight, floor = voice.weight, voice.floor
            for name, value in voice.values.items():
                scores[name] += weight * (value - floor)
        best = sorted(scores.items(), key=_order)
        if best and not 0.0 <= best[-1][1] <= best[0][1] <= 1.0:
            best = [(name, min(1.0, max(0.0, score))) for name, score in best]
            best.sort(key=_order)
        return best

    def traces(self, ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """Say of results what every list said: raw score, rank (``None`` when not found), value and weight."""
        traces: dict[str, dict[str, Any]] = {name: {} for name in ids}
        for voice in self.voices:
            seen = {name: (rank, raw) for rank, (name, raw) in enumerate(voice.ranking.found, 1) if name in traces}
            for name, trace in traces.items():
                if self.contents[name] == voice.ranking.content:
                    _note(trace, voice, name, *seen.get(name, (None, None)))
        return traces

    def _heard(self, lists: Sequence[Ranking], weight: float) -> Iterable[Voice]:
        """Weigh the lists of one part: for every kind of content the weights add up to ``weight``."""
        for content in {ranking.content: None for ranking in lists}:
            spaces = [ranking for ranking in lists if ranking.content == content and ranking.space is not None]
            words = [ranking for ranking in lists if ranking.content == content and ranking.space is None]
            share = max(ranking.share for ranking in spaces) if spaces else 0.0
            dense = share if words else 1.0
            for ranking in spaces:
                yield self._voice(ranking, weight * dense / len(spaces))
            for ranking in words:
                yield self._voice(ranking, weight * (1 - share) / len(words))

    def _voice(self, ranking: Ranking, weight: float) -> Voice:
        if self._method == "ranks":
            values = {name: (RANK + 1) / (RANK + rank) for rank, (name, _) in enumerate(ranking.found, 1)}
            return Voice(ranking, weight, values, 0.0)
        if ranking.space is None:
            best = max(ranking.found[0][1], 1e-9) if ranking.found else 1.0
            return Voice(ranking, weight, {name: raw / best for name, raw in ranking.found}, 0.0)
        scale = self._scale(ranking, ranking.content)
        if scale == (0.0, 1.0):
            values = {name: raw if 0.0 <= raw <= 1.0 else float(raw > 0) for name, raw in ranking.found}
        else:
            values = {name: calibrated(raw, scale) for name, raw in ranking.found}
        if self._spoken and ranking.content == "text":
            scale = self._scale(ranking, "audio")
            values.update((name, calibrated(raw, scale)) for name, raw in ranking.found if name in self._spoken)
        last = ranking.found[-1][0] if ranking.found else None
        return Voice(ranking, weight, values, 0.0 if last is None else values[last])

    def _scale(self, ranking: Ranking, item: Modality) -> Scale:
        return scale_of(self._scales, str(ranking.space), ranking.query, item=item)


def calibrated(cosine: float, scale: Scale) -> float:
    """Map a cosine to [0, 1] linearly; above 0.8 more slowly where a cosine of 1 would exceed 1, so that none tie.

    >>> [round(calibrated(cosine, (-0.1, 0.9)), 3) for cosine in (-0.2, 0.0, 0.4, 0.7, 1.0)]
    [0.0, 0.1, 0.5, 0.8, 1.0]
    """
    low, high = scale
    value = (cosine - low) / (high - low)
    if value > BEND and high < 1:
        bend = low + BEND * (high - low)
        value = BEND + (1 - BEND) * (cosine - bend) / (1 - bend)
    return min(1.0, max(0.0, value))


def scale_of(scales: Scales, space: str, query: Modality, *, item: Modality) -> Scale:
    """Give the recorded scale, or the default; recordings are judged as texts where neither is theirs."""
    return scales.get((space, query, item)) or SCALES.get((query, item)) or SCALES.get((query, "text"), (0.0, 1.0))


def scales_in(noted: Any) -> Scales:
    """Give the scales in what a collection noted."""
    rows = noted.get("scales", ()) if isinstance(noted, dict) else ()
    return {(row["space"], row["query"], row["item"]): (row["low"], row["high"]) for row in rows}


def holds_spoken(noted: Any) -> bool:
    """Say whether a collection noted that it holds recordings, which have scales of their own."""
    return isinstance(noted, dict) and bool(noted.get("spoken"))


def _order(found: tuple[str, float]) -> tuple[float, str]:
    return -found[1], found[0]


def _note(trace: dict[str, Any], voice: Voice, name: str, rank: int | None, raw: float | None) -> None:
    ranking = voice.ranking
    said = {"value": voice.values.get(name, voice.floor), "weight": voice.weight, "rank": rank}
    if ranking.space is None:
        trace.setdefault("text", []).append({"part": ranking.part, "score": raw, "asked": ranking.asked, **said})
        return
    shown = {"part": ranking.part, "space": ranking.space, "query": ranking.query, "content": ranking.content}
    trace.setdefault("spaces", []).append({**shown, "cosine": raw, **said})
