"""How long ``import mmsdk`` and ``mmsdk --help`` take, each in a fresh process.

Protocol: 31 runs of each, interleaved with an empty Python as the baseline, after one warm-up run that
compiles bytecode. Prints the median with a 95 % bootstrap interval of the median, the median processor
time (which other programs disturb less), and which of the heavy libraries were loaded (there must be none).
"""

import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

RUNS = 31
HEAVY = ("torch", "faiss", "transformers", "pandas", "gradio", "sentence_transformers", "open_clip", "onnxruntime")
TELL = f"import sys; print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
HELP = "import sys; from mmsdk.cli import main; main(['--help'])"
COMMANDS = {
    "python (baseline)": [sys.executable, "-c", "pass"],
    "import mmsdk": [sys.executable, "-c", "import mmsdk"],
    "mmsdk --help": [str(Path(sys.executable).with_name("mmsdk")), "--help"],
}


def seconds(command: list[str]) -> tuple[float, float]:
    """Give the time on the clock and on the processor of one run."""
    start, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - start, after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime


def interval(times: list[float]) -> tuple[float, float]:
    """Give the 95 % bootstrap interval of the median."""
    drawn = np.random.default_rng(0).choice(times, (10_000, len(times)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    """Measure and print a table."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for run in range(RUNS + 1):
        for name, command in COMMANDS.items():
            took = seconds(command)
            if run:
                times[name].append(took)
    for name, pairs in times.items():
        clock, processor = ([pair[side] for pair in pairs] for side in (0, 1))
        low, high = interval(clock)
        print(f"{name:18} median {statistics.median(clock):.3f} s [{low:.3f}, {high:.3f}]", end=", ")
        print(f"processor {statistics.median(processor):.3f} s, {len(pairs)} runs, load {os.getloadavg()[0]:.1f}")
    for name, code in (("import mmsdk", "import mmsdk"), ("mmsdk --help", HELP)):
        done = subprocess.run([sys.executable, "-c", f"{code}\n{TELL}"], check=True, capture_output=True, text=True)
        print(f"{name:20} heavy libraries loaded: {done.stderr.strip() or 'none'}")


if __name__ == "__main__":
    main()
