"""What a loader is given and what it gives; knows nothing of files, processes or any format.

A loader is a function ``load(data: bytes, job: Job) -> Parsed`` under an entry point of the group
``mmsdk.loaders`` whose name is the suffix it reads. It runs in a worker process with limits on time
and memory and may raise anything: what is no mmsdk error is reported as ``DecodeError``.

>>> def load(data: bytes, job: Job) -> Parsed:
...     tiles = Tiles()
...     tiles.add(data.decode("utf-8"), "paragraph")
...     return Parsed(tiles.parts, {"title": job.name})
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mmsdk import registry
from mmsdk.errors import DecodeError, MmsdkError, UnsupportedMediaError
from mmsdk.media import sniff
from mmsdk.settings import Limits
from mmsdk.types import JSON, Box, Locator, LocatorKind, Part

DEPTH = 5
"""How deep files may lie within files (a letter attached to a letter attached to ...)."""


@dataclass(frozen=True)
class Problem:
    """Name a piece of a file that was left out: where it stood, the error code and the reason."""

    where: str
    reason: str
    code: str = "decode"


@dataclass(frozen=True)
class Parsed:
    """Hold what a loader found: parts in reading order, metadata, and the pieces it had to leave out."""

    parts: tuple[Part, ...]
    metadata: Mapping[str, JSON] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Job:
    """Tell a loader the file's name (may be empty) and its limits."""

    name: str = ""
    limits: Limits = field(default_factory=Limits)
    pins: Mapping[str, str] = field(default_factory=dict)
    depth: int = 0

    def parse(self, data: bytes, name: str) -> Parsed:
        """Parse a file that lies within this one; raises ``DecodeError`` below five levels."""
        if self.depth >= DEPTH:
            raise DecodeError(f"{name or 'a file'} lies {DEPTH + 1} levels deep in other files; {DEPTH} are read")
        return parse(data, replace(self, name=name, depth=self.depth + 1))


def parse(data: bytes, job: Job, *, only: tuple[str, ...] = ()) -> Parsed:
    """Sniff ``data`` and give it to its loader; ``only`` names the loaders that may be used.

    ``metadata["media"]`` is the loader's name. Raises ``DecodeError`` when nothing is in it.
    """
    media = sniff(data, job.name)
    if only and media not in only:
        raise UnsupportedMediaError(f"this is {media}, not {' or '.join(only)}; add it to a collection to search it")
    parsed: Parsed = registry.load("loaders", media, pins=job.pins)(data, job)
    size = sum(len(part.content) for part in parsed.parts if isinstance(part.content, str))
    if size > job.limits.text_mb << 20:
        raise DecodeError(f"the text has {size} characters, more than limits.text_mb = {job.limits.text_mb}")
    if not any(not isinstance(part.content, str) or part.content.strip() for part in parsed.parts):
        left_out = "; ".join(f"{problem.where}: {problem.reason}" for problem in parsed.problems[:3])
        raise DecodeError(f"the {media} file holds no text, picture or sound{f' ({left_out})' if left_out else ''}")
    return replace(parsed, metadata={"media": media, **parsed.metadata})


class Tiles:
    r"""Lay text parts end to end, each with its characters; ``number`` and ``sheet`` go into every locator.

    >>> tiles = Tiles()
    >>> tiles.add("Title\n", "heading")
    >>> tiles.add("Words.", "paragraph")
    >>> str(tiles.parts[1].locator)
    'characters 6-12'
    """

    def __init__(self, kind: LocatorKind = "characters", *, number: int | None = None, sheet: str | None = None):
        self._kind, self._number, self._sheet = kind, number, sheet
        self._parts: list[Part] = []
        self._length = 0

    def add(self, text: str, kind: str = "paragraph", *, box: Box | None = None) -> None:
        """Put ``text`` after what is there; nothing happens for an empty one."""
        if not text:
            return
        stop = self._length + len(text)
        locator = Locator(self._kind, self._length, stop, self._number, box, self._sheet)
        self._parts.append(Part(text, locator, kind))
        self._length = stop

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts so far."""
        return tuple(self._parts)


def record(number: int, text: str, sheet: str | None = None) -> Part:
    """Give one row or record as a part; ``number`` counts from 1."""
    return Part(text, Locator("row", 0, len(text), number, None, sheet), "row")


def problem_of(where: str, error: Exception) -> Problem:
    """Describe an error as the problem of one piece."""
    if isinstance(error, MmsdkError):
        return Problem(where, str(error), error.code)
    return Problem(where, f"{type(error).__name__}: {error}")
