"""OpenAI's requests as far as they are understood; what has no effect is accepted and ignored, as documented.

Responses are written by hand in ``openai``: their fields are OpenAI's, with one of our own, ``mmsdk``.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from mmsdk.server.shapes import MAX_TEXT, AnswerShape, Where

Long = Annotated[str, StringConstraints(max_length=1_000_000)]
Url = Annotated[str, StringConstraints(min_length=1, max_length=64 << 20)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class ImageUrl(BaseModel):
    """A picture: a data: URL, or an http(s) address that is fetched under the rules of ``[fetch]``."""

    url: Url


class InputAudio(BaseModel):
    """A recording in base64."""

    data: Url
    format: str = Field("wav", max_length=20)


class TextPart(BaseModel):
    """Words."""

    type: Literal["text", "input_text"]
    text: Long


class ImagePart(BaseModel):
    """A picture."""

    type: Literal["image_url"]
    image_url: ImageUrl


class AudioPart(BaseModel):
    """A recording."""

    type: Literal["input_audio"]
    input_audio: InputAudio


Part = Annotated[TextPart | ImagePart | AudioPart, Field(discriminator="type")]


class ChatMessage(BaseModel):
    """A turn. Only the last user message is answered; those before complete a question that leans on them."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Long | Annotated[list[Part], Field(max_length=50)] | None = None


class StreamOptions(BaseModel):
    """Options of a stream."""

    include_usage: bool = False


class ReplyFormat(BaseModel):
    """How a reply is written: an answer is text of the sources, never JSON by a schema."""

    type: Literal["text"]


class ChatRequest(BaseModel):
    """A chat; ``model`` is a collection. ``where`` (of mmsdk) filters its sources."""

    model: Name
    messages: list[ChatMessage] = Field(min_length=1, max_length=500)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = Field(1, ge=1, le=1)
    tools: list[Any] | None = Field(None, max_length=0, description="no tools: what a model writes has no authority")
    response_format: ReplyFormat | None = None
    where: Where = None


class Usage(BaseModel):
    """Tokens of the LLM."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Evidence(BaseModel):
    """What mmsdk adds: the status, the citations and the hits of ``POST /collections/{collection}/ask``."""

    status: Literal["answered", "not_in_sources"]
    citations: list[dict[str, Any]]
    hits: list[dict[str, Any]]


class Reply(BaseModel):
    """The message of a choice."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: str | None = None


class Choice(BaseModel):
    """The one choice."""

    index: int = 0
    message: Reply
    finish_reason: Literal["stop"] = "stop"
    logprobs: None = None


class Completion(BaseModel):
    """A chat completion; ``mmsdk`` holds the evidence."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    mmsdk: Evidence

    @classmethod
    def of(cls, answer: AnswerShape, usage: Usage, *, name: str, made: tuple[str, int]) -> "Completion":
        """Write an answer as a completion."""
        evidence = Evidence.model_validate(answer.model_dump(include={"status", "citations", "hits"}))
        choices = [Choice(message=Reply(content=answer.text))]
        return cls(id=made[0], created=made[1], model=name, choices=choices, usage=usage, mmsdk=evidence)


class EmbeddingRequest(BaseModel):
    """Texts, and pictures as ``data:image/...;base64,`` URLs or content parts, to be encoded."""

    model: Name
    input: Long | list[int] | list[Long | Part | list[int]]
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: int | None = Field(None, ge=1)


class Embedding(BaseModel):
    """A vector of unit length: numbers, or base64 of little-endian float32."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    """About how many tokens were encoded (characters / 4)."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(BaseModel):
    """The vectors, in the order of the inputs."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


class Model(BaseModel):
    """A collection, an encoder, or what writes recordings down."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "mmsdk"
    kind: Literal["collection", "encoder", "transcriber"]


class Models(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[Model]


QUESTION = MAX_TEXT
