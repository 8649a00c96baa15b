"""A parser that hangs, crashes, floods or eats memory costs its own file and nothing else."""

import gc
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmsdk.errors import DecodeError, MissingDependencyError, MmsdkError
from mmsdk.loaders import read, wire
from mmsdk.loaders.parsed import Parsed, Problem
from mmsdk.loaders.workers import Crew, Worker
from mmsdk.settings import Limits, Settings
from mmsdk.types import Audio, Failure, Image, Locator, Part

PROBE = """
import os, signal, sys, time, ctypes
from mmsdk.loaders import Parsed, Tiles

def load(data, job):
    order = data.decode().strip()
    if order == "hang":
        time.sleep(600)
    elif order == "crash":
        ctypes.string_at(0)
    elif order == "exit":
        os._exit(7)
    elif order == "memory":
        bytearray(8 << 30)
    elif order == "raise":
        raise KeyError("odd")
    elif order == "stop":
        raise SystemExit(3)
    elif order == "recurse":
        load_again(load_again)
    elif order == "noise":
        print("noise " * 100000)
        sys.stderr.write("more noise\\n" * 100000)
        os.write(1, b"straight to the pipe")
    elif order == "flood":
        tiles = Tiles()
        tiles.add("x" * (9 << 20))
        return Parsed(tiles.parts)
    elif order == "import":
        import no_such_library_anywhere
    tiles = Tiles()
    tiles.add(f"{order} pid {os.getpid()} secret {os.environ.get('OPENAI_API_KEY')} "
              f"models {sorted(set(sys.modules) & {'torch', 'faiss', 'transformers'})} in {sys.stdin.read()!r}")
    return Parsed(tiles.parts)

def load_again(inner):
    inner(inner)
"""


@pytest.fixture
def probe(
    offer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[list[str], list[Failure]]]:
    """Read files that each tell the probe loader what to do; give their texts and the failures."""
    offer("acme-probe", "mmsdk.loaders", "probe = acme_probe:load", acme_probe=PROBE)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-nothing")

    def run(*orders: str, **limits: Any) -> tuple[list[str], list[Failure]]:
        Path("in").mkdir(exist_ok=True)
        for number, order in enumerate(orders):
            Path("in", f"{number}.probe").write_text(order)
        failures: list[Failure] = []
        settings = Settings.model_validate({"limits": {"seconds": 20, **limits}})
        return [document.text for document in read("in", settings=settings, on_failure=failures.append)], failures

    return run


@pytest.mark.parametrize(
    ("order", "says", "limits"),
    [
        ("hang", "more than limits.seconds = 3", {"seconds": 3}),
        ("crash", "crashed (exit status -11)", {}),
        ("exit", "crashed (exit status 7)", {}),
        ("stop", "crashed (exit status 3)", {}),
        ("memory", "more memory than limits.memory_mb = 512", {"memory_mb": 512}),
        ("raise", "KeyError: 'odd'", {}),
        ("recurse", "nested too deep", {}),
        ("flood", "more than limits.text_mb = 8", {"text_mb": 8}),
        ("import", "no_such_library_anywhere", {}),
    ],
)
def test_a_bad_file_fails_alone(
    probe: Callable[..., tuple[list[str], list[Failure]]], order: str, says: str, limits: dict[str, Any]
) -> None:
    texts, failures = probe("a", "b", order, "c", order, "d", **limits)
    assert [text.split()[0] for text in texts] == ["a", "b", "c", "d"]
    assert [(failure.source[-7:], failure.stage, failure.code) for failure in failures] == [
        ("2.probe", "decode", "decode"),
        ("4.probe", "decode", "decode"),
    ]
    for failure in failures:
        assert says in failure.reason


def test_noise_on_the_pipes_does_no_harm(probe: Callable[..., tuple[list[str], list[Failure]]]) -> None:
    texts, failures = probe("a", "noise", "b")
    assert [text.split()[0] for text in texts] == ["a", "noise", "b"]
    assert failures == []


def test_workers_are_reused_hold_no_secret_and_no_model(probe: Callable[..., tuple[list[str], list[Failure]]]) -> None:
    texts, _ = probe(*"abcdefgh")
    again, _ = probe("a")
    assert len({text.split()[2] for text in texts}) <= 2
    assert again[0].split()[2] in {text.split()[2] for text in texts}
    assert all("secret None models [] in ''" in text for text in texts)


def test_two_files_at_once(probe: Callable[..., tuple[list[str], list[Failure]]]) -> None:
    texts, _ = probe(*[f"{number}" for number in range(9)])
    assert [text.split()[0] for text in texts] == [f"{number}" for number in range(9)]


