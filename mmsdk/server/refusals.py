"""A request that found its queue full; the same head is refused again at little cost while that is so.

Under ten times the load nine of ten requests are sent away, and most heads came a moment ago, byte by byte. For
these everything has been checked already; what may change meanwhile (a key is revoked) is checked anew after a second.
"""

import hashlib
import json
import logging
import time
import uuid
from collections.abc import Sequence

from mmsdk.server import admission, logs, problems
from mmsdk.server.metrics import Metrics
from mmsdk.server.problems import RefusalError

SECONDS = 1.0
"""How long what was checked counts."""
_KNOWN, _LONG = 1000, 2 << 10
"""Heads that are remembered, and how long one may be."""
_ID = "0" * 32
_END = b"\r\n\r\n"
Lines = Sequence[tuple[bytes, bytes]]


def overloaded(error: admission.RefusedError) -> RefusalError:
    """Say that a lane has no place."""
    status, code = (503, "closing") if error.closing else (429, "overloaded")
    return RefusalError(status, code, f"{error}; come again later", headers={"Retry-After": str(error.after)})


class Refusal:
    """Hold what a 429 is written from: its lane, who asks for what, and the headers of every answer to them."""

    def __init__(
        self, lane: admission.Lane, metrics: Metrics, *, key: str, route: str, method: str, lines: Lines
    ) -> None:
        self._lane, self._key, self._lines = lane, key, lines
        self._route, self._method = route, method
        self.request = uuid.uuid4().hex
        """The id of the request that was checked."""
        self._until = time.monotonic() + SECONDS
        self._counts = (metrics.refused.labels("admission"), metrics.requests.labels(route, method, "429"))
        self._seconds = metrics.seconds.labels(route)
        self._said, self._parts, self._bytes = "", list[bytes](), 0

    def first(self, started: float) -> bytes:
        """Give headers and body for the request that was checked, logged and counted."""
        parts, length = self._written(self._lane.refusal(), self.request)
        return self._noted(b"".join(parts), self.request, started=started, length=length)

    def again(self, started: float) -> bytes | None:
        """Give headers and body for another with the same head; None when it must be looked at more closely."""
        if started > self._until or not self._lane.is_full_for(self._key):
            return None
        error = self._lane.refusal()
        said = str(error)
        if said != self._said:
            self._parts, self._bytes = self._written(error, _ID)
            self._said = said
        request = uuid.uuid4().hex
        return self._noted(request.encode().join(self._parts), request, started=started, length=self._bytes)

    def _written(self, error: admission.RefusedError, request: str) -> tuple[list[bytes], int]:
        """Give headers and body, cut where the id stands, and the length of the body."""
        _, shape, headers = problems.told(overloaded(error), request)
        data = json.dumps(shape, ensure_ascii=False).encode()
        given = {"content-type": "application/json", "content-length": str(len(data)), **headers}
        lines = [*((name.lower().encode(), value.encode()) for name, value in given.items()), *self._lines]
        written = b"x-request-id: %b\r\n" % request.encode() + b"".join(b"%b: %b\r\n" % line for line in lines)
        whole = written + b"\r\n" + data
        return whole.split(_ID.encode()) if request == _ID else [whole], len(data)

    def _noted(self, data: bytes, request: str, *, started: float, length: int) -> bytes:
        seconds = time.monotonic() - started
        for count in self._counts:
            count.inc()
        self._seconds.observe(seconds)
        ms = round(seconds * 1000, 1)
        logs.tell(logging.INFO, "request", request_id=request, method=self._method, route=self._route, status=429,
                  ms=ms, key=self._key, bytes=length, stage="admission")  # fmt: skip
        return data


class Heads:
    """Remember refusals by the digest of the head that they answer; a head may hold a key."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[int, Refusal]] = {}

    def keep(self, data: bytes, length: int, refusal: Refusal) -> None:
        """Remember the head of a whole request whose body has so many bytes, unless it is long or names itself."""
        head, end, body = data.partition(_END)
        if end and len(body) == length and len(head) <= _LONG and b"x-request-id" not in head.lower():
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[_digest(head)] = (length, refusal)

    def answer(self, data: bytes, started: float) -> bytes | None:
        """Give headers and body for a whole request with a known head; None when it must be looked at."""
        head, _, body = data.partition(_END)
        digest = _digest(head)
        found = self._known.get(digest)
        if found is None or found[0] != len(body):
            return None
        answer = found[1].again(started)
        if answer is None:
            del self._known[digest]
        return answer


def _digest(head: bytes) -> bytes:
    return hashlib.blake2b(head, digest_size=16).digest()
