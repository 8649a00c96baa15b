"""Kills, crashes, failing disks, flipped bits and crowds: small rounds here, full ones in the long tier.

Each harness in ``tests/faults`` runs in a process of its own and prints what it found; negative controls
show that it sees loss.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def _ran(harness: str, *arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-W", "error", "-m", f"tests.faults.{harness}", *map(str, arguments)]
    where = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=where, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_kills_lose_nothing_that_was_acknowledged() -> None:
    found = _ran("kills", 100)
    assert found["wrong"] == []
    assert found["moments"]["add"] > 5


def test_the_harness_of_kills_sees_what_is_acknowledged_too_early() -> None:
    assert _ran("kills", 25, "early")["lost"] > 0


def test_a_machine_that_stops_leaves_the_state_before_or_after() -> None:
    found = _ran("crashes", "crash", 11)
    assert found["wrong"] == []
    assert found["states"] > 100


def test_the_harness_of_crashes_sees_what_was_not_flushed() -> None:
    assert len(_ran("crashes", "lossy", 40)["wrong"]) > 3


def test_a_failing_disk_leaves_the_state_before_or_after() -> None:
    found = _ran("crashes", "error", 17)
    assert found["wrong"] == []
    assert found["failures"] > 50


def test_flipped_bits_are_named_or_change_nothing() -> None:
    found = _ran("flips", 100)
    assert found["wrong"] == []
    assert found["flips"] == 100


def test_flipped_bits_in_a_leftover_log_are_named() -> None:
    found = _ran("flips", 30, "log")
    assert found["wrong"] == []
    assert found["outcomes"]["sqlite-wal: raised CorruptionError"] > 20


def test_readers_see_whole_documents_and_writers_lose_no_update() -> None:
    found = _ran("contention", 15)
    assert (found["wrong"], found["lost"]) == ([], 0)
    assert min(found["writes"], found["reads"]) > 5


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "arguments",
    [("kills", 1000), ("crashes", "crash", 1), ("crashes", "error", 1), ("flips", 2000), ("flips", 500, "log")],
    ids=lambda given: "-".join(map(str, given)),
)
def test_many_faults(arguments: tuple[object, ...]) -> None:
    assert _ran(*arguments)["wrong"] == []  # type: ignore[arg-type]


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_five_minutes_of_two_writers_and_eight_readers() -> None:
    found = _ran("contention", 300)
    assert (found["wrong"], found["lost"]) == ([], 0)
