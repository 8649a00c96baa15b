"""Do to collections what machines do, in full counts, and print what came of it.

    python -m benchmarks.faults [kills crashes errors flips log crowd cost]

Kills, crashes, failing file operations, flipped bits and a crowd of readers are the harnesses of
``tests/faults``; each line has its negative control where one exists. ``cost`` is what the seal adds to a
commit and a read.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmsdk.stores.seal import Seal
from tests.faults.world import opened, put


def _ran(*command: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def kills() -> str:
    found, control = _ran("tests.faults.kills", "1000"), _ran("tests.faults.kills", "100", "early")
    return (
        f"{found['kills']} kills ({_counts(found['moments'])}): {found['lost']} lost, {len(found['wrong'])} wrong or "
        f"unopened; control that acknowledges before it commits, 100 kills: {control['lost']} lost{_first(found)}"
    )


def crashes() -> str:
    found, control = _ran("tests.faults.crashes", "crash"), _ran("tests.faults.crashes", "lossy", "4")
    return (
        f"{found['states']} states after {found['operations']} operations: {len(found['wrong'])} neither before nor "
        f"after; control whose flushes do nothing: {len(control['wrong'])} of {control['states']}{_first(found)}"
    )


def errors() -> str:
    found = _ran("tests.faults.crashes", "error")
    runs = _counts(found["runs"])
    return f"{found['failures']} failing operations ({runs}): {len(found['wrong'])} wrong{_first(found)}"


def flips() -> str:
    return _flipped(_ran("tests.faults.flips", "2000"))


def log() -> str:
    return _flipped(_ran("tests.faults.flips", "500", "log"))


def crowd() -> str:
    found = _ran("tests.faults.contention", "300")
    return (
        f"2 writers and 8 readers, {found['seconds']:g} s: {found['writes']} changes, {found['reads']} reads, "
        f"{found['lost']} lost updates, {len(found['wrong'])} torn or stale reads or failures{_first(found)}"
    )


def cost() -> str:
    """Time commits of one document and reads, with the seal and without, in turns."""
    times: dict[str, list[float]] = {"commit": [], "commit unsealed": [], "read": [], "read unsealed": []}
    write, read = Seal.write, Seal.read
    with opened(Path(tempfile.mkdtemp(dir=".")) / "c") as store:
        put(store, {0: 0})
        for number in range(1, 401):
            name = "" if number % 2 else " unsealed"
            if name:
                Seal.write, Seal.read = (lambda *_: None), (lambda *_: None)  # type: ignore[method-assign]
            times[f"commit{name}"].append(_timed(lambda: put(store, {number: 0})))  # noqa: B023 called here
            times[f"read{name}"].append(_timed(store.count))
            Seal.write, Seal.read = write, read  # type: ignore[method-assign]
        folder = store.path.parent
    shutil.rmtree(folder)
    medians = {name: f"{1000 * statistics.median(taken):.3f} ms" for name, taken in times.items()}
    return f"medians of 200: {_counts(medians)}"


def _timed(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def _flipped(found: dict[str, Any]) -> str:
    return f"{found['flips']} flips, {len(found['wrong'])} silently wrong or signals: {_counts(found['outcomes'])}"


def _counts(found: dict[str, Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in found.items())


def _first(found: dict[str, Any]) -> str:
    return "".join(f"\n    {one}" for one in found["wrong"][:5])


def main() -> None:
    parts = {one.__name__: one for one in (cost, flips, log, crashes, errors, kills, crowd)}
    for name in sys.argv[1:] or parts:
        begin = time.monotonic()
        print(f"{name}: {parts[name]()} [{time.monotonic() - begin:.0f} s]", flush=True)


if __name__ == "__main__":
    main()
