"""Sentiment for each entity of a text: positive, neutral or negative with calibrated probabilities and evidence.

A text is read sentence by sentence, for each entity with its name masked. A linear head over words and a small
fine-tuned encoder give probabilities, joined by a multinomial logistic model that also knows rules for turns of
figures ("loss narrows"). The bundled model read English headlines only; text in another script is returned as
neutral with status ``language``. A sentence that names nobody counts for the one entity of the sentence before it
when it starts with a pronoun; other references are not followed. Data, figures and limits: docs/finance-model.md.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mmsdk.chunking import CJK, sentences
from mmsdk.entities import Gazetteer, organizations, short_name
from mmsdk.errors import InputError, WeightsError
from mmsdk.settings import Settings
from mmsdk_finance.marking import OTHER, TARGET, Marked, Span, marked
from mmsdk_finance.wording import TURNS, events, flags, outcome, turns

if TYPE_CHECKING:
    from mmsdk.heads import Head
    from mmsdk_finance.reader import Reader

Label = Literal["negative", "neutral", "positive"]
Status = Literal["scored", "absent", "language"]
Floats = NDArray[np.float64]
LABELS: tuple[Label, ...] = ("negative", "neutral", "positive")
DESCRIPTION, HEAD, READER = "sentiment.json", "sentiment-head.safetensors", "sentiment-reader-{}.safetensors"
_FORMAT, _WORDS = 1, 3
_TURNS = (*TURNS, *(f"not_{name}" for name in TURNS))
_LEAD = 2.0
"""How much more the first sentence counts than a later one."""
_CONTINUES = re.compile(
    r"\s*(?:it|its|they|their|the (?:company|group|bank|firm|stock|shares)|shares)\b|该公司|公司|其", re.IGNORECASE
)
_LATIN, _CJK, _LETTER = re.compile("[A-Za-zÀ-ɏ]"), re.compile(f"[{CJK}]"), re.compile(r"[^\W\d_]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDLIKE = re.compile(r"[^\W_]")
_EMPTY_WORDS = frozenset(
    re.findall(r"\w+", "a an the of to in on at by for and or as is are was its it with from that this s")
)


@dataclass(frozen=True)
class Evidence:
    """Hold a sentence that decided: where it stands in the text, its probabilities, words, flags and events.

    ``words`` spoke most for the label in the linear head; ``flags`` are among negated, hedged, forward.
    """

    sentence: str
    start: int
    stop: int
    words: tuple[str, ...]
    probabilities: Mapping[str, float]
    flags: tuple[str, ...] = ()
    events: tuple[str, ...] = ()


@dataclass(frozen=True)
class EntitySentiment:
    """Hold what a text says of an entity; ``evidence`` has the sentence that decided first.

    ``entity`` is empty where a text was read as a whole. ``status`` is ``absent`` where the entity is not in the
    text (nothing is said of it, so neutral is certain), ``language`` where the model does not read its script (so
    nothing is known): both are neutral, without evidence.
    """

    entity: str
    label: Label
    probabilities: Mapping[str, float]
    evidence: tuple[Evidence, ...] = ()
    status: Status = "scored"

    @property
    def score(self) -> float:
        """Probability of positive less that of negative, in [-1, 1]."""
        return self.probabilities["positive"] - self.probabilities["negative"]


@dataclass(frozen=True)
class _Reading:
    """One sentence to be read for one entity: where its result belongs, and what is read."""

    text: int
    entity: int
    span: Span
    first: bool
    marked: Marked


class SentimentModel:
    """Score texts with a model that ``python -m mmsdk_finance.train`` wrote to a folder; None is the bundled one.

    >>> model = SentimentModel()
    >>> good, bad = model.score_texts(["Acme profit soars, Bolt slumps on weak sales"], [["Acme", "Bolt"]])[0]
    >>> good.label, bad.label
    ('positive', 'negative')
    """

    def __init__(self, folder: str | Path | None = None, *, settings: Settings | None = None) -> None:
        self.folder = Path(str(files("mmsdk_finance"))) if folder is None else Path(folder)
        self.settings = settings or Settings.load()

    def score_texts(
        self, texts: Sequence[str], entities: Sequence[Sequence[str]] | None = None
    ) -> list[list[EntitySentiment]]:
        """Score each text for its entities, in their order.

        Without ``entities``, those are the organisations that spaCy recognises, and a text without any is read as a
        whole. Raises ``InputError`` when there are not as many lists of entities as texts, ``WeightsError``.
        """
        texts = [_SURROGATE.sub("\ufffd", text) for text in _strings("texts", texts)]
        if entities is None:
            listed = organizations(texts, settings=self.settings)
            entities = [list(dict.fromkeys(m.written for m in found)) or [""] for found in listed]
        entities = [_strings("entities of a text", names) for names in entities]
        if len(entities) != len(texts):
            raise InputError(f"{len(texts)} texts need a list of entities each, these are {len(entities)}")
        readings = [r for n, text in enumerate(texts) for r in self._readings(n, text, entities[n])]
        chances = self.probabilities([reading.marked for reading in readings])
        found: dict[tuple[int, int], list[tuple[_Reading, Floats]]] = {}
        for reading, chance in zip(readings, chances, strict=True):
            found.setdefault((reading.text, reading.entity), []).append((reading, chance))
        return [
            [self._result(text, name, found.get((n, place), [])) for place, name in enumerate(entities[n])]
            for n, text in enumerate(texts)
        ]

    def probabilities(self, texts: Sequence[Marked]) -> Floats:
        """Give probabilities ``[n, 3]`` in the order of ``LABELS`` for marked sentences."""
        if not texts:
            return np.zeros((0, len(LABELS)))
        reader = self._reader.logits([text.text for text in texts]) if self._reader else None
        features = stacked(texts, self._head.predict_proba([views(text) for text in texts]), reader)
        return ruled(texts, softmax(features @ self._stack[:-1] + self._stack[-1]))

    @cached_property
    def description(self) -> Mapping[str, Any]:
        """What the model was made of: languages, data, protocol, figures, weights of the joining model."""
        try:
            found: dict[str, Any] = json.loads((self.folder / DESCRIPTION).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise WeightsError(f"{self.folder} holds no sentiment model: {error}") from error
        if found.get("format") != _FORMAT:
            raise WeightsError(f"{self.folder} has format {found.get('format')}, this mmsdk reads {_FORMAT}")
        return found

    @cached_property
    def _head(self) -> "Head":
        from mmsdk.heads import Head

        return Head.load(self.folder / HEAD)

    @cached_property
    def _reader(self) -> "Reader | None":
        if not self.description["readers"]:
            return None
        from mmsdk_finance.reader import Reader

        files = [self.folder / READER.format(n) for n in range(self.description["readers"])]
        return Reader(files, settings=self.settings)

    @cached_property
    def _stack(self) -> Floats:
        return np.array(self.description["stack"])

    def _readings(self, number: int, text: str, names: Sequence[str]) -> Iterator[_Reading]:
        """Give every sentence that is read for one of the names."""
        if script(text) not in (*self.description["scripts"], ""):
            return
        where = places(text, names)
        known = sorted({span for spans in where.values() for span in spans})
        alone = -1
        for order, (start, stop) in enumerate(sentences(text)):
            sentence = text[start:stop]
            inside = {n: _within(spans, start, stop) for n, spans in where.items()}
            named = [n for n, spans in inside.items() if spans]
            everyone = _within(known, start, stop)
            if not named and alone >= 0 and _CONTINUES.match(sentence):
                named = [alone]
            for n in named:
                whole = marked(sentence, inside[n], set(everyone) - set(inside[n]))
                yield _Reading(number, n, (start, stop), order == 0, whole)
            for n, name in enumerate(names):
                if not name.strip() and sentence.strip():
                    yield _Reading(number, n, (start, stop), order == 0, marked(sentence, [], everyone))
            alone = named[0] if len(named) == 1 else -1

    def _result(self, text: str, name: str, read: list[tuple[_Reading, Floats]]) -> EntitySentiment:
        if not read:
            known = script(text) in (*self.description["scripts"], "")
            chances = np.array([0.0, 1.0, 0.0] if known else [0.33, 0.34, 0.33])
            return EntitySentiment(name, "neutral", _named(chances), status="absent" if known else "language")
        chances = np.array([chance for _, chance in read])
        weight = np.array([_LEAD if reading.first else 1.0 for reading, _ in read]) * (1.2 - chances[:, 1])
        joined = weight @ chances / weight.sum()
        best = int(joined.argmax())
        order = sorted(range(len(read)), key=lambda n: -float(weight[n] * chances[n, best]))
        evidence = tuple(self._evidence(text, *read[n], LABELS[best]) for n in order[:3])
        return EntitySentiment(name, LABELS[best], _named(joined), evidence)

    def _evidence(self, text: str, reading: _Reading, chance: Floats, label: Label) -> Evidence:
        start, stop = reading.span
        words = _decisive(self._head.contributions(views(reading.marked), label), reading.marked.text)
        clause = reading.marked.clause
        return Evidence(text[start:stop], start, stop, words, _named(chance), flags(clause), events(text[start:stop]))


def score_text(text: str, entities: Sequence[str] | None = None) -> list[EntitySentiment]:
    """Score a text for each of ``entities``, in their order, with the bundled model.

    An entity that the text does not name is neutral, without evidence; see ``SentimentModel.score_texts``.

    >>> [(s.entity, s.label) for s in score_text("Acme cuts its dividend as losses widen", ["Acme", "Bolt"])]
    [('Acme', 'negative'), ('Bolt', 'neutral')]
    """
    return score_texts([text], None if entities is None else [entities])[0]


def score_texts(texts: Sequence[str], entities: Sequence[Sequence[str]] | None = None) -> list[list[EntitySentiment]]:
    """Score many texts at once with the bundled model; see ``SentimentModel.score_texts``."""
    return _bundled().score_texts(texts, entities)


@cache
def _bundled() -> SentimentModel:
    return SentimentModel()


def views(text: Marked) -> tuple[str, ...]:
    """Give what the linear head sees of a marked sentence: it, its clause, its window, its turns."""
    return (*text.views, " ".join(turns(text.clause)))


def stacked(texts: Sequence[Marked], head: Floats, reader: NDArray[np.float32] | None) -> Floats:
    """Give the features of the joining model, ``[n, 3 or 6 + turns]``: log probabilities and turns of the clause."""
    found = [np.log(np.maximum(head, 1e-6))]
    if reader is not None:
        found.append(np.log(np.maximum(softmax(reader.astype(np.float64)), 1e-6)))
    told = [set(turns(text.clause)) for text in texts]
    return np.hstack([*found, np.array([[float(name in some) for name in _TURNS] for some in told])])


def ruled(texts: Sequence[Marked], chances: Floats) -> Floats:
    """Let the label that ``wording.outcome`` says have the largest probability, which it changes places with."""
    for row, text in zip(chances, texts, strict=True):
        told = outcome(text.clause)
        if told is not None:
            label, best = LABELS.index(told), int(row.argmax())
            row[label], row[best] = row[best], row[label]
    return chances


def softmax(logits: Floats) -> Floats:
    """Give probabilities in rows."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def script(text: str) -> Literal["latin", "cjk", "other", ""]:
    """Name the script of most of a text's letters; one of Chinese, Japanese or Korean counts three."""
    letters, latin, cjk = (len(kind.findall(text)) for kind in (_LETTER, _LATIN, _CJK))
    if not letters:
        return ""
    if 3 * cjk >= letters - cjk:
        return "cjk"
    return "latin" if 2 * latin >= letters else "other"


