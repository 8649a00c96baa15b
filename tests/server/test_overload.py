"""Queues, batches, and what is left when clients leave."""

import asyncio
import io
import json
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import httpx
import numpy as np
import pytest

from mmsdk.runtime import Runtime
from mmsdk.server import logs
from mmsdk.server.admission import Lane, RefusedError
from mmsdk.server.batching import Batcher, FullError
from mmsdk.server.loops import Loop
from mmsdk.server.metrics import Metrics
from mmsdk.server.refusals import Heads, Refusal, Told
from mmsdk.server.service import Service
from mmsdk.settings import Serving
from mmsdk.testing import HashingEncoder
from mmsdk.types import Content, Delta, Message, Modality, Role, Usage, Vectors

from .running import Running, running

FACT = "The lighthouse of Quillmoor opens at six in the morning."
ASK = {"question": "When does the lighthouse of Quillmoor open?"}


class Endless:
    """Write for as long as somebody listens; ``last`` is when it last wrote."""

    context = 4096
    modalities: frozenset[Modality] = frozenset({"text"})

    def __init__(self) -> None:
        self.running, self.last = 0, 0.0

    def generate(self, messages: Sequence[Message], **options: Any) -> Iterator[Delta]:
        self.running += 1
        try:
            for _ in range(10_000):
                self.last = time.monotonic()
                time.sleep(0.02)
                yield Delta("word ")
            yield Delta("", Usage(1, 1))
        finally:
            self.running -= 1


