"""The ASGI application: all routes behind the defence.

``create`` gives it for a data folder; ``mmsdk serve`` runs it, any ASGI server can.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

import mmsdk
from mmsdk.server import collections, login, logs, mcp, openai, places, plugins, problems
from mmsdk.server.defence import Defence, Guard
from mmsdk.server.links import linked
from mmsdk.server.rules import Rule, Rules
from mmsdk.server.service import Service
from mmsdk.settings import Settings

_TEXT: dict[int | str, Any] = {200: {"content": {"text/plain": {}}}}


class State(BaseModel):
    """Say that all is well."""

    status: str


def create(data: str | Path, settings: Settings | None = None, *, host: str = "127.0.0.1", ui: bool = True) -> ASGIApp:
    """Make the application over a data folder, which is made when it is not there.

    ``host`` is the name that the server is reached by, besides those of ``server.hosts``. Without ``ui`` there
    is no web page. The models load when the application starts; ``/ready`` says when that is done.
    """
    return build(Service(data, settings), host=host, ui=ui)


def build(service: Service, *, host: str = "127.0.0.1", ui: bool = True) -> Defence:
    """Make the application of a service, which it closes in the end."""
    rules = Rules()
    tools = mcp.Tools(service)
    app = FastAPI(
        title="mmsdk",
        version=mmsdk.__version__,
        description="Files of any modality in, answers with evidence out.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lambda _: _lifespan(service, tools),
    )
    problems.install(app)
    app.include_router(_own(service, rules, app))
    for routes in (openai, collections, places, login, plugins):
        app.include_router(routes.router(service, rules))
    rules.add(Rule(frozenset({"POST"}), "/mcp", lane="answer"))
    app.router.routes.append(Route("/mcp", tools.handle, methods=["POST"], include_in_schema=False))
    pages = plugins.mount(service, rules, app)
    if ui:
        from mmsdk.server.ui import mount

        mount(service, rules, app, pages=pages)
    app.state.openapi = linked(problems.described(app.openapi()))
    guard = Guard(rules, service.keys, service.lanes, service.metrics, service.settings.server, host)
    return Defence(app, guard)


@asynccontextmanager
async def _lifespan(service: Service, tools: "mcp.Tools") -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(tools.running())
        warming = asyncio.get_running_loop().run_in_executor(None, _warm, service)
        try:
            yield
        finally:
            await asyncio.wait({warming})
            await asyncio.to_thread(service.close)


def _warm(service: Service) -> None:
    """Load the text encoder, so that the first question does not wait; whatever fails is told to who needs it."""
    try:
        for encoder in service.runtime.encoders()[:1]:
            encoder.encode(["ready"], role="query")
    except Exception as error:  # noqa: BLE001 - without models there is still what needs none
        logs.tell(logging.ERROR, "models_not_ready", **logs.where(error))
        return
    service.settle()
    service.ready = True


def _own(service: Service, rules: Rules, app: FastAPI) -> APIRouter:
    made = APIRouter(tags=["server"])

    @rules.route(made, "GET", "/health", scope="open", response_model=State)
    async def health() -> Any:
        """Say that the process answers."""
        return {"status": "ok"}

    @rules.route(made, "GET", "/ready", scope="open", response_model=State)
    async def ready() -> Any:
        """Say whether requests should be sent here: models are loaded and the server is not shutting down."""
        if service.ready and not any(lane.closing for lane in service.lanes.values()):
            return {"status": "ready"}
        return JSONResponse(problems.body(503, "not_ready", "models are loading, or the server is shutting down"), 503)

    @rules.route(made, "GET", "/metrics", scope="admin", response_class=Response, responses=_TEXT)
    async def metrics() -> Response:
        """Give counts and durations for Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @rules.route(made, "GET", "/openapi.json", response_class=JSONResponse, include_in_schema=False)
    async def openapi() -> Response:
        """Describe all routes."""
        return JSONResponse(app.state.openapi)

    @rules.route(made, "GET", "/", include_in_schema=False, look="ui")
    async def root() -> Response:
        """Lead to the UI, or to the description of the routes."""
        has_ui = any(rule.template == "/ui" for rule in rules.mounts())
        return RedirectResponse("/ui/" if has_ui else "/openapi.json", 307)

    return made
