"""News pushed over HTTP: a small listener that takes JSON records into a monitor while it follows other sources.

Every request needs the token. It is meant for one machine or a private network; behind anything else, put a server
that speaks TLS in front of it.
"""

import hmac
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from mmsdk.errors import InputError
from mmsdk_finance.monitor import SentimentMonitor, Taken
from mmsdk_finance.sources import Reading, records

MOST_BYTES = 8 << 20


class Listener:
    """Take ``POST /items`` with a JSON record or a list of them and ``Authorization: Bearer <token>``.

    The answer says what became of them, after they were stored. Raises ``InputError`` for a token that is too short.
    """

    def __init__(self, monitor: SentimentMonitor, token: str, *, host: str = "127.0.0.1", port: int = 0) -> None:
        if len(token) < 16:
            raise InputError("a listener needs a token of 16 characters or more; make one: openssl rand -hex 16")
        handler = type("Handler", (_Handler,), {"token": token, "take": staticmethod(_taking(monitor))})
        self._server = ThreadingHTTPServer((host, port), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="mmsdk-finance-push", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on; the system's choice when 0 was given."""
        return self._server.server_port

    def __enter__(self) -> "Listener":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _taking(monitor: SentimentMonitor) -> Callable[[Sequence[Mapping[str, Any]]], Taken]:
    def take(rows: Sequence[Mapping[str, Any]]) -> Taken:
        taken = monitor.take(records(rows, Reading(source="push")))
        monitor.deliver()
        return taken

    return take


class _Handler(BaseHTTPRequestHandler):
    token = ""
    timeout = 30

    @staticmethod
    def take(rows: Sequence[Mapping[str, Any]]) -> Taken:
        raise NotImplementedError(rows)

    def do_POST(self) -> None:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            self._answer(401, {"error": "the token is missing or wrong"})
            return
        length = self.headers.get("Content-Length", "")
        if self.path != "/items" or not length.isdigit():
            self._answer(404 if self.path != "/items" else 411, {"error": "send POST /items with a Content-Length"})
        elif int(length) > MOST_BYTES:
            self._answer(413, {"error": f"a body may have {MOST_BYTES} bytes"})
        else:
            self._take(self.rfile.read(int(length)))

    def _take(self, body: bytes) -> None:
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            found = None
        rows = found if isinstance(found, list) else [found]
        if not all(isinstance(row, dict) for row in rows):
            self._answer(422, {"error": "the body must be a JSON object or a list of objects"})
            return
        taken = self.take(rows)
        counts = {key: value for key, value in vars(taken).items() if key != "alerts"}
        self._answer(200, {**counts, "alerts": [alert.number for alert in taken.alerts]})

    def _answer(self, status: int, body: Mapping[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.close_connection = True
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the signature of the library
        del format, args
