"""What stands before every route: host, key, limits, admission, in this order and before a body is read.

Besides, each request gets an id, a deadline, one line in the log, its counts, and security headers. It is
ASGI without a framework, so that nothing else sees what is refused.
"""

import asyncio
import json
import logging
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmsdk import telemetry
from mmsdk.server import admission, logs, problems
from mmsdk.server.bodies import Body
from mmsdk.server.headers import POLICIES, cookie, hostname, is_address, named, without_own
from mmsdk.server.keys import LOCAL, Key, Keys
from mmsdk.server.metrics import Metrics, known
from mmsdk.server.problems import RefusalError
from mmsdk.server.refusals import Heads, Refusal, Told, overloaded
from mmsdk.server.rules import Rule, Rules
from mmsdk.server.work import Work
from mmsdk.settings import Serving

_UNKNOWN = Rule(frozenset(), "unknown")
_SAFE = ("GET", "HEAD", "OPTIONS")
LONG = 32 << 10
"""Bytes that the headers of a request may have."""
_SHORT = 1 << 16
"""Bytes of a body that are passed over, so that the connection of who was refused stays open."""
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True)
class Guard:
    """Hold what the defence decides by."""

    rules: Rules
    keys: Keys
    lanes: Mapping[str, admission.Lane]
    metrics: Metrics
    settings: Serving
    host: str


