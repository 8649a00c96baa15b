"""A deterministic scorer for tests of what lies around the model: clauses and two lists of words."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

GOOD = {"beats", "raises", "wins", "soars", "record", "approved", "strong"}
BAD = {"misses", "cuts", "loses", "plunges", "lawsuit", "recall", "weak", "fraud"}


@dataclass(frozen=True)
class Evidence:
    sentence: str
    words: tuple[str, ...]
    events: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sentiment:
    entity: str
    label: str
    probabilities: Mapping[str, float]
    evidence: tuple[Evidence, ...] = ()
    status: str = "scored"


class WordScorer:
    """Judge the clause around a name by words; ``asked`` counts the texts it was given."""

    version = "words/1"

    def __init__(self) -> None:
        self.asked = 0

    def score_texts(self, texts: Sequence[str], entities: Sequence[Sequence[str]]) -> list[list[Sentiment]]:
        self.asked += len(texts)
        return [[_judged(text, entity) for entity in wanted] for text, wanted in zip(texts, entities, strict=True)]


def _judged(text: str, entity: str) -> Sentiment:
    if "unreadable" in text:
        return Sentiment(
            entity, "neutral", dict.fromkeys(("positive", "neutral", "negative"), 1 / 3), status="language"
        )
    clause = next((part for part in re.split(r"[,;]| as | while ", text) if entity in part), "")
    words = re.findall(r"\w+", clause.lower())
    good, bad = [word for word in words if word in GOOD], [word for word in words if word in BAD]
    if bool(good) == bool(bad):
        return Sentiment(entity, "neutral", {"positive": 0.05, "neutral": 0.9, "negative": 0.05})
    label, rest = ("positive", "negative") if good else ("negative", "positive")
    return Sentiment(entity, label, {label: 0.9, "neutral": 0.08, rest: 0.02}, (Evidence(clause, tuple(good or bad)),))
