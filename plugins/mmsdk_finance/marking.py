"""Mark in a sentence whom it is read for: the target, the other names, and the clause and window around the target.

Names are replaced by marks before any model sees them, so that a score never depends on who is named. What is
called a name is told from outside; nothing here recognises names.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mmsdk.chunking import CJK

TARGET, OTHER = "\x01", "\x02"
Span = tuple[int, int]
LONGEST = 60
"""Words of a sentence that are read; of a longer one, those around the first place of the target."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_WORD = re.compile(rf"[{CJK}]|[^\s{CJK}]+")
_CUT = re.compile(
    r"[;:，；：、|]|,(?!\d)|\s[-–—]\s|\b(?:but|while|as|after|despite|amid|on|and|even|though|although|whereas|with|versus|vs)\b|"
    r"但是?|而|然而|尽管",
    re.IGNORECASE,
)
_BEFORE, _AFTER = 4, 6


@dataclass(frozen=True)
class Marked:
    """Hold a sentence with marks and its two closer views."""

    text: str
    clause: str
    window: str

    @property
    def views(self) -> tuple[str, str, str]:
        """The three texts, from the widest."""
        return self.text, self.clause, self.window


def marked(sentence: str, targets: Iterable[Span], others: Iterable[Span] = ()) -> Marked:
    """Mark spans of a sentence; without targets it is read as a whole.

    >>> sentence = "Acme gains as Bolt slips"
    >>> [view.replace(TARGET, "*").replace(OTHER, "+") for view in marked(sentence, [(0, 4)], [(14, 18)]).views]
    ['* gains as + slips', '* gains', '* gains as + slips']
    """
    text = _replaced(sentence, sorted([(span, TARGET) for span in targets] + [(span, OTHER) for span in others]))
    if TARGET not in text:
        return Marked(_shortened(text, 0), text, text)
    text = _shortened(text, text.index(TARGET))
    clause = next(piece for piece in _CUT.split(text) if TARGET in piece).strip()
    words = list(_WORD.finditer(text))
    place = next(n for n, word in enumerate(words) if TARGET in word.group())
    first, last = words[max(0, place - _BEFORE)], words[min(len(words), place + _AFTER) - 1]
    return Marked(text, clause, text[first.start() : last.end()])


def _replaced(sentence: str, spans: list[tuple[Span, str]]) -> str:
    pieces, end = [], 0
    for (start, stop), mark in spans:
        if start >= end:
            pieces += [_CONTROL.sub(" ", sentence[end:start]), mark]
            end = stop
    return "".join([*pieces, _CONTROL.sub(" ", sentence[end:])]).strip()


def _shortened(text: str, place: int) -> str:
    words = list(_WORD.finditer(text))
    if len(words) <= LONGEST:
        return text
    middle = next(n for n, word in enumerate(words) if word.end() > place)
    first = max(0, min(middle - LONGEST // 2, len(words) - LONGEST))
    return text[words[first].start() : words[first + LONGEST - 1].end()]
