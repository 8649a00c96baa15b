"""Calibrate a collection: which cosines of its encoders mean as much as which others.

From labelled pairs, a conditional logit (McFadden 1974) over the merged candidates of every question: the scales of
pictures and recordings are those under which the relevant ones win as often as they should beside texts, every
modality being asked for equally often. From the collection's own rows, where nothing is labelled: a text that is far
from most others scores 0 and a passage against a sentence of its own 0.75, and texts against pictures are spread
as the bundled encoders spread them. It knows nothing of how scales are used.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsdk.chunking import sentences
from mmsdk.errors import InputError
from mmsdk.fusion import MEASURED, NOTE, SCALES, Fusion, Ranking, Scale, Scales, holds_spoken, scale_of, scales_in
from mmsdk.protocols import Encoder, Store
from mmsdk.search import CANDIDATES, Search
from mmsdk.types import Chunk, Content, Image, Modality, Vectors, modality_of

ENOUGH = {"text": 100, "image": 20}
"""How many chunks of a kind the rows must have."""
SAMPLE = 300
OWN = 0.75
"""What a passage scores against a sentence of its own; all-MiniLM on CISI gives 0.77."""
SPREAD = (0.257, 0.061)
"""Median and standard deviation of what texts and pictures that have nothing to do with each other score."""
SHARPNESS = 10.0
"""Weight of a text's score in the logit before pairs are seen; on the development set it becomes 10."""
PRECISION = 1.0
"""How firmly what was known before pairs holds: the inverse variance of every weight of the logit."""
Floats = NDArray[np.float64]
Key = tuple[str, Modality, Modality]
Pairs = Iterable[tuple[Content, str | Iterable[str]]]
"""Questions, each with the id or ids of documents or chunks that are relevant."""


def calibrate(search: Search, pairs: Pairs | None = None) -> list[dict[str, Any]]:
    """Measure by pairs or, without, by rows; note it, and give all that is noted. Raises ``InputError``."""
    store = search.store
    noted = store.noted(NOTE)
    if pairs is None:
        found, by = from_rows(store, search.encoders), "rows"
    else:
        found, by = from_pairs(_asked(search, pairs), scales_in(noted)), "pairs"
    known = [row for row in recorded(store) if (row["space"], row["query"], row["item"]) not in found]
    rows = [*known, *_written(found, by)]
    store.note(NOTE, {"scales": rows, "spoken": holds_spoken(noted)})
    return rows


def recorded(store: Store) -> list[dict[str, Any]]:
    """Give the scales noted in a collection: space, query, item, low, high and by what they were found."""
    noted = store.noted(NOTE)
    return list(noted.get("scales", ())) if isinstance(noted, dict) else []


def follow(search: Search, added: int, *, has_spoken: bool) -> int:
    """Note what was ``added`` since the last look; give how much is left to look at.

    The first recordings are noted, and encoders that nobody measured are calibrated once there is enough to go by.
    """
    store = search.store
    noted = store.noted(NOTE) if has_spoken else None
    if has_spoken and not holds_spoken(noted):
        store.note(NOTE, {"scales": recorded(store), "spoken": True})
    if added < ENOUGH["text"] or all(encoder.space in MEASURED for encoder in search.encoders):
        return added
    if not recorded(store):
        calibrate(search)
    return 0


def forget(store: Store) -> None:
    """Forget scales, which belong to the encoders before."""
    if recorded(store):
        store.note(NOTE, {"spoken": holds_spoken(store.noted(NOTE))})


def _asked(search: Search, pairs: Pairs) -> list["Question"]:
    store = search.store
    given = [(question, [ids] if isinstance(ids, str) else list(ids)) for question, ids in pairs]
    lists = search.rankings([[question] for question, _ in given], CANDIDATES, where=None)
    questions = []
    for rankings, (_, ids) in zip(lists, given, strict=True):
        relevant: set[str] = set()
        for name in ids:
            chunks = store.get([name]) or store.chunks(name)
            if not chunks:
                raise InputError(f"the collection has no document or chunk {name!r}")
            relevant |= {chunk.id for chunk in chunks}
        names = list({name for ranking in rankings for name, _ in ranking.found})
        questions.append(Question(rankings, dict(store.modalities(names)), frozenset(relevant)))
    return questions