class Defence:
    """Let through to ``app`` what may pass."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self.app, self.guard, self.heads = app, guard, Heads(Told(guard.metrics))
        names = {"localhost", guard.host.lower(), *(name.lower() for name in guard.settings.hosts)}
        self._hosts = frozenset(names - {"", "0.0.0.0", "::"})  # noqa: S104

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await _Exchange(self, scope, receive, send=send).serve()

    def refused(self, scope: Scope) -> Refusal | None:
        """Give what a 429 is written from to whoever has no place to wait; None when that needs a closer look.

        Everything is checked in the same order as otherwise, but without a task, a span and a framework: under ten
        times the load nine of ten requests come here.
        """
        return _Exchange(self, scope, _nothing, send=_nothing).refused()

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        work = Work(uuid.uuid4().hex)
        try:
            self.check_host(named(scope["headers"]), unsafe=True)
            rule, collection = self.guard.rules.find("GET", scope["path"])
            work.key = self.check_key(named(scope["headers"]), rule or _UNKNOWN, collection, unsafe=True)
        except RefusalError:
            await send({"type": "websocket.close", "code": 1008})
            return
        scope["state"] = {**scope.get("state", {}), "work": work}
        await self.app(scope, receive, send)

    def check_host(self, headers: Mapping[str, str], *, unsafe: bool) -> None:
        """Refuse other hosts (a page that names this machine by its own host), and writing from other pages."""
        host = hostname(headers.get("host", ""))
        if host not in self._hosts and not is_address(host):
            raise RefusalError(421, "wrong_host", f"this server is not {host or 'a host without name'!r}; "
                               "names are allowed by server.hosts in mmsdk.toml")  # fmt: skip
        origin = headers.get("origin")
        if not unsafe or origin is None or origin in self.guard.settings.origins:
            return
        if origin == "null" or urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
            raise RefusalError(403, "wrong_origin", "pages of other origins may not do this; see server.origins")

    def check_key(self, headers: Mapping[str, str], rule: Rule, collection: str | None, *, unsafe: bool) -> Key:
        """Find out who asks and refuse what they may not do."""
        key = who(self.guard.keys, headers)
        if rule.scope == "open":
            return key or LOCAL
        if key is None:
            raise RefusalError(401, "unauthorized", "a valid key is needed: Authorization: Bearer KEY",
                               headers={"WWW-Authenticate": "Bearer"})  # fmt: skip
        if collection is not None and not key.sees(collection):
            raise RefusalError(404, "collection_not_found", f"there is no collection {collection!r}")
        scope = "write" if rule.look == "page" and unsafe and rule.scope == "read" else rule.scope
        if not key.may(scope):
            raise RefusalError(403, "forbidden", f"this needs a key with the scope {scope}; yours has {key.scope}")
        if rule.whole and key.collections is not None:
            raise RefusalError(403, "forbidden", "this needs a key that is not bound to collections")
        return key


def who(keys: Keys, headers: Mapping[str, str]) -> Key | None:
    """Give the key of a request, that of everybody while no key was ever made, or None."""
    if not keys.any():
        return LOCAL
    kind, _, secret = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and secret.strip():
        return keys.find(secret.strip())
    token = cookie(headers)
    return keys.session(token) if token else None


_COMING = "mmsdk.coming"
"""Where a scope holds the lane that counts on its request."""


class _Exchange:
    """Serve one request."""

    def __init__(self, defence: Defence, scope: Scope, receive: Receive, *, send: Send) -> None:
        self.defence, self.guard = defence, defence.guard
        self.scope, self._send = scope, send
        self.headers = named(scope["headers"])
        asked = self.headers.get("x-request-id", "")
        self.work = Work(asked if _ID.fullmatch(asked) else uuid.uuid4().hex)
        self.rule = _UNKNOWN
        self.status = self.bytes = 0
        self.stage = ""
        self.muted = False
        self.body = Body(receive, self.work, 0)
        self._receive = receive
        self.started = time.monotonic()

    async def serve(self) -> None:
        with telemetry.span("http", self._template(), http__request__method=self.scope["method"]) as span:
            try:
                await self._defended()
            except RefusalError as error:
                self.guard.metrics.refused.labels(self.stage).inc()
                await self._refuse(error)
            except Exception as error:  # noqa: BLE001 - the last door: it is logged, and told without its message
                logs.tell(
                    logging.ERROR, "failure", request_id=self.work.id, route=self.rule.template, **logs.where(error)
                )
                await self._answer(*problems.told(error, self.work.id))
            finally:
                self._arrive()
                await self.body.stop()
                span.set(http__response__status_code=self.status, http__route=self.rule.template)
        self._note(time.monotonic() - self.started)

    def refused(self) -> Refusal | None:
        method = self.scope["method"]
        rule, collection = self.guard.rules.find(method, self.scope["path"])
        lane = None if rule is None else self.guard.lanes[rule.lane]
        if rule is None or lane is None or not self._is_short():
            return None
        if lane.waiting + lane.coming < lane.items:
            self._come(lane)
            return None
        try:
            self.check()
            self.rule, self.work.key = (
                rule,
                self.defence.check_key(self.headers, rule, collection, unsafe=method not in _SAFE),
            )
            self._limits()
        except RefusalError:
            return None
        if not lane.is_full_for(self.work.key.id):
            self._come(lane)
            return None
        lines = [line for line in self._extra() if line[0] != b"x-request-id"]
        asked = {"key": self.work.key.id, "route": rule.template, "method": known(method)}
        refusal = Refusal(lane, self.defence.heads.told, lines=lines, **asked)
        refusal.request = self.work.id
        return refusal

    def _come(self, lane: admission.Lane) -> None:
        """Be counted on until the task that serves this request has entered its lane."""
        lane.coming += 1
        self.scope[_COMING] = lane

    def _arrive(self) -> None:
        """Be no longer counted as coming."""
        lane = self.scope.pop(_COMING, None)
        if lane is not None:
            lane.coming -= 1

    async def _refuse(self, error: RefusalError) -> None:
        """Say no; a browser that has no key is led to where it can give one."""
        is_page = self.rule.look != "data" and self.scope["method"] == "GET"
        if error.status == 401 and is_page and "text/html" in self.headers.get("accept", ""):
            await self._answer(303, None, {"location": "/login"})
        else:
            await self._answer(*problems.told(error, self.work.id))

    def _template(self) -> str:
        rule, _ = self.guard.rules.find(self.scope["method"], self.scope["path"])
        return rule.template if rule else "unknown"

    async def _defended(self) -> None:
        method, path = self.scope["method"], self.scope["path"]
        unsafe = method not in _SAFE
        self.stage = "host"
        self.check()
        if method == "OPTIONS" and self._foreign():
            return await self._answer(204, None, {})
        self.stage = "key"
        rule, collection = self.guard.rules.find(method, path)
        self.rule = rule or _UNKNOWN
        self.work.key = self.defence.check_key(self.headers, self.rule, collection, unsafe=unsafe)
        if rule is None:
            allowed = self.guard.rules.methods(path)
            status, code = (405, "method_not_allowed") if allowed else (404, "not_found")
            raise RefusalError(
                status, code, f"there is no such route for {method}", headers={"Allow": allowed} if allowed else {}
            )
        self.stage = "limits"
        limit, tokens = self._limits()
        self.body = Body(self._receive, self.work, limit)
        seconds = self.guard.settings.adding_seconds if self.rule.lane == "add" else self.guard.settings.seconds
        if self.rule.lane != "page":
            self.work.deadline = time.monotonic() + seconds
        self.stage = "admission"
        await self._admitted(tokens)
        return None

    def check(self) -> None:
        """Refuse long headers, other hosts and other pages."""
        if sum(len(name) + len(value) for name, value in self.scope["headers"]) > LONG:
            raise RefusalError(431, "headers_too_long", f"the headers have more than the {LONG} bytes allowed")
        self.defence.check_host(self.headers, unsafe=self.scope["method"] not in _SAFE)

    def _limits(self) -> tuple[int, int]:
        """Give how many bytes the body may have, and the tokens it is counted as."""
        settings = self.guard.settings
        limit = (settings.upload_mb if self.rule.uploads else settings.body_mb) << 20
        text = self.headers.get("content-length", "0")
        length = int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else limit + 1
        if length > limit:
            raise RefusalError(413, "too_large", f"the body has {text[:20]} bytes, more than the {limit} allowed here")
        return limit, 0 if self.rule.uploads else length // 4

    async def _admitted(self, tokens: int) -> None:
        lane = self.guard.lanes[self.rule.lane]
        self._arrive()
        try:
            waiter = lane.enter(self.work.key.id, tokens)
            if waiter is not None and not await self._waited(lane, waiter):
                return
        except admission.RefusedError as error:
            raise overloaded(error) from error
        started = time.monotonic()
        try:
            await self._run()
        finally:
            lane.leave(time.monotonic() - started)

    async def _waited(self, lane: admission.Lane, waiter: admission.Waiter) -> bool:
        """Wait for the slot; False when the client left before."""
        self.body.start()
        leaving = asyncio.ensure_future(self.body.left.wait())
        try:
            left = min(max(self.work.deadline - time.monotonic(), 0), 1e6)
            waited: set[asyncio.Future[Any]] = {waiter.place, leaving}
            await asyncio.wait(waited, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            lane.abandon(waiter)
            raise
        finally:
            leaving.cancel()
        if not self.body.left.is_set() and waiter.place.done():
            waiter.place.result()
            return True
        lane.abandon(waiter)
        if self.body.left.is_set():
            self.muted = True
            return False
        self.work.stop("late")
        raise RefusalError(504, "deadline", "the request waited longer than allowed", headers={"Retry-After": "5"})

    async def _run(self) -> None:
        self.stage = ""
        self.scope["state"] = {**self.scope.get("state", {}), "work": self.work}
        self.body.start()
        task = asyncio.ensure_future(self.defence.app(self.scope, self.body.receive, self._reply))
        try:
            left = self.work.deadline - time.monotonic()
            await asyncio.wait({task}, timeout=min(max(left, 0), 1e6))
            if not task.done():
                self.work.stop("late")
                if not self.status:
                    late = RefusalError(504, "deadline", "the request took longer than allowed")
                    await self._answer(*problems.told(late, self.work.id))
                    self.muted = True
            await asyncio.wait({task})
            error = task.exception()
            if error is not None:
                raise error
        finally:
            if not task.done():
                self.work.stop("left")
                task.cancel()

    async def _reply(self, message: Message) -> None:
        """Pass on what the application sends, with the headers that every answer has."""
        if self.muted:
            return
        if message["type"] == "http.response.start":
            if self.status:
                return
            self.status = message["status"]
            message = {**message, "headers": [*without_own(message.get("headers", [])), *self._extra()]}
        elif message["type"] == "http.response.body":
            self.bytes += len(message.get("body", b""))
            self.body.answered = not message.get("more_body", False)
        await self._send(message)

    async def _answer(self, status: int, shape: Any, headers: Mapping[str, str]) -> None:
        if self.status or self.muted:
            return
        data = b"" if shape is None else json.dumps(shape, ensure_ascii=False).encode()
        given = {"content-type": "application/json", "content-length": str(len(data)), **headers}
        if status >= 400 and not self._is_short():
            given["connection"] = "close"  # the body was not read, and will not be
        lines = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in given.items()]
        await self._reply({"type": "http.response.start", "status": status, "headers": lines})
        await self._reply({"type": "http.response.body", "body": data})

    def _is_short(self) -> bool:
        """Say whether the body is here already, more or less: then the connection may stay."""
        length = self.headers.get("content-length", "" if "transfer-encoding" in self.headers else "0")
        return length.isascii() and length.isdecimal() and len(length) < 6 and int(length) <= _SHORT

    def _extra(self) -> list[tuple[bytes, bytes]]:
        fixed = {
            "x-request-id": self.work.id,
            "x-content-type-options": "nosniff",
            "referrer-policy": "same-origin",  # with no-referrer, browsers post forms with Origin: null
            "content-security-policy": POLICIES[self.rule.look],
        }
        if self._foreign():
            fixed |= {
                "access-control-allow-origin": self.headers["origin"],
                "access-control-allow-headers": "authorization, content-type, x-request-id",
                "access-control-allow-methods": "GET, POST, DELETE",
                "vary": "Origin",
            }
        return [(name.encode(), value.encode("latin-1", "replace")) for name, value in fixed.items()]

    def _foreign(self) -> bool:
        """Say whether a page of another, allowed origin asks."""
        return self.headers.get("origin") in self.guard.settings.origins

    def _note(self, seconds: float) -> None:
        metrics, method = self.guard.metrics, self.scope["method"]
        status = self.status or 499
        asked = known(method)
        metrics.requests.labels(self.rule.template, asked, str(status)).inc()
        if not self.stage:
            metrics.seconds.labels(self.rule.template).observe(seconds)
        if self.work.reason:
            metrics.stopped.labels(self.work.reason).inc()
        logs.tell(
            logging.INFO,
            "request",
            request_id=self.work.id,
            method=asked,
            route=self.rule.template,
            status=status,
            ms=round(seconds * 1000, 1),
            key=self.work.key.id,
            bytes=self.bytes,
            stage=self.stage or None,
            reason=self.work.reason,
        )


async def _nothing(*_: Any) -> Any:
    """Neither receive nor send."""
