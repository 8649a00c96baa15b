"""The values that travel through mmsdk: frozen dataclasses that know nothing of files, models or databases."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

JSON = None | bool | int | float | str | list[Any] | dict[str, Any]
Modality = Literal["text", "image", "audio"]
Role = Literal["query", "document"]
LocatorKind = Literal["characters", "page", "image", "seconds", "row", "slide"]
Box = tuple[float, float, float, float]
Vectors = NDArray[np.float32]
"""Float32 ``[n, dimension]``, rows of unit L2 norm."""
Filter = Mapping[str, Any]
"""A ``where`` filter as JSON, for example ``{"year": {"$gte": 2024}}``."""


@dataclass(frozen=True, eq=False)
class Image:
    """Hold a picture: ``pixels`` is uint8 ``[height, width, 3]`` in RGB. Equal by content.

    >>> Image(np.zeros((2, 3, 3), np.uint8))
    Image(3 x 2 pixels)
    """

    pixels: NDArray[np.uint8]

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[2] != 3:
            raise TypeError(
                f"Image takes uint8 [height, width, 3], not {self.pixels.dtype} {list(self.pixels.shape)}. "
                "Read a file with mmsdk.load(path)."
            )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of shape and pixels, hexadecimal."""
        shape = repr(self.pixels.shape).encode()
        return hashlib.sha256(shape + np.ascontiguousarray(self.pixels).tobytes()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Image) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Image({self.pixels.shape[1]} x {self.pixels.shape[0]} pixels)"


@dataclass(frozen=True, eq=False)
class Audio:
    """Hold a recording: ``samples`` is float32 ``[time]``, mono, in [-1, 1]; ``rate`` is in Hz. Equal by content.

    >>> Audio(np.zeros(8000, np.float32), 16000)
    Audio(0.50 s at 16000 Hz)
    """

    samples: NDArray[np.float32]
    rate: int

    def __post_init__(self) -> None:
        if self.samples.dtype != np.float32 or self.samples.ndim != 1:
            raise TypeError(
                f"Audio takes float32 [time], not {self.samples.dtype} {list(self.samples.shape)}. "
                "Read a file with mmsdk.load(path)."
            )
        if self.rate <= 0:
            raise ValueError(f"rate is in Hz and must be positive, not {self.rate}")

    @property
    def seconds(self) -> float:
        """Duration."""
        return len(self.samples) / self.rate

    @cached_property
    def digest(self) -> str:
        """SHA-256 of rate and samples, hexadecimal."""
        return hashlib.sha256(str(self.rate).encode() + np.ascontiguousarray(self.samples).tobytes()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Audio) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Audio({self.seconds:.2f} s at {self.rate} Hz)"


Content = str | Image | Audio
Query = Content | Sequence[Content]
"""A sequence is ONE question in several modalities."""


def modality_of(content: Content) -> Modality:
    """Name the modality of a content by its type."""
    if isinstance(content, str):
        return "text"
    if isinstance(content, Image):
        return "image"
    if isinstance(content, Audio):
        return "audio"
    raise TypeError(f"content is a str, an Image or an Audio, not {type(content).__name__}")


@dataclass(frozen=True, slots=True)
class Locator:
    """Say where in its source something stands.

    ``start`` and ``stop`` are seconds for the kind ``seconds``; otherwise characters, half open, of the
    text of the source: of ``Document.text`` for ``characters``, of that page, slide or row for
    ``page``, ``slide`` and ``row``. ``number`` counts pages, slides and rows from 1 (row 1 is the first
    row of data; ``sheet`` names the sheet). ``box`` is (left, top, right, bottom) from the top left
    corner, in points (1/72 inch) on a page and in pixels in an image.

    >>> Locator("page", number=3, box=(72, 90, 300, 120)).to_json()
    {'kind': 'page', 'page': 3, 'box': [72, 90, 300, 120]}
    """

    kind: LocatorKind
    start: float | None = None
    stop: float | None = None
    number: int | None = None
    box: Box | None = None
    sheet: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Write it as JSON; the number stands under the name of the kind."""
        shape: dict[str, Any] = {"kind": self.kind}
        if self.number is not None:
            shape[self.kind] = self.number
        if self.sheet is not None:
            shape["sheet"] = self.sheet
        if self.box is not None:
            shape["box"] = list(self.box)
        if self.start is not None and self.stop is not None:
            shape["start"], shape["stop"] = self.start, self.stop
        return shape

    @classmethod
    def from_json(cls, shape: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote."""
        box = shape.get("box")
        return cls(
            shape["kind"],
            shape.get("start"),
            shape.get("stop"),
            shape.get(shape["kind"]),
            (box[0], box[1], box[2], box[3]) if box else None,
            shape.get("sheet"),
        )

    def narrowed(self, start: int, stop: int) -> "Locator":
        """Point to characters ``start`` to ``stop`` of the text this locator covers; seconds and images stay whole."""
        if self.kind in ("seconds", "image") or self.start is None:
            return self
        first = int(self.start)
        return Locator(self.kind, first + start, first + stop, self.number, self.box, self.sheet)

    def __str__(self) -> str:
        where = self.kind if self.number is None else f"{self.kind} {self.number}"
        if self.sheet is not None:
            where = f"{self.sheet}, {where}"
        if self.kind == "seconds" and self.start is not None and self.stop is not None:
            return f"seconds {self.start:.1f}-{self.stop:.1f}"
        if self.kind == "characters" and self.start is not None and self.stop is not None:
            return f"characters {self.start}-{self.stop}"
        if self.box is not None:
            where += " box (" + ", ".join(f"{side:.0f}" for side in self.box) + ")"
        return where