def places(text: str, names: Sequence[str]) -> dict[int, list[Span]]:
    """Give where each name stands as whole words in any case; a name without its legal form is the same name.

    A name that is found nowhere so may have an s at its end ("Wipros profit").

    Where a capitalised name stands with its capital, its places without one do not count.
    """
    given = {n: name.strip() for n, name in enumerate(names) if name.strip()}
    pairs = [(form, str(n)) for n, name in given.items() for form in (name, short_name(name)) if _WORDLIKE.search(form)]
    mentions = Gazetteer(pairs).find(text)
    first = {name.casefold(): n for n, name in reversed(given.items())}
    spans = {
        n: [(m.start, m.stop) for m in mentions if m.key == str(first[name.casefold()])] for n, name in given.items()
    }
    for n, name in given.items():
        if not spans[n]:
            spans[n] = [m.span() for m in re.finditer(rf"(?<!\w){re.escape(name)}s?(?!\w)", text, re.IGNORECASE)]
        capital = [(start, stop) for start, stop in spans[n] if text[start].isupper()]
        spans[n] = capital if capital and name[0].isupper() else spans[n]
    return spans


def _strings(what: str, given: Sequence[str]) -> list[str]:
    if isinstance(given, str) or not all(isinstance(one, str) for one in given):
        raise TypeError(f"{what} must be a list of str, not {given!r:.80}")
    return list(given)


def _within(spans: Sequence[Span], start: int, stop: int) -> list[Span]:
    return [(begin - start, end - start) for begin, end in spans if start <= begin and end <= stop]


def _named(chances: Floats) -> dict[str, float]:
    return {label: float(chance) for label, chance in zip(LABELS, chances, strict=True)}


def _decisive(contributions: Sequence[tuple[str, float]], sentence: str) -> tuple[str, ...]:
    """Give the strongest words for a label that the sentence has, none inside another."""
    folded, found = sentence.casefold(), list[str]()
    for words, strength in contributions:
        if strength <= 0 or len(found) == _WORDS:
            break
        plain = words.replace(TARGET, "").replace(OTHER, "").strip()
        telling = any(_LETTER.search(word) and word not in _EMPTY_WORDS for word in plain.split())
        if (
            telling
            and (plain in folded or plain.replace(" ", "") in folded)
            and not any(plain in w or w in plain for w in found)
        ):
            found.append(plain)
    return tuple(found)