class Picky(HashingEncoder):
    """Fail on one input, remember the sizes of batches, and take a while."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def encode(self, inputs: Sequence[Content], *, role: Role = "document") -> Vectors:
        self.sizes.append(len(inputs))
        time.sleep(0.02)
        if "poison" in inputs:
            raise ValueError("poison")
        return super().encode(inputs, role=role)


def test_calls_share_batches_and_a_poisoned_input_fails_alone() -> None:
    encoder = Picky()
    with Batcher(encoder, items=16, tokens=4096) as batcher:
        texts = [f"text {number}" for number in range(40)] + ["poison"]
        random.Random(1).shuffle(texts)
        futures = {text: batcher.submit([text]) for text in texts}
        for text, future in futures.items():
            if text == "poison":
                with pytest.raises(ValueError, match="poison"):
                    future.result(10)
            else:
                np.testing.assert_allclose(future.result(10), HashingEncoder().encode([text]), atol=1e-6)
        assert max(encoder.sizes) > 1
        many = [f"long {number}" for number in range(100)]
        np.testing.assert_allclose(batcher.encode(many), HashingEncoder().encode(many), atol=1e-6)
        assert max(encoder.sizes) <= 16
        assert batcher.waiting == 0


def test_a_batcher_takes_no_more_than_may_wait() -> None:
    with Batcher(Picky(), items=1, tokens=100, waiting=4) as batcher:
        futures = [batcher.submit(["a"]) for _ in range(2)]
        with pytest.raises(FullError, match="of 4 allowed"):
            batcher.submit(["a"] * 5)
        assert all(len(future.result(10)) == 1 for future in futures)


async def test_slots_go_round_the_keys_and_the_longest_queue_makes_room() -> None:
    lane = Lane(1, items=4, tokens=1000)
    assert lane.enter("greedy", 1) is None
    greedy = [lane.enter("greedy", 1) for _ in range(4)]
    with pytest.raises(RefusedError) as refusal:
        lane.enter("greedy", 1)
    assert refusal.value.after >= 1
    modest = lane.enter("modest", 1)
    assert greedy[3] is not None
    assert isinstance(greedy[3].place.exception(), RefusedError)
    lane.leave(0.1)
    lane.leave(0.1)
    assert modest is not None
    assert modest.place.done()
    assert (lane.running, lane.waiting) == (1, 2)
    for waiter in greedy[1:3]:
        assert waiter is not None
        lane.abandon(waiter)
    lane.leave(0.1)
    assert (lane.running, lane.waiting) == (0, 0)


async def test_tokens_that_wait_are_bounded() -> None:
    lane = Lane(1, items=10, tokens=100)
    lane.enter("a", 1)
    lane.enter("a", 90)
    with pytest.raises(RefusedError):
        lane.enter("a", 90)


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory, bundled: Runtime) -> Iterator[tuple[Running, Endless]]:
    """A server whose LLM never ends; one answer at a time, one may wait."""
    serving = Serving(answering=1, queue=1, seconds=20)
    settings = bundled.settings.model_copy(update={"server": serving})
    service, llm = Service(tmp_path_factory.mktemp("data"), settings), Endless()
    service.runtime.llm = lambda name=None: llm  # type: ignore[method-assign]
    service.folder.create("shop").add_texts([FACT])
    with running(service.folder.path, settings, service=service) as made:
        yield made, llm


def _send(server: Running, path: str, body: Any) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
    connection.settimeout(30)
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(data)}\r\n\r\n"
    connection.sendall(head.encode() + data)
    return connection


def until(condition: Any, seconds: float = 20.0) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it did not happen"
        time.sleep(0.005)
    return time.monotonic() - started


@pytest.mark.parametrize("body", [{**ASK, "stream": True}, ASK], ids=["streamed", "whole"])
def test_generation_stops_when_the_client_leaves(endless: tuple[Running, Endless], body: Any) -> None:
    server, llm = endless
    lane = server.service.lanes["answer"]
    connection = _send(server, "/collections/shop/ask", body)
    until(lambda: llm.running)
    left = time.monotonic()
    connection.close()
    until(lambda: not llm.running and not lane.running)
    assert llm.last - left < 0.5


def test_a_request_that_waits_leaves_the_queue_and_one_too_many_is_told_when_to_come(
    endless: tuple[Running, Endless],
) -> None:
    server, llm = endless
    lane = server.service.lanes["answer"]
    first = _send(server, "/collections/shop/ask", ASK)
    until(lambda: llm.running)
    second = _send(server, "/collections/shop/ask", ASK)
    until(lambda: lane.waiting)
    with server.client() as client:
        answer = client.post("/collections/shop/ask", json=ASK)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    second.close()
    assert until(lambda: not lane.waiting) < 2
    first.close()
    until(lambda: not lane.running)


def test_who_is_refused_again_gets_an_answer_of_their_own(endless: tuple[Running, Endless]) -> None:
    """By the short way that knows the head, and by the long one: in pieces, two at once, with an id of their own."""
    server, llm = endless
    lane = server.service.lanes["answer"]
    first = _send(server, "/collections/shop/ask", ASK)
    until(lambda: llm.running)
    second = _send(server, "/collections/shop/ask", ASK)
    until(lambda: lane.waiting)
    counted = server.service.metrics.refused.labels("admission")
    before = counted._value.get()
    with server.client() as client:
        answers = [client.post("/collections/shop/ask", json=ASK) for _ in range(4)]
        named = [client.post("/collections/shop/ask", json=ASK, headers={"X-Request-ID": f"mine-{n}"}) for n in (1, 2)]
        fresh = client.get("/health")
    assert fresh.status_code == 200
    for answer in (*answers, *named):
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "overloaded")
        assert answer.headers["x-request-id"] == answer.json()["error"]["request_id"]
        assert int(answer.headers["retry-after"]) >= 1
    ids = [answer.headers["x-request-id"] for answer in (*answers, *named)]
    assert (len(set(ids)), ids[4:]) == (6, ["mine-1", "mine-2"])
    until(lambda: counted._value.get() == before + 6)
    data = json.dumps(ASK).encode()
    whole = b"POST /collections/shop/ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    whole += b"Content-Length: %d\r\n\r\n" % len(data) + data
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as connection:
        connection.settimeout(30)
        for pieces in ([whole], [whole], [whole[:40], whole[40:]], [whole[:-5], whole[-5:]], [whole + whole], [whole]):
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(0.05)
            told = b""
            while told.count(b'"request_id"') < len(b"".join(pieces)) // len(whole):
                told += connection.recv(1 << 16)
            assert told.count(b"HTTP/1.1 429 ") == told.count(b'"request_id"')
    second.close()
    until(lambda: not lane.waiting)
    third = _send(server, "/collections/shop/ask", ASK)  # the same head, and there is place again
    until(lambda: lane.waiting)
    for connection in (third, first):
        connection.close()
    until(lambda: not lane.running and not lane.waiting)
    assert lane.coming == 0


def test_refusals_are_logged_one_line_each_and_counted_together(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The line has what that of any other request has."""
    lane = Lane(1, items=0, tokens=10)
    lane.enter("k1", 1)
    metrics = Metrics({"light": lane})
    stream = io.StringIO()
    log, handler = logging.getLogger("mmsdk"), logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonLines())
    monkeypatch.setattr(log, "handlers", [handler])
    caplog.set_level(logging.INFO, "mmsdk")

    async def refuse() -> list[bytes | None]:
        told = Told(metrics)
        refusal = Refusal(lane, told, key="k1", route="/search", method="POST", lines=[])
        answers = [refusal.first(time.monotonic()), *(refusal.again(time.monotonic()) for _ in range(9))]
        assert stream.getvalue() == ""
        told.flush()
        return answers

    answers = asyncio.run(refuse())
    logs.tell(logging.INFO, "request", request_id="x", method="GET", route="/", status=429, ms=0.1, key="k1",
              bytes=1, stage="admission")  # fmt: skip
    *lines, usual = map(json.loads, stream.getvalue().splitlines())
    assert [list(line) for line in lines] == [list(usual)] * 10
    for line, answer in zip(lines, answers, strict=True):
        assert answer is not None
        head, _, body = answer.partition(b"\r\n\r\n")
        assert f"x-request-id: {line['request_id']}".encode() in head
        assert json.loads(body)["error"]["request_id"] == line["request_id"]
        assert (line["bytes"], line["status"], line["level"], line["key"]) == (len(body), 429, "info", "k1")
        assert 0 <= line["ms"] < 60_000
        assert abs(datetime.fromisoformat(line["time"]).timestamp() - time.time()) < 60
    assert len({line["request_id"] for line in lines}) == 10
    assert metrics.refused.labels("admission")._value.get() == 10
    assert metrics.requests.labels("/search", "POST", "429")._value.get() == 10


