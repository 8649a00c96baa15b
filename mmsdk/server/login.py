"""Logging in with a key in a browser, for the UI: a cookie that scripts cannot read and other sites cannot send."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mmsdk.server.headers import COOKIE, cookie
from mmsdk.server.places import document
from mmsdk.server.rules import Rules
from mmsdk.server.service import Service
from mmsdk.server.work import state_of

_HTML: dict[int | str, Any] = {200: {"content": {"text/html": {}}}}
_FORM = """<form method="post" action="/login"><h1>mmsdk</h1>{said}
<label>Key<input type="password" name="key" autocomplete="current-password" required autofocus></label>
<button>Log in</button></form>"""
_STYLE = (Path(__file__).parent / "style.css").read_text("utf-8")


def router(service: Service, rules: Rules) -> APIRouter:
    """Give the pages for logging in and out, and the style sheet that they use."""
    made = APIRouter(tags=["browser"])

    @rules.route(made, "GET", "/login", scope="open", response_class=HTMLResponse, responses=_HTML, look="view")
    async def login_page() -> Response:
        """Ask for a key."""
        return HTMLResponse(document("Log in", _FORM.format(said="")))

    @rules.route(made, "POST", "/login", scope="open", response_class=HTMLResponse, status_code=303, look="view",
                 responses={303: {"description": "Logged in"}})  # fmt: skip
    async def login(request: Request, key: Annotated[str, Form(max_length=200)]) -> Response:
        """Start a session of a key; a wrong one is 401."""
        seconds = service.settings.server.session_hours * 3600
        token = await state_of(request.scope).run(service.threads, service.keys.log_in, key.strip(), seconds)
        if token is None:
            said = '<p class="wrong" role="alert">This key is not valid.</p>'
            return HTMLResponse(document("Log in", _FORM.format(said=said)), 401)
        answer = RedirectResponse("/ui/", 303)
        is_secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, token, max_age=int(seconds), httponly=True, samesite="strict", secure=is_secure)
        return answer

    @rules.route(made, "POST", "/logout", scope="open", status_code=303, response_class=RedirectResponse,
                 responses={303: {"description": "Logged out"}})  # fmt: skip
    async def logout(request: Request) -> Response:
        """End the session."""
        token = cookie({"cookie": request.headers.get("cookie", "")})
        if token:
            await state_of(request.scope).run(service.threads, service.keys.log_out, token)
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE)
        return answer

    @rules.route(made, "GET", "/files/style.css", scope="open", response_class=Response,
                 responses={200: {"content": {"text/css": {}}}})  # fmt: skip
    async def style() -> Response:
        """Give the style of the pages that show sources."""
        return Response(_STYLE, media_type="text/css", headers={"Cache-Control": "max-age=3600"})

    return made
