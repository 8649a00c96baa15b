"""Two writers and eight readers at once, and a check of what they saw.

    python -m tests.faults.contention SECONDS

A document's version is a counter that writers read and raise under the lock, so a lost update is a missing
count. All chunks of a document carry its version in text, metadata and vector, so a torn read is a mix.
Four readers are threads of one process, four are processes; each only opens what was committed. Prints JSON.
"""

import bisect
import json
import logging
import os
import sys
import tempfile
import threading
import time
import traceback
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from mmsdk.protocols import Entry
from mmsdk.stores.local import LocalStore
from tests.faults.kills import _all_of, _forked
from tests.faults.world import PIECES, entry, opened, vector

_DOCUMENTS = 10
Seen = list[tuple[float, float, dict[int, int]]]
"""Begin, end, and version by document, of each change or read."""


def _entry(number: int, version: int) -> Entry:
    made = entry(number, version)
    return Entry(made.document, made.chunks, {"s": np.stack([vector(number, version, 0)] * PIECES)})


def _version(store: LocalStore, number: int) -> int:
    versions = {chunk.metadata["version"] for chunk in store.chunks(f"d{number}")}
    assert len(versions) == 1, f"torn read of document {number}: versions {versions}"
    return int(str(versions.pop()))


def _write(folder: Path, until: float, seed: int) -> Seen:
    chance, done = np.random.default_rng(seed), []
    with opened(folder) as store:
        store.lock.seconds = 60
        while time.monotonic() < until:
            numbers = chance.choice(_DOCUMENTS, 3, replace=False).tolist()
            with store.lock:
                raised = {number: _version(store, number) + 1 for number in numbers}
                begin = time.monotonic()
                store.upsert([_entry(number, version) for number, version in raised.items()])
                done.append((begin, time.monotonic(), raised))
            if chance.random() < 0.05:
                store._publish()
            time.sleep(0.001)
    return done


def _read(store: LocalStore, until: float, seed: int) -> Seen:
    seen: Seen = []
    turn = seed
    while time.monotonic() < until:
        begin, turn = time.monotonic(), turn + 1
        if turn % 2:
            number = turn % _DOCUMENTS
            found = {number: _version(store, number)}
        else:
            found = {}
            row = store.search("s", vector(turn % _DOCUMENTS, 1, 0)[None], _DOCUMENTS * PIECES)[0]
            cosines: dict[str, list[float]] = defaultdict(list)
            for name, cosine in row:
                cosines[name.partition("-")[0]].append(round(cosine, 5))
            mixed = {name: all_of for name, all_of in cosines.items() if len(all_of) != PIECES or len(set(all_of)) > 1}
            assert len(cosines) == _DOCUMENTS, f"torn search: {len(cosines)} documents"
            assert not mixed, f"torn search: {mixed}"
        seen.append((begin, time.monotonic(), found))
    return seen


def _read_in_threads(folder: Path, until: float) -> list[Seen]:
    results: list[Any] = [None] * 4
    with opened(folder, create=False, read_only=True) as store:

        def work(place: int) -> None:
            try:
                results[place] = _read(store, until, place)
            except BaseException as error:  # noqa: BLE001 the driver judges
                results[place] = "".join(traceback.format_exception(error))

        threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return results


def _read_alone(folder: Path, until: float, seed: int) -> list[Seen]:
    with opened(folder, create=False, read_only=True) as store:
        return [_read(store, until, seed)]


def _prepare(folder: Path) -> None:
    with opened(folder) as store:
        store.upsert([_entry(number, 1) for number in range(_DOCUMENTS)])


def _total(folder: Path) -> list[int]:
    with opened(folder) as store:
        assert store.verify() == []
        return [_version(store, number) for number in range(_DOCUMENTS)]


def run(seconds: float) -> dict[str, Any]:
    """Let them work for so long and check the history."""
    folder = Path(tempfile.mkdtemp()) / "faiss"
    _results([lambda: _prepare(folder)])
    until = time.monotonic() + seconds
    jobs: list[Any] = [lambda seed=seed: [_write(folder, until, seed)] for seed in (1, 2)]
    jobs += [lambda: _read_in_threads(folder, until)]
    jobs += [lambda seed=seed: _read_alone(folder, until, seed) for seed in range(4)]
    results = [history for part in _results(jobs) for history in (part if isinstance(part, list) else [part])]
    wrong = [history for history in results if isinstance(history, str)]
    writes = [change for history in results[:2] if not isinstance(history, str) for change in history]
    reads = [one for history in results[2:] if not isinstance(history, str) for one in history]
    final = _results([lambda: _total(folder)])[0]
    raised = sum(len(change[2]) for change in writes)
    lost = 0 if isinstance(final, str) else raised - sum(version - 1 for version in final)
    if isinstance(final, str):
        wrong.append(final)
    if wrong:  # without the history of who died, nothing can be said of the others
        return {"seconds": seconds, "writes": len(writes), "reads": len(reads), "lost": 0, "wrong": wrong}
    wrong += _stale(writes, results[2:])
    return {"seconds": seconds, "writes": len(writes), "reads": len(reads), "lost": lost, "wrong": wrong}


def _stale(writes: list[Any], readers: list[Any]) -> list[str]:
    """Find reads that miss a change which was acknowledged before they began, show one not begun, or go back."""
    begun: dict[str, dict[int, float]] = defaultdict(dict)
    ended: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for begin, end, raised in writes:
        for number, version in raised.items():
            begun[str(number)][version] = begin
            ended[str(number)].append((end, version))
    for times in ended.values():
        times.sort()
    wrong = []
    for history in readers:
        last: dict[str, int] = {}
        for begin, end, found in history:
            for number, version in found.items():
                before = bisect.bisect_left(ended[number], (begin, 0))
                least = max(last.get(number, 1), ended[number][before - 1][1] if before else 1)
                if version < least:
                    wrong.append(f"document {number}: saw {version} after {least} was acknowledged or seen")
                if version > 1 and begun[number].get(version, end + 1) > end:
                    wrong.append(f"document {number}: saw {version} before it was written")
                last[number] = version
    return wrong


def _results(jobs: list[Any]) -> list[Any]:
    """Run each job in a process of its own."""

    def body(job: Any) -> Any:
        def work(tell: int) -> None:
            try:
                answer = job()
            except BaseException as error:  # noqa: BLE001 the driver judges
                answer = "".join(traceback.format_exception(error))
            with os.fdopen(tell, "w") as stream:
                json.dump(answer, stream)

        return work

    running = [_forked(body(job)) for job in jobs]
    answers = [json.loads(_all_of(pipe) or '"it died"') for _, pipe in running]
    for child, _ in running:
        os.waitpid(child, 0)
    return answers


def main() -> None:
    logging.disable()
    print(json.dumps(run(float(sys.argv[1]))))


if __name__ == "__main__":
    main()
