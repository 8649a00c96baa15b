"""Queries run in processes of their own, because nothing else stops one.

LadybugDB looks at the clock between its steps and rdflib not at all; one call of either may take hours and all memory.
``mmsdk_graph.asked`` is what runs there, one query after another. It inherits no secrets.
"""

import atexit
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any, BinaryIO, Literal, cast

from mmsdk import deadline
from mmsdk.errors import DeadlineError, InputError, MissingDependencyError

Rows = list[dict[str, Any]]
SECONDS = 30.0
"""A query takes at most so long, and no longer than the caller waits."""
MEMORY = 1 << 30
"""Bytes that a query may use beyond its graph."""
_MEMORY = f"the query needs more than {MEMORY >> 20} MB of memory; make it narrower or add a LIMIT"
_CRASH = "the process of the query ended before it was done, most likely for want of memory; make it narrower"
GRACE = 1.0
"""Seconds that a process has to notice by itself that its time is over."""
_POLL = 0.1
_IDLE = 2
_SECRET = ("KEY", "TOKEN", "SECRET", "PASSWORD")


def ask(kind: Literal["cypher", "sparql"], *arguments: Any) -> Rows:
    """Run a query in another process and give its rows, with what JSON does not have (dates, say) as text.

    Raises ``DeadlineError`` after ``SECONDS``, what the caller's deadline raises when that comes first, and
    ``InputError`` when the query is wrong or needs too much memory.
    """
    worker = _borrowed()
    try:
        said, what = worker.ask((kind, arguments, SECONDS), SECONDS)
    except BaseException:
        worker.end()
        raise
    if said in ("memory", "crash"):
        worker.end()
    else:
        _give_back(worker)
    if said == "rows":
        return cast("Rows", what)
    if said == "missing":
        raise MissingDependencyError(what, "graph")
    if said == "late":
        raise _late(SECONDS)
    raise InputError(_MEMORY if said == "memory" else what)


def _late(seconds: float) -> DeadlineError:
    return DeadlineError(f"the query took more than {seconds:g} s and was stopped; make it narrower or add a LIMIT")


class _Worker:
    """Hold one process."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        command = [sys.executable, "-P", "-W", "ignore", "-m", "mmsdk_graph.asked"]
        kept = {name: value for name, value in os.environ.items() if not any(word in name for word in _SECRET)}
        path = os.pathsep.join(place for place in sys.path if place)
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env={**kept, "PYTHONPATH": path})  # noqa: S603
        self._input, self._output = cast("BinaryIO", self._process.stdin), cast("BinaryIO", self._process.stdout)

    @property
    def alive(self) -> bool:
        return self.owner == os.getpid() and self._process.poll() is None

    def ask(self, job: Any, seconds: float) -> tuple[str, Any]:
        """Send a job and wait for its answer, so long once it has begun, and no longer than the caller does."""
        watch = _Watch(self._process.kill, seconds)
        try:
            send(self._input, job)
            said, what = received(self._output)
            if said == "begun":
                watch.since = time.monotonic()
                said, what = received(self._output)
        except (EOFError, OSError):
            said, what = "crash", _CRASH
        finally:
            stopped = watch.end()
        if stopped is not None:
            raise stopped
        return said, what

    def end(self) -> None:
        """End the process and close its pipes."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._input, self._output):
            with suppress(OSError):
                pipe.close()


def send(stream: BinaryIO, value: Any) -> None:
    """Write a line of JSON, with what JSON does not have as text."""
    stream.write(json.dumps(value, default=_plain).encode() + b"\n")
    stream.flush()


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else str(value)


def received(stream: BinaryIO) -> Any:
    """Read a line of JSON. Raises ``EOFError`` when there is none."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    return json.loads(line)


class _Watch:
    """Stop something when its time is over or nobody waits for it any more."""

    def __init__(self, stop: Callable[[], None], seconds: float) -> None:
        self._stop, self._seconds, self._left = stop, seconds, deadline.LEFT.get()
        self.since = float("inf")
        """When the time began to count, by ``time.monotonic``."""
        self._stopped: BaseException | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="mmsdk-graph-watch")
        self._thread.start()

    def _run(self) -> None:
        while not self._done.wait(_POLL):
            try:
                if time.monotonic() > self.since + self._seconds + GRACE:
                    self._stopped = _late(self._seconds)
                elif self._left() > 0:
                    continue
                else:
                    self._stopped = DeadlineError("the caller's time was over before the query was done")
            except BaseException as error:  # noqa: BLE001 - raised where the caller waits
                self._stopped = error
            self._stop()
            return

    def end(self) -> BaseException | None:
        """Watch no longer; give why it was stopped, if it was."""
        self._done.set()
        self._thread.join()
        return self._stopped


_idle: list[_Worker] = []
_lock = threading.Lock()


def _borrowed() -> _Worker:
    with _lock:
        while _idle:
            worker = _idle.pop()
            if worker.alive:
                return worker
            if worker.owner == os.getpid():
                worker.end()
    return _Worker()


def _give_back(worker: _Worker) -> None:
    with _lock:
        if worker.alive and len(_idle) < _IDLE:
            _idle.append(worker)
            return
    worker.end()


@atexit.register
def _end_idle() -> None:
    with _lock:
        while _idle:
            worker = _idle.pop()
            if worker.owner == os.getpid():
                worker.end()