def test_a_request_on_its_way_in_keeps_its_place() -> None:
    lane = Lane(1, items=1, tokens=100)
    lane.enter("k1", 1)
    assert not lane.is_full_for("k2")
    lane.coming += 1
    assert lane.is_full_for("k2")
    lane.coming -= 1
    assert not lane.is_full_for("k2")


def test_a_crowded_loop_looks_at_sockets_in_rounds_and_hears_threads_at_once() -> None:
    looks = 0

    async def crowd() -> list[int]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        pairs = [socket.socketpair() for _ in range(200)]
        came: list[int] = []
        done = asyncio.Event()

        def take(number: int) -> None:
            pairs[number][0].recv(9)
            came.append(number)
            loop.note_refusal(time.monotonic())

        for number, (ours, _) in enumerate(pairs):
            loop.add_reader(ours, take, number)

        def send() -> None:
            for _, theirs in pairs:
                theirs.send(b"x")
                time.sleep(0.0005)
            loop.call_soon_threadsafe(done.set)

        loop.note_refusal(time.monotonic())
        nonlocal looks
        looks = 0
        await asyncio.to_thread(send)
        await done.wait()
        await asyncio.sleep(0.1)
        for pair in pairs:
            for end in pair:
                loop.remove_reader(end)
                end.close()
        return came

    class Counting(Loop):
        def _run_once(self) -> None:
            nonlocal looks
            looks += 1
            super()._run_once()  # type: ignore[misc]

    with asyncio.Runner(loop_factory=Counting) as runner:
        assert sorted(runner.run(crowd())) == list(range(200))
    assert looks < 120


def test_heads_are_remembered_without_the_keys_in_them() -> None:
    heads: Any = Heads(Told(Metrics({})))
    heads.keep(b"POST / HTTP/1.1\r\nAuthorization: Bearer secret\r\n\r\n", 0, None)
    assert len(heads._known) == 1
    assert b"secret" not in b"".join(heads._known)


