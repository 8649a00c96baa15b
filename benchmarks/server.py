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


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    try:
        yield reader, writer
    finally:
        writer.close()


async def asked(
    connection: Connection, method: str, path: str, body: Any = None, *, key: str = ""
) -> tuple[int, bytes]:
    """Send one request over a connection that stays open; a bare client, so that it costs little."""
    reader, writer = connection
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Authorization: Bearer {key}\r\n" if key else ""
    writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    answer = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in answer.split(b"\r\n")[1:] if b": " in line)
    return int(answer[9:12]), await reader.readexactly(int(fields.get(b"content-length", 0)))


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

    async def client(number: int) -> None:
        nonlocal count
        order = random.Random(number)
        async with connected(port) as connection:
            while time.monotonic() < stop:
                text = order.choice(texts)
                body = {"model": "all-MiniLM-L6-v2", "input": text, "encoding_format": "base64"}
                status, data = await asked(connection, "POST", "/v1/embeddings", body)
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
            body = {"model": "all-MiniLM-L6-v2", "input": text, "encoding_format": "base64"}
            found[text] = _vector((await asked(connection, "POST", "/v1/embeddings", body))[1])
    return found


def _vector(data: bytes) -> Any:
    import base64

    return np.frombuffer(base64.b64decode(json.loads(data)["data"][0]["embedding"]), "<f4")


def overload(seconds: float, port: int = 8411, *, of: str = "search") -> dict[str, Any]:
    """Measure capacity with as many clients as slots, latency at 0.8 of it, and then offer ten times as much."""
    with tempfile.TemporaryDirectory() as folder, served(Path(folder), port) as process:
        asyncio.run(_filled(port))
        asyncio.run(_closed(port, 3.0, clients=4, of=of))
        measured = min(seconds, 20 if of == "search" else 60)  # answers are few
        capacity = len(asyncio.run(_closed(port, measured, clients=4, of=of)).done) / measured
        calm = asyncio.run(_opened(port, min(seconds, 30), rate=0.8 * capacity, of=of))
        before = _memory(process.pid)
        storm = asyncio.run(_opened(port, seconds, rate=10 * capacity, of=of))
        after = _memory(process.pid)
    return {
        "of": of,
        "capacity_per_second": round(capacity, 1),
        "p99_at_0.8_ms": _p99(calm.done),
        "goodput_of_capacity": round(len(storm.done) / seconds / capacity, 3),
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


async def _one(connection: Connection, seen: Seen, since: float, *, of: str, key: str = "") -> None:
    text = random.choice(TEXTS)
    body = {"text": text, "k": 5} if of == "search" else {"question": text}
    status, _ = await asked(connection, "POST", f"/collections/load/{of}", body, key=key)
    seen.note(status, time.monotonic() - since)


async def _closed(port: int, seconds: float, *, clients: int, key: str = "", of: str = "search") -> Seen:
    """Ask again as soon as the answer is there."""
    seen, stop = Seen(), time.monotonic() + seconds

    async def client() -> None:
        async with connected(port) as connection:
            while time.monotonic() < stop:
                await _one(connection, seen, time.monotonic(), of=of, key=key)

    await asyncio.gather(*(client() for _ in range(clients)))
    return seen


async def _opened(port: int, seconds: float, *, rate: float, of: str) -> Seen:
    """Ask at random moments, whatever comes back; connections are taken up again."""
    seen, free = Seen(), list[Connection]()
    tasks: set[asyncio.Task[None]] = set()
    start = due = time.monotonic()

    async def one(since: float) -> None:
        connection = free.pop() if free else await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
        try:
            await _one(connection, seen, since, of=of)
        except (OSError, asyncio.IncompleteReadError):
            seen.note(0, 0)
            return
        if connection[1].is_closing() or connection[0].at_eof():
            connection[1].close()
        else:
            free.append(connection)

    while due - start < seconds:
        due += random.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        tasks.add(task := asyncio.create_task(one(time.monotonic())))
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    for _, writer in free:
        writer.close()
    return seen


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
