"""Routes that OpenAI's clients understand: chat completions, embeddings, transcriptions, models.

The model of a chat is a collection: its last user message is a question to it. Sampling options have no
effect, because an answer is what the sources say.
"""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Request, UploadFile
from starlette.responses import JSONResponse, PlainTextResponse, Response

from mmsdk.errors import InputError
from mmsdk.protocols import Encoder
from mmsdk.server import events
from mmsdk.server import openai_shapes as shapes
from mmsdk.server.batching import Batcher
from mmsdk.server.collections import answer
from mmsdk.server.problems import RefusalError
from mmsdk.server.rules import Rules
from mmsdk.server.service import Service
from mmsdk.server.shapes import AnswerShape, decoded
from mmsdk.server.work import Work, state_of
from mmsdk.types import Answer, Audio, Content, Image, Message, Transcript, Vectors, modality_of
from mmsdk.weights import model_name

_CHAT: dict[int | str, Any] = {200: {"model": shapes.Completion, "content": events.CHUNKS}}
_WRITTEN: dict[int | str, Any] = {
    200: {"content": {"application/json": {"schema": {"type": "object"}}, "text/plain": {"schema": {"type": "string"}}}}
}


def router(service: Service, rules: Rules) -> APIRouter:
    """Give all routes below ``/v1``."""
    made = APIRouter(prefix="", tags=["openai"])
    _chat(service, rules, made)
    _embeddings(service, rules, made)
    _transcriptions(service, rules, made)
    _models(service, rules, made)
    return made


def _chat(service: Service, rules: Rules, made: APIRouter) -> None:
    @rules.route(made, "POST", "/v1/chat/completions", lane="answer", responses=_CHAT, response_model=None)
    async def chat_completions(request: Request, given: shapes.ChatRequest) -> Response:
        """Answer the last user message from the collection named as ``model``; the evidence is in ``mmsdk``."""
        work = state_of(request.scope)
        await work.run(service.threads, _collection, service, given.model, work)

        def make() -> Any:
            opened = _collection(service, given.model, work)
            question, history = _question(service, given.messages)
            return service.stream(opened, question, work=work, history=history, where=given.where)

        head = (f"chatcmpl-{work.id}", int(time.time()))
        if given.stream:
            pieces = _chunks(service, work, make, given=given, head=head)
            return events.streamed(work, pieces, _data)
        found = await answer(service, work, make)
        shape = AnswerShape.model_validate(found.to_json())
        return JSONResponse(shapes.Completion.of(shape, _usage(found), name=given.model, made=head).model_dump())


async def _chunks(
    service: Service, work: Work, make: Callable[[], Any], *, given: shapes.ChatRequest, head: tuple[str, int]
) -> AsyncIterator[bytes]:
    base = {"id": head[0], "object": "chat.completion.chunk", "created": head[1], "model": given.model}

    def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
        return _data({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more})

    yield chunk({"role": "assistant", "content": ""})
    async with aclosing(events.steps(service, work, make)) as steps:
        async for step in steps:
            if step is None:
                yield b": still at work\n\n"
            elif step.kind == "token":
                yield chunk({"content": step.text})
            elif step.answer is not None:
                evidence = AnswerShape.model_validate(step.answer.to_json()).model_dump(exclude={"text"})
                yield chunk({}, "stop", mmsdk=evidence)
                if given.stream_options and given.stream_options.include_usage:
                    yield _data({**base, "choices": [], "usage": _usage(step.answer).model_dump()})
    yield b"data: [DONE]\n\n"


def _embeddings(service: Service, rules: Rules, made: APIRouter) -> None:
    @rules.route(made, "POST", "/v1/embeddings", lane="encode", response_model=None,
                 responses={200: {"model": shapes.Embeddings}})  # fmt: skip
    async def embeddings(request: Request, given: shapes.EmbeddingRequest) -> Response:
        """Encode texts and pictures; requests at the same time share a batch."""
        work = state_of(request.scope)
        inputs = _inputs(given.input)
        most = service.settings.server.inputs
        if len(inputs) > most:
            raise RefusalError(413, "too_many", f"{len(inputs)} inputs are more than the {most} allowed", param="input")
        if any(not isinstance(one, str) or one.startswith("data:image/") for one in inputs):
            contents = await work.run(service.threads, lambda: [_content(service, one) for one in inputs])
        else:
            contents = list(inputs)
        vectors = await _vectors(service, given.model, contents)
        if given.dimensions not in (None, vectors.shape[1]):
            raise InputError(f"dimensions: vectors of {given.model} have {vectors.shape[1]}, not {given.dimensions}")
        return Response(_written(given, vectors, contents), media_type="application/json")


