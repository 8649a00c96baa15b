"""The plugin: tasks are typed methods; mmsdk makes commands, routes and forms of them."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from mmsdk import Plugin, task

BANDS = {90: "very easy", 70: "easy", 60: "plain", 50: "fairly hard", 30: "hard", 0: "very hard"}


class ScoreRequest(BaseModel, extra="forbid"):
    """A text to score."""

    text: str = Field(min_length=1, description="English text")
    scale: Literal["ease", "grade"] = Field("ease", description="reading ease, or the US school grade it takes")


class ScoreResponse(BaseModel):
    """Its score, and whether it is hard by the plugin's setting."""

    score: float
    words: int
    sentences: int
    hard: bool


class SimplestRequest(BaseModel, extra="forbid"):
    """A question to a collection."""

    collection: Path = Field(description="folder of the collection")
    query: str = Field(description="what to look for")
    k: int = Field(8, gt=0, description="passages to choose from")


class SimplestResponse(BaseModel):
    """The passage that is easiest to read."""

    source: str
    text: str
    score: float


class Readability(Plugin):
    """Score texts by Flesch's reading ease (Flesch 1948) or Kincaid's grade (Kincaid et al. 1975). English only."""

    name = "readability"

    class Config(BaseModel, extra="forbid", frozen=True):
        """The table ``[plugins.readability]``."""

        hard: float = Field(60.0, description="texts below this reading ease are hard")

    @task
    def score(self, request: ScoreRequest) -> ScoreResponse:
        """Score how easy a text is to read."""
        words, sentences, syllables = _counts(request.text)
        length, weight = words / sentences, syllables / words
        ease = 206.835 - 1.015 * length - 84.6 * weight
        grade = 0.39 * length + 11.8 * weight - 15.59
        return ScoreResponse(
            score=round(ease if request.scale == "ease" else grade, 2),
            words=words,
            sentences=sentences,
            hard=ease < self.config.hard,
        )

    @task
    def simplest(self, request: SimplestRequest) -> SimplestResponse:
        """Find the passage about something that is easiest to read."""
        hits = self.runtime.collection(request.collection).search(request.query, request.k)
        scored = [(self.score(ScoreRequest(text=hit.chunk.text)).score, hit.chunk) for hit in hits if hit.chunk.text]
        score, chunk = max(scored, key=lambda pair: pair[0])
        return SimplestResponse(source=chunk.source, text=chunk.text, score=score)

    def commands(self) -> Mapping[str, Callable[..., object]]:
        """Give the command that prints the scale."""
        return {"bands": bands}


def bands(below: int = 100) -> dict[str, int]:
    """List the bands of reading ease by their lower end."""
    return {name: lower for lower, name in BANDS.items() if lower < below}


def _counts(text: str) -> tuple[int, int, int]:
    words = re.findall(r"[A-Za-z']+", text) or ["a"]
    sentences = len(re.findall(r"[.!?]+(?:\s|$)", text)) or 1
    syllables = sum(max(1, len(re.findall(r"[aeiouy]+", re.sub(r"e$", "", word.lower())))) for word in words)
    return len(words), sentences, syllables
