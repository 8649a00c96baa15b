"""What the agent says and listens for beyond its sources: system phrases, trigger words, language, yes and no.

All of it is data: ``phrases.json``, ``triggers.json`` and ``small.json``, in English and Chinese. Matching is by
wording, so irony and other languages are not understood.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from mmsdk import guard
from mmsdk.chunking import sentences

Language = Literal["en", "zh", "other"]
REASONS = ("request", "safety", "medical", "fraud", "legal", "anger")
"""Kinds of trigger words, the most urgent after the request first; each hands over at once."""
_HAN, _KANA, _HANGUL = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]"), re.compile(r"[\u3040-\u30ff]"), "\uac00-\ud7af"
_LATIN = re.compile(r"[A-Za-z]+")
Phrases = Mapping[str, Mapping[str, str]]


def phrase(name: str, language: Language, own: Phrases | None = None, **values: str) -> str:
    """Give a system phrase, the company's own wording where it has one; English stands in for other languages.

    >>> phrase("which", "en", first="a refund", second="an exchange")
    'Do you mean a refund or an exchange?'
    """
    spoken = (own or {}).get(name) or _table("phrases")[name]
    return filled(spoken.get(language) or spoken["en"], values)


def filled(template: str, values: Mapping[str, Any]) -> str:
    """Put values in place of ``{name}``, each on one line and of at most 200 characters; nothing else is a template."""
    return re.sub(r"\{(\w+)\}", lambda m: " ".join(str(values.get(m[1], m[0])).split())[:200], template)


def language_of(text: str) -> Language:
    """Tell English and Chinese from each other and from other languages, by script and function words.

    >>> [language_of(text) for text in ("Where is it?", "我的包裹 ABC123 在哪？", "Wo ist mein Paket?", "123")]
    ['en', 'zh', 'other', 'en']
    """
    han, letters = len(_HAN.findall(text)), sum(letter.isalpha() for letter in text)
    if _KANA.search(text) or re.search(f"[{_HANGUL}]", text):
        return "other"
    if han and 4 * han >= letters - len("".join(_LATIN.findall(text))) and 3 * han >= len(_LATIN.findall(text)):
        return "zh"
    latin = sum("LATIN" in unicodedata.name(letter, "") for letter in text if letter.isalpha())
    if letters and 2 * latin < letters:
        return "other"
    words = [word.casefold() for word in re.findall(r"[^\W\d_]+", text)]
    foreign, english = (sum(word in _words(name) for word in words) for name in ("foreign", "english"))
    return "other" if foreign >= 2 and foreign > english else "en"


def masked(text: str) -> str:
    """Give a text without personal data, names and addresses included."""
    return guard.mask(text, guard.EVERY)[0]


def triggered(text: str) -> str:
    """Name what a message must be handed over for (of ``REASONS``), empty for nothing."""
    plain = unicodedata.normalize("NFKC", text).replace("’", "'")
    found = (reason for reason in REASONS if _holds(reason, plain) or (reason == "medical" and _is_medical(plain)))
    return next(found, "")


def _is_medical(text: str) -> bool:
    """Tell whether somebody reports an injury or illness, or asks for treatment; not whether such words are there.

    What is only supposed ("if I get injured") is no report, nor is being ill as the reason to cancel, move or pause,
    unless something of the company is said to have caused it.
    """
    for sentence in re.split(r"(?<=[.!?。！？\n])\s*", text):
        is_treated = _holds("treatment", sentence)
        for kind in ("injury", "unwell"):
            for match in _found(kind, sentence):
                before, after = sentence[: match.start()], sentence[match.end() :]
                supposed = _holds("supposed", before) or _holds("supposed_after", after)
                excused = kind == "unwell" and _holds("request_of_service", text) and not _holds("cause", text)
                if is_treated or not (supposed or excused):
                    return True
    return False


def _holds(kind: str, text: str) -> bool:
    return any(pattern.search(text) for pattern in _triggers()[kind])


def _found(kind: str, text: str) -> Iterator[re.Match[str]]:
    for pattern in _triggers()[kind]:
        yield from pattern.finditer(text)


def says(kind: Literal["hello", "thanks", "bye", "yes", "no", "stop"], text: str) -> bool:
    """Tell whether a whole message is a greeting, thanks, a goodbye, a yes, a no, or a stop."""
    plain = unicodedata.normalize("NFKC", text).replace("’", "'")
    return bool(re.search(_table("small")[kind], plain, re.IGNORECASE))


def reworded(question: str) -> str:
    """Give a Chinese question that names a thing by its use in the words that titles have, empty for another question.

    Titles and answers share no word with it, and there are no vectors for Chinese.

    >>> reworded("请问你们几点开门？"), reworded("周一开门吗？"), reworded("几点送货？")
    ('营业时间', '周一营业时间', '')
    """
    for title, pattern in _table("titles").items():
        if match := re.search(pattern, question):
            rest = question[: match.start()] + question[match.end() :]
            return re.sub(_POLITE, "", rest) + title
    return ""


_POLITE = r"请问|你们|您们|贵店|您|一般|通常|平时|每天|现在|那|想知道|[的呢吗呀啊？?。，,！!\s]|^店"
_ASKS = "how|what|when|where|why|which|who|can|could|do|does|is|are"
_JOINT = re.compile(
    rf"(?<=[?？。；;])\s*|[,，]?\s+(?:and (?:also|then)|also|plus)\s+|,\s+and\s+(?=(?:{_ASKS}|i)\b)"
    r"|\s+and\s+(?=(?:how|what|when|where|why|can i|could you|do you|does|is|are|(?:please )?tell me|let me know"
    r"|(?:can|could|will|would|should) (?:we|you|he|she|it|they|my|the|an?|\w+s)"
    r"|i (?:want|need|would|also))\b)|[，,]?(?:另外|还有|同时|顺便)",
    re.IGNORECASE,
)


_LEAD = re.compile(r"^(?:and(?: also| then)?|also|plus|then)\s+(?=\w+ \w+ \w)", re.IGNORECASE)


def segments(text: str) -> list[str]:
    """Cut a message where another request may begin; a piece that is too short stays with the one before it."""
    pieces = [piece for start, stop in sentences(text) for piece in _JOINT.split(text[start:stop])]
    found: list[str] = []
    for piece in (piece.strip(" ,，") for piece in pieces if piece):
        if found:
            piece = _LEAD.sub("", piece)
        size = len(_HAN.findall(piece)) + 2 * len(_LATIN.findall(piece))
        if found and size < 5:
            found[-1] += " " + piece
        elif piece:
            found.append(piece)
    return found or [text.strip()]


@cache
def _table(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(files("mmsdk_service").joinpath(f"{name}.json").read_text("utf-8"))
    return read


@cache
def _words(name: str) -> frozenset[str]:
    return frozenset(_table("small")[name].split())


@cache
def _triggers() -> dict[str, list[re.Pattern[str]]]:
    table = _table("triggers")
    return {kind: [re.compile(p, re.IGNORECASE) for p in patterns.values()] for kind, patterns in table.items()}
