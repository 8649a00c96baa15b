"""The local store: durable under kill -9, seen by other processes, rebuilt when what is derived is damaged."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsdk.errors import (
    CollectionError,
    CollectionNotFoundError,
    CorruptionError,
    EncoderMismatchError,
    InputError,
    LockedError,
)
from mmsdk.protocols import Entry
from mmsdk.stores.local import LocalStore
from mmsdk.types import Chunk, Document, Locator, Vectors

ENCODERS = [{"space": "s", "dimension": 16, "fingerprint": "f", "modalities": ["text"]}]


def _open(folder: Path, **options: Any) -> LocalStore:
    return LocalStore(folder, encoders=ENCODERS, **{"create": True, **options})


def _unit(rows: int, seed: int) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((rows, 16)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _entry(number: int, version: int = 0) -> Entry:
    document = Document(f"d{number}", (), f"source {number}", f"v{version}", {"n": number, "version": version})
    text = f"passage {number} of version {version}"
    locator = Locator("characters", 0, len(text))
    chunk = Chunk(f"d{number}-0", document.id, text, text, "text", locator, document.metadata, document.source)
    return Entry(document, (chunk,), {"s": _unit(1, 1000 * version + number)})


def _put(store: LocalStore, numbers: Sequence[int], version: int = 0) -> None:
    store.upsert([_entry(number, version) for number in numbers])


def _nearest(store: LocalStore, number: int, version: int = 0) -> tuple[str, float]:
    return store.search("s", _unit(1, 1000 * version + number), 1)[0][0]


def test_it_opens_again_with_everything_and_its_index(tmp_path: Path) -> None:
    with _open(tmp_path / "c") as store:
        _put(store, range(50))
    assert sorted(file.suffix for file in (tmp_path / "c").iterdir()) == [
        ".faiss",
        ".json",
        ".lock",
        ".seal",
        ".sqlite",
    ]
    with _open(tmp_path / "c", create=False) as store:
        assert _nearest(store, 17)[0] == "d17-0"
        assert store.info()["spaces"][0]["index"]["rows"] == 50
        assert store.verify() == []


def test_a_moved_folder_stays_valid(tmp_path: Path) -> None:
    with _open(tmp_path / "c") as store:
        _put(store, range(5))
    (tmp_path / "c").rename(tmp_path / "集合 moved")
    with _open(tmp_path / "集合 moved", create=False) as store:
        assert _nearest(store, 3)[0] == "d3-0"
        assert store.verify() == []


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(CollectionNotFoundError, match=r"create=True\) makes one"):
        _open(tmp_path / "c", create=False)
    with pytest.raises(CollectionNotFoundError):
        _open(tmp_path / "c", read_only=True)
    assert not (tmp_path / "c").exists()
    (tmp_path / "file").write_text("x")
    with pytest.raises(CollectionError, match="is a file"):
        _open(tmp_path / "file")


def test_other_encoders_are_refused_naming_both(tmp_path: Path) -> None:
    _open(tmp_path / "c").close()
    other = [{**ENCODERS[0], "fingerprint": "g"}]
    with pytest.raises(EncoderMismatchError, match=r"s \(f\); given are s \(g\).*reindex=True"):
        LocalStore(tmp_path / "c", encoders=other)
    with LocalStore(tmp_path / "c") as store:
        assert store.encoders == ENCODERS


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    _open(tmp_path / "c").close()
    manifest = tmp_path / "c" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 2}))
    with pytest.raises(CollectionError, match="format 2, this mmsdk reads up to 1"):
        _open(tmp_path / "c")


def test_a_closed_or_read_only_store_says_so(tmp_path: Path) -> None:
    store = _open(tmp_path / "c")
    _put(store, [1])
    store.close()
    store.close()
    with pytest.raises(CollectionError, match="is closed"):
        store.count()
    with _open(tmp_path / "c", create=False, read_only=True) as store:
        assert _nearest(store, 1)[0] == "d1-0"
        assert store.verify() == []
        with pytest.raises(CollectionError, match="read-only"):
            _put(store, [2])


def test_an_index_that_is_missing_damaged_or_stale_changes_no_result(tmp_path: Path) -> None:
    with _open(tmp_path / "c") as store:
        _put(store, range(40))
    index = next((tmp_path / "c").glob("*.faiss"))
    clean = index.read_bytes()
    for damaged in (_flipped(clean, len(clean) // 2), clean[:100], b"", None):
        if damaged is None:
            index.unlink()
        else:
            index.write_bytes(damaged)
        with _open(tmp_path / "c", read_only=True) as store:
            assert any(index.name in problem for problem in store.verify())
            for number in range(40):
                name, cosine = _nearest(store, number)
                assert name == f"d{number}-0"
                assert cosine == pytest.approx(1.0)
    with _open(tmp_path / "c") as store:
        assert store.repair()["left"] == []
    with _open(tmp_path / "c", read_only=True) as store:
        assert store.verify() == []
        assert _nearest(store, 7)[0] == "d7-0"


def test_an_old_index_file_is_followed_up(tmp_path: Path) -> None:
    with _open(tmp_path / "c") as store:
        _put(store, range(100))
    file = next((tmp_path / "c").glob("*.faiss"))
    with _open(tmp_path / "c") as store:
        store.delete(ids=["d3"])
        _put(store, [4], version=1)
        _put(store, [200])
    assert next((tmp_path / "c").glob("*.faiss")) == file
    with _open(tmp_path / "c") as store:
        assert _nearest(store, 3)[0] != "d3-0"
        assert _nearest(store, 4)[1] < 0.99
        assert _nearest(store, 4, version=1)[0] == "d4-0"
        assert _nearest(store, 200)[0] == "d200-0"
        assert store.info()["spaces"][0]["index"]["rows"] == 100


def test_damaged_truth_is_named_and_never_answers_wrongly(tmp_path: Path) -> None:
    with _open(tmp_path / "c") as store:
        _put(store, range(300))
    truth = tmp_path / "c" / "truth.sqlite"
    clean = truth.read_bytes()
    for place in range(6000, len(clean), len(clean) // 11):
        truth.write_bytes(_flipped(clean, place))
        try:
            with _open(tmp_path / "c", read_only=True) as store:
                problems = store.verify()
        except CorruptionError as error:
            problems = [str(error)]
        assert any("truth.sqlite" in problem for problem in problems)
    truth.write_bytes(clean[: len(clean) // 2])
    with pytest.raises(CorruptionError, match=r"truth\.sqlite is damaged"), _open(tmp_path / "c") as store:
        store.repair()


def test_a_missing_manifest_is_named_and_repaired(tmp_path: Path) -> None:
    with _open(tmp_path / "c") as store:
        _put(store, range(3))
        (tmp_path / "c" / "manifest.json").unlink()
        assert store.verify() == ["manifest.json is missing or is not JSON"]
        assert store.repair() == {
            "problems": ["manifest.json is missing or is not JSON"],
            "lost": {},
            "left": [],
        }
        assert store.search_text("passage", 5)[0][0] == "d0-0"


def test_other_processes_see_the_last_commit(tmp_path: Path) -> None:
    with _open(tmp_path / "c") as store:
        _put(store, range(5))
        assert _nearest(store, 9)[0] != "d9-0"
        _run("_put(_open(folder), [9]); os._exit(0)", tmp_path / "c")
        assert _nearest(store, 9)[0] == "d9-0"
        _run("_open(folder).delete(ids=['d9'])", tmp_path / "c")
        assert _nearest(store, 9)[0] != "d9-0"
        assert store.count() == 5


def test_a_reader_is_told_when_another_process_reindexed(tmp_path: Path) -> None:
    with _open(tmp_path / "c") as store:
        _put(store, range(3))
        with LocalStore(tmp_path / "c") as other:
            other.reindex([{**ENCODERS[0], "fingerprint": "g"}], lambda chunks: {"s": _unit(len(chunks), 1)})
        with pytest.raises(EncoderMismatchError, match="open it again"):
            store.search("s", _unit(1, 1), 1)
        with pytest.raises(EncoderMismatchError, match="open it again"):
            _put(store, [4])


def test_a_reindexing_that_is_cut_off_changes_nothing(tmp_path: Path) -> None:
    def failing(chunks: Sequence[Chunk]) -> dict[str, Vectors]:
        if chunks[0].id != "d0-0":
            raise KeyboardInterrupt
        return {"s": _unit(len(chunks), 1)}

    with _open(tmp_path / "c") as store:
        _put(store, range(10))
        with pytest.raises(KeyboardInterrupt):
            store.reindex([{**ENCODERS[0], "fingerprint": "g"}], failing, rows=4)
    with _open(tmp_path / "c") as store:
        assert _nearest(store, 8)[0] == "d8-0"
        assert store.verify() == []
        store.reindex([{**ENCODERS[0], "fingerprint": "g"}], lambda chunks: {"s": _unit(len(chunks), 1)}, rows=4)
        assert store.info()["spaces"][0]["vectors"] == 10


def test_a_second_writer_waits_or_is_told_who_writes(tmp_path: Path) -> None:
    store = _open(tmp_path / "c")
    holder = _start("_open(folder).lock.__enter__(); print('held', flush=True); sys.stdin.read()", tmp_path / "c")
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == "held\n"
    store.lock.seconds = 0.05
    with pytest.raises(LockedError, match=f"process {holder.pid}"):
        _put(store, [1])
    store.lock.seconds = 30
    threading.Timer(0.1, holder.kill).start()
    _put(store, [1])
    holder.wait()
    holder.stdout.close()
    holder.stdin.close()
    assert store.count() == 1
    store.close()


def test_threads_search_while_one_writes(tmp_path: Path) -> None:
    problems: list[str] = []
    with _open(tmp_path / "c") as store:
        _put(store, range(20))
        done = threading.Event()

        def search() -> None:
            while not done.is_set():
                for number in range(0, 20, 5):
                    found = store.search("s", _unit(1, number), 3, where={"n": {"$lt": 20}})[0]
                    if found[0][0] != f"d{number}-0" or len(found) != 3:
                        problems.append(str(found))

        threads = [threading.Thread(target=search) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in range(20, 60):
            _put(store, [number])
            store.delete(ids=[f"d{number}"])
        done.set()
        for thread in threads:
            thread.join()
        assert problems == []
        assert store.verify() == []


def test_a_snapshot_is_of_one_state(tmp_path: Path) -> None:
    with _open(tmp_path / "c") as store:
        _put(store, range(5))
        with store.snapshot():
            before = store.search("s", _unit(1, 0), 10)[0], store.search_text("passage", 10)
            writers = [
                threading.Thread(target=_put, args=(store, [0, 7], 1)),
                threading.Thread(target=store.delete, kwargs={"ids": ["d1"]}),
            ]
            for writer in writers:
                writer.start()
                writer.join()
            assert (store.search("s", _unit(1, 0), 10)[0], store.search_text("passage", 10)) == before
            assert [chunk.metadata["version"] for chunk in store.get(["d0-0", "d1-0", "d7-0"])] == [0, 0]
        assert _nearest(store, 7, version=1)[0] == "d7-0"
        assert [name for name, _ in store.search_text("passage 1", 10)] != []
        assert [chunk.id for chunk in store.get(["d0-0", "d1-0", "d7-0"])] == ["d0-0", "d7-0"]
        assert {name for name, _ in store.search("s", _unit(1, 0), 10)[0]} == {"d0-0", "d2-0", "d3-0", "d4-0", "d7-0"}


def test_names_of_chunks_are_right_however_few_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmsdk.stores.snapshot._NAMES", 3)
    with _open(tmp_path / "c") as store:
        _put(store, range(12))
        for number in (3, 11, 3, 0, 7):
            assert _nearest(store, number)[0] == f"d{number}-0"
            assert {name for name, _ in store.search_text("passage", 20)} == {f"d{other}-0" for other in range(12)}


def test_of_two_documents_with_one_id_the_later_stays_and_a_taken_chunk_id_is_named(tmp_path: Path) -> None:
    with _open(tmp_path / "c") as store:
        store.upsert([_entry(1), _entry(2), _entry(1, version=3)])
        assert [chunk.text for chunk in store.chunks("d1")] == ["passage 1 of version 3"]
        assert store.count() == 2
        other = replace(_entry(4), chunks=(replace(_entry(4).chunks[0], id="d2-0"),))
        with pytest.raises(InputError, match="'d2-0' of source 4 is already taken"):
            store.upsert([_entry(3), other, _entry(5)])
        assert store.documents().keys() == {"d1", "d2"}
        assert store.verify() == []


def _kill_loop(folder: Path, rounds: int) -> None:
    """Kill a writer at random moments; what it acknowledged must be there, whole, and nothing else half."""
    chance = random.Random(5)
    acknowledged: dict[int, int] = {}
    with _open(folder):
        pass
    for turn in range(rounds):
        writer = _start(
            "store = _open(folder)\n"
            "for number in range(10_000):\n"
            f"    _put(store, [number % 40, 100 + number % 40], version={turn + 1})\n"
            "    print(number % 40, flush=True)\n"
            "    if number % 7 == 0: store.search('s', _unit(1, 1), 1)\n"
            "    if number % 11 == 0: store._publish()",
            folder,
        )
        assert writer.stdout is not None
        assert writer.stdin is not None
        first = writer.stdout.readline()
        time.sleep(chance.random() * 0.15)
        writer.send_signal(signal.SIGKILL)
        for line in [first, *writer.stdout.read().splitlines(keepends=True)]:
            if line.endswith("\n"):
                acknowledged[int(line)] = turn + 1
        writer.wait()
        writer.stdout.close()
        writer.stdin.close()
        with _open(folder, create=False) as store:
            assert store.verify() == []
            _check_acknowledged(store, acknowledged)
    assert acknowledged


def _check_acknowledged(store: LocalStore, acknowledged: dict[int, int]) -> None:
    for number, version in acknowledged.items():
        pair = store.get([f"d{number}-0", f"d{100 + number}-0"])
        found = [int(str(chunk.metadata["version"])) for chunk in pair]
        assert len(found) == 2
        assert found[0] == found[1] >= version
        assert _nearest(store, number, found[0])[0] == f"d{number}-0"
        assert f"version {found[0]}" in pair[0].text


def test_acknowledged_documents_survive_kill(tmp_path: Path) -> None:
    _kill_loop(tmp_path / "c", 5)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_acknowledged_documents_survive_many_kills(tmp_path: Path) -> None:
    _kill_loop(tmp_path / "c", 200)


def _flipped(data: bytes, place: int) -> bytes:
    damaged = bytearray(data)
    damaged[place] ^= 1
    return bytes(damaged)


def _script(code: str) -> str:
    return (
        "import importlib.util, os, sys\n"
        "from pathlib import Path\n"
        f"spec = importlib.util.spec_from_file_location('shared', {str(Path(__file__))!r})\n"
        "shared = importlib.util.module_from_spec(spec); spec.loader.exec_module(shared)\n"
        "globals().update({name: getattr(shared, name) for name in ('_open', '_put', '_unit')})\n"
        "folder = Path(sys.argv[1])\n" + code
    )


def _start(code: str, folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", _script(code), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )


def _run(code: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-c", _script(code), str(folder)], check=True, timeout=120)
