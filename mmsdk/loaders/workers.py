"""Worker processes as their parent sees them: started, asked, killed, replaced, reused.

It knows nothing of files or formats. Idle workers wait for the next call and end with their parent,
whose closed pipe they notice.
"""

import atexit
import json
import os
import subprocess
import sys
import threading
from collections import deque
from typing import Any, BinaryIO, cast

from mmsdk import errors
from mmsdk.errors import DecodeError, MissingDependencyError, MmsdkError
from mmsdk.loaders import wire
from mmsdk.loaders.parsed import Parsed
from mmsdk.settings import Limits

START_SECONDS = 60.0
JOBS = 500
"""A worker is replaced after so many files, in case a parser leaks."""
_SECRET = ("KEY", "TOKEN", "SECRET", "PASSWORD")


class Worker:
    """Hold one parsing process."""

    def __init__(self, memory_mb: int) -> None:
        self.kind = _kind(memory_mb)
        self.jobs = 0
        self._said: deque[str] = deque(maxlen=5)
        command = [sys.executable, "-P", "-W", "ignore", "-m", "mmsdk.loaders.worker", str(memory_mb)]
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=_environment())  # noqa: S603
        except OSError as error:
            raise DecodeError(f"no process for parsing could be started: {error}") from error
        self._input = cast("BinaryIO", self._process.stdin)
        self._output = cast("BinaryIO", self._process.stdout)
        self._errors = cast("BinaryIO", self._process.stderr)
        self._listener = threading.Thread(target=self._listen, daemon=True, name="mmsdk-worker-stderr")
        self._listener.start()
        self._exchange(None, b"", seconds=START_SECONDS, most=1 << 16)

    def ask(self, job: dict[str, Any], data: bytes, *, seconds: float, most: int) -> tuple[Any, bytearray]:
        """Send a job and wait for its reply. Raises ``DecodeError`` when it takes too long, crashes or says too much.

        After that error the worker is dead.
        """
        self.jobs += 1
        return self._exchange(job, data, seconds=seconds, most=most)

    def _exchange(self, job: Any, data: bytes, *, seconds: float, most: int) -> tuple[Any, bytearray]:
        late = threading.Event()
        timer = threading.Timer(seconds, self._expire, (late,))
        timer.daemon = True
        timer.start()
        try:
            if job is not None:
                wire.send(self._input, job, (data,))
            reply = wire.receive(self._output, most)
        except (wire.FrameError, OSError, ValueError) as error:
            self._let_end()
            self.kill()
            raise DecodeError(self._explained(error, late=late.is_set(), seconds=seconds)) from None
        finally:
            timer.cancel()
            timer.join()
        if late.is_set():
            self.jobs = JOBS
        return reply

    def _let_end(self) -> None:
        """Give a process that has closed its pipes a moment to end, so that its exit status tells why."""
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            return

    def _expire(self, late: threading.Event) -> None:
        late.set()
        self._process.kill()

    def _explained(self, error: Exception, *, late: bool, seconds: float) -> str:
        if late:
            return f"parsing took more than limits.seconds = {seconds:g} and was stopped"
        if not isinstance(error, OSError) and "closed" not in str(error):
            return f"the parser gave too much or nonsense: {error}"
        last = f"; it said: {self._said[-1]}" if self._said else ""
        return f"the parser crashed (exit status {self._process.returncode}){last}"

    def _listen(self) -> None:
        """Keep the last lines of standard error, so that the pipe never fills."""
        while line := self._errors.readline(2000):
            if line.strip():
                self._said.append(line.decode("utf-8", "replace").strip()[:300])

    @property
    def ours(self) -> bool:
        """Tell whether this process started it; after a fork its pipes belong to the parent."""
        return self.kind[0] == os.getpid()

    @property
    def alive(self) -> bool:
        """Tell whether it can take another job."""
        return self._process.poll() is None and self.jobs < JOBS

    def stop(self) -> None:
        """End the process now; the thread that waits for its reply cleans up."""
        self._process.kill()

    def kill(self) -> None:
        """End the process now and close its pipes."""
        self._process.kill()
        self._process.wait()
        self._listener.join(5)
        for pipe in (self._input, self._output, self._errors):
            try:
                pipe.close()
            except OSError:
                continue


