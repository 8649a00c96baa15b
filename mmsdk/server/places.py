"""Routes that open a source at the place that is cited: page with box, recording from the second, marked text.

The pages are HTML without scripts; everything that comes from a source is escaped.
"""

import io
from collections.abc import Sequence
from html import escape
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from starlette.responses import FileResponse, HTMLResponse, Response

from mmsdk import media
from mmsdk.errors import MmsdkError
from mmsdk.server import shapes
from mmsdk.server.problems import RefusalError
from mmsdk.server.rendering import render
from mmsdk.server.rules import Rules
from mmsdk.server.service import Service
from mmsdk.server.work import Work, state_of
from mmsdk.types import Chunk, Hit, Image

_ONE = "/collections/{collection}"
_AROUND = 3
"""Passages shown before and behind the cited one."""
_SHOWN = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp", "BMP": "image/bmp"}
_HEARD = {"flac": "audio/flac", "ogg": "audio/ogg", "mp3": "audio/mpeg", "wav": "audio/wav", "mp4": "video/mp4",
          "matroska": "video/webm", "aac": "audio/aac"}  # fmt: skip
_PNG: dict[int | str, Any] = {200: {"content": {"image/png": {}}}}
_FILE: dict[int | str, Any] = {200: {"content": {"application/octet-stream": {}}}, 206: {}, 416: {}}
_HTML: dict[int | str, Any] = {200: {"content": {"text/html": {}}}}


def router(service: Service, rules: Rules) -> APIRouter:
    """Give the routes that show sources."""
    made = APIRouter(tags=["sources"])
    _chunks(service, rules, made)
    _files(service, rules, made)
    return made


def _chunks(service: Service, rules: Rules, made: APIRouter) -> None:
    @rules.route(made, "GET", _ONE + "/chunks/{chunk}", response_model=shapes.HitShape)
    async def one_chunk(request: Request, collection: str, chunk: str) -> Any:
        """Give one chunk as a hit with the score 1."""
        work = state_of(request.scope)
        found = await work.run(service.threads, _chunk, service, collection, chunk, work)
        return Hit(found, 1.0).to_json()

    @rules.route(made, "GET", _ONE + "/chunks/{chunk}/picture", response_class=Response, responses=_PNG)
    async def picture(request: Request, collection: str, chunk: str) -> Response:
        """Draw the page or the picture that a chunk stands in, its box marked."""
        work = state_of(request.scope)

        def draw() -> bytes:
            return _drawn(service, collection, _chunk(service, collection, chunk, work))

        data = await work.run(service.threads, draw)
        return Response(data, media_type="image/png", headers={"Cache-Control": "private, max-age=300"})

    @rules.route(made, "GET", _ONE + "/chunks/{chunk}/view", response_class=HTMLResponse, responses=_HTML, look="view")
    async def view(
        request: Request,
        collection: str,
        chunk: str,
        *,
        start: Annotated[int | None, Query(ge=0, le=2**53)] = None,
        stop: Annotated[int | None, Query(ge=0, le=2**53)] = None,
    ) -> Response:
        """Show the place: page or picture with the box, recording, text with ``start`` to ``stop`` marked."""
        work = state_of(request.scope)

        def write() -> str:
            found = _chunk(service, collection, chunk, work)
            return _page(service, collection, found, span=None if start is None or stop is None else (start, stop))

        return HTMLResponse(await work.run(service.threads, write))


def _files(service: Service, rules: Rules, made: APIRouter) -> None:
    @rules.route(made, "GET", _ONE + "/documents/{document}/original", response_class=Response, responses=_FILE)
    async def original(request: Request, collection: str, document: str) -> Response:
        """Give the file that was uploaded; pictures and recordings to be shown, anything else to be saved."""
        work = state_of(request.scope)

        def find() -> tuple[Any, str]:
            service.collection(collection, work.key)
            path = service.folder.original(collection, document)
            if path is None:
                raise RefusalError(404, "original_not_found", f"no uploaded file belongs to document {document!r}")
            with path.open("rb") as file:
                return path, _media_type(file.read(4096))

        path, kind = await work.run(service.threads, find)
        how = "attachment" if kind == "application/octet-stream" else "inline"
        return FileResponse(path, media_type=kind, headers={"Content-Disposition": how, "Cache-Control": "private"})


