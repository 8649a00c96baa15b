"""The page: an ASGI application that shows a graph, the sentences of its edges, and takes decisions.

Whoever reaches it may read everything and decide: it is mounted behind the server's authentication. It loads nothing
from elsewhere, and what comes from documents is only ever written as text.
"""

import html
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from mmsdk.errors import InputError, MmsdkError
from mmsdk.types import Locator
from mmsdk_graph.graph import KnowledgeGraph

Opened = Callable[[], AbstractContextManager[KnowledgeGraph]]
"""Opens the graph for one request."""
EDGES = 20_000
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
_DECISIONS = ("accept", "reject", "merge", "never", "undo")
_BYTES = 10_000


def page(opened: Opened) -> Starlette:
    """Give the application; ``/`` is the page, ``/graph`` and ``/triple`` its data, ``/decide`` takes a decision."""

    def index(request: Request) -> Response:
        shown = _resource("page.html").replace("{root}", html.escape(request.scope.get("root_path", ""), quote=True))
        return HTMLResponse(shown, headers={**_HEADERS, "Content-Security-Policy": _POLICY})

    def script(_: Request) -> Response:
        return Response(_resource("page.js"), media_type="text/javascript", headers=_HEADERS)

    def graph(_: Request) -> Response:
        with opened() as graph:
            return _json(shown(graph))

    def triple(request: Request) -> Response:
        wanted = request.query_params.get("id", "")
        with opened() as graph:
            found = graph.triples({"id": wanted, "review": {"$exists": True}})
            if not found:
                return _json({"error": f"there is no triple {wanted!r}"}, 404)
            told = found[0].to_json()
            for support in told["supports"]:
                support["place"] = str(Locator.from_json(support["locator"]))
            return _json(told)

    async def decide(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return _json({"error": "send application/json"}, 415)
        body = await _body(request)
        return await run_in_threadpool(_decide, opened, body)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/page.js", script),
            Route("/graph", graph),
            Route("/triple", triple),
            Route("/decide", decide, methods=["POST"]),
        ],
        exception_handlers={MmsdkError: _failed},
    )


def shown(graph: KnowledgeGraph) -> dict[str, Any]:
    """Give the facts as nodes and edges, the surest edges when there are very many."""
    triples = sorted(graph.triples(), key=lambda t: -t.confidence)[:EDGES]
    ends = {end.id: end for t in triples for end in (t.head, t.tail)}
    nodes = [
        {"id": e.id, "name": e.name, "type": e.type, "aliases": list(e.aliases), "mentions": e.mentions}
        for e in sorted(ends.values(), key=lambda e: (-e.mentions, e.name))
    ]
    edges = [
        {"id": t.id, "head": t.head.id, "tail": t.tail.id, "relation": t.relation, "confidence": t.confidence}
        for t in triples
    ]
    return {"nodes": nodes, "edges": edges}


def _decide(opened: Opened, body: Any) -> Response:
    asked = [key for key in _DECISIONS if isinstance(body, dict) and key in body]
    if len(asked) != 1:
        raise InputError(f"one of {', '.join(_DECISIONS)} is needed")
    kind = asked[0]
    values = [body[kind]] + ([body.get("other")] if kind in ("merge", "never") else [])
    if kind != "undo" and not all(isinstance(value, str) and value for value in values):
        raise InputError(f"{kind} takes names or ids, not {values!r}")
    with opened() as graph:
        if kind == "undo":
            number = graph.undo(body["undo"] if isinstance(body["undo"], int) and body["undo"] > 0 else None)
        else:
            number = int(getattr(graph, kind)(*values, by="page"))
    return _json({"decision": number})


async def _body(request: Request) -> Any:
    import json

    data = b""
    async for part in request.stream():
        data += part
        if len(data) > _BYTES:
            raise InputError(f"a decision has at most {_BYTES} bytes")
    try:
        return json.loads(data)
    except ValueError as error:
        raise InputError("the decision is no JSON") from error


async def _failed(_: Request, error: Exception) -> Response:
    return _json({"error": str(error)}, int(getattr(error, "status", 500)))


def _json(data: Any, status: int = 200) -> Response:
    return JSONResponse(data, status, headers=_HEADERS)


def _resource(name: str) -> str:
    return (files("mmsdk_graph") / name).read_text("utf-8")
