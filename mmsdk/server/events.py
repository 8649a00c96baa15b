"""Server-sent events: an answer as it comes about, from the thread that makes it to the client.

The format is that of the HTML standard. The stream ends with ``done`` or ``error``.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

from starlette.responses import StreamingResponse

from mmsdk.assistant import Event
from mmsdk.server import problems
from mmsdk.server.service import Service
from mmsdk.server.work import Work

T = TypeVar("T")
_SILENCE = 15.0
"""Seconds after which a comment is sent, so that proxies keep the connection."""
_DATA = {"type": "string", "contentMediaType": "application/json", "contentSchema": {"type": "object"}}
_EVENT = {
    "type": "object",
    "properties": {"event": {"enum": ["sources", "token", "citation", "done", "error"]}, "data": _DATA},
    "required": ["event", "data"],
    "additionalProperties": False,
}
STREAM: dict[int | str, Any] = {200: {"content": {"text/event-stream": {"itemSchema": _EVENT}}}}
"""What one event of an answer is (``itemSchema`` is OpenAPI 3.2's; readers of 3.1 pass over it)."""
CHUNKS: dict[str, Any] = {
    "text/event-stream": {
        "itemSchema": {
            "type": "object",
            "properties": {"event": {"const": "message"}, "data": {"anyOf": [_DATA, {"const": "[DONE]"}]}},
            "required": ["data"],
            "additionalProperties": False,
        }
    }
}
"""What one event of OpenAI's format is: a chunk or an error, and at the end a word."""


def event(kind: str, shape: Any) -> bytes:
    """Write one event."""
    return f"event: {kind}\ndata: {json.dumps(shape, ensure_ascii=False)}\n\n".encode()


def shape_of(step: Event) -> Any:
    """Give the JSON of a step of an answer."""
    if step.answer is not None:
        return step.answer.to_json()
    if step.citation is not None:
        return step.citation.to_json()
    return {"hits": [hit.to_json() for hit in step.hits]} if step.kind == "sources" else {"text": step.text}


async def steps(service: Service, work: Work, make: Callable[[], Iterator[T]]) -> AsyncGenerator[T | None]:
    """Iterate in a thread; None says that it takes long. Closing this stops the work."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[T | None, Exception | None]] = asyncio.Queue()

    def iterate() -> None:
        for step, error in _told(make, work):
            loop.call_soon_threadsafe(queue.put_nowait, (step, error))

    thread = asyncio.ensure_future(work.run(service.threads, iterate))
    try:
        while True:
            try:
                step, error = await asyncio.wait_for(queue.get(), _SILENCE)
            except TimeoutError:
                yield None
                continue
            if error is not None:
                raise error
            if step is None:
                return
            yield step
    finally:
        if not thread.done():
            work.stop("left")
        await asyncio.wait({thread})


def _told(make: Callable[[], Iterator[T]], work: Work) -> Iterator[tuple[T | None, Exception | None]]:
    """Give steps, and at the end nothing or the error that ended them."""
    try:
        for step in make():
            work.check()
            yield step, None
    except Exception as error:  # noqa: BLE001 - it is raised again where the steps are awaited
        yield None, error
    else:
        yield None, None


def streamed(work: Work, pieces: AsyncIterator[bytes], failed: Callable[[dict[str, Any]], bytes]) -> StreamingResponse:
    """Answer with a stream of pieces; an error that comes midway is its last piece."""

    async def guarded() -> AsyncIterator[bytes]:
        try:
            async for piece in pieces:
                yield piece
        except Exception as error:  # noqa: BLE001 - the status is sent already; the stream tells it
            _, shape, _ = problems.told(error, work.id)
            yield failed(shape)

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(guarded(), media_type="text/event-stream", headers=headers)