def test_a_request_that_takes_too_long_is_ended(
    endless: tuple[Running, Endless], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, llm = endless
    guard = server.app.guard
    short = guard.settings.model_copy(update={"seconds": 1.5})
    monkeypatch.setattr(server.app, "guard", guard.__class__(**{**vars(guard), "settings": short}))
    with server.client() as client:
        answer = client.post("/collections/shop/ask", json=ASK)
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline")
        with client.stream("POST", "/collections/shop/ask", json={**ASK, "stream": True}) as stream:
            assert "event: error" in "".join(stream.iter_text())
    until(lambda: not llm.running)


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.soak)])
def test_clients_that_leave_at_random_leave_nothing(endless: tuple[Running, Endless], count: int) -> None:
    server, llm = endless
    order = random.Random(7)
    tasks = _tasks(server)
    requests: list[tuple[str, Any]] = [
        ("/collections/shop/search", {"text": "lighthouse"}),
        ("/collections/shop/ask", {**ASK, "stream": True}),
        ("/collections/shop/ask", ASK),
        ("/v1/embeddings", {"model": "all-MiniLM-L6-v2", "input": "lighthouse"}),
        ("/collections/shop/files", {}),
    ]

    def leave(path: str, body: Any, seconds: float) -> None:
        connection = _send(server, path, body)
        time.sleep(seconds)
        connection.close()

    for _ in range(count // 20):
        crowd = [
            threading.Thread(target=leave, args=(*order.choice(requests), order.uniform(0, 0.3))) for _ in range(20)
        ]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
    lanes = server.service.lanes.values()
    until(lambda: not any(lane.running or lane.waiting or lane.coming for lane in lanes), 60)
    until(lambda: not llm.running)
    until(lambda: _tasks(server) <= tasks + 1)
    assert not list((server.service.folder.own / "incoming").iterdir())
    assert all(batcher.waiting == 0 for batcher in server.service.runtime.batched)
    with server.client() as client:
        assert client.post("/collections/shop/search", json={"text": "lighthouse"}).status_code == 200


def _tasks(server: Running) -> int:
    """Count the tasks on the server's loop."""

    async def count() -> int:
        return len(asyncio.all_tasks())

    return asyncio.run_coroutine_threadsafe(count(), server.loop).result(10)


def test_a_terminated_server_finishes_what_runs(tmp_path: Any, bundled: Runtime) -> None:
    with Service(tmp_path, bundled.settings) as service:
        service.folder.create("shop").add_texts([FACT])
    kept = {name: os.environ[name] for name in ("MMSDK_CACHE", "PYTHONPATH", "HOME", "PATH") if name in os.environ}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = "from mmsdk.cli import main; import sys; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, "serve", "--data", str(tmp_path), "--port", str(port), "--no-ui"]
    with subprocess.Popen(command, env=kept, stderr=subprocess.PIPE, text=True) as process:
        try:
            server = Running(f"http://127.0.0.1:{port}", None, None)  # type: ignore[arg-type]
            until(lambda: _is_ready(server), 120)
            connection = _send(server, "/collections/shop/ask", ASK)
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            with connection:
                answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
            assert b" 200 OK" in answer
            assert b"six in the morning" in answer
            _, told = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    lines = [json.loads(line) for line in told.splitlines()]
    assert "no key was ever made" in lines[0]["open_to"]
    assert FACT not in told


def test_a_server_keeps_models_out_of_garbage_collection(tmp_path: Any) -> None:
    program = f"""
import gc
from mmsdk.server import app, serving
from mmsdk.server.refusals import Heads
from mmsdk.server.service import Service
with Service({str(tmp_path)!r}) as service:
    service.settle = serving._settle
    app._warm(service)
    print(service.ready, gc.get_freeze_count() > 20 * len(gc.get_objects()))
"""
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert run.stdout.split() == ["True", "True"]


def _is_ready(server: Running) -> bool:
    try:
        with server.client() as client:
            return client.get("/ready").status_code == 200
    except httpx.TransportError:
        return False