def _transcriptions(service: Service, rules: Rules, made: APIRouter) -> None:
    @rules.route(
        made, "POST", "/v1/audio/transcriptions", lane="answer", uploads=True, responses=_WRITTEN, response_model=None
    )
    async def transcriptions(
        request: Request,
        file: Annotated[UploadFile, File(description="a recording")],
        model: Annotated[str, Form(description="any: the transcriber is that of the settings")] = "whisper-1",  # noqa: ARG001
        *,
        response_format: Annotated[Literal["json", "text", "verbose_json", "srt", "vtt"], Form()] = "json",
    ) -> Response:
        """Write down what is said in a recording; its language is recognised."""
        data = await file.read()

        def write() -> tuple[Transcript, float]:
            recording = service.media(data, Audio, field="file")
            assert isinstance(recording, Audio)  # noqa: S101 - media checked it
            return service.runtime.transcriber().transcribe([recording])[0], recording.seconds

        transcript, seconds = await state_of(request.scope).run(service.threads, write)
        return _transcribed(transcript, seconds, response_format)


def _models(service: Service, rules: Rules, made: APIRouter) -> None:
    def listed(work: Work) -> list[shapes.Model]:
        found = [shapes.Model(id=name, kind="collection") for name in service.names(work.key)]
        names = dict.fromkeys(encoder.space for encoder in service.runtime.encoders())
        found += [shapes.Model(id=name, kind="encoder") for name in names]
        return [*found, shapes.Model(id=model_name("speech", service.settings), kind="transcriber")]

    @rules.route(made, "GET", "/v1/models", response_model=shapes.Models)
    async def models(request: Request) -> Any:
        """List the collections that the key sees, the encoders and the transcriber."""
        work = state_of(request.scope)
        return {"data": await work.run(service.threads, listed, work)}

    @rules.route(made, "GET", "/v1/models/{model:path}", response_model=shapes.Model)
    async def one_model(request: Request, model: str) -> Any:
        """Describe a model."""
        work = state_of(request.scope)
        found = [one for one in await work.run(service.threads, listed, work) if one.id == model]
        if not found:
            raise RefusalError(404, "model_not_found", f"there is no model {model!r}", param="model")
        return found[0]


def _collection(service: Service, name: str, work: Work) -> Any:
    try:
        return service.collection(name, work.key)
    except RefusalError as error:
        raise RefusalError(
            404, "model_not_found", f"there is no collection {name!r}; the model of a chat is one", param="model"
        ) from error


def _question(service: Service, messages: Sequence[shapes.ChatMessage]) -> tuple[Any, list[Message]]:
    last = messages[-1]
    if last.role != "user" or not last.content:
        raise InputError("messages: the last one must be of the user, and not empty")
    history = []
    for message in messages[:-1]:
        text = _text(message)
        if text and message.role in ("user", "assistant"):
            history.append(Message("user" if message.role == "user" else "assistant", text))
    parts = [last.content] if isinstance(last.content, str) else [_content(service, part) for part in last.content]
    if sum(len(part) for part in parts if isinstance(part, str)) > shapes.QUESTION:
        raise InputError(f"messages: a question has at most {shapes.QUESTION} characters")
    return (parts[0] if len(parts) == 1 else parts), history


