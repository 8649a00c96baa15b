"""The JSON that collections' routes take and give, as pydantic models; the shapes are those of the command line."""

import base64
import binascii
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from mmsdk.errors import InputError

MAX_TEXT = 20_000
"""Characters of a question."""
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT)]
Where = dict[str, Any] | None
_DATA_URL = re.compile(r"data:[\w/+.;=-]{0,100};base64,", re.ASCII)


class Strict(BaseModel):
    """Refuse unknown fields."""

    model_config = ConfigDict(extra="forbid")


class HitShape(BaseModel):
    """A chunk that was found; ``score`` is in [0, 1], ``locator`` says where it stands in its source."""

    id: str
    document_id: str
    score: float
    modality: Literal["text", "image", "audio"]
    source: str
    locator: dict[str, Any]
    text: str
    metadata: dict[str, Any]


class CitationShape(BaseModel):
    """Characters ``start`` to ``stop`` of the answer, and what supports them."""

    start: int
    stop: int
    source: str
    locator: dict[str, Any]
    quote: str


class AnswerShape(BaseModel):
    """An answer with its evidence."""

    text: str
    status: Literal["answered", "not_in_sources"]
    citations: list[CitationShape]
    hits: list[HitShape]


class FailureShape(BaseModel):
    """A source that was not taken in, and why."""

    source: str
    stage: str
    code: str
    reason: str


class ReportShape(BaseModel):
    """What an addition did."""

    documents: int
    chunks: int
    skipped: int
    failed: list[FailureShape]
    truncated: int
    masked: int


class CollectionShape(BaseModel):
    """A collection in a list."""

    name: str


class Collections(BaseModel):
    """The collections that the key sees."""

    collections: list[CollectionShape]


class InfoShape(BaseModel):
    """A collection: its size, encoders and indexes, and what was not taken in lately."""

    name: str
    documents: int
    chunks: int
    modalities: dict[str, int]
    encoders: list[dict[str, Any]]
    spaces: list[dict[str, Any]]
    bytes: int
    failures: list[FailureShape]


class NewCollection(Strict):
    """A name of up to 64 letters, digits, ``-``, ``_`` and ``.``."""

    name: str = Field(min_length=1, max_length=64)


class Addresses(Strict):
    """Addresses to fetch; private, loopback and link-local ones are refused."""

    urls: list[Annotated[str, StringConstraints(min_length=1, max_length=4096)]] = Field(min_length=1)
    metadata: dict[str, Any] | None = None
    mask: bool = Field(False, description="mask personal data before anything is stored")


class Texts(Strict):
    """Texts, each a document; with ``ids`` they replace those of the same id."""

    texts: list[Annotated[str, StringConstraints(max_length=1_000_000)]] = Field(min_length=1, max_length=1000)
    ids: list[Annotated[str, StringConstraints(min_length=1, max_length=200)]] | None = None
    metadata: list[dict[str, Any]] | dict[str, Any] | None = None


class Ids(BaseModel):
    """The ids of documents."""

    ids: list[str]


class SearchRequest(Strict):
    """A question of a text, a picture, a recording, or several of them."""

    text: Text | None = None
    image: str | None = Field(None, description="base64 or a data: URL of a picture")
    audio: str | None = Field(None, description="base64 or a data: URL of a recording")
    k: int = Field(8, ge=1)
    where: Where = Field(None, description="a filter such as {'year': {'$gte': 2024}}")
    diversity: float = Field(0.0, ge=0, le=1)
    quota: dict[Literal["text", "image", "audio"], Annotated[int, Field(ge=0)]] | None = None
    collapse: float | None = Field(None, ge=0, le=1)


class Hits(BaseModel):
    """What was found, best first."""

    hits: list[HitShape]


class Turn(Strict):
    """An earlier turn of the conversation."""

    role: Literal["user", "assistant"]
    content: Text


class AskRequest(Strict):
    """A question; with ``stream`` the answer comes as server-sent events."""

    question: Text | None = None
    image: str | None = Field(None, description="base64 or a data: URL of a picture")
    audio: str | None = Field(None, description="base64 or a data: URL of a recording")
    history: list[Turn] = Field(default_factory=list, max_length=100)
    where: Where = None
    stream: bool = False


class DocumentShape(BaseModel):
    """A document of a collection."""

    id: str
    source: str
    chunks: int
    modalities: list[str]
    original: bool = Field(description="whether its file was uploaded here and can be opened")


class Documents(BaseModel):
    """Some of the documents, and how many there are."""

    documents: list[DocumentShape]
    total: int


class DeleteRequest(Strict):
    """What to delete: documents by id or source, and the chunks that a filter matches."""

    ids: list[Annotated[str, StringConstraints(min_length=1)]] = Field(default_factory=list, max_length=10_000)
    sources: list[Annotated[str, StringConstraints(min_length=1)]] = Field(default_factory=list, max_length=10_000)
    where: Where = None


class Deleted(BaseModel):
    """How many chunks are gone."""

    chunks: int


def decoded(text: str, field: str) -> bytes:
    """Read base64 or a base64 data URL. Raises ``InputError`` naming the field."""
    match = _DATA_URL.match(text)
    try:
        data = base64.b64decode(text[match.end() :] if match else text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{field} is no base64: {error}") from error
    if not data:
        raise InputError(f"{field} is empty")
    return data
