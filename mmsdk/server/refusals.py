"""A request that found its queue full; the same head is refused again at little cost while that is so.

Under ten times the load nine of ten requests are sent away, and most heads came a moment ago, byte by byte. For
these everything has been checked already; what may change meanwhile (a key is revoked) is checked anew after a second.
"""

import asyncio
import hashlib
import json
import logging
import os
import time
import uuid
from collections import Counter
from collections.abc import Sequence

from mmsdk.server import admission, logs, problems
from mmsdk.server.metrics import Metrics
from mmsdk.server.problems import RefusalError

SECONDS = 1.0
"""How long what was checked counts."""
_KNOWN, _LONG = 1000, 2 << 10
"""Heads that are remembered, and how long one may be."""
_EVERY = 0.05
_ID = "0" * 32
_END = b"\r\n\r\n"
Lines = Sequence[tuple[bytes, bytes]]


def overloaded(error: admission.RefusedError) -> RefusalError:
    """Say that a lane has no place."""
    status, code = (503, "closing") if error.closing else (429, "overloaded")
    return RefusalError(status, code, f"{error}; come again later", headers={"Retry-After": str(error.after)})


class Told:
    """Log and count refusals together, twenty times a second; each for itself, that takes as long as refusing."""

    def __init__(self, metrics: Metrics) -> None:
        self._refused, self._requests = metrics.refused.labels("admission"), metrics.requests
        self._lines: list[str] = []
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, route: str, method: str, line: str) -> None:
        """Note a refusal."""
        if not self._lines:
            asyncio.get_running_loop().call_later(_EVERY, self.flush)
        self._lines.append(line)
        self._counts[route, method] += 1

    def flush(self) -> None:
        """Log and count what was noted."""
        lines, self._lines = self._lines, []
        counts, self._counts = self._counts, Counter()
        if lines:
            logs.tell_lines(logging.INFO, lines)
        for (route, method), count in counts.items():
            self._refused.inc(count)
            self._requests.labels(route, method, "429").inc(count)


class Refusal:
    """Hold what a 429 is written from: its lane, who asks for what, and the headers of every answer to them."""

    def __init__(self, lane: admission.Lane, told: Told, *, key: str, route: str, method: str, lines: Lines) -> None:
        self._lane, self._told, self._key, self._lines = lane, told, key, lines
        self._route, self._method = route, method
        self.request = uuid.uuid4().hex
        """The id of the request that was checked."""
        self.until = time.monotonic() + SECONDS
        """Until when what was checked counts."""
        self._load: tuple[int, int, int] | None = None
        self._parts, self._line = list[bytes](), list[str]()

    def first(self, started: float) -> bytes:
        """Give headers and body for the request that was checked, logged and counted."""
        parts, length = self._written(self._lane.refusal(), self.request)
        self._note(self._logged(length), self.request, started)
        return b"".join(parts)

    def again(self, started: float) -> bytes | None:
        """Give headers and body for another with the same head; None when there is place now."""
        if not self._lane.is_full_for(self._key):
            return None
        load = self._lane.load()
        if load != self._load:
            self._parts, length = self._written(self._lane.refusal(), _ID)
            self._load, self._line = load, self._logged(length)
        request = os.urandom(16).hex()
        self._note(self._line, request, started)
        return request.encode().join(self._parts)

    def _written(self, error: admission.RefusedError, request: str) -> tuple[list[bytes], int]:
        """Give headers and body, cut where the id stands, and the length of the body."""
        _, shape, headers = problems.told(overloaded(error), request)
        data = json.dumps(shape, ensure_ascii=False).encode()
        given = {"content-type": "application/json", "content-length": str(len(data)), **headers}
        lines = [*((name.lower().encode(), value.encode()) for name, value in given.items()), *self._lines]
        written = b"x-request-id: %b\r\n" % request.encode() + b"".join(b"%b: %b\r\n" % line for line in lines)
        whole = written + b"\r\n" + data
        return whole.split(_ID.encode()) if request == _ID else [whole], len(data)

    def _logged(self, length: int) -> list[str]:
        """Give the line of the log, cut where time, id and duration stand."""
        line = logs.line(logging.INFO, "request", at=_ID, request_id=_ID, method=self._method, route=self._route,
                         status=429, ms=_ID, key=self._key, bytes=length, stage="admission")  # fmt: skip
        before, then, after, rest = line.split(_ID)
        return [before, then, after.removesuffix('"'), rest.removeprefix('"')]

    def _note(self, parts: list[str], request: str, started: float) -> None:
        before, then, after, rest = parts
        ms = round((time.monotonic() - started) * 1000, 1)
        line = f"{before}{logs.moment(time.time())}{then}{request}{after}{ms}{rest}"
        self._told.add(self._route, self._method, line)


class Heads:
    """Remember refusals by the digest of the head that they answer; a head may hold a key."""

    def __init__(self, told: Told) -> None:
        self.told = told
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
        if started > found[1].until:
            del self._known[digest]
            return None
        return found[1].again(started)


def _digest(head: bytes) -> bytes:
    return hashlib.blake2b(head, digest_size=16).digest()