def _text(message: shapes.ChatMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    return "\n".join(part.text for part in message.content or () if isinstance(part, shapes.TextPart))


def _content(service: Service, part: Any) -> Content:
    if isinstance(part, str):
        if part.startswith("data:image/"):
            return service.media(decoded(part, "input"), Image, field="input")
        return part
    if isinstance(part, shapes.TextPart):
        return part.text
    if isinstance(part, shapes.AudioPart):
        return service.media(decoded(part.input_audio.data, "input_audio.data"), Audio, field="input_audio")
    url: str = part.image_url.url
    if url.startswith("data:"):
        return service.media(decoded(url, "image_url.url"), Image, field="image_url")
    if not url.lower().startswith(("http://", "https://")):
        raise InputError(f"image_url.url must be a data: URL or an http(s) address, not {url[:80]!r}")
    return service.media(url, Image, field="image_url")


def _inputs(given: Any) -> list[Any]:
    inputs = [given] if isinstance(given, str) else list(given)
    if not inputs:
        raise InputError("input: it is empty")
    if any(isinstance(one, int | list) for one in inputs):
        raise InputError(
            "input: token ids of another model's tokenizer mean nothing here; send texts "
            "(in LangChain: OpenAIEmbeddings(check_embedding_ctx_length=False))"
        )
    return inputs


def _encoders(service: Service, name: str) -> list[Encoder]:
    every = service.runtime.encoders()
    chosen = [encoder for encoder in every if name in (encoder.space, encoder.space.partition(":")[2])]
    if not chosen:
        known = ", ".join(dict.fromkeys(encoder.space for encoder in every))
        raise RefusalError(404, "model_not_found", f"there is no encoder {name!r}; there are: {known}", param="model")
    return chosen


async def _vectors(service: Service, name: str, contents: list[Content]) -> Vectors:
    """Encode each content by the encoder of the space that takes it."""
    import numpy as np

    encoders = _encoders(service, name)
    parts: dict[int, list[int]] = {}
    for place, content in enumerate(contents):
        modality = modality_of(content)
        number = next((n for n, encoder in enumerate(encoders) if modality in encoder.modalities), None)
        if number is None:
            raise InputError(f"input: no encoder of {name} takes {modality}")
        parts.setdefault(number, []).append(place)
    rows = np.zeros((len(contents), encoders[0].dimension), np.float32)
    for number, places in parts.items():
        batcher = encoders[number]
        assert isinstance(batcher, Batcher)  # noqa: S101 - those of a ServingRuntime are
        future: Any = batcher.submit([contents[place] for place in places])
        rows[places] = await asyncio.wrap_future(future)
    return rows


def _written(given: shapes.EmbeddingRequest, vectors: Vectors, contents: Sequence[Content]) -> bytes:
    data = []
    for index, row in enumerate(vectors):
        as_text = given.encoding_format == "base64"
        value: Any = base64.b64encode(row.astype("<f4").tobytes()).decode() if as_text else row.tolist()
        data.append({"object": "embedding", "index": index, "embedding": value})
    tokens = sum(len(content) // 4 + 1 for content in contents if isinstance(content, str))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json.dumps({"object": "list", "data": data, "model": given.model, "usage": usage}).encode()


def _transcribed(transcript: Transcript, seconds: float, form: str) -> Response:
    if form == "text":
        return PlainTextResponse(transcript.text + "\n")
    if form in ("srt", "vtt"):
        return PlainTextResponse(_subtitles(transcript, form))
    if form == "json":
        return JSONResponse({"text": transcript.text})
    segments = [
        {"id": number, "start": one.start, "end": one.stop, "text": one.text}
        for number, one in enumerate(transcript.segments)
    ]
    shape = {"task": "transcribe", "language": transcript.language, "duration": seconds, "text": transcript.text}
    return JSONResponse({**shape, "segments": segments})


def _subtitles(transcript: Transcript, form: str) -> str:
    def stamp(moment: float) -> str:
        hours, rest = divmod(round(moment * 1000), 3_600_000)
        minutes, rest = divmod(rest, 60_000)
        return f"{hours:02}:{minutes:02}:{rest // 1000:02}{',' if form == 'srt' else '.'}{rest % 1000:03}"

    cues = [
        (f"{number}\n" if form == "srt" else "") + f"{stamp(one.start)} --> {stamp(one.stop)}\n{one.text.strip()}\n"
        for number, one in enumerate(transcript.segments, 1)
    ]
    return ("WEBVTT\n\n" if form == "vtt" else "") + "\n".join(cues)


def _usage(found: Answer) -> shapes.Usage:
    used = found.usage
    total = used.input_tokens + used.output_tokens
    return shapes.Usage(prompt_tokens=used.input_tokens, completion_tokens=used.output_tokens, total_tokens=total)


def _data(shape: Any) -> bytes:
    return f"data: {json.dumps(shape, ensure_ascii=False)}\n\n".encode()
