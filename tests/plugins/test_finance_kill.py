"""Killed at any moment, the monitor goes on where it stopped: nothing is lost, nothing is counted or sent twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmsdk_finance.sinks import File

from .test_finance_monitor import monitor, script, told

ROOT = Path(__file__).parents[2]
CHILD = """
import sys
from pathlib import Path
from tests.plugins.test_finance_monitor import monitor, script
from mmsdk_finance.sinks import File
folder = Path(sys.argv[1])
with monitor(folder / "state", sinks=[File(folder / "alerts.jsonl")]) as opened:
    print("ready", flush=True)
    for start in range(0, 10_000, 4):
        if not opened.take(script()[start : start + 4], batch=4).items and start > len(script()):
            break
        opened.deliver()
"""


def _killed(folder: Path, seconds: float) -> bool:
    """Run the monitor and kill it after some seconds; tell whether it was still running."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")])}
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder)], stdout=subprocess.PIPE, env=environment, cwd=ROOT
    )
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(seconds)
    alive = child.poll() is None
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    return alive


def _check(folder: Path) -> None:
    with monitor(folder / "whole") as whole:
        whole.take(script())
        expected, levels, counts = told(whole), whole.levels(), whole.state.counts()
    with monitor(folder / "state", sinks=[File(folder / "alerts.jsonl")]) as opened:
        opened.take(script())
        opened.deliver()
        assert opened.ledger.verify() == []
        assert opened.state.counts() == counts
        assert opened.levels() == levels
        assert told(opened) == expected
    sent = [json.loads(line)["id"] for line in (folder / "alerts.jsonl").read_text().splitlines()]
    assert len(sent) == len(set(sent)) == len(expected)


def test_killed_three_times(tmp_path: Path) -> None:
    chance = random.Random(5)
    alive = [_killed(tmp_path, chance.uniform(0.02, 0.2)) for _ in range(3)]
    assert any(alive)
    _check(tmp_path)


@pytest.mark.soak
def test_killed_two_hundred_times(tmp_path: Path) -> None:
    chance = random.Random(7)
    alive = 0
    for turn in range(20):
        folder = tmp_path / str(turn)
        folder.mkdir()
        alive += sum(_killed(folder, chance.uniform(0.0, 0.25)) for _ in range(10))
        _check(folder)
    assert alive > 100
