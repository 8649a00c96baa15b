"""What the server bears: shared batches, and ten times more than it can do.

    python -m benchmarks.server batching     32 clients that embed one short text each, with and without batches:
                                             two words ("tent 12"), and a question of eight
    python -m benchmarks.server overload     capacity, then ten times as much; --seconds 60, --of search or ask
    python -m benchmarks.server fairness     a key with one request at a time beside one with a hundred; --seconds 15

The server is a process of its own (``mmsdk serve``), the clients are another, both on this machine.
"""

import argparse
import asyncio
import json
import os
import random
import re
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmsdk.server.keys import Keys

SCRIPT = "import sys; from mmsdk.cli import main; sys.exit(main(sys.argv[1:]))"
TEXTS = [f"How long is the guarantee on item {number}?" for number in range(1000)]
WORDS = [f"tent {number}" for number in range(1000)]
CLIENTS = 32
FACTS = "The {0} tent weighs {1} kilograms and is returned within {2} days. It is sold in {3} shops."


@dataclass
class Seen:
    """Seconds of requests by status."""

    done: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    others: list[int] = field(default_factory=list)

    def note(self, status: int, seconds: float) -> None:
        """Note an answer."""
        if status == 200:
            self.done.append(seconds)
        elif status == 429:
            self.refused.append(seconds)
        else:
            self.others.append(status)