@dataclass(frozen=True)
class Part:
    """Hold one piece of a document as its loader found it.

    ``kind`` is one of heading, paragraph, list, code, table, row, picture, page (a page without text,
    rendered), recording, ocr, transcript. Text parts whose locators have one kind and number tile that
    text: joined in order they give it without a gap, white space between blocks included.
    """

    content: Content
    locator: Locator
    kind: str = "paragraph"


@dataclass(frozen=True, eq=False)
class Document:
    """Hold one source, decoded. ``digest`` is the SHA-256 of its bytes. Equal by id."""

    id: str
    parts: tuple[Part, ...]
    source: str
    digest: str
    metadata: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The text that locators of kind ``characters`` count in."""
        return "".join(
            part.content for part in self.parts if isinstance(part.content, str) and part.locator.kind == "characters"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Document) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)


@dataclass(frozen=True, eq=False)
class Chunk:
    """Hold what is encoded, stored and found: a passage, a picture, a stretch of a transcript. Equal by id.

    ``modality`` is its source part's: a transcript is ``audio`` and text read from a picture is
    ``image`` although their ``content`` is a string. ``text`` is empty for a picture itself.
    """

    id: str
    document_id: str
    content: Content
    text: str
    modality: Modality
    locator: Locator
    metadata: Mapping[str, JSON] = field(default_factory=dict)
    source: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chunk) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)


@dataclass(frozen=True)
class Hit:
    """Hold a found chunk. ``score`` is in [0, 1], higher is closer, comparable across modalities of one collection.

    ``trace`` says how the score came about: raw scores and ranks per space and in full text.
    """

    chunk: Chunk
    score: float
    trace: Mapping[str, JSON] = field(default_factory=dict, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Write it in the shape the command line and the server print."""
        chunk = self.chunk
        return {
            "id": chunk.id,
            "document_id": chunk.document_id,
            "score": round(self.score, 6),
            "modality": chunk.modality,
            "source": chunk.source,
            "locator": chunk.locator.to_json(),
            "text": chunk.text,
            "metadata": dict(chunk.metadata),
        }


@dataclass(frozen=True)
class Citation:
    """Tie characters ``start`` to ``stop`` of ``Answer.text`` to what supports them.

    ``quote`` is the supporting wording, verbatim from ``hit.chunk.text`` (empty for a picture), and
    ``locator`` points to it as narrowly as the source allows.
    """

    start: int
    stop: int
    hit: Hit
    quote: str
    locator: Locator

    def to_json(self) -> dict[str, Any]:
        """Write it in the shape the command line and the server print."""
        return {
            "start": self.start,
            "stop": self.stop,
            "source": self.hit.chunk.source,
            "locator": self.locator.to_json(),
            "quote": self.quote,
        }


@dataclass(frozen=True)
class Usage:
    """Count the tokens an LLM read and wrote."""

    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens)


@dataclass(frozen=True)
class Answer:
    """Hold an answer and its evidence. ``not_in_sources`` means that nothing found supports an answer."""

    text: str
    status: Literal["answered", "not_in_sources"]
    citations: tuple[Citation, ...] = ()
    hits: tuple[Hit, ...] = ()
    usage: Usage = Usage()
    trace: Mapping[str, JSON] = field(default_factory=dict, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Write it in the shape the command line and the server print."""
        return {
            "text": self.text,
            "status": self.status,
            "citations": [citation.to_json() for citation in self.citations],
            "hits": [hit.to_json() for hit in self.hits],
        }


@dataclass(frozen=True)
class Message:
    """Hold one turn of a conversation. A sequence is one turn in several modalities."""

    role: Literal["system", "user", "assistant"]
    content: Content | Sequence[Content]


@dataclass(frozen=True)
class Delta:
    """Hold a piece of generated text; ``usage`` comes with the last one."""

    text: str = ""
    usage: Usage | None = None


@dataclass(frozen=True)
class Segment:
    """Hold what was said from ``start`` to ``stop``, in seconds."""

    start: float
    stop: float
    text: str


@dataclass(frozen=True)
class Transcript:
    """Hold what was said in a recording. ``language`` is an ISO 639-1 code, empty when nothing was said."""

    segments: tuple[Segment, ...]
    language: str = ""
    language_probability: float = 0.0

    @property
    def text(self) -> str:
        """All segments, as one string."""
        return "".join(segment.text for segment in self.segments).strip()


@dataclass(frozen=True)
class Failure:
    """Name a source that was not taken in: at which stage, with which error code, and why."""

    source: str
    stage: Literal["fetch", "decode", "recognize", "encode", "store"]
    code: str
    reason: str


@dataclass(frozen=True)
class AddReport:
    """Say what an ``add`` did.

    ``skipped`` sources were unchanged, ``truncated`` inputs exceeded their encoder's length and
    ``masked`` counts pieces of personal data that were masked.
    """

    documents: int = 0
    chunks: int = 0
    skipped: int = 0
    failed: tuple[Failure, ...] = ()
    truncated: int = 0
    masked: int = 0

    def to_json(self) -> dict[str, Any]:
        """Write it in the shape ``mmsdk add --json`` prints."""
        return {
            "documents": self.documents,
            "chunks": self.chunks,
            "skipped": self.skipped,
            "failed": [vars(failure) for failure in self.failed],
            "truncated": self.truncated,
            "masked": self.masked,
        }
