"""Crash at every k-th file operation, and let every k-th fail; then compare with the states before and after.

    python -m tests.faults.crashes crash|lossy|error [one in how many operations, 1 for all]

``crash`` runs the steps once, recording, and builds from the record what a machine that stopped after k
operations may have on its disk: what was flushed, and of the rest nothing, all, or a random part torn at
sectors. ``lossy`` is its negative control: flushes do nothing. ``error`` repeats each step with its k-th
operation failing: one I/O error, I/O errors from there on, or no space from there on. Prints JSON.
"""

import json
import logging
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmsdk.errors import MmsdkError
from mmsdk.stores.local import LocalStore
from mmsdk.types import Chunk, Vectors
from tests.faults.disk import Operation, disk, install
from tests.faults.world import ENCODERS, Held, content, differences, drop, opened, put, vector

_SECTOR = 512


@dataclass(frozen=True)
class Step:
    """One thing to do to a collection, and what it holds then."""

    name: str
    do: Callable[[LocalStore], object]
    after: Held


def _encode(chunks: Sequence[Chunk]) -> dict[str, Vectors]:
    places = [(chunk.metadata["n"], chunk.metadata["version"], chunk.id.partition("-")[2]) for chunk in chunks]
    return {"s": np.stack([vector(int(str(n)), int(str(version)), int(place)) for n, version, place in places])}


BASE: Held = dict.fromkeys(range(12), 0)
ADDED: Held = {**BASE, 20: 0, 21: 0}
CHANGED: Held = {**ADDED, 3: 1, 4: 1}
FEWER: Held = {number: version for number, version in CHANGED.items() if number not in (5, 20)}
STEPS = (
    Step("add first", lambda store: put(store, BASE), BASE),
    Step("publish first", lambda store: store._publish(), BASE),
    Step("add", lambda store: put(store, {20: 0, 21: 0}), ADDED),
    Step("change", lambda store: put(store, {3: 1, 4: 1}), CHANGED),
    Step("delete", lambda store: drop(store, [5, 20]), FEWER),
    Step("publish", lambda store: store._publish(), FEWER),
    Step("reindex", lambda store: store.reindex(ENCODERS, _encode, rows=16), FEWER),
    Step("repair", lambda store: store.repair(), FEWER),
    Step("close", lambda store: store.close(), FEWER),
)


class Image:
    """What a file system may hold after a crash: flushed bytes and names, and what was asked for since."""

    def __init__(self, *, lossy: bool) -> None:
        self.lossy = lossy
        self.flushed: list[bytes] = []
        self.later: list[list[Operation]] = []
        self.names: dict[str, int] = {}
        self.current: dict[str, int] = {}
        self.changes: list[tuple[Operation, int]] = []

    def apply(self, operation: Operation) -> None:
        number = self.current.get(operation.path, -1)
        if operation.kind in ("write", "truncate"):
            self.later[number].append(operation)
        elif operation.kind == "sync":
            if not self.lossy:
                self.flushed[number] = _written(self.flushed[number], self.later[number])
                self.later[number] = []
        elif operation.kind == "syncdir":
            if not self.lossy:
                self.names, self.changes = dict(self.current), []
        elif operation.kind != "mkdir":
            if operation.kind == "create":
                number = len(self.flushed)
                self.flushed.append(b"")
                self.later.append([])
            self.changes.append((operation, number))
            _rename(self.current, operation, number)

    def build(self, folder: Path, root: Path, chance: random.Random | bool) -> None:
        """Write the files as a crash leaves them: all that was asked for, nothing unflushed, or a random part."""
        names = dict(self.names)
        most = len(self.changes)
        done = chance.randint(0, most) if isinstance(chance, random.Random) else most if chance else 0
        for operation, number in self.changes[:done]:
            _rename(names, operation, number)
        for path, number in names.items():
            later = self.later[number]
            if isinstance(chance, random.Random):
                later = [_torn(one, chance) for one in later if chance.random() < 0.5]
            elif not chance:
                later = []
            target = folder / Path(path).relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_written(self.flushed[number], later))


def _rename(names: dict[str, int], operation: Operation, number: int) -> None:
    if operation.kind in ("rename", "unlink"):
        names.pop(operation.path, None)
    if operation.kind != "unlink":
        names[operation.other or operation.path] = number


def _written(data: bytes, operations: Sequence[Operation]) -> bytes:
    made = bytearray(data)
    for one in operations:
        if one.kind == "truncate":
            del made[one.place :]
            made.extend(bytes(one.place - len(made)))
        else:
            made.extend(bytes(max(0, one.place + len(one.data) - len(made))))
            made[one.place : one.place + len(one.data)] = one.data
    return bytes(made)