def link(collection: str, hit: Chunk, span: tuple[int, int] | None = None) -> str:
    """Give the address of the page that shows a chunk, with characters of its source marked."""
    address = f"/collections/{quote(collection, safe='')}/chunks/{quote(hit.id, safe='')}/view"
    return address if span is None else f"{address}?start={span[0]}&stop={span[1]}"


def _chunk(service: Service, collection: str, chunk: str, work: Work) -> Chunk:
    found = service.collection(collection, work.key).store.get([chunk])
    if not found:
        raise RefusalError(404, "chunk_not_found", f"there is no chunk {chunk!r}")
    return found[0]


def _media_type(head: bytes) -> str:
    shown = _SHOWN.get(media.picture_format(head) or "")
    return shown or _HEARD.get(media.recording_format(head) or "", "application/octet-stream")


def _drawn(service: Service, collection: str, chunk: Chunk) -> bytes:
    original = service.folder.original(collection, chunk.document_id)
    if original is not None and chunk.locator.kind in ("page", "image"):
        try:
            return render(original, chunk.locator, service.settings.limits)
        except MmsdkError:
            if not isinstance(chunk.content, Image):
                raise
    if not isinstance(chunk.content, Image):
        raise RefusalError(404, "picture_not_found", "this chunk has no picture, and its file was not uploaded here")
    import PIL.Image

    PIL.Image.fromarray(chunk.content.pixels).save(out := io.BytesIO(), "PNG")
    return out.getvalue()


def _page(service: Service, collection: str, chunk: Chunk, *, span: tuple[int, int] | None) -> str:
    base = f"/collections/{quote(collection, safe='')}"
    one = f"{base}/chunks/{quote(chunk.id, safe='')}"
    file = f"{base}/documents/{quote(chunk.document_id, safe='')}/original"
    has_file = service.folder.original(collection, chunk.document_id) is not None
    locator = chunk.locator
    body = []
    if isinstance(chunk.content, Image) or (
        has_file and locator.kind in ("page", "image") and _is_drawable(service, collection, chunk)
    ):
        body.append(f'<p><img src="{one}/picture" alt="{escape(str(locator))} of {escape(chunk.source)}"></p>')
    if locator.kind == "seconds" and has_file:
        body.append(
            f'<p><audio controls preload="metadata" src="{file}#t={float(locator.start or 0):.2f}"></audio></p>'
        )
    around = _around(service, collection, chunk)
    body += [_passage(near, span, is_cited=near.id == chunk.id) for near in around]
    if has_file:
        body.append(f'<p><a href="{file}" download>Open the file</a></p>')
    head = f"{escape(chunk.source)}<small>{escape(str(locator))}</small>"
    return document(chunk.source, f"<h1>{head}</h1>" + "".join(body))


def _is_drawable(service: Service, collection: str, chunk: Chunk) -> bool:
    original = service.folder.original(collection, chunk.document_id)
    if original is None:
        return False
    with original.open("rb") as file:
        head = file.read(4096)
    return b"%PDF-" in head[:1024] if chunk.locator.kind == "page" else media.picture_format(head) is not None


def _around(service: Service, collection: str, chunk: Chunk) -> Sequence[Chunk]:
    chunks = service.folder.open(collection).store.chunks(chunk.document_id)
    place = next((n for n, one in enumerate(chunks) if one.id == chunk.id), 0)
    return [one for one in chunks[max(0, place - _AROUND) : place + _AROUND + 1] if one.text or one.id == chunk.id]


def _passage(chunk: Chunk, span: tuple[int, int] | None, *, is_cited: bool) -> str:
    text = chunk.text
    if not text:
        return ""
    marked = escape(text)
    if is_cited and span is not None and chunk.locator.start is not None:
        first = max(0, span[0] - int(chunk.locator.start))
        last = max(first, span[1] - int(chunk.locator.start))
        marked = f"{escape(text[:first])}<mark>{escape(text[first:last])}</mark>{escape(text[last:])}"
    where = f"<small>{escape(str(chunk.locator))}</small>"
    return f'<div class="passage{" cited" if is_cited else ""}">{where}<p>{marked}</p></div>'


def document(title: str, body: str) -> str:
    """Give an HTML page; ``body`` must be escaped already."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="stylesheet" href="/files/style.css"></head>'
        f"<body><main>{body}</main></body></html>"
    )