def _written(scales: Scales, by: str) -> list[dict[str, Any]]:
    """Give rows to note; ``by`` says where they come from."""
    return [
        {"space": space, "query": query, "item": item, "low": round(low, 4), "high": round(high, 4), "by": by}
        for (space, query, item), (low, high) in scales.items()
    ]


@dataclass(frozen=True)
class Question:
    """Hold the lists that one labelled question got, the modality of every candidate, and which are relevant."""

    rankings: Sequence[Ranking]
    modalities: dict[str, Modality]
    relevant: frozenset[str]


def from_pairs(questions: Sequence[Question], scales: Scales) -> dict[Key, Scale]:
    """Fit scales of pictures and recordings; ``scales`` are those to begin with and to stay near to.

    Questions of a modality whose relevant items are all of one modality teach nothing, and its scales stay.
    """
    fitted: dict[Key, Scale] = {}
    groups: dict[Modality, list[Question]] = defaultdict(list)
    for question in questions:
        if question.rankings and any(name in question.relevant for name in question.modalities):
            groups[question.rankings[0].query].append(question)
    for group in groups.values():
        wanted = Counter(_wanted(question) for question in group)
        if len(wanted) > 1:
            weights = [len(group) / len(wanted) / wanted[_wanted(question)] for question in group]
            fitted.update(_fit(group, weights, scales))
    return fitted


def _wanted(question: Question) -> Modality:
    found = Counter(question.modalities[name] for name in question.relevant if name in question.modalities)
    return found.most_common(1)[0][0]


