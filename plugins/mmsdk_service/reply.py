"""What the agent gives back: what is said, what was done, and on what grounds. The two never share a field."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mmsdk import Citation

Origin = Literal["source", "rephrased", "approved", "system", "flow"]
Status = Literal["answered", "clarify", "flow", "unsure", "handover", "queued", "held", "small_talk"]


@dataclass(frozen=True)
class Piece:
    """Hold a sentence that is said, with where it comes from.

    ``source`` is quoted from a document, ``rephrased`` was worded by an LLM and checked against one, ``approved`` is
    the company's reply to an intent, ``system`` a phrase of the agent, ``flow`` a phrase of a flow with its values.
    """

    text: str
    origin: Origin
    citation: Citation | None = None

    def to_json(self) -> dict[str, Any]:
        """Write it as JSON."""
        return {
            "text": self.text,
            "origin": self.origin,
            "citation": None if self.citation is None else self.citation.to_json(),
        }


@dataclass(frozen=True)
class Reply:
    """Hold a reply and, apart from it, the action that was taken.

    ``reply`` is empty while a person holds the thread. ``action`` names the tool that ran, its arguments and result, or
    what a flow waits for; None when nothing happened. ``handover`` is the number in the queue. ``confidence`` in [0, 1]
    is that of the least sure part.
    """

    reply: str
    status: Status
    session: str
    language: str
    action: Mapping[str, Any] | None = None
    intents: Sequence[Mapping[str, Any]] = ()
    pieces: Sequence[Piece] = ()
    slots: Mapping[str, str] = field(default_factory=dict)
    handover: int | None = None
    reason: str = ""
    confidence: float = 0.0
    heard: str = ""
    read_back: Sequence[str] = ()
    product: str = ""
    stale: str = ""
    hits: Sequence[Mapping[str, Any]] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Write it in the shape that ``mmsdk service reply --json`` prints."""
        shape = {name: value for name, value in vars(self).items() if name != "pieces"}
        pieces = [piece.to_json() for piece in self.pieces]
        cited = [piece["citation"] | {"text": piece["text"]} for piece in pieces if piece["citation"] is not None]
        return {**shape, "action": self.action, "sentences": pieces, "citations": cited}


def joined(pieces: Sequence[Piece]) -> str:
    """Put sentences together; a space between them except after Chinese punctuation."""
    text = ""
    for piece in pieces:
        text += piece.text if not text or text.endswith(tuple("。！？，：\n")) else f" {piece.text}"
    return text
