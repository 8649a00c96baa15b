"""Run the server: where it listens, when it may, and how it ends.

Without any key it listens on loopback only. On SIGTERM it takes no more requests, sends away those that
wait, finishes those that run, stops those that take longer than a minute, and closes the data folder.
"""

import asyncio
import gc
import ipaddress
import logging
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from mmsdk.errors import SettingsError
from mmsdk.server import logs
from mmsdk.server.app import build
from mmsdk.server.defence import LONG
from mmsdk.server.loops import LOOP, Loop
from mmsdk.server.service import Service
from mmsdk.settings import Settings

_GRACE = 60
_ARMED = 1.0
"""Seconds within which the wait for a next request need not be begun anew."""


class _TerminatedError(SystemExit):
    """SIGTERM came, or uvicorn gives on the one that ended it."""


class _Refused:
    """Be an exchange that is over, so that the body is passed over."""

    response_complete = True
    message_event = threading.Event()


class Protocol(HttpToolsProtocol):
    """Speak HTTP by httptools, and hang up on who sends more head (or trailer) than is allowed: it knows no limit."""

    _moved = False
    _quiet = 0
    _between = True
    """Whether no request has begun that has not ended."""
    _armed = 0.0
    """When uvicorn began to wait for a next request, if it does and the last was refused by a known head."""
    _whole = b""
    """What came, while its first request is parsed."""

    def on_message_begin(self) -> None:
        """Note that a request has begun."""
        self._between = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that a head has ended, and answer at once who has no place to wait."""
        self._moved = True
        started = time.monotonic()
        refused = getattr(self.app, "refused", None)
        is_plain = self.parser.should_keep_alive() and not self.parser.should_upgrade() and not self.expect_100_continue
        if refused is None or not is_plain or not self._is_idle:
            return super().on_headers_complete()
        path = httptools.parse_url(self.url).path.decode("ascii")
        self.scope["method"], self.scope["path"] = self.parser.get_method().decode("ascii"), unquote(path)
        refusal = refused(self.scope)
        if refusal is None:
            return super().on_headers_complete()
        if self._whole:
            length = next((int(value) for name, value in self.headers if name == b"content-length"), 0)
            self.app.heads.keep(self._whole, length, refusal)  # it is a Defence
        self.cycle = _Refused()  # type: ignore[assignment]
        self._armed = 0.0
        return self._refuse(refusal.first(started), started)

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _refuse(self, answer: bytes, now: float) -> None:
        if isinstance(self.loop, Loop):
            self.loop.note_refusal(now)
        lines = [b"%b: %b\r\n" % line for line in self.server_state.default_headers]
        self.transport.write(b"".join([STATUS_LINE[429], *lines, answer]))
        if now < self._armed + _ARMED:
            self.server_state.total_requests += 1  # the time after which a silent connection is closed runs already
        else:
            self._armed = now
            self.on_response_complete()

    def on_body(self, body: bytes) -> None:
        """Note that a body goes on."""
        self._moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that a request has ended."""
        self._moved = self._between = True
        self._whole = b""
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Take what came, and count it while nothing ends or goes on; what was refused a moment ago is so again."""
        self._whole = b""
        if self._between and not self._quiet and self._is_idle and not self.transport.is_closing():
            heads = getattr(self.app, "heads", None)
            now = time.monotonic()
            answer = heads.answer(data, now) if heads else None
            if answer is not None:
                return self._refuse(answer, now)
            self._whole = data
        self._moved, self._armed = False, 0.0
        super().data_received(data)
        self._quiet = 0 if self._moved else self._quiet + len(data)
        if self._quiet > LONG and not self.transport.is_closing():
            self.send_400_response("the headers are too long")
        return None


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the lanes first, so that whoever waits is told at once."""
        for lane in self._service.lanes.values():
            lane.close()
        await super().shutdown(sockets)


def serve(
    data: str | Path, settings: Settings | None = None, *, host: str = "127.0.0.1", port: int = 8000, ui: bool = True
) -> None:
    """Serve a data folder until a signal ends it.

    Raises ``SettingsError`` for an address beyond this machine while there is no key.
    """
    with _until_terminated(), Service(data, settings) as service:
        check(service, host)
        logs.install()
        service.settle = _settle
        app = build(service, host=host, ui=ui)
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=_GRACE,
            http=Protocol,
            loop=LOOP,
            ws_max_size=1 << 20,
        )
        open_to = "everybody on this machine: no key was ever made" if not service.keys.any() else "holders of a key"
        logs.tell(logging.INFO, "serving", address=f"http://{host}:{port}", open_to=open_to)
        try:
            _Server(config, service).run()
        finally:
            app.heads.told.flush()


def _settle() -> None:
    """Take what libraries and models made out of garbage collection: looking through it stops everybody for 0.4 s."""
    gc.collect()
    gc.freeze()


@contextmanager
def _until_terminated() -> Iterator[None]:
    """Leave the block on SIGTERM in good order.

    uvicorn raises the signal again once it has shut down; by default that kills the process before the service
    is closed, with a status that says failure.
    """

    def leave(*_: Any) -> None:
        raise _TerminatedError(0)

    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread only
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    except _TerminatedError:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)


def check(service: Service, host: str) -> None:
    """Raise ``SettingsError`` when the server would be open to other machines without any key."""
    if not service.keys.any() and not is_loopback(host):
        raise SettingsError(
            f"without any key the server listens on this machine only, not on {host}; make one: "
            f"mmsdk keys create NAME --data {service.folder.path}, or leave out --host"
        )


def is_loopback(host: str) -> bool:
    """Say whether an address leads to this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve_tools(data: str | Path, settings: Settings | None = None) -> None:
    """Serve the tools of the Model Context Protocol over standard input and output."""
    from mmsdk.server.mcp import Tools

    with Service(data, settings) as service:
        logs.install(level=logging.WARNING)
        asyncio.run(Tools(service).stdio())
