"""The dashboard: an ASGI application that shows a monitor, looks again by itself, and acknowledges alerts.

It reads the folder of a monitor that may run in another process. Whoever reaches it may read everything and
acknowledge: it is mounted behind the server's authentication. The page loads nothing from elsewhere, and what comes
from news is only ever written as text.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from importlib.resources import files
from typing import Any

from pydantic import BaseModel, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from mmsdk.errors import InputError, MissingDependencyError, MmsdkError
from mmsdk_finance.items import moment
from mmsdk_finance.monitor import SentimentMonitor
from mmsdk_finance.mood import Level
from mmsdk_finance.state import stamp
from mmsdk_finance.views import (
    DAY,
    Wanted,
    course,
    evidence,
    first_event,
    quarantine,
    reviews,
    stories_a_day,
    times_of,
)

Opened = Callable[[], AbstractContextManager[SentimentMonitor]]
"""Opens the monitor for one request."""
PAGE = 20
"""Lines of evidence in one answer."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


class Acknowledgement(BaseModel, extra="forbid"):
    """Who has seen which alert."""

    number: int
    by: str = Field(min_length=1, max_length=200)
    note: str = Field("", max_length=2000)


def dashboard(opened: Opened) -> Starlette:
    """Give the application; ``/`` is the page, ``/overview`` and ``/evidence`` its data as JSON.

    Raises ``MissingDependencyError`` on the first drawing when plotly is not installed.
    """

    def page(request: Request) -> Response:
        html = _resource("dashboard.html").replace("{root}", _escaped(request.scope.get("root_path", "")))
        return HTMLResponse(html, headers={**_HEADERS, "Content-Security-Policy": _POLICY, "Cache-Control": "no-store"})

    def overview_(request: Request) -> Response:
        days = _number(request, "days", 90, most=3650)
        with opened() as monitor:
            return _json(overview(monitor, days=days))

    def evidence_(request: Request) -> Response:
        offset = int(_number(request, "offset", 0, most=1e9))
        with opened() as monitor:
            rows = evidence(monitor.state, _wanted(request), limit=PAGE + 1, offset=offset)
        return _json({"rows": rows[:PAGE], "more": len(rows) > PAGE})

    def acknowledge(request: Request, body: bytes) -> Response:
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return _json({"error": "send application/json"}, 415)
        try:
            given = Acknowledgement.model_validate_json(body)
        except ValidationError as error:
            raise InputError(f"number and by are needed: {error.errors()[0]['msg']}") from error
        with opened() as monitor:
            monitor.acknowledge(given.number, given.by, note=given.note)
        return _json({"acknowledged": given.number})

    return Starlette(
        routes=[
            Route("/", page),
            Route("/dashboard.js", lambda _: _script(_resource("dashboard.js"))),
            Route("/plotly.js", lambda _: _script(_plotly())),
            Route("/overview", overview_),
            Route("/evidence", evidence_),
            Route("/acknowledge", _with_body(acknowledge), methods=["POST"]),
        ],
        exception_handlers={MmsdkError: _failed},
    )


def overview(monitor: SentimentMonitor, *, days: float) -> dict[str, Any]:
    """Give what stands above the evidence: figures, names with their course, sectors, alerts, what was left out."""
    state = monitor.state
    end = state.watermark
    start = max(end - days * DAY, first_event(state))
    levels, (whole, tail), times = monitor.levels(), monitor.portfolio(), times_of(start, end)
    exposed = sum(abs(name.weight) for name in monitor.watchlist.names.values()) or 1.0
    names = [
        {
            "ticker": ticker,
            "name": name.names[0],
            "sector": name.sector,
            "exposure": name.weight,
            "contribution": name.weight * levels[ticker].index / exposed,
            **_shown(levels[ticker]),
            "course": _course(course(monitor, ticker, times)),
            "days": [[stamp(day), count] for day, count in stories_a_day(state, ticker, start)],
        }
        for ticker, name in monitor.watchlist.names.items()
    ]
    sectors = [{"sector": key[7:], **_shown(at)} for key, at in levels.items() if key.startswith("sector:")]
    sources = state.rows("SELECT source, count(*) AS items FROM items GROUP BY source ORDER BY items DESC LIMIT 200")
    return {
        "start": stamp(start) if end else "",
        "watermark": stamp(end) if end else "",
        "counts": state.counts(),
        "portfolio": whole,
        "tail": tail,
        "times": [stamp(at) for at in times],
        "names": names,
        "sectors": sectors,
        "sources": sources,
        "alerts": [alert.to_json() for alert in reversed(monitor.alerts(since=start))],
        "quarantine": quarantine(state),
        "reviews": reviews(state),
    }


def _shown(level: Level) -> dict[str, float]:
    return {key: getattr(level, key) for key in ("index", "low", "high", "volume", "surprise")}


def _course(levels: list[Level]) -> dict[str, list[float]]:
    return {key: [round(getattr(level, key), 4) for level in levels] for key in ("index", "low", "high")}


def _wanted(request: Request) -> Wanted:
    given = request.query_params
    label = given.get("label", "")
    if label not in ("", "positive", "neutral", "negative"):
        raise InputError(f"label must be positive, neutral or negative, not {label!r}")
    return Wanted(
        ticker=given.get("ticker", ""),
        source=given.get("source", ""),
        label=label,
        words=given.get("words", "").strip(),
        since=_moment(request, "since", 0.0),
        until=_moment(request, "until", math.inf),
    )


def _moment(request: Request, name: str, default: float) -> float:
    given = request.query_params.get(name, "")
    return moment(given).timestamp() if given else default


def _number(request: Request, name: str, default: float, *, most: float) -> float:
    given = request.query_params.get(name, str(default))
    try:
        number = float(given)
    except ValueError:
        number = math.nan
    if not 0 <= number <= most:
        raise InputError(f"{name} must be between 0 and {most:g}, not {given[:40]!r}")
    return number


def _with_body(answer: Callable[[Request, bytes], Response]) -> Callable[[Request], Any]:
    """Read the body before the answer is worked out in a thread."""
    from starlette.concurrency import run_in_threadpool

    async def endpoint(request: Request) -> Response:
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > 1 << 16:
                return _json({"error": "the body is too long"}, 413)
        return await run_in_threadpool(answer, request, body)

    return endpoint


def _failed(_: Request, error: Exception) -> Response:
    return _json({"error": str(error)}, error.status if isinstance(error, MmsdkError) else 500)


def _json(body: Mapping[str, Any], status: int = 200) -> Response:
    return JSONResponse(body, status, headers={**_HEADERS, "Cache-Control": "no-store"})


def _script(text: str) -> Response:
    return Response(text, media_type="text/javascript", headers={**_HEADERS, "Cache-Control": "max-age=3600"})


def _resource(name: str) -> str:
    return (files("mmsdk_finance") / name).read_text("utf-8")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError as error:
        raise MissingDependencyError("plotly", "finance") from error
    return str(get_plotlyjs())