def _torn(one: Operation, chance: random.Random) -> Operation:
    """Leave a write whole or cut it after some of its sectors."""
    if one.kind != "write" or len(one.data) <= _SECTOR or chance.random() < 0.5:
        return one
    return Operation("write", one.path, one.place, one.data[: _SECTOR * chance.randint(1, len(one.data) // _SECTOR)])


def problems(folder: Path, allowed: Sequence[Held]) -> list[str]:
    """Open a collection and say what is wrong with it."""
    try:
        with opened(folder) as store:
            held = content(store)
            wrong = [] if held in allowed else [f"holds {held}, none of {list(allowed)}"]
            return wrong + differences(store, held, 2) + store.verify()
    except Exception as error:  # noqa: BLE001 a crash of any kind is what is looked for
        return [f"{type(error).__name__}: {error}"]


def _recorded(root: Path) -> list[Operation | str]:
    disk.folder, disk.recording = f"{root}/", True
    disk.log.append("begin make")
    store = opened(root / "faiss")
    disk.log.append("done make")
    for step in STEPS:
        disk.log.append(f"begin {step.name}")
        step.do(store)
        store._builds.wait()
        disk.log.append(f"done {step.name}")
    disk.folder, disk.recording = "", False
    return disk.log


def crash(every: int, *, lossy: bool = False) -> dict[str, object]:
    """Check the states after each ``every``-th recorded operation, three random ones besides all and nothing."""
    root = Path(tempfile.mkdtemp())
    image, chance = Image(lossy=lossy), random.Random(1)
    after = {step.name: step.after for step in STEPS} | {"make": {}}
    allowed: list[Held] = [{}]
    wrong: list[str] = []
    states = points = 0
    where = ""
    for item in _recorded(root / "run"):
        if isinstance(item, str):
            verb, _, where = item.partition(" ")
            allowed = [*allowed[-1:], after[where]] if verb == "begin" else [after[where]]
            continue
        image.apply(item)
        points += 1
        if points % every:
            continue
        for variant in (True, False, chance, chance, chance):
            folder = root / f"state-{points}"
            image.build(folder, root / "run", variant)
            states += 1
            wrong += [
                f"{where}, after {item.kind} {Path(item.path).name}: {p}" for p in problems(folder / "faiss", allowed)
            ]
            shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(root)
    return {"operations": points, "states": states, "wrong": wrong}


def error(every: int) -> dict[str, object]:
    """Let each ``every``-th operation of each step fail in three ways."""
    root = Path(tempfile.mkdtemp())
    wrong: list[str] = []
    runs: Counter[str] = Counter()
    before: Held = {}
    opened(root / "faiss").close()
    for step in STEPS:
        for mode in ("error", "broken", "full"):
            number, reached = 1, True
            while reached:
                run = root / "run"
                shutil.copytree(root / "faiss", run / "faiss")
                found, reached = _failing(run, step, before, number, mode)
                wrong += [f"{step.name}, {mode} at {number} ({disk.failed}): {problem}" for problem in found]
                runs[step.name] += reached
                shutil.rmtree(run)
                number += every
        with opened(root / "faiss") as store:
            step.do(store)
        before = step.after
    shutil.rmtree(root)
    return {"runs": dict(runs), "failures": sum(runs.values()), "wrong": wrong}


def _failing(run: Path, step: Step, before: Held, number: int, mode: str) -> tuple[list[str], bool]:
    """Do a step whose operation of that number fails, then again; give what is wrong and whether it was reached."""
    store = opened(run / "faiss")
    disk.folder, disk.count, disk.fail, disk.mode, disk.failed = f"{run}/", 0, number, mode, ""
    allowed, found = [step.after], []
    try:
        step.do(store)
        store._builds.wait()
    except MmsdkError:
        allowed = [before, step.after]
    except Exception as leaked:  # noqa: BLE001 whatever is not a typed error is a finding
        allowed = [before, step.after]
        found.append(f"raised {type(leaked).__name__}: {leaked}")
    disk.folder, disk.fail = "", None
    if not disk.failed:
        store.close()
        return found, False
    try:
        if step.name != "close":
            if content(store) not in allowed:
                found.append(f"holds {content(store)}")
            step.do(store)
            allowed = [step.after]
        store.close()
    except Exception as later:  # noqa: BLE001 it must work again
        found.append(f"afterwards {type(later).__name__}: {later}")
    return found + problems(run / "faiss", allowed), True


def main() -> None:
    logging.disable()
    install()
    mode, every = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
    print(json.dumps(error(every) if mode == "error" else crash(every, lossy=mode == "lossy")))


if __name__ == "__main__":
    main()
