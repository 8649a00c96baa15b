"""Kill a writer at random moments of opening, adding, changing, deleting and publishing; then look.

    python -m tests.faults.kills COUNT [early]

A writer says what it is about to do and that it was done, through a pipe. After its death the collection
must hold what was acknowledged, with or without the one thing that was under way, and searches must equal
brute force over that. ``early`` is the negative control: it acknowledges before it commits, and the losses
must be seen. Writers and checks are forked from this process, which itself opens nothing. Prints JSON.
"""

import json
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmsdk.stores.local import LocalStore
from tests.faults.world import content, differences, drop, opened, put

_DOCUMENTS = 40
_FRESH = 20
"""So many kills hit one collection before another is begun."""
Held = dict[int, int]


def _writer(folder: Path, tell: int, seed: int, early: bool) -> None:
    chance = random.Random(seed)
    with opened(folder) as store:
        os.write(tell, b"ready\n")
        while True:
            name, changes = _chosen(chance)
            os.write(tell, f"{json.dumps([name, changes])}\n".encode())
            if early:
                os.write(tell, b"done\n")
            _do(store, name, changes)
            if not early:
                os.write(tell, b"done\n")


def _chosen(chance: random.Random) -> tuple[str, Held]:
    name = chance.choices(("add", "delete", "publish", "search", "close"), (6, 2, 2, 1, 1))[0]
    numbers = chance.sample(range(_DOCUMENTS), chance.randint(1, 6))
    return name, {number: chance.randint(1, 10**6) for number in numbers} if name in ("add", "delete") else {}


def _do(store: LocalStore, name: str, changes: Held) -> None:
    if name == "add":
        put(store, changes)
    elif name == "delete":
        drop(store, changes)
    elif name == "search":
        differences(store, {0: 0}, 1)
    elif name == "publish":
        store._publish()
    else:
        opened(store.path).close()


def _applied(held: Held, name: str, changes: Held) -> Held:
    if name == "add":
        return {**held, **changes}
    return {number: version for number, version in held.items() if name != "delete" or number not in changes}


def _check(folder: Path, allowed: list[Held]) -> tuple[Held, list[str]]:
    """Open what a kill left; give what it holds and what is wrong."""
    with opened(folder) as store:
        held = content(store)
        wrong = [] if held in allowed else [f"lost: holds {held}, none of {allowed}"]
        return held, wrong + differences(store, held, 2) + store.verify()


def _forked(body: Callable[[int], None]) -> tuple[int, int]:
    """Run a body in a child that gets the writing end of a pipe; give its process id and the reading end."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            body(writing)
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 the driver judges
            os.write(writing, json.dumps([None, [f"{type(error).__name__}: {error}"]]).encode())
            os._exit(1)
    os.close(writing)
    return child, reading


def _all_of(pipe: int) -> str:
    with os.fdopen(pipe, "rb") as stream:
        return stream.read().decode()


def _killed(folder: Path, held: Held, chance: random.Random, early: bool) -> tuple[list[Held], str]:
    """Start a writer and kill it; give what may be there now, and what it was doing."""
    child, pipe = _forked(lambda tell: _writer(folder, tell, chance.randint(0, 10**9), early))
    if chance.random() < 0.85:
        head = os.read(pipe, 6).decode()
        time.sleep(chance.random() * 0.08)
    else:
        head = ""
        time.sleep(chance.random() * 0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    lines = (head + _all_of(pipe)).splitlines()
    doing: tuple[str, Held] | None = None
    for line in lines[1:]:
        if line != "done":
            name, changes = json.loads(line)
            doing = name, {int(number): version for number, version in changes.items()}
        elif doing is not None:
            held, doing = _applied(held, *doing), None
    if doing is None:
        return [held], "between" if lines else "opening"
    return [held, _applied(held, *doing)], doing[0]


def run(count: int, *, early: bool = False, seed: int = 1) -> dict[str, Any]:
    """Kill so many writers and count what went wrong."""
    chance, root = random.Random(seed), Path(tempfile.mkdtemp())
    moments: Counter[str] = Counter()
    wrong: list[str] = []
    held: Held = {}
    for number in range(count):
        folder = root / f"{'faiss' if number // _FRESH % 2 else 'exact'}-{number // _FRESH}"
        if number % _FRESH == 0:
            shutil.rmtree(root, ignore_errors=True)
            root.mkdir()
            held = {}
        allowed, moment = _killed(folder, held, chance, early)
        moments[moment] += 1
        child, pipe = _forked(lambda tell: _tell(tell, _check(folder, allowed)))  # noqa: B023 waited for here
        answer = _all_of(pipe)
        _, status = os.waitpid(child, 0)
        found, problems = (
            json.loads(answer) if answer else (None, [f"the check died of {os.waitstatus_to_exitcode(status)}"])
        )
        wrong += [f"{number} ({moment}): {problem}" for problem in problems]
        held = allowed[0] if found is None else {int(key): version for key, version in found.items()}
    shutil.rmtree(root)
    return {"kills": count, "moments": dict(moments), "lost": sum(": lost" in one for one in wrong), "wrong": wrong}


def _tell(pipe: int, result: tuple[Held, list[str]]) -> None:
    os.write(pipe, json.dumps(result).encode())


def main() -> None:
    logging.disable()
    print(json.dumps(run(int(sys.argv[1]), early="early" in sys.argv)))


if __name__ == "__main__":
    main()
