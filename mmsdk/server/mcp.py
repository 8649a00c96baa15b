"""Tools for agents by the Model Context Protocol: search, ask, add, and every plugin task.

Over HTTP at ``/mcp``, stateless and behind the same defence as all routes; over standard input and output
by ``mmsdk mcp``. What a tool gives is data of the collections, never an instruction.
"""

import io
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from pydantic import BaseModel, Field

import mmsdk
from mmsdk.plugin import Task
from mmsdk.server import logs, problems
from mmsdk.server.folder import save
from mmsdk.server.plugins import called
from mmsdk.server.problems import RefusalError
from mmsdk.server.service import Service
from mmsdk.server.shapes import Strict, Text, Where, decoded
from mmsdk.server.work import Work
from mmsdk.types import AddReport

Run = Callable[[Any, Work], Any]


class Search(Strict):
    """Find passages, pictures and recordings of a collection that are near a text."""

    collection: str
    text: Text
    k: int = Field(8, ge=1, le=50)
    where: Where = Field(None, description="a filter such as {'year': {'$gte': 2024}}")


class Ask(Strict):
    """Answer a question from a collection, every statement with its source, or say that the sources do not."""

    collection: str
    question: Text
    where: Where = None


class File(Strict):
    """A file in base64."""

    name: str
    data: str


class Add(Strict):
    """Take addresses, texts and files into a collection."""

    collection: str
    urls: list[str] = Field(default_factory=list, max_length=100)
    texts: list[str] = Field(default_factory=list, max_length=1000)
    files: list[File] = Field(default_factory=list, max_length=100)


@dataclass(frozen=True)
class _Tool:
    request: type[BaseModel]
    help: str
    scope: str
    run: Run
    whole: bool = False


class Tools:
    """Offer the tools of a service to agents."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._tools: dict[str, _Tool] = {
            "search": _Tool(Search, Search.__doc__ or "", "read", self._search),
            "ask": _Tool(Ask, Ask.__doc__ or "", "read", self._ask),
            "add": _Tool(Add, Add.__doc__ or "", "write", self._add),
        }
        for task in service.app.tasks.values():
            run = partial(self._task, task)
            self._tools[task.name.replace(".", "_")] = _Tool(task.offered, task.help, "write", run, whole=True)
        self.server: Server[Any] = Server(
            "mmsdk", version=mmsdk.__version__, on_list_tools=self._listed, on_call_tool=self._answered
        )
        self._manager = StreamableHTTPSessionManager(
            self.server,
            json_response=True,
            stateless=True,
            max_request_body_size=service.settings.server.body_mb << 20,
        )
        self.handle = StreamableHTTPASGIApp(self._manager)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve over HTTP while this is open."""
        async with self._manager.run():
            yield

    async def stdio(self) -> None:
        """Serve one client over standard input and output, until it leaves."""
        async with stdio_server() as (reading, writing):
            await self.server.run(reading, writing, self.server.create_initialization_options())

    async def _listed(self, ctx: Any, _: Any) -> types.ListToolsResult:
        key = _work(ctx).key
        return types.ListToolsResult(
            tools=[
                types.Tool(name=name, description=tool.help, input_schema=tool.request.model_json_schema())
                for name, tool in self._tools.items()
                if key.may(tool.scope) and not (tool.whole and key.collections is not None)
            ]
        )

    async def _answered(self, ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        work = _work(ctx)
        try:
            tool = self._tools.get(params.name)
            if tool is None or (tool.whole and work.key.collections is not None):
                raise RefusalError(404, "tool_not_found", f"there is no tool {params.name!r}")
            if not work.key.may(tool.scope):
                raise RefusalError(403, "forbidden", f"{params.name} needs a key with the scope {tool.scope}")
            request = tool.request.model_validate(params.arguments or {})
            given = await work.run(self._service.threads, tool.run, request, work)
        except Exception as error:  # noqa: BLE001 - tools tell their errors in their results
            status, shape, _ = problems.told(error, work.id)
            if status == 500:
                logs.tell(
                    logging.ERROR, "failure", request_id=work.id, route=f"/mcp {params.name}", **logs.where(error)
                )
            return _result(shape, is_error=True)
        return _result(given)

    def _search(self, request: Search, work: Work) -> Any:
        collection = self._service.collection(request.collection, work.key)
        hits = self._service.search(collection, request.text, k=request.k, where=request.where)
        return {"hits": [hit.to_json() for hit in hits]}

    def _ask(self, request: Ask, work: Work) -> Any:
        collection = self._service.collection(request.collection, work.key)
        for event in self._service.stream(collection, request.question, work=work, where=request.where):
            if event.answer is not None:
                return event.answer.to_json()
        raise RuntimeError("a stream ended without an answer")

    def _add(self, request: Add, work: Work) -> Any:
        collection = self._service.collection(request.collection, work.key)
        reports = []
        if request.urls:
            reports.append(self._service.folder.add_addresses(request.collection, request.urls))
        if request.files:
            with self._service.folder.incoming() as place:
                given = [(file.name, io.BytesIO(decoded(file.data, f"files.{file.name}"))) for file in request.files]
                uploads = [save(data, place, name=name, number=number) for number, (name, data) in enumerate(given)]
                reports.append(self._service.folder.add(request.collection, uploads))
        if request.texts:
            reports.append(AddReport(documents=len(set(collection.add_texts(request.texts))), chunks=0))
        done = [report.to_json() for report in reports]
        counts = {name: sum(one[name] for one in done) for name in ("documents", "chunks", "skipped")}
        return {**counts, "failed": [failure for one in done for failure in one["failed"]]}

    def _task(self, task: Task, request: BaseModel, _: Work) -> Any:
        whole = request if isinstance(request, task.request) else task.request.model_validate(request.model_dump())
        return called(self._service, task, whole).model_dump(mode="json")


def _work(ctx: Any) -> Work:
    """Give the work of the HTTP request, or over standard input that of whoever started the process."""
    if ctx.request is None:
        return Work("stdio")
    found: Work = ctx.request.scope["state"]["work"]
    return found


def _result(shape: Any, *, is_error: bool = False) -> types.CallToolResult:
    text = types.TextContent(type="text", text=json.dumps(shape, ensure_ascii=False))
    return types.CallToolResult(content=[text], structured_content=shape, is_error=is_error)
