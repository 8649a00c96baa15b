"""What extraction gives: names in texts, and statements that join two of them, each with where it stands and how sure.

They are plain values that know no model, store or schema.
"""

from dataclasses import dataclass, field
from typing import Literal

Standing = Literal["asserted", "negated", "hypothetical", "attributed"]
Layer = Literal["pattern", "trained", "llm", "open", "cooccurrence", "import"]


@dataclass(frozen=True)
class Name:
    """Hold a name in a sentence: ``sentence[start:stop]`` is what stands there, ``text`` what it stands for."""

    start: int
    stop: int
    text: str
    type: str
    extractor: str
    confidence: float
    value: str = ""


@dataclass(frozen=True)
class Statement:
    """Hold that a sentence says, or does not say, that a relation joins two names.

    ``valid_from`` and ``valid_to`` are ISO dates or years, empty where the sentence names none. Of a statement that is
    not asserted, ``standing`` says why.
    """

    head: Name
    relation: str
    tail: Name
    layer: Layer
    extractor: str
    confidence: float
    standing: Standing = "asserted"
    valid_from: str = ""
    valid_to: str = ""


@dataclass(frozen=True)
class Reading:
    """Hold what was read in one sentence; ``unknown`` are types and relations the schema does not know."""

    names: tuple[Name, ...] = ()
    statements: tuple[Statement, ...] = ()
    unknown: tuple[tuple[str, str], ...] = field(default=())
