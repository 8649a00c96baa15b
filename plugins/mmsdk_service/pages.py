"""The pages: a chat to embed, the console of the people at the desk, analytics. ASGI applications that run alone.

Nothing is loaded from elsewhere; what customers and documents say is put into text nodes or escaped. Requests of other
sites are refused by their Origin, apart from the sites a company embeds the chat in.
"""

import json
import secrets
import time
from collections.abc import Callable, Sequence
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from mmsdk.errors import InputError, MmsdkError
from mmsdk_service import analytics

if TYPE_CHECKING:
    from mmsdk_service.agent import ServiceAgent

Get = Callable[[], "ServiceAgent"]
_LONGEST = 20_000  # bytes of a message
_STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--line:#dde2e8;--ground:#fff;--panel:#f5f7f9;--link:#0b63c5}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaef;--soft:#9aa5b1;--line:#343c46;--ground:#14181d;--panel:#1c2229;
--link:#7db7ff}}
*{box-sizing:border-box}body{margin:0 auto;max-width:60rem;padding:1.2rem;background:var(--ground);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}h1{font-size:1.4rem}article{background:var(--panel);border-radius:.6rem;
padding:.8rem 1rem;margin:.8rem 0}article.late{border-left:4px solid #c33}.soft{color:var(--soft);font-size:.85rem}
p{margin:.3rem 0;overflow-wrap:anywhere}form{display:flex;flex-wrap:wrap;gap:.5rem;margin:.5rem 0}
input,button{font:inherit;padding:.4rem .6rem;border:1px solid var(--line);border-radius:.4rem;background:var(--ground);
color:var(--ink)}a{color:var(--link)}input[name=text]{flex:1 1 14rem}
button{background:var(--link);color:var(--ground);border:0}
"""


def chat(get: Get, *, embed: Sequence[str] = ()) -> Any:
    """Make the chat; ``embed`` names the origins, such as ``https://shop.example``, that may show it in a frame."""
    frames = " ".join(["'self'", *embed])

    async def index(_: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        page = files("mmsdk_service").joinpath("chat.html").read_text("utf-8").replace("NONCE", nonce)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; connect-src 'self'; "
            f"base-uri 'none'; form-action 'none'; frame-ancestors {frames}"
        )
        return HTMLResponse(page, headers=_headers(policy))

    async def message(request: Request) -> Response:
        if not _own(request):
            return JSONResponse({"error": "requests of other sites are refused"}, 403)
        body = await request.body()
        shape, status = await run_in_threadpool(_replied, get, body)
        return JSONResponse(shape, status)

    async def people(request: Request) -> Response:
        session, after = request.query_params.get("session", ""), request.query_params.get("after", "0")
        try:
            rows = await run_in_threadpool(lambda: _spoken(get(), session, int(after) if after.isdecimal() else 0))
        except MmsdkError as error:
            return JSONResponse({"error": str(error)}, error.status)
        return JSONResponse(rows)

    async def talk(socket: WebSocket) -> None:
        if not _own(socket):
            await socket.close(1008)
            return
        await socket.accept()
        try:
            while True:
                text = await socket.receive_text()
                shape, _ = await run_in_threadpool(_replied, get, text.encode())
                await socket.send_json(shape)
        except WebSocketDisconnect:
            return

    return Starlette(
        routes=[
            Route("/", index),
            Route("/message", message, methods=["POST"]),
            Route("/people", people),
            WebSocketRoute("/ws", talk),
        ]
    )


def console(get: Get) -> Any:
    """Make the console: the queue with its clock; take a thread, write in it, give it back."""

    def index(_: Request) -> Response:
        try:
            return HTMLResponse(_desk(get()), headers=_headers(_FORMS))
        except MmsdkError as error:
            return _refused(error)

    async def act(request: Request) -> Response:
        if not _own(request):
            return Response("requests of other sites are refused", 403)
        body = (await request.body())[:_LONGEST].decode("utf-8", "replace")
        try:
            await run_in_threadpool(lambda: _acted(get(), body))
        except MmsdkError as error:
            return _refused(error)
        return RedirectResponse("./", 303)

    return Starlette(routes=[Route("/", index), Route("/act", act, methods=["POST"])])


def figures(get: Get) -> Any:
    """Make the page of analytics."""

    def index(_: Request) -> Response:
        try:
            agent = get()
        except MmsdkError as error:
            return _refused(error)
        encoder = next((one for one in agent.runtime.encoders() if "text" in one.modalities), None)
        return HTMLResponse(analytics.page(analytics.figures(agent.state, encoder=encoder)).html())

    return Starlette(routes=[Route("/", index)])


_FORMS = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


def _refused(error: MmsdkError) -> Response:
    """Say what is wrong, with the way back."""
    page = (
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>Error</title><style>{_STYLE}</style><h1>This did not work</h1><p>{escape(str(error))}</p>"
        "<p><a href='./'>back</a></p></html>"
    )
    return HTMLResponse(page, error.status, headers=_headers(_FORMS))


def _headers(policy: str) -> dict[str, str]:
    return {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


def _own(connection: HTTPConnection) -> bool:
    """Tell whether a request comes from a page of ours (the frame's own origin), or from a program without Origin."""
    origin = connection.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == connection.headers.get("host")


def _replied(get: Get, body: bytes) -> tuple[dict[str, Any], int]:
    try:
        if len(body) > _LONGEST:
            raise InputError(f"a message has at most {_LONGEST} bytes, not {len(body)}")
        asked = json.loads(body)
        if not isinstance(asked, dict) or not isinstance(asked.get("message"), str):
            raise InputError('a message is JSON such as {"message": "...", "session": "..."}')
        session = asked.get("session")
        if session is not None and not isinstance(session, str):
            raise InputError("a session is a string")
        shape = get().reply(asked["message"], session=session).to_json()
    except ValueError:
        return {"error": "the message is no JSON"}, 422
    except MmsdkError as error:
        return {"error": str(error)}, error.status
    shown = ("reply", "action", "status", "session", "language", "citations", "handover")
    public = {name: shape[name] for name in shown}
    public["action"] = None if public["action"] is None else {"tool": public["action"].get("tool")}
    return public, 200


def _spoken(agent: "ServiceAgent", session: str, after: int) -> list[dict[str, Any]]:
    """Give what people said in a chat's session; sessions of customers who are logged in are not read here."""
    rows = agent.state.rows(
        "SELECT t.number, t.text FROM turns t JOIN sessions s ON s.id = t.session "
        "WHERE t.session = ? AND s.customer = '' AND t.role = 'person' AND t.number > ? ORDER BY t.number",
        *(session, after),
    )
    return [dict(row) for row in rows]


def _acted(agent: "ServiceAgent", body: str) -> None:
    from urllib.parse import parse_qs

    given = {name: values[0] for name, values in parse_qs(body).items()}
    if not given.get("number", "").isdigit():
        raise InputError("a hand-over has a number")
    number, person, text = int(given["number"]), given.get("person", "").strip(), given.get("text", "").strip()
    match given.get("do"):
        case "take":
            agent.queue.take(number, person)
        case "say" if text:
            agent.queue.say(number, person, text)
        case "release":
            agent.queue.release(number, person, note=text)
        case _:
            raise InputError("say what to do: take, say (with a text) or release")


def _desk(agent: "ServiceAgent") -> str:
    rows = "".join(_thread(agent, row) for row in agent.queue.waiting()) or "<p class='soft'>Nobody waits.</p>"
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta http-equiv='refresh' content='20'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'><title>Desk</title>"
        f"<style>{_STYLE}</style><h1>Threads that wait for people</h1>"
        f"<p class='soft'>{time.strftime('%H:%M:%S', time.gmtime())} UTC</p>{rows}</html>"
    )


def _thread(agent: "ServiceAgent", row: dict[str, Any]) -> str:
    packet, held = row["packet"], row["person"]
    turns = agent.state.turns(row["session"], last=12)
    said = "".join(f"<p><b>{escape(one['role'])}</b> {escape(one['text'])}</p>" for one in turns if one["text"])
    slots = ", ".join(f"{name}: {value}" for name, value in packet.get("slots", {}).items())
    customer = f"customer {packet['customer']}{' (VIP)' * bool(packet.get('vip'))}" if packet.get("customer") else ""
    about = [customer, packet.get("language", ""), packet.get("intent", ""), slots, packet.get("sentiment", "")]
    clock = f"{_spell(abs(row['seconds_left']))} {'left' if row['seconds_left'] >= 0 else 'late'}"
    who = f"held by {held}" if held else "waiting"
    fields = f"<input type='hidden' name='number' value='{row['number']}'>"
    name = escape(held, quote=True)
    person = f"<input name='person' placeholder='your name' value='{name}' required>"
    if held:
        buttons = "<button name='do' value='say'>Send</button><button name='do' value='release'>Give back</button>"
        inside = f"{person}<input name='text' placeholder='message or note'>{buttons}"
    else:
        inside = f"{person}<button name='do' value='take'>Take</button>"
    late = " class='late'" if row["overdue"] else ""
    return (
        f"<article{late}><p><b>{row['number']}. {escape(row['reason'])}</b> · {escape(who)} · {clock}</p>"
        f"<p class='soft'>{escape(' · '.join(filter(None, about)))}</p>{said}"
        f"<form method='post' action='act'>{fields}{inside}</form></article>"
    )


def _spell(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
