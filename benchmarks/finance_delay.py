"""Seconds from an item's arrival to its alert, of the command as it is run: `mmsdk finance monitor --follow`.

    python -m benchmarks.finance_delay --turns 30

For each of 30 names in turn, twelve bad headlines of four sources are appended to a file of JSON lines (`--follow`
looks every two seconds), or written to standard input; the clock runs from then until the alert stands in the file
that the sink writes. One more turn goes before, in which the models are loaded.
"""

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

BAD = (
    "{} shares plunge {}% after profit warning",
    "{} cuts its outlook as losses widen to {} million",
    "{} sued over faulty brakes, {} injured",
    "Regulator fines {} {} million for misleading investors",
    "{} defaults on a loan of {} million",
    "Analysts downgrade {} after dismal quarter, target cut to {}",
)
LIMIT = 300.0


def headlines(name: str, chance: random.Random) -> str:
    """Give twelve JSON lines about a name, of four sources, happening now."""
    rows = [
        {
            "id": f"{name} {number}",
            "text": BAD[number % len(BAD)].format(name, chance.randint(2, 99)),
            "source": f"Wire {number % 4}",
            "event": datetime.now(UTC).isoformat(),
        }
        for number in range(12)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


def waited(told: Callable[[], int], beyond: int) -> float:
    """Wait until more than ``beyond`` alerts are told of; give the seconds."""
    start = time.perf_counter()
    while told() <= beyond:
        if time.perf_counter() - start > LIMIT:
            raise TimeoutError(f"no alert within {LIMIT} seconds")
        time.sleep(0.02)
    return time.perf_counter() - start


def measured(folder: Path, turns: int, *, stdin: bool) -> list[float]:
    names = [f"{first}{second} Holdings" for first in ("Bor", "Cal", "Dor", "Fen", "Gal", "Hel") for second in TAILS]
    with (folder / "watchlist.csv").open("w", newline="") as file:
        rows = [("ticker", "names"), *((f"T{n}", name) for n, name in enumerate(names[:turns]))]
        csv.writer(file).writerows(rows)
    (folder / "mmsdk.toml").write_text('[plugins.finance]\nconsole = false\nfile = "alerts.jsonl"\n')
    feed, alerts, chance = folder / "feed.jsonl", folder / "alerts.jsonl", random.Random(0)
    feed.touch()
    source = ["-"] if stdin else ["feed.jsonl", "--follow"]
    command = ["finance", "monitor", *source, "--state", "state", "--watchlist", "watchlist.csv"]
    with subprocess.Popen(
        [str(Path(sys.executable).parent / "mmsdk"), *command],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "MMSDK_CONFIG": str(folder / "mmsdk.toml")},
    ) as child:
        assert child.stdin is not None

        def told() -> int:
            return alerts.read_text().count("\n") if alerts.exists() else 0

        def give(lines: str) -> None:
            if stdin:
                assert child.stdin is not None
                child.stdin.write(lines.encode())
                child.stdin.flush()
            else:
                with feed.open("a") as file:
                    file.write(lines)

        found = []
        try:
            for name in names[:turns]:
                before = told()
                give(headlines(name, chance))
                found.append(waited(told, before))
                time.sleep(chance.uniform(0, 2.5))
        finally:
            child.terminate()
    return found[1:]  # the first one loaded the models


TAILS = ("den", "mar", "tor", "vik", "wen", "zan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=30, choices=range(2, 37), metavar="2..36")
    given = parser.parse_args()
    for stdin in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            seconds = measured(Path(folder), given.turns, stdin=stdin)
        name = "standard input" if stdin else "file, --follow"
        print(
            f"{name}: {len(seconds)} alerts, median {np.median(seconds):.2f} s, longest {max(seconds):.2f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