def _kind(memory_mb: int) -> tuple[int, int, str]:
    """Say what a worker must agree in to be used again: who started it, its memory, its import path."""
    return os.getpid(), memory_mb, _import_path()


def _import_path() -> str:
    return os.pathsep.join(path for path in sys.path if path)


def _environment() -> dict[str, str]:
    """Give the worker our import path and one thread a library, and keep secrets from it."""
    environment = {name: value for name, value in os.environ.items() if not any(word in name for word in _SECRET)}
    environment["PYTHONPATH"] = _import_path()
    environment["PYTHONIOENCODING"] = "utf-8:replace"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        environment[name] = "1"
    return environment


class Crew:
    """Lend workers to threads; ``close`` kills those at work, so that no call outlives its caller."""

    _idle: list[Worker] = []  # noqa: RUF012  # shared by all crews on purpose: workers are reused between calls
    _lock = threading.Lock()

    def __init__(self, limits: Limits, pins: dict[str, str] | None = None) -> None:
        self._limits = limits
        self._pins = dict(pins or {})
        self._busy: set[Worker] = set()
        self._closed = threading.Event()

    def parse(self, data: bytes, name: str, *, only: tuple[str, ...] = ()) -> Parsed:
        """Parse one file in a worker. Raises the typed error that the worker met or caused."""
        job = {"name": name, "limits": self._limits.model_dump(), "pins": self._pins, "only": list(only)}
        most = (self._limits.text_mb * 6 + self._limits.memory_mb + 1) << 20
        worker = self._borrow()
        try:
            header, payload = worker.ask(job, data, seconds=self._limits.seconds, most=most)
            if header.get("retire"):
                worker.kill()
            if "error" in header:
                raise _error(header)
            return wire.unpack(header, payload)
        except (KeyError, TypeError, ValueError, json.JSONDecodeError) as error:
            worker.kill()
            raise DecodeError(f"the parser's result cannot be read: {error}") from error
        finally:
            self._give_back(worker)

    def _borrow(self) -> Worker:
        with self._lock:
            if self._closed.is_set():
                raise DecodeError("reading was stopped before this file")
            while self._idle:
                worker = self._idle.pop()
                if worker.kind == _kind(self._limits.memory_mb) and worker.alive:
                    self._busy.add(worker)
                    return worker
                if worker.ours:
                    worker.kill()
        worker = Worker(self._limits.memory_mb)
        with self._lock:
            self._busy.add(worker)
            if self._closed.is_set():
                worker.stop()
        return worker

    def _give_back(self, worker: Worker) -> None:
        with self._lock:
            self._busy.discard(worker)
            if worker.alive and not self._closed.is_set() and len(self._idle) < 2:
                self._idle.append(worker)
                return
        worker.kill()

    def close(self) -> None:
        """Kill the workers that are still at work for this crew."""
        with self._lock:
            self._closed.set()
            busy = list(self._busy)
        for worker in busy:
            worker.stop()


def _error(header: dict[str, Any]) -> MmsdkError:
    """Build the error again that a worker met."""
    kind = getattr(errors, str(header["error"]), DecodeError)
    if not (isinstance(kind, type) and issubclass(kind, MmsdkError)):
        kind = DecodeError
    error = kind.__new__(kind, header["message"])
    if isinstance(error, MissingDependencyError):
        error.pip = str(header.get("pip"))
    return error


@atexit.register
def _end_idle() -> None:
    with Crew._lock:
        while Crew._idle:
            worker = Crew._idle.pop()
            if worker.ours:
                worker.kill()