@contextmanager
def served(data: Path, port: int, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``mmsdk serve`` until it is ready."""
    variables = {f"MMSDK_SERVER__{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-c", SCRIPT, "serve", "--data", str(data), "--port", str(port), "--no-ui"]
    with subprocess.Popen(command, env={**os.environ, **variables}, stderr=subprocess.DEVNULL) as process:
        try:
            asyncio.run(_until_ready(port))
            yield process
        finally:
            process.terminate()
            process.wait(90)


async def _until_ready(port: int) -> None:
    for _ in range(1200):
        try:
            async with connected(port) as connection:
                if (await asked(connection, "GET", "/ready"))[0] == 200:
                    return
        except OSError:
            pass
        await asyncio.sleep(0.1)
    raise SystemExit("the server did not get ready")


class Connection(asyncio.Protocol):
    """Send one request after another over a connection that stays open; a bare client, so that it costs little."""

    def __init__(self) -> None:
        self._done: Callable[[int, bytes], None] | None = None
        self._data, self._whole = b"", 0
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what requests are written to."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def send(self, request: bytes, done: Callable[[int, bytes], None]) -> None:
        """Send a request; ``done`` gets the status of the answer, 0 for none, and its body."""
        self._done, self._data, self._whole = done, b"", 0
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take what came and tell the answer once it is whole."""
        self._data = self._data + data if self._data else data
        self._whole = self._whole or _whole(self._data)
        if self._whole and len(self._data) >= self._whole:
            body = self._data[self._data.index(b"\r\n\r\n") + 4 :]
            self._tell(int(self._data[9:12]), body)

    def connection_lost(self, _: Exception | None) -> None:
        """Tell who waits that there will be no answer."""
        self.closed = True
        self._tell(0, b"")

    def _tell(self, status: int, body: bytes) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(status, body)


_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


def _whole(data: bytes) -> int:
    """Give how many bytes an answer has in all, 0 while its head is not here."""
    head = data.find(b"\r\n\r\n")
    found = _LENGTH.search(data, 0, head) if head >= 0 else None
    return head + 4 + (int(found[1]) if found else 0) if head >= 0 else 0


async def opened(port: int) -> Connection:
    loop = asyncio.get_running_loop()
    return (await loop.create_connection(Connection, "127.0.0.1", port))[1]


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    connection = await opened(port)
    try:
        yield connection
    finally:
        connection.transport.close()


def written(method: str, path: str, body: Any = None, *, key: str = "") -> bytes:
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Authorization: Bearer {key}\r\n" if key else ""
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


async def asked(
    connection: Connection, method: str, path: str, body: Any = None, *, key: str = ""
) -> tuple[int, bytes]:
    """Ask and wait for status and body; raises ``OSError`` when there is no answer."""
    return await replied(connection, written(method, path, body, key=key))


async def replied(connection: Connection, request: bytes) -> tuple[int, bytes]:
    answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()

    def done(status: int, body: bytes) -> None:
        if not answer.cancelled():
            answer.set_result((status, body))

    connection.send(request, done)
    status, body = await answer
    if not status:
        raise OSError("the server hung up")
    return status, body


def batching(seconds: float) -> dict[str, Any]:
    """Compare 32 clients with and without shared batches, and every vector with that of a single call."""
    rates: dict[str, dict[str, float]] = {"two words": {}, "question": {}}
    batched: dict[str, Any] = {}
    single: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for port, (name, items) in enumerate({"alone": "1", "batched": "64"}.items(), 8401):
            with served(Path(folder), port, batch_items=items):
                for kind, texts in zip(rates, (WORDS, TEXTS), strict=True):
                    asyncio.run(_embedding(port, 2.0, texts))
                    count, vectors = asyncio.run(_embedding(port, seconds, texts))
                    rates[kind][name] = round(count / seconds, 1)
                    batched |= vectors if name == "batched" else {}
                    single |= asyncio.run(_singles(port, texts[:200])) if name == "alone" else {}
    common = sorted(batched.keys() & single.keys())
    return {
        "requests_per_second": rates,
        "ratio": {kind: round(rate["batched"] / rate["alone"], 2) for kind, rate in rates.items()},
        "compared": len(common),
        "largest_difference_to_a_single_call": max(
            float(np.abs(batched[text] - single[text]).max()) for text in common
        ),
    }


async def _embedding(port: int, seconds: float, texts: Sequence[str]) -> tuple[int, dict[str, Any]]:
    stop, count = time.monotonic() + seconds, 0
    vectors: dict[str, Any] = {}

    requests = {text: _embedded(text) for text in texts}

    async def client(number: int) -> None:
        nonlocal count
        order = random.Random(number)
        async with connected(port) as connection:
            while time.monotonic() < stop:
                text = order.choice(texts)
                status, data = await replied(connection, requests[text])
                assert status == 200, data
                count += 1
                if text not in vectors:
                    vectors[text] = _vector(data)

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return count, vectors


async def _singles(port: int, texts: Sequence[str]) -> dict[str, Any]:
    found = {}
    async with connected(port) as connection:
        for text in texts:
            found[text] = _vector((await replied(connection, _embedded(text)))[1])
    return found


def _embedded(text: str) -> bytes:
    body = {"model": "all-MiniLM-L6-v2", "input": text, "encoding_format": "base64"}
    return written("POST", "/v1/embeddings", body)


def _vector(data: bytes) -> Any:
    import base64

    return np.frombuffer(base64.b64decode(json.loads(data)["data"][0]["embedding"]), "<f4")


def overload(seconds: float, port: int = 8411, *, of: str = "search") -> dict[str, Any]:
    """Measure capacity with as many clients as slots, latency at 0.8 of it, and then offer ten times as much.

    Capacity is measured once more afterwards: a shared machine is not as fast now as two minutes ago.
    """
    with tempfile.TemporaryDirectory() as folder, served(Path(folder), port) as process:
        asyncio.run(_filled(port))
        asyncio.run(_closed(port, 3.0, clients=4, of=of))
        measured = min(seconds, 20 if of == "search" else 60)  # answers are few
        capacity = len(asyncio.run(_closed(port, measured, clients=4, of=of)).done) / measured
        calm = _opened(port, min(seconds, 30), rate=0.8 * capacity, of=of)
        before = _memory(process.pid)
        storm = _opened(port, seconds, rate=10 * capacity, of=of)
        after = _memory(process.pid)
        again = len(asyncio.run(_closed(port, measured, clients=4, of=of)).done) / measured
    return {
        "of": of,
        "capacity_per_second": round(capacity, 1),
        "p99_at_0.8_ms": _p99(calm.done),
        "capacity_after_per_second": round(again, 1),
        "goodput_per_second": round(len(storm.done) / seconds, 1),
        "goodput_of_capacity": round(len(storm.done) / seconds / capacity, 3),
        "goodput_of_capacity_before_and_after": round(2 * len(storm.done) / seconds / (capacity + again), 3),
        "p99_of_admitted_ms": _p99(storm.done),
        "refusals": len(storm.refused),
        "p99_of_refusals_ms": _p99(storm.refused),
        "other_answers": sorted(set(calm.others + storm.others)),
        "memory_growth": round(after / before - 1, 3),
    }


def fairness(seconds: float, port: int = 8421) -> dict[str, Any]:
    """Measure the searches of a key with one at a time, alone and beside a key with a hundred that never rest."""
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / ".mmsdk"
        own.mkdir()
        with Keys(own / "keys.sqlite") as keys:
            admin, polite, greedy = (keys.create(name, "admin")[1] for name in ("admin", "polite", "greedy"))
        with served(Path(folder), port):
            asyncio.run(_filled(port, key=admin))
            asyncio.run(_closed(port, 3.0, clients=4, key=admin))
            alone = asyncio.run(_closed(port, seconds, clients=1, key=polite))
            beside, crowd = asyncio.run(_both(port, seconds, polite=polite, greedy=greedy))
    return {
        name: {
            "done": len(seen.done),
            "refused": len(seen.refused),
            "p50_ms": _p(seen.done, 50),
            "p99_ms": _p99(seen.done),
        }
        for name, seen in {"polite alone": alone, "polite beside": beside, "greedy": crowd}.items()
    }


async def _both(port: int, seconds: float, *, polite: str, greedy: str) -> tuple[Seen, Seen]:
    one = _closed(port, seconds, clients=1, key=polite)
    return await asyncio.gather(one, _closed(port, seconds, clients=100, key=greedy))


async def _filled(port: int, *, key: str = "") -> None:
    texts = [FACTS.format(f"Model {n}", n % 9 + 1, n % 60, n) for n in range(500)]
    async with connected(port) as connection:
        assert (await asked(connection, "POST", "/collections", {"name": "load"}, key=key))[0] == 201
        assert (await asked(connection, "POST", "/collections/load/texts", {"texts": texts}, key=key))[0] == 200


def _requests(of: str, key: str = "") -> list[bytes]:
    field, more = ("text", {"k": 5}) if of == "search" else ("question", {})
    return [written("POST", f"/collections/load/{of}", {field: text, **more}, key=key) for text in TEXTS]


async def _closed(port: int, seconds: float, *, clients: int, key: str = "", of: str = "search") -> Seen:
    """Ask again as soon as the answer is there."""
    seen, stop, requests = Seen(), time.monotonic() + seconds, _requests(of, key)

    async def client() -> None:
        async with connected(port) as connection:
            while (since := time.monotonic()) < stop:
                status, _ = await replied(connection, random.choice(requests))
                seen.note(status, time.monotonic() - since)

    await asyncio.gather(*(client() for _ in range(clients)))
    return seen


class _Offered:
    """Send requests when they are due, whatever comes back; without asyncio, which takes twice the time of a core."""

    def __init__(self, port: int, of: str) -> None:
        self.port, self.requests, self.seen = port, _requests(of), Seen()
        self._poll = select.epoll()
        self._free: list[socket.socket] = []
        self._asked: dict[int, tuple[socket.socket, float, bytes]] = {}

    def offer(self, seconds: float, rate: float) -> Seen:
        """Ask at random moments and wait for all answers; an answer's time counts from when its question was due."""
        start = due = time.monotonic()
        while (due := due + random.expovariate(rate)) - start < seconds:
            while (left := due - time.monotonic()) > 0:
                self._take(left)
            self._ask(due)
        while self._asked:
            self._take(1)
        for connection in self._free:
            connection.close()
        self._poll.close()
        return self.seen

    def _ask(self, due: float) -> None:
        connection = self._free.pop() if self._free else self._opened()
        self._asked[connection.fileno()] = connection, due, b""
        try:
            connection.send(random.choice(self.requests))
        except OSError:
            self._end(connection, 0)

    def _opened(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll.register(connection, select.EPOLLIN)
        return connection

    def _take(self, seconds: float) -> None:
        """Wait for answers, at most so long."""
        for number, _ in self._poll.poll(seconds):
            connection, _, before = self._asked.get(number, (None, 0, b""))
            if connection is None:  # hung up on while nothing was asked
                connection = next(free for free in self._free if free.fileno() == number)
                self._free.remove(connection)
                connection.close()
                continue
            try:
                came = connection.recv(1 << 16)
            except OSError:
                came = b""
            data = before + came
            whole = _whole(data)
            if not came or (whole and len(data) >= whole):
                self._end(connection, int(data[9:12]) if came else 0)
            else:
                self._asked[number] = connection, self._asked[number][1], data

    def _end(self, connection: socket.socket, status: int) -> None:
        _, due, _ = self._asked.pop(connection.fileno())
        self.seen.note(status, time.monotonic() - due)
        if status:
            self._free.append(connection)
        else:
            connection.close()


def _opened(port: int, seconds: float, *, rate: float, of: str) -> Seen:
    return _Offered(port, of).offer(seconds, rate)


def _p99(seconds: list[float]) -> float | None:
    return _p(seconds, 99)


def _p(seconds: list[float], share: float) -> float | None:
    return round(float(np.percentile(seconds, share)) * 1000, 1) if seconds else None


def _memory(pid: int) -> int:
    """Give the resident memory of a process, in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["batching", "overload", "fairness"])
    parser.add_argument("--seconds", type=float, default=None)
    parser.add_argument("--of", default="search", choices=["search", "ask"], help="what overload asks for")
    given = parser.parse_args()
    overloaded = partial(overload, of=given.of)
    run: dict[str, tuple[Callable[[float], dict[str, Any]], float]] = {
        "batching": (batching, 15),
        "overload": (overloaded, 60),
        "fairness": (fairness, 15),
    }
    measure, usual = run[given.what]
    print(json.dumps(measure(given.seconds or usual), indent=2))


if __name__ == "__main__":
    main()