def _fit(group: Sequence[Question], weights: Sequence[float], scales: Scales) -> Iterator[tuple[Key, Scale]]:
    """Fit u = sharpness x (score of texts) + a x cosine + b for the other items, by Newton's method."""
    keys = sorted({key for question in group for key in _keys(question)})
    prior = np.array([SHARPNESS, *(0.0 for _ in range(2 * len(keys)))])
    for place, (space, query, item) in enumerate(keys):
        low, high = scale_of(scales, space, query, item=item)
        prior[1 + 2 * place : 3 + 2 * place] = SHARPNESS / (high - low), -SHARPNESS * low / (high - low)
    data = [(*_features(question, keys, scales), weight) for question, weight in zip(group, weights, strict=True)]
    found = prior.copy()
    for _ in range(100):
        slope, curve = PRECISION * (prior - found), PRECISION * np.eye(len(prior))
        for features, relevant, weight in data:
            logits = features @ found
            chances = np.exp(logits - logits.max())
            chances /= chances.sum()
            mean = features.T @ chances
            slope += weight * (features.T @ (relevant - chances))
            curve += weight * ((features.T * chances) @ features - np.outer(mean, mean))
        step = np.linalg.solve(curve, slope)
        found += step * min(1.0, 5 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < 1e-6:
            break
    for place, key in enumerate(keys):
        slant, shift = found[1 + 2 * place : 3 + 2 * place] / found[0]
        if found[0] > 0 and slant > 0:
            yield key, (float(-shift / slant), float((1 - shift) / slant))


def _keys(question: Question) -> Iterator[Key]:
    for ranking in question.rankings:
        if ranking.space is not None:
            items = {question.modalities[name] for name, _ in ranking.found} if ranking.content == "text" else {"image"}
            yield from ((ranking.space, ranking.query, item) for item in ("audio", "image") if item in items)


def _features(question: Question, keys: Sequence[Key], scales: Scales) -> tuple[Floats, Floats]:
    """Give float64 ``[n, 1 + 2 keys]`` for the candidates, and the share of each in what is relevant."""
    fusion = Fusion(question.rankings, scales=scales)
    names = list(fusion.contents)
    features = np.zeros((len(names), 1 + 2 * len(keys)))
    for voice in fusion.voices:
        ranking, raw = voice.ranking, dict(voice.ranking.found)
        last = ranking.found[-1][1] if ranking.found else 0.0
        for row, name in zip(features, names, strict=True):
            key = (str(ranking.space), ranking.query, item_of(ranking.content, question.modalities[name]))
            if fusion.contents[name] != ranking.content:
                continue
            if ranking.space is not None and key in keys:
                place = 1 + 2 * keys.index(key)
                row[place] += voice.weight * raw.get(name, last)
                row[place + 1] += voice.weight
            else:
                row[0] += voice.weight * voice.values.get(name, voice.floor)
    relevant = np.array([name in question.relevant for name in names], np.float64)
    return features, relevant / max(relevant.sum(), 1.0)


def item_of(content: Modality, modality: Modality) -> Modality:
    """Say what a candidate is judged as: a picture, a recording's words, or a text, wherever it was read."""
    return "audio" if content == "text" and modality == "audio" else content


def from_rows(store: Store, encoders: Iterable[Encoder], *, seed: int = 0) -> dict[Key, Scale]:
    """Estimate scales from a sample of the chunks; nothing where there are too few."""
    texts, pictures = _sample(store, seed)
    found: dict[Key, Scale] = {}
    spaces: dict[str, dict[Modality, Encoder]] = defaultdict(dict)
    for encoder in encoders:
        for modality in encoder.modalities:
            spaces[encoder.space].setdefault(modality, encoder)
    for space, by_modality in spaces.items():
        seen = _rows(store, space, pictures)
        if "text" in by_modality and len(texts) >= ENOUGH["text"]:
            asked, cosines = _own_sentences(store, space, texts, encoder=by_modality["text"], seed=seed)
            if cosines is not None:
                found[space, "text", "text"] = cosines
                found[space, "text", "audio"] = _within(cosines, SCALES["text", "audio"])
            if len(seen) >= ENOUGH["image"]:
                found[space, "text", "image"] = _spread(asked @ seen.T)
        if len(seen) >= ENOUGH["image"]:
            alike = (seen @ seen.T)[~np.eye(len(seen), dtype=bool)]
            found[space, "image", "image"] = (float(np.quantile(alike, 0.05)), 1.0)
            known = _rows(store, space, texts)
            if len(known) >= ENOUGH["text"]:
                found[space, "image", "text"] = _spread(seen @ known.T)
    return {key: scale for key, scale in found.items() if scale[1] - scale[0] > 1e-6}


def _own_sentences(
    store: Store, space: str, texts: Sequence[Chunk], *, encoder: Encoder, seed: int
) -> tuple[Vectors, Scale | None]:
    """Ask a sentence of every text; give the questions' vectors and the scale of texts."""
    choose = np.random.default_rng(seed)
    asked, own = [], []
    for chunk in texts:
        spans = [chunk.text[start:stop] for start, stop in sentences(chunk.text) if stop - start >= 20]
        if spans:
            asked.append(spans[int(choose.integers(len(spans)))])
            own.append(chunk)
    questions = encoder.encode(asked, role="query")
    rows = store.vectors(space, [chunk.id for chunk in own])
    cosines = questions @ rows.T
    documents = np.array([chunk.document_id for chunk in own])
    apart = cosines[(documents[:, None] != documents[None, :]) & np.isfinite(cosines)]
    same = np.diagonal(cosines)[np.isfinite(np.diagonal(cosines))]
    if len(same) < ENOUGH["text"] or not apart.size:
        return questions, None
    low = float(np.quantile(apart, 0.05))
    return questions, (low, low + (float(np.median(same)) - low) / OWN)


def _spread(cosines: NDArray[np.float32]) -> Scale:
    middle, deviation = float(np.median(cosines)), float(cosines.std())
    width = deviation / SPREAD[1]
    low = middle - SPREAD[0] * width
    return low, low + width


def _within(outer: Scale, inner: Scale) -> Scale:
    """Give the scale that maps to ``inner`` what ``outer`` maps to [0, 1]."""
    low, width = outer[0], outer[1] - outer[0]
    return low + inner[0] * width, low + inner[1] * width


def _rows(store: Store, space: str, chunks: Sequence[Chunk]) -> Vectors:
    rows = store.vectors(space, [chunk.id for chunk in chunks])
    return rows[np.isfinite(rows).all(axis=1)]


def _sample(store: Store, seed: int) -> tuple[list[Chunk], list[Chunk]]:
    """Give at most ``SAMPLE`` chunks of text and of pictures, of documents drawn at random."""
    names = sorted(store.documents())
    np.random.default_rng(seed).shuffle(names)
    texts: list[Chunk] = []
    pictures: list[Chunk] = []
    for name in names[: 10 * SAMPLE]:
        if len(texts) >= SAMPLE and len(pictures) >= SAMPLE:
            break
        for chunk in store.chunks(name):
            if isinstance(chunk.content, Image):
                pictures.append(chunk)
            elif modality_of(chunk.content) == "text" and chunk.modality == "text":
                texts.append(chunk)
    return texts[:SAMPLE], pictures[:SAMPLE]