@pytest.mark.timeout(120)  # the parser would sleep for ten minutes
def test_leaving_early_kills_what_is_at_work(probe: Callable[..., tuple[list[str], list[Failure]]]) -> None:
    probe("a", "hang", "hang", seconds=1)
    settings = Settings.model_validate({"limits": {"seconds": 500}})
    documents = read("in", settings=settings, on_failure=lambda failure: None)
    next(documents)
    documents.close()  # type: ignore[attr-defined]
    with pytest.raises(StopIteration):
        next(documents)


def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import os, signal\nfrom mmsdk.loaders.workers import Worker\n"
        "worker = Worker(512)\nprint(worker._process.pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    worker = int(done.stdout)
    for _ in range(100):
        if not _alive(worker):
            break
        time.sleep(0.1)
    assert not _alive(worker)


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_an_orphaned_job_rings_its_own_alarm(offer: Callable[..., None]) -> None:
    offer("acme-probe", "mmsdk.loaders", "probe = acme_probe:load", acme_probe=PROBE)
    worker = Worker(512)
    limits = Limits.model_validate({"seconds": 0.2})
    job = {"name": "a.probe", "limits": limits.model_dump(), "pins": {}, "only": []}
    with pytest.raises(DecodeError, match=f"exit status -{signal.SIGALRM.value}"):
        worker.ask(job, b"hang", seconds=60, most=1 << 20)
    assert not worker.alive


def test_reading_from_many_threads(probe: Callable[..., tuple[list[str], list[Failure]]]) -> None:
    probe("a", "b")
    found: list[list[str]] = []
    threads = [threading.Thread(target=lambda: found.append([d.text.split()[0] for d in read("in")])) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [["a", "b"]] * 3


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_no_worker_or_pipe_is_left_behind(probe: Callable[..., tuple[list[str], list[Failure]]]) -> None:
    probe("a", "crash", "exit", "b")
    before = _open_files()
    for _ in range(2):
        probe("a", "crash", "exit", "b")
    gc.collect()
    assert _open_files() <= before + 3
    assert len(Crew._idle) <= 2


def test_a_missing_library_names_its_extra(offer: Callable[..., None]) -> None:
    source = "import no_such_library_anywhere\n\ndef load(data, job): ...\n"
    offer("acme-lib", "mmsdk.loaders", "lib = acme_lib:load [extra]", acme_lib=source)
    Path("a.lib").write_bytes(b"\x01\x02")
    with pytest.raises(MissingDependencyError, match=r"pip install 'mmsdk\[extra\]'") as raised:
        list(read("a.lib"))
    assert raised.value.pip == "pip install 'mmsdk[extra]'"


def test_a_pinned_loader_is_used(offer: Callable[..., None]) -> None:
    source = (
        "from mmsdk.loaders import Parsed, Tiles\n\ndef load(data, job):\n"
        "    tiles = Tiles()\n    tiles.add('ours')\n    return Parsed(tiles.parts)\n"
    )
    offer("acme-text", "mmsdk.loaders", "text = acme_text:load", acme_text=source)
    Path("a.txt").write_text("theirs")
    with pytest.raises(MmsdkError, match="is offered by acme-text, mmsdk"):
        list(read("a.txt"))
    (document,) = read("a.txt", settings=Settings.model_validate({"pins": {"text": "acme-text"}}))
    assert document.text == "ours"


def test_what_crosses_the_pipe_comes_out_equal() -> None:
    import io

    import numpy as np

    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    parts = (
        Part("text 台灯", Locator("page", 0, 7, 3, (1.5, 2, 3, 4)), "heading"),
        Part(Image(pixels), Locator("image"), "picture"),
        Part(Audio(np.linspace(-1, 1, 5, dtype=np.float32), 16000), Locator("seconds", 0.0, 1.0), "recording"),
        Part(Image(pixels[:, ::-1]), Locator("page", number=2), "page"),
    )
    parsed = Parsed(parts, {"a": [1, None, {"b": "c"}]}, (Problem("line 1", "why"),))
    wire.send(file := io.BytesIO(), *wire.pack(parsed))
    file.seek(0)
    assert wire.unpack(*wire.receive(file, 1 << 20)) == parsed
    file.seek(0)
    with pytest.raises(wire.FrameError, match="more than the 10 allowed"):
        wire.receive(file, 10)


def test_text_from_a_loader_is_cleaned() -> None:
    parsed = Parsed((Part("a\x00\ud800b", Locator("characters", 0, 4)),), {"key\ud800": {"inner": object}})
    header, _ = wire.pack(parsed)
    assert header["parts"][0]["text"] == "a\ufffd\ufffdb"
    assert "\ufffd" in next(iter(header["metadata"]))
