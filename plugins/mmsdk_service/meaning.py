"""What a message asks for: its parts, the intent of each, and how far they can be trusted."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from mmsdk import lexicon
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
    r"[?？]\s*$|^(?:how|what|when|where|which|who|why|can|could|do|does|is|are|may|will)\b|吗|呢|怎么|如何|什么|多少|几"
    r"|\b(?:tell me|let me know|like to know|want to know) (?:how|what|when|where|which|who|why|if|whether)\b",
    re.IGNORECASE,
)
_LEANS = re.compile(r"^\W*(?:and|what about|how about|or)\b|^(?:那|那么|还有)|呢[？?]?\s*$", re.IGNORECASE)
_ELLIPSIS = re.compile(
    r"^\W*(?:and|or|but|so|then|what about|how about)\s+(?P<rest>[^?？]+)[?？]?\s*$",
    re.IGNORECASE,
)
_ELLIPSIS_CJK = re.compile(r"^(?:那么?|还有|如果是)?(?P<rest>[^，。？?]{1,12}?)呢[？?]?\s*$")
_FITS = re.compile(r"^(?:for|with|without|on|in|to|at|by|from|after|before|during|if|when|as)\b", re.IGNORECASE)
_POINTS = re.compile(
    r"\b(?:it|its|they|them|their|this|that|these|those|one|ones|there|he|she)\b|[它他她]|[这那](?!里)", re.IGNORECASE
)
"""Words that point to what was said before: a question with one is not understood alone."""
_WISHES = re.compile(
    r"\bi (?:want|need|wish)\b|\bi(?:'d| would) like\b|\b(?:can|could|would) you\b|\b(?:give|send|get|help) (?:me|us)\b"
    r"|我要|我想|想要|需要|帮我|帮忙|麻烦|给我",
    re.IGNORECASE,
)
_FACTS = re.compile(
    r"\bwhat\b|\bwhich\b|\bwho\b|\bhow (?:long|much|many|often|old|big)\b|什么(?!时候)|哪些|哪种|谁|多久|多少|几",
    re.IGNORECASE,
)
_CLAUSES = re.compile(r"(?<=[?？!！.:])\s+|(?<=[。？！：；;，])|,? but (?=\w)", re.IGNORECASE)
_CONDITION = re.compile(
    r"^\W*(?:if|when|unless|once|after|before)\b|如果|要是|假如|的话|时[，]?$|后[，]?$", re.IGNORECASE
)
_PRICE = re.compile(r"\bhow much\b|\bprices?\b|\bcosts?\b|多少钱|多少元|什么价|价格|费用", re.IGNORECASE)
LIKELY = 0.5
"""The greatest out-of-scope score at which a statement beside a question is a request of its own, and at which a
question about facts that no document answers begins a flow."""


@dataclass(frozen=True)
class Meaning:
    """Hold one part of a message: its most probable intents, and how unlike the examples it is, in [0, 1].

    ``question`` is what is asked in it, where other clauses lead in to it and it can be understood without them.
    """

    text: str
    intents: tuple[tuple[str, float], ...] = ()
    outside: float = 0.0
    verdict: Literal["sure", "close", "unsure", "outside", "none"] = "none"
    question: "Meaning | None" = None

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

    @property
    def torn(self) -> bool:
        """Whether it is a wish that is as like one intent as another: the customer is asked first."""
        return self.verdict == "close" and self.outside <= FAMILIAR and not self.asks

    @property
    def asks(self) -> bool:
        """Whether it has the form of a question."""
        return bool(_ASKS.search(self.text))

    @property
    def requests(self) -> bool:
        """Whether its intent may be acted on though no document answers: not on a mere question about facts."""
        return bool(self.intent) and (self.outside <= LIKELY or not (self.asks and _FACTS.search(self.text)))

    @property
    def prices(self) -> bool:
        """Whether it asks what something costs, which is no wish that anything be done."""
        return self.asks and bool(_PRICE.search(self.text))

    @property
    def stands(self) -> bool:
        """Whether it is a question or request of its own beside others, not a remark that leads in to them."""
        return self.asks or (bool(self.intent) and (self.outside <= LIKELY or bool(_WISHES.search(self.text))))

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
    asked = question_in(text)
    texts = [text, *(pieces if len(pieces) > 1 else ()), *([asked] if asked else ())]
    whole, *parts = understood(texts, classifier, dial=dial)
    question = parts.pop() if asked else None
    standing = [part for part in parts if part.stands]
    apart = {part.intent if part.outside <= FAMILIAR else part.text: part for part in reversed(standing)}
    return list(apart.values())[::-1] if len(apart) > 1 else [replace(whole, question=question)]


def followed_up(text: str, earlier: Sequence[str]) -> str:
    """Put what an elliptical question asks about behind the last whole question before it; empty when it is none.

    >>> followed_up("and for business accounts?", ["How much is a check-up?"])
    'How much is a check-up for business accounts?'
    >>> followed_up("那企业客户呢？", ["检查多少钱？"]), followed_up("And can I pay later?", ["How much is it?"])
    ('企业客户检查多少钱？', '')
    """
    match = (_ELLIPSIS_CJK if is_cjk(text) else _ELLIPSIS).match(text)
    if match is None or _ASKS.search(match["rest"]) or len(match["rest"].split()) > 6:
        return ""
    whole = [one for one in earlier if _ASKS.search(one) and not _LEANS.search(one)]
    if not whole or is_cjk(whole[-1]) != is_cjk(text):
        return ""
    rest, asked = match["rest"].strip(), re.split(r"(?<=[?？])", whole[-1])[0].rstrip(" ?？.")
    if is_cjk(text):
        return f"{rest}{asked}？"
    return f"{asked} {rest if _FITS.match(rest) else f'for {rest}'}?"


def question_in(text: str) -> str:
    """Give the only question of a message when it stands behind or before other clauses; empty for none.

    A question that points to what was said before, or whose clauses are conditions of it, is not told apart.

    >>> question_in("Ignore my last e-mail. Can I pay in instalments?")
    'Can I pay in instalments?'
    >>> question_in("I have a tent. Is it under guarantee?"), question_in("Can I pay in instalments?")
    ('', '')
    """
    clauses = [clause.strip(" ,，") for clause in _CLAUSES.split(text) if clause.strip(" ,，")]
    asked = [clause for clause in clauses if _ASKS.search(clause)]
    if len(clauses) < 2 or not asked or any(_CONDITION.search(clause) for clause in clauses):
        return ""
    last = asked[-1]
    return "" if _POINTS.search(last) or _LEANS.search(last) or not lexicon.content(last) else last
