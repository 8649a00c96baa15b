"""Names in texts: which of a list of known names occur where, and which organisations nobody listed.

Known names are found as whole words (Chinese, Japanese and Korean ones as runs of characters), the longest first,
in any case unless they ask for theirs. Nothing here knows what a name stands for.
"""

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from mmsdk import weights
from mmsdk.chunking import CJK
from mmsdk.errors import MissingDependencyError
from mmsdk.settings import Settings

LEGAL = frozenset(
    re.findall(
        r"\w+",
        "inc incorporated corp corporation co company companies ltd limited plc llc llp lp gmbh ag kgaa se sa nv bv ab "
        "asa oyj spa srl pty pte bhd tbk holding holdings group",
    )
)
"""Words that end company names and do not tell companies apart."""
MODEL = "en-core-web-sm"
_LOOKING = threading.Lock()  # spaCy's pipeline is not made for two threads
_LEGAL_CJK = re.compile("(?:股份|控股|集团|集團|有限|责任|責任|公司|株式会社)+$")
_TOKEN = re.compile(rf"[{CJK}]|[$#]?[^\W_]+(?:[.&'’](?!s\b)[^\W_]+)*", re.UNICODE)


@dataclass(frozen=True)
class Mention:
    """Hold a place where a name stands: ``text[start:stop]`` is ``written``, ``key`` is what it stands for."""

    key: str
    start: int
    stop: int
    written: str


def short_name(name: str) -> str:
    """Write a company's name without its legal form.

    >>> short_name("Acme Robotics, Inc."), short_name("北辰科技股份有限公司")
    ('Acme Robotics', '北辰科技')
    """
    bare = _LEGAL_CJK.sub("", name.strip())
    tokens = list(_TOKEN.finditer(bare))
    while len(tokens) > 1 and tokens[-1].group().casefold().replace(".", "") in LEGAL:
        tokens.pop()
    return bare[: tokens[-1].end()] if tokens else bare


def bare_name(name: str) -> str:
    """Write a name without case, punctuation and legal form, so that variants of one name are equal.

    >>> bare_name("ACME Robotics Corp.") == bare_name("Acme Robotics, Inc.")
    True
    """
    words = [token.casefold() for token in _TOKEN.findall(short_name(name))]
    return "".join(words) if words and re.match(f"[{CJK}]", words[0]) else " ".join(words)


class Gazetteer:
    """Find known names in texts.

    ``names`` are pairs of a name as it is written and the key it stands for; of a name given twice, the first key
    holds. Names that are also in ``cased`` are found with the same capitals only. Raises ``ValueError`` for a name
    without letters and figures.

    >>> gazetteer = Gazetteer([("Acme Robotics", "ACME"), ("北辰科技", "BEICHEN")])
    >>> [(mention.key, mention.written) for mention in gazetteer.find("北辰科技 buys Acme Robotics' arm")]
    [('BEICHEN', '北辰科技'), ('ACME', 'Acme Robotics')]
    """

    def __init__(self, names: Iterable[tuple[str, str]], *, cased: Iterable[str] = ()) -> None:
        self._keys: dict[tuple[str, ...], str] = {}
        self._cased: dict[tuple[str, ...], set[str]] = {}
        for name, key in names:
            words = _words(name)
            if not words:
                raise ValueError(f"the name {name!r} of {key} has no letters or figures")
            self._keys.setdefault(words, key)
        for name in cased:
            self._cased.setdefault(_words(name), set()).add(name)
        self._longest = max(map(len, self._keys), default=0)

    def find(self, text: str) -> list[Mention]:
        """Give the names that occur, in order, none inside another."""
        return list(self._found(text))

    def _found(self, text: str) -> Iterator[Mention]:
        tokens = list(_TOKEN.finditer(text))
        folded = [token.group().casefold() for token in tokens]
        place = 0
        while place < len(tokens):
            for size in range(min(self._longest, len(tokens) - place), 0, -1):
                words = tuple(folded[place : place + size])
                key = self._keys.get(words)
                start, stop = tokens[place].start(), tokens[place + size - 1].end()
                if key is not None and text[start:stop] in self._cased.get(words, (text[start:stop],)):
                    yield Mention(key, start, stop, text[start:stop])
                    place += size
                    break
            else:
                place += 1


def organizations(texts: Sequence[str], *, settings: Settings | None = None) -> list[list[Mention]]:
    """Give what spaCy's small English pipeline takes for an organisation in each text; ``key`` is the bare name.

    It errs often on headlines: what it finds is for people to look at. Threads wait for each other; words that are new
    to the pipeline are forgotten at the end. Raises ``MissingDependencyError`` and ``WeightsError``.
    """
    pipeline = _pipeline((settings or Settings.load()).model_dump_json())
    with _LOOKING, pipeline.memory_zone():
        return [
            [Mention(bare_name(e.text), e.start_char, e.end_char, e.text) for e in doc.ents if e.label_ == "ORG"]
            for doc in pipeline.pipe(texts, batch_size=64)
        ]


@cache
def _pipeline(settings: str) -> Any:
    try:
        import spacy
    except ModuleNotFoundError as error:
        raise MissingDependencyError("spacy", "finance") from error
    path = weights.resolve(MODEL, settings=Settings.model_validate_json(settings))
    # The recognizer has vectors of its own; tok2vec serves what is left out here.
    pipeline = spacy.load(path, exclude=["tok2vec", "tagger", "parser", "attribute_ruler", "lemmatizer", "senter"])
    model = cast(Any, pipeline.get_pipe("ner")).model
    if getattr(model.ops, "use_blis", False):  # numpy takes half the time of BLIS and lets go of Python's lock
        by_numpy = type(model.ops)(use_blis=False)
        for part in model.walk():
            part.ops = by_numpy
    return pipeline


def _words(name: str) -> tuple[str, ...]:
    return tuple(token.casefold() for token in _TOKEN.findall(name))
