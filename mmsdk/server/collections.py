"""Routes of collections: create, list, describe, add, search, ask, delete."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, Request, UploadFile
from starlette.responses import Response

from mmsdk.errors import InputError
from mmsdk.server import events, shapes
from mmsdk.server.folder import save
from mmsdk.server.problems import RefusalError
from mmsdk.server.rules import Rules
from mmsdk.server.service import Service
from mmsdk.server.work import Work, state_of
from mmsdk.types import AddReport, Answer, Audio, Content, Image, Message

_ROOT = "/collections"
_ONE = "/collections/{collection}"
_WRITING: dict[str, Any] = {"scope": "write", "lane": "add"}


def router(service: Service, rules: Rules) -> APIRouter:
    """Give all routes below ``/collections``."""
    made = APIRouter(tags=["collections"])
    _managing(service, rules, made)
    _adding_files(service, rules, made)
    _adding(service, rules, made)
    _asking(service, rules, made)
    _documents(service, rules, made)
    return made


def _managing(service: Service, rules: Rules, made: APIRouter) -> None:
    @rules.route(made, "GET", _ROOT, response_model=shapes.Collections)
    async def list_collections(request: Request) -> Any:
        """List the collections that the key sees."""
        names = await _run(service, request, lambda: service.names(state_of(request.scope).key))
        return {"collections": [{"name": name} for name in names]}

    @rules.route(made, "POST", _ROOT, scope="admin", whole=True, status_code=201, response_model=shapes.InfoShape)
    async def create_collection(request: Request, given: shapes.NewCollection) -> Any:
        """Make an empty collection."""

        def create() -> Any:
            try:
                service.folder.create(given.name)
            except FileExistsError as error:
                raise RefusalError(409, "exists", f"there is already a collection {given.name!r}") from error
            return _info(service, given.name, state_of(request.scope))

        return await _run(service, request, create)

    @rules.route(made, "GET", _ONE, response_model=shapes.InfoShape)
    async def describe_collection(request: Request, collection: str) -> Any:
        """Describe a collection: sizes, encoders, indexes, and what was not taken in lately."""
        return await _run(service, request, lambda: _info(service, collection, state_of(request.scope)))

    @rules.route(made, "DELETE", _ONE, scope="admin", lane="add", status_code=204, response_class=Response)
    async def delete_collection(request: Request, collection: str) -> Response:
        """Delete a collection with everything in it and all uploads for it."""

        def delete() -> None:
            service.collection(collection, state_of(request.scope).key)
            service.folder.delete(collection)

        await _run(service, request, delete)
        return Response(status_code=204)


def _adding_files(service: Service, rules: Rules, made: APIRouter) -> None:
    @rules.route(made, "POST", _ONE + "/files", uploads=True, **_WRITING, response_model=shapes.ReportShape)
    async def add_files(
        request: Request,
        collection: str,
        files: Annotated[list[UploadFile], File(description="the files")],
        *,
        metadata: Annotated[str | None, Form(description="a JSON object for every document")] = None,
        mask: Annotated[bool, Form(description="mask personal data before anything is stored")] = False,
    ) -> Any:
        """Take uploaded files in; one replaces that of the same name. Those that fail are listed, the rest is in."""
        most = service.settings.server.files
        if len(files) > most:
            raise RefusalError(413, "too_many", f"{len(files)} files are more than the {most} allowed at once")
        described = _object(metadata)

        def take() -> AddReport:
            service.collection(collection, state_of(request.scope).key)
            with service.folder.incoming() as place:
                uploads = [
                    save(file.file, place, name=file.filename or "", number=number) for number, file in enumerate(files)
                ]
                return service.folder.add(collection, uploads, metadata=described, mask=mask)

        return (await _run(service, request, take)).to_json()


def _adding(service: Service, rules: Rules, made: APIRouter) -> None:
    @rules.route(made, "POST", _ONE + "/urls", **_WRITING, response_model=shapes.ReportShape)
    async def add_urls(request: Request, collection: str, given: shapes.Addresses) -> Any:
        """Fetch addresses and take them in. Those that fail are listed, the rest is in."""
        most = service.settings.server.files
        if len(given.urls) > most:
            raise RefusalError(413, "too_many", f"{len(given.urls)} addresses are more than the {most} allowed at once")

        def take() -> AddReport:
            service.collection(collection, state_of(request.scope).key)
            return service.folder.add_addresses(collection, given.urls, metadata=given.metadata, mask=given.mask)

        return (await _run(service, request, take)).to_json()

    @rules.route(made, "POST", _ONE + "/texts", **_WRITING, response_model=shapes.Ids)
    async def add_texts(request: Request, collection: str, given: shapes.Texts) -> Any:
        """Take texts in, all or none."""

        def take() -> list[str]:
            opened = service.collection(collection, state_of(request.scope).key)
            try:
                return opened.add_texts(given.texts, given.ids, given.metadata)
            except (ValueError, TypeError) as error:
                raise InputError(str(error)) from error

        return {"ids": await _run(service, request, take)}


def _asking(service: Service, rules: Rules, made: APIRouter) -> None:
    @rules.route(made, "POST", _ONE + "/search", lane="search", response_model=shapes.Hits)
    async def search(request: Request, collection: str, given: shapes.SearchRequest) -> Any:
        """Find what is near a text, a picture, a recording, or several of them as one question."""
        if given.k > service.settings.server.k:
            raise InputError(f"k: {given.k} is more than the {service.settings.server.k} allowed")

        def find() -> Any:
            opened = service.collection(collection, state_of(request.scope).key)
            query = _query(service, given.text, given.image, given.audio)
            options = {"diversity": given.diversity, "quota": given.quota, "collapse": given.collapse}
            return service.search(opened, query, k=given.k, where=given.where, **options)

        return {"hits": [hit.to_json() for hit in await _run(service, request, find)]}

    @rules.route(made, "POST", _ONE + "/ask", lane="answer", response_model=shapes.AnswerShape, responses=events.STREAM)
    async def ask(request: Request, collection: str, given: shapes.AskRequest) -> Any:
        """Answer a question, every statement with its source.

        With ``stream`` as server-sent events: ``sources`` (the hits), ``token`` (checked text), ``citation``,
        ``done`` (the whole answer), and ``error`` in place of ``done`` when something fails midway.
        """
        work = state_of(request.scope)
        await work.run(service.threads, service.collection, collection, work.key)

        def make() -> Any:
            opened = service.collection(collection, work.key)
            question = _query(service, given.question, given.image, given.audio)
            history = [Message(turn.role, turn.content) for turn in given.history]
            return service.stream(opened, question, work=work, history=history, where=given.where)

        if given.stream:
            return events.streamed(work, _written(service, work, make), lambda shape: events.event("error", shape))
        return (await answer(service, work, make)).to_json()


def _documents(service: Service, rules: Rules, made: APIRouter) -> None:
    @rules.route(made, "GET", _ONE + "/documents", response_model=shapes.Documents)
    async def list_documents(
        request: Request,
        collection: str,
        *,
        offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Any:
        """List documents, in the order of their ids."""
        key = state_of(request.scope).key
        return await _run(service, request, lambda: documents(service, collection, key, offset=offset, limit=limit))

    @rules.route(
        made, "DELETE", _ONE + "/documents/{document}", scope="write", lane="add", response_model=shapes.Deleted
    )
    async def delete_document(request: Request, collection: str, document: str) -> Any:
        """Delete one document."""

        def delete() -> int:
            opened = service.collection(collection, state_of(request.scope).key)
            if document not in opened.store.documents():
                raise RefusalError(404, "document_not_found", f"there is no document {document!r}")
            return _swept(service, collection, opened.delete(ids=[document]))

        return {"chunks": await _run(service, request, delete)}

    @rules.route(made, "POST", _ONE + "/delete", scope="write", lane="add", response_model=shapes.Deleted)
    async def delete(request: Request, collection: str, given: shapes.DeleteRequest) -> Any:
        """Delete documents by id or source, and the chunks that a filter matches."""

        def run() -> int:
            opened = service.collection(collection, state_of(request.scope).key)
            try:
                gone = opened.delete(ids=given.ids or None, source=given.sources or None, where=given.where)
            except ValueError as error:
                raise InputError(str(error)) from error
            return _swept(service, collection, gone)

        return {"chunks": await _run(service, request, run)}


def documents(service: Service, name: str, key: Any, *, offset: int, limit: int) -> dict[str, Any]:
    """Give some documents of a collection, with their sources and sizes."""
    opened = service.collection(name, key)
    ids = sorted(opened.store.documents())
    rows = []
    for document in ids[offset : offset + limit]:
        chunks = opened.store.chunks(document)
        rows.append(
            {
                "id": document,
                "source": chunks[0].source if chunks else "",
                "chunks": len(chunks),
                "modalities": sorted({chunk.modality for chunk in chunks}),
                "original": service.folder.original(name, document) is not None,
            }
        )
    return {"documents": rows, "total": len(ids)}


async def answer(service: Service, work: Work, make: Callable[[], Any]) -> Answer:
    """Run a stream of an answer to its end, in a thread."""

    def last() -> Answer:
        found: Answer | None = None
        for step in make():
            found = step.answer or found
        if found is None:
            raise RuntimeError("a stream ended without an answer")
        return found

    return await work.run(service.threads, last)


async def _written(service: Service, work: Work, make: Callable[[], Any]) -> AsyncIterator[bytes]:
    async with aclosing(events.steps(service, work, make)) as found:
        async for step in found:
            yield b": still at work\n\n" if step is None else events.event(step.kind, events.shape_of(step))


def _info(service: Service, name: str, work: Work) -> dict[str, Any]:
    info = service.collection(name, work.key).info()
    kept = ("documents", "chunks", "modalities", "encoders", "spaces", "bytes")
    return {"name": name, **{field: info[field] for field in kept}, "failures": service.folder.failures(name)}


def _query(service: Service, text: str | None, image: str | None, audio: str | None) -> Any:
    parts: list[Content] = [text] if text else []
    if image is not None:
        parts.append(service.media(shapes.decoded(image, "image"), Image, field="image"))
    if audio is not None:
        parts.append(service.media(shapes.decoded(audio, "audio"), Audio, field="audio"))
    if not parts:
        raise InputError("there is no question: give text, image or audio")
    return parts[0] if len(parts) == 1 else parts


def _object(text: str | None) -> dict[str, Any] | None:
    if not text:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"metadata is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InputError("metadata must be a JSON object")
    return value


def _swept(service: Service, name: str, gone: int) -> int:
    service.folder.sweep(name)
    return gone


async def _run(service: Service, request: Request, function: Callable[[], Any]) -> Any:
    return await state_of(request.scope).run(service.threads, function)
