"""What a message asks for: its parts, the intent of each, and how far they can be trusted."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mmsdk.lexicon import is_cjk
from mmsdk_service.intents import IntentClassifier
from mmsdk_service.wording import segments

CLOSE = 0.25
"""How near the probabilities of two intents are that the customer is asked about."""
FAMILIAR = 0.3
"""The greatest out-of-scope score of what is acted on without asking the documents."""
NEAR, NEAR_CJK = 0.35, 0.12
"""Least cosine to an example, of vectors and of Chinese characters: what is further is out of scope, however few
examples there are to calibrate on."""
_ASKS = re.compile(
    r"[?？]\s*$|^(?:how|what|when|where|which|who|why|can|could|do|does|is|are|may|will)\b|吗|呢|怎么|如何|什么|多少|几",
    re.IGNORECASE,
)
_LEANS = re.compile(r"^\W*(?:and|what about|how about|or)\b|^(?:那|那么|还有)|呢[？?]?\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Meaning:
    """Hold one part of a message: its most probable intents, and how unlike the examples it is, in [0, 1]."""

    text: str
    intents: tuple[tuple[str, float], ...] = ()
    outside: float = 0.0
    verdict: Literal["sure", "close", "unsure", "outside", "none"] = "none"

    @property
    def intent(self) -> str:
        """The most probable intent, empty when there is none or it is not to be trusted."""
        return self.intents[0][0] if self.verdict == "sure" else ""

    @property
    def familiar(self) -> bool:
        """Whether it is so like the examples that its intent goes before the documents.

        A Chinese question is not: characters alone do not tell ``when was it sent`` from ``when must it be sent back``.
        """
        asks = is_cjk(self.text) and _ASKS.search(self.text)
        return bool(self.intent) and self.outside <= FAMILIAR and not asks

    def to_json(self) -> dict[str, Any]:
        """Write it as JSON."""
        best = self.intents[0] if self.intents else ("", 0.0)
        shown = {"text": self.text, "intent": best[0], "probability": round(best[1], 4)}
        others = [{"intent": name, "probability": round(chance, 4)} for name, chance in self.intents[1:3]]
        return {**shown, "out_of_scope": round(self.outside, 4), "verdict": self.verdict, "others": others}


def understood(texts: Sequence[str], classifier: IntentClassifier | None, *, dial: float) -> list[Meaning]:
    """Give the meaning of each text. The dial raises the probability that is asked for and lowers the strangeness."""
    if classifier is None or not texts:
        return [Meaning(text) for text in texts]
    found = []
    for text, row, strange, near in zip(texts, *classifier.understand(texts), strict=True):
        order = row.argsort()[::-1][:3]
        best = tuple((str(classifier.classes_[place]), float(row[place])) for place in order)
        outside = 1.0 if near < (NEAR_CJK if is_cjk(text) else NEAR) else float(strange)
        found.append(Meaning(text, best, outside, _verdict(text, best, outside, dial)))
    return found


def _verdict(
    text: str, best: Sequence[tuple[str, float]], outside: float, dial: float
) -> Literal["sure", "close", "unsure", "outside", "none"]:
    if _LEANS.search(text) and len(text) <= 60:
        return "unsure"  # it leans on what was asked before
    if outside > 1 - 0.1 * dial:
        return "outside"
    (_, first), (_, second) = best[0], best[1]
    if first + second >= 0.6 and first - second < CLOSE:
        return "close"
    return "sure" if first >= 0.3 + 0.6 * dial else "unsure"


def meanings(text: str, classifier: IntentClassifier | None, *, dial: float) -> list[Meaning]:
    """Give the meanings of a message: of its parts when two or more of them ask for different things."""
    pieces = segments(text)
    whole, *parts = understood([text, *(pieces if len(pieces) > 1 else ())], classifier, dial=dial)
    asking = [part for part in parts if part.intent or _ASKS.search(part.text)]
    apart = {part.intent if part.outside <= FAMILIAR else part.text: part for part in reversed(asking)}
    return list(apart.values())[::-1] if len(apart) > 1 else [whole]
