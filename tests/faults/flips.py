"""Flip single bits in every file of a collection and read it in a process that may die.

    python -m tests.faults.flips COUNT [log]

Each flip must be named by an error or by ``verify``, or change no result at all. ``log`` flips bits of a
write-ahead log that a crashed writer left, instead of a cleanly closed collection. Prints JSON.
"""

import json
import logging
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from mmsdk.errors import MmsdkError
from mmsdk.stores.local import LocalStore
from tests.faults.kills import _all_of, _forked
from tests.faults.world import PIECES, drop, opened, put, vector

_DOCUMENTS = 60
_BATCH = 50
Place = tuple[str, int, int]
"""File name, byte, bit."""


def _made(folder: Path, closed: bool) -> None:
    store = opened(folder)
    put(store, dict.fromkeys(range(_DOCUMENTS), 0))
    store.close()
    store = opened(folder)
    for number in range(0, 12, 3):
        put(store, {number: 1})
    drop(store, [7, 8])
    if closed:
        store._publish()
        store.close()
    else:
        os._exit(0)


def _seen(store: LocalStore) -> list[Any]:
    """Give everything a caller can see of the collection's content."""
    documents = dict(store.documents())
    chunks = [vars(chunk) for name in sorted(documents) for chunk in store.chunks(name)]
    queries = np.concatenate([vector(number, 0, 0)[None] for number in range(0, _DOCUMENTS, 7)])
    found = store.search("s", queries, 10) + store.search("s", queries, 10, where={"n": {"$lt": 30}})
    rounded = [[(name, round(cosine, 5)) for name, cosine in row] for row in found]
    words = [store.search_text(f"document{number}", PIECES) for number in range(_DOCUMENTS)]
    return [documents, repr(chunks), rounded, words, store.count(), store.encoders]


def _outcome(folder: Path, clean: list[Any], read_only: bool) -> str:
    try:
        with opened(folder, create=False, read_only=read_only) as store:
            same = json.loads(json.dumps(_seen(store))) == clean
            problems = store.verify()
    except MmsdkError as error:
        return f"raised {type(error).__name__}"
    if problems:
        return "verify names it" if same else f"wrong before verify named it: {problems[0]}"
    return "no effect" if same else "silently wrong"


def _read(tell: int, source: Path, places: list[Place], clean: list[Any]) -> None:
    for turn, (name, byte, bit) in enumerate(places):
        folder = source.with_name(f"faiss-{os.getpid()}")
        shutil.copytree(source, folder)
        with (folder / name).open("r+b") as stream:
            stream.seek(byte)
            flipped = stream.read(1)[0] ^ 1 << bit
            stream.seek(byte)
            stream.write(bytes([flipped]))
        os.write(tell, f"{_outcome(folder, clean, read_only=turn % 3 > 0)}\n".encode())
        shutil.rmtree(folder)


def _clean(tell: int, folder: Path) -> None:
    with opened(folder, create=False, read_only=True) as store:
        os.write(tell, json.dumps(_seen(store)).encode())


def _places(folder: Path, count: int, log: bool) -> list[Place]:
    """Draw half of the places by size and half by file."""
    chance = random.Random(3)
    files = [file for file in sorted(folder.iterdir()) if file.stat().st_size and (not log or "-wal" in file.name)]
    drawn = chance.choices(files, [file.stat().st_size for file in files], k=count // 2)
    drawn += [files[number % len(files)] for number in range(count - len(drawn))]
    return [(file.name, chance.randrange(file.stat().st_size), chance.randrange(8)) for file in drawn]


def run(count: int, *, log: bool = False) -> dict[str, Any]:
    """Flip so many bits, one at a time, and count what came of it."""
    root = Path(tempfile.mkdtemp())
    child, pipe = _forked(lambda tell: _made(root / "faiss", not log))
    _all_of(pipe)
    os.waitpid(child, 0)
    shutil.copytree(root / "faiss", root / "faiss-clean")  # looking at it would take up the log
    child, pipe = _forked(lambda tell: _clean(tell, root / "faiss-clean"))
    clean = json.loads(_all_of(pipe))
    os.waitpid(child, 0)
    places, outcomes = _places(root / "faiss", count, log), Counter[str]()
    worst: list[str] = []
    while places:
        batch, places = places[:_BATCH], places[_BATCH:]
        child, pipe = _forked(lambda tell: _read(tell, root / "faiss", batch, clean))  # noqa: B023 waited for here
        lines = _all_of(pipe).splitlines()
        _, status = os.waitpid(child, 0)
        if status:
            lines = [*lines[: len(batch)], f"died of {os.waitstatus_to_exitcode(status)}: {lines[-1:]}"][: len(batch)]
            places = batch[len(lines) :] + places
        for (name, byte, bit), outcome in zip(batch, lines, strict=False):
            outcomes[f"{name.rpartition('.')[2]}: {outcome}"] += 1
            if "wrong" in outcome or "died" in outcome:
                worst.append(f"{name} byte {byte} bit {bit}: {outcome}")
    shutil.rmtree(root)
    return {"flips": sum(outcomes.values()), "outcomes": dict(sorted(outcomes.items())), "wrong": worst}


def main() -> None:
    logging.disable()
    print(json.dumps(run(int(sys.argv[1]), log="log" in sys.argv)))


if __name__ == "__main__":
    main()
