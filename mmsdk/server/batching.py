"""Requests that encode at the same time share a batch.

While the model runs, what comes in gathers; the next batch takes as much of it as fits, so nobody waits
for a batch to fill. A batch that fails is run again input by input, so that only who brought the poisoned
input sees the error. Knows nothing of HTTP.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from mmsdk import telemetry
from mmsdk.protocols import Closing, Encoder
from mmsdk.types import Content, Modality, Role, Vectors, modality_of

_TOKENS = {"image": 256, "audio": 1024}
"""What a picture and a recording count in a batch."""


class FullError(Exception):
    """Say that the queue of a batcher is full."""


@dataclass(eq=False)
class _Job:
    inputs: Sequence[Content]
    role: Role
    done: Future[Vectors] = field(default_factory=Future)
    rows: list[Vectors] = field(default_factory=list)
    taken: int = 0


class Batcher(Closing):
    """Be an encoder over another; calls of several threads run in one batch.

    ``items`` and ``tokens`` bound a batch, ``waiting`` the inputs in the queue. ``told`` is called with the
    size of every batch. Inputs of one call keep their order.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        items: int,
        tokens: int,
        waiting: int = 4096,
        told: Callable[[int], None] | None = None,
    ) -> None:
        self.encoder = encoder
        self._items, self._tokens, self._most = items, tokens, waiting
        self._told = told or (lambda _: None)
        self._jobs: deque[_Job] = deque()
        self._waiting = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def space(self) -> str:
        """The space of the encoder."""
        return self.encoder.space

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        return self.encoder.dimension

    @property
    def modalities(self) -> frozenset[Modality]:
        """What it takes."""
        return self.encoder.modalities

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the encoder."""
        return self.encoder.fingerprint

    @property
    def truncated(self) -> int:
        """How many inputs were too long so far."""
        return int(getattr(self.encoder, "truncated", 0))

    @property
    def waiting(self) -> int:
        """How many inputs wait."""
        return self._waiting

    def encode(self, inputs: Sequence[Content], *, role: Role = "document") -> Vectors:
        """Encode; float32 ``[len(inputs), dimension]``, rows of unit L2 norm."""
        return self.submit(inputs, role=role, patient=True).result()

    def submit(self, inputs: Sequence[Content], *, role: Role = "document", patient: bool = False) -> Future[Vectors]:
        """Queue inputs and give the future of their vectors.

        Raises ``FullError`` when too much waits, unless the caller is ``patient``: it already has a slot.
        """
        job = _Job(list(inputs), role)
        if not job.inputs:
            job.done.set_result(np.zeros((0, self.dimension), np.float32))
            return job.done
        with self._changed:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            if not patient and self._waiting and self._waiting + len(job.inputs) > self._most:
                raise FullError(f"{self._waiting} inputs wait to be encoded, of {self._most} allowed")
            self._jobs.append(job)
            self._waiting += len(job.inputs)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="mmsdk-batch", daemon=True)
                self._thread.start()
            self._changed.notify()
        return job.done

    def close(self) -> None:
        """Fail what waits and end the thread; calling it twice is fine."""
        with self._changed:
            self._closed = True
            jobs, self._jobs = list(self._jobs), deque()
            self._changed.notify()
        for job in jobs:
            job.done.cancel()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._jobs and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                batch = self._next()
            self._told(sum(len(inputs) for _, inputs in batch))
            self._run(batch)

    def _next(self) -> list[tuple[_Job, Sequence[Content]]]:
        """Take from the front what fits and has one role; a job that is not done goes to the back."""
        batch: list[tuple[_Job, Sequence[Content]]] = []
        items = tokens = 0
        role = self._jobs[0].role
        later: list[_Job] = []
        while self._jobs and items < self._items and tokens < self._tokens:
            job = self._jobs.popleft()
            if job.done.cancelled():
                self._waiting -= len(job.inputs) - job.taken
                continue
            if job.role != role:
                later.append(job)
                continue
            start = job.taken
            while job.taken < len(job.inputs) and items < self._items and tokens < self._tokens:
                tokens += _count(job.inputs[job.taken])
                items += 1
                job.taken += 1
            batch.append((job, job.inputs[start : job.taken]))
        self._waiting -= items
        unfinished = [job for job, _ in batch if job.taken < len(job.inputs)]
        self._jobs.extendleft(reversed(later))
        self._jobs.extend(unfinished)
        return batch

    def _run(self, batch: list[tuple[_Job, Sequence[Content]]]) -> None:
        inputs = [content for _, part in batch for content in part]
        if not batch:
            return
        try:
            rows = telemetry.encode(self.encoder, inputs, role=batch[0][0].role)
        except Exception as error:  # noqa: BLE001 - it is raised again where the result is awaited
            if len(batch) > 1:
                for one in batch:
                    self._run([one])
            else:
                self._fail(batch[0][0], error)
            return
        start = 0
        for job, part in batch:
            job.rows.append(rows[start : start + len(part)])
            start += len(part)
            if job.taken == len(job.inputs) and sum(map(len, job.rows)) == job.taken and not job.done.cancelled():
                _settle(job.done, np.concatenate(job.rows))

    def _fail(self, job: _Job, error: Exception) -> None:
        with self._changed:
            if job in self._jobs:
                self._jobs.remove(job)
                self._waiting -= len(job.inputs) - job.taken
        if not job.done.cancelled():
            job.done.set_exception(error)


def _settle(done: Future[Vectors], rows: Vectors) -> None:
    if done.set_running_or_notify_cancel():
        done.set_result(rows)


def _count(content: Content) -> int:
    return len(content) // 4 + 1 if isinstance(content, str) else _TOKENS[modality_of(content)]
