"""Lost commits are noticed, damage is named and mended, copies are whole: what the store promises of its files."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest

from mmsdk.collection import Collection
from mmsdk.errors import CollectionError, CollectionNotFoundError, CorruptionError
from mmsdk.stores.local import LocalStore
from mmsdk.stores.seal import Seal
from mmsdk.testing import HashingEncoder
from tests.faults.world import ENCODERS, content, differences, drop, opened, put

ROOT = Path(__file__).parents[1]
CRASH = """
import os, sys
from pathlib import Path
from tests.faults.world import opened, put
store = opened(Path(sys.argv[1]))
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    put(store, {number: 0})
os._exit(0)
"""


def _crashed_writer(folder: Path, first: int, last: int) -> None:
    """Let a process commit and die, so that its write-ahead log stays."""
    where = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", CRASH, str(folder), str(first), str(last)], check=True, env=where)


def _flip(file: Path, place: int, bit: int = 0) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 1 << bit
    file.write_bytes(data)


def _wal_cut_off(folder: Path) -> tuple[int, int]:
    """Leave a log with a bit flipped where the fourth of its last commits begins; give seal and revision."""
    with opened(folder) as store:
        put(store, dict.fromkeys(range(20), 0))
    _crashed_writer(folder, 20, 26)
    log = folder / "truth.sqlite-wal"
    _flip(log, 32 + (log.stat().st_size - 32) // (24 + 4096) // 2 * (24 + 4096) + 24 + 100)
    sealed = Seal(folder).read()
    assert sealed is not None
    return sealed, len(content_of_raw(folder))


def content_of_raw(folder: Path) -> list[str]:
    """Read a copy of the database without mmsdk, as SQLite sees it."""
    copy = folder.with_name("raw")
    shutil.copytree(folder, copy)
    connection = apsw.Connection(str(copy / "truth.sqlite"))
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return [str(name) for (name,) in connection.execute("SELECT id FROM documents")]


def test_commits_that_a_flipped_bit_dropped_from_the_log_are_reported(tmp_path: Path) -> None:
    sealed, documents = _wal_cut_off(tmp_path / "c")
    assert 20 <= documents < 26
    lost = f"lost commits: changes .* to {sealed} were acknowledged"
    for options in ({}, {"read_only": True}):
        with pytest.raises(CorruptionError, match=lost):
            opened(tmp_path / "c", **options)
    assert (tmp_path / "c" / "truth.sqlite-wal").stat().st_size > 0
    with LocalStore(tmp_path / "c") as store:
        assert "lost commits" in store.verify()[0]
        with pytest.raises(CorruptionError, match=lost):
            store.count()
        with pytest.raises(CollectionError, match="damaged; repair it"):
            put(store, {99: 0})
        done = store.repair()
        assert done["lost"]["changes"] == [sealed - (26 - documents) + 1, sealed]
        assert done["lost"]["chunks"] == []
        assert done["lost"]["complete"]
        assert done["left"] == []
        held = dict.fromkeys(range(documents), 0)
        assert content(store) == held
        assert differences(store, held) == []
        put(store, {99: 0})
    assert len(list((tmp_path / "c").glob("truth.sqlite.damaged-*-wal"))) == 1
    with opened(tmp_path / "c", create=False) as store:
        assert store.verify() == []


def test_a_reader_that_is_open_notices_lost_commits(tmp_path: Path) -> None:
    with opened(tmp_path / "c") as store:
        put(store, {1: 0})
        sealed = int(store.info()["revision"])
        assert Seal(tmp_path / "c").read() == sealed
        Seal(tmp_path / "c").write(sealed + 2)
        with pytest.raises(CorruptionError, match=f"changes {sealed + 1} to {sealed + 2} were acknowledged"):
            store.count()


def test_a_crash_between_commit_and_seal_is_no_damage(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    with opened(folder) as store:
        put(store, {1: 0})
    before = (folder / "commits.seal").read_bytes()
    with opened(folder) as store:
        put(store, {2: 0})
    for seal in (before, None):
        (folder / "commits.seal").unlink()
        if seal is not None:
            (folder / "commits.seal").write_bytes(seal)
        with opened(folder) as store:
            assert content(store) == {1: 0, 2: 0}
            put(store, {3: 0})
            assert store.verify() == []
            drop(store, [3])


def test_a_seal_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    seal = Seal(tmp_path)
    assert seal.read() is None
    for number in (7, 8, 9):
        seal.write(number)
    assert seal.read() == 9
    whole = seal.file.read_bytes()
    for place in (*range(4096, 4096 + 86), *range(86)):
        _flip(seal.file, place, place % 8)
        assert seal.read() == (8 if place >= 4096 else 9)
        seal.file.write_bytes(whole)
    seal.file.write_bytes(whole[:4096])
    assert seal.read() == 8


def test_a_database_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    with opened(tmp_path / "c") as store:
        put(store, {1: 0})
        (tmp_path / "c" / "truth.sqlite").rename(tmp_path / "away")
        for call in (store.count, lambda: put(store, {2: 0}), store.verify):
            with pytest.raises(CollectionError, match="removed or replaced while the collection was open"):
                call()
        with pytest.raises(CorruptionError, match=r"truth\.sqlite is gone, and with it 2 changes"):
            opened(tmp_path / "c")
        (tmp_path / "away").rename(tmp_path / "c" / "truth.sqlite")
        put(store, {2: 0})
        assert content(store) == {1: 0, 2: 0}
    (tmp_path / "c" / "truth.sqlite").write_bytes(b"")
    with pytest.raises(CorruptionError, match="is gone"):
        opened(tmp_path / "c")


def test_repair_saves_what_can_be_read_and_names_what_is_lost(tmp_path: Path) -> None:
    held = dict.fromkeys(range(400), 0)
    with opened(tmp_path / "whole") as store:
        put(store, held)
    pages = (tmp_path / "whole" / "truth.sqlite").stat().st_size // 4096
    names = {f"d{number}-{place}" for number in held for place in range(2)}
    changes = []
    for page in range(3, pages, 7):
        shutil.copytree(tmp_path / "whole", tmp_path / "c")
        _spoil(tmp_path / "c" / "truth.sqlite", page)
        with LocalStore(tmp_path / "c") as store:
            done = store.repair()
            assert done["left"] == []
            lost = done["lost"]
            assert lost["changes"] == []
            assert lost["complete"]
            there = {name for document in store.documents() for name in (c.id for c in store.chunks(document))}
            assert there == names - set(lost["chunks"])
            assert len(store.documents()) == 400 - len(lost["documents"])
            found = {name for name, _ in store.search("s", _ones(), 999)[0]}
            assert found == there - set(lost["vectors"])
            changed = {name for name, digest in store.documents().items() if digest == ""}
            assert {name.split("-")[0] for name in (*lost["chunks"], *lost["vectors"])} <= changed
            put(store, {int(name[1:]): 0 for name in changed})
            assert store.count() == 800
            assert (tmp_path / "c" / lost["kept"]).exists()
            changes.append(len(changed))
        shutil.rmtree(tmp_path / "c")
    taken = sorted(filter(None, changes))  # a page of an index takes nothing, the root of a table all of it
    assert len(taken) > len(changes) / 4
    assert taken[len(taken) // 2] < 20


def _ones() -> Any:
    import numpy as np

    return np.full((1, 16), 0.25, np.float32)


def _spoil(file: Path, page: int) -> None:
    with file.open("r+b") as stream:
        stream.seek(page * 4096 + 1000)
        stream.write(b"spoilt" * 100)


def test_a_first_page_that_is_spoilt_is_an_error_that_keeps_everything(tmp_path: Path) -> None:
    with opened(tmp_path / "c") as store:
        put(store, {1: 0})
    _spoil(tmp_path / "c" / "truth.sqlite", 0)
    before = (tmp_path / "c" / "truth.sqlite").read_bytes()
    with pytest.raises(CorruptionError, match="damaged"):
        opened(tmp_path / "c")
    with LocalStore(tmp_path / "c") as store:
        assert "damaged" in store.verify()[0]
        with pytest.raises(CorruptionError, match="restore it from a backup"):
            store.repair()
    assert (tmp_path / "c" / "truth.sqlite").read_bytes() == before


def test_a_backup_of_a_collection_in_use_is_whole(tmp_path: Path) -> None:
    held = dict.fromkeys(range(30), 0)
    with opened(tmp_path / "c") as store:
        put(store, held)
        store._publish()
        put(store, {30: 0})
        made = store.backup(tmp_path / "backups" / "一")
        assert made == {**made, "documents": 31, "chunks": 62, "revision": 3}
        put(store, {0: 1})
        with pytest.raises(CollectionError, match="there already"):
            store.backup(tmp_path / "backups" / "一")
    assert [folder.name for folder in (tmp_path / "backups").iterdir()] == ["一"]
    with opened(tmp_path / "backups" / "一", create=False, read_only=True) as store:
        assert differences(store, {**held, 30: 0}) == []
    restored = LocalStore.restore(tmp_path / "backups" / "一", tmp_path / "again")
    assert restored["documents"] == 31
    with opened(tmp_path / "again", create=False) as store:
        assert content(store) == {**held, 30: 0}
        put(store, {31: 0})
        assert store.verify() == []


def test_a_restored_backup_takes_the_place_of_a_collection_when_told(tmp_path: Path) -> None:
    with opened(tmp_path / "c") as store:
        put(store, {1: 0})
        store.backup(tmp_path / "b")
        put(store, {1: 1, 2: 0})
        with pytest.raises(CollectionError, match="there already"):
            LocalStore.restore(tmp_path / "b", tmp_path / "c")
        LocalStore.restore(tmp_path / "b", tmp_path / "c", replace=True)
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "file").write_text("kept")
        with pytest.raises(CollectionError, match="is no collection"):
            LocalStore.restore(tmp_path / "b", tmp_path / "other", replace=True)
        with pytest.raises(CollectionError, match="open it again"):
            store.count()
    with opened(tmp_path / "c", create=False) as store:
        assert content(store) == {1: 0}
    kept = next(tmp_path.glob("c.replaced-*"))
    with opened(kept, create=False) as store:
        assert content(store) == {1: 1, 2: 0}


def test_a_damaged_backup_is_not_restored(tmp_path: Path) -> None:
    with opened(tmp_path / "c") as store:
        put(store, {1: 0})
        store.backup(tmp_path / "b")
    with pytest.raises(CollectionNotFoundError):
        LocalStore.restore(tmp_path / "absent", tmp_path / "again")
    _spoil(tmp_path / "b" / "truth.sqlite", 4)
    with pytest.raises(CorruptionError, match=r"the backup .* is damaged"):
        LocalStore.restore(tmp_path / "b", tmp_path / "again")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "c"]


def test_a_damaged_collection_is_not_backed_up(tmp_path: Path) -> None:
    with opened(tmp_path / "c") as store:
        put(store, dict.fromkeys(range(100), 0))
    _spoil(tmp_path / "c" / "truth.sqlite", 9)
    with opened(tmp_path / "c") as store, pytest.raises(CorruptionError, match=r"c/truth\.sqlite is damaged"):
        store.backup(tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_copied_moved_and_renamed_collections_stay_valid(tmp_path: Path) -> None:
    with opened(tmp_path / "c") as store:
        put(store, {1: 0})
    shutil.copytree(tmp_path / "c", tmp_path / "copy")
    (tmp_path / "c").rename(tmp_path / "renamed 集合")
    (tmp_path / "deep").mkdir()
    shutil.move(tmp_path / "renamed 集合", tmp_path / "deep" / "moved")
    for folder in (tmp_path / "copy", tmp_path / "deep" / "moved"):
        with opened(folder, create=False) as store:
            assert store.verify() == []
            put(store, {2: 0})
            assert differences(store, {1: 0, 2: 0}) == []


def test_a_crashed_copy_or_making_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    connection = apsw.Connection(str(tmp_path / "c" / "truth.sqlite"))
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.close()
    with pytest.raises(CorruptionError, match="is empty: making it was cut off"):
        LocalStore(tmp_path / "c", encoders=ENCODERS)
    with opened(tmp_path / "c") as store:
        put(store, {1: 0})
    assert json.loads((tmp_path / "c" / "manifest.json").read_text())["encoders"] == ENCODERS


def test_collections_are_backed_up_and_restored(tmp_path: Path) -> None:
    encoder = HashingEncoder()
    with Collection.open(tmp_path / "c", create=True, encoders=encoder) as collection:
        collection.add_texts(["A tent for two.", "Boots for the winter."])
        assert collection.backup(tmp_path / "b")["documents"] == 2
    assert Collection.restore(tmp_path / "b", tmp_path / "again")["chunks"] == 2
    with Collection.open(tmp_path / "again", encoders=encoder) as collection:
        assert collection.search("tent", k=1)[0].chunk.text == "A tent for two."
    _spoil(tmp_path / "c" / "truth.sqlite", 0)
    with pytest.raises(CorruptionError):
        Collection.open(tmp_path / "c", encoders=encoder)
    with Collection.open(tmp_path / "c", encoders=()) as collection:
        assert collection.verify()


def test_the_command_line_backs_up_and_restores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mmsdk.cli import main

    with opened(tmp_path / "c") as store:
        put(store, {1: 0})
    names = {name: str(tmp_path / name) for name in ("c", "b", "again")}
    assert main(["backup", names["c"], names["b"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["documents"] == 1
    assert main(["restore", names["b"], names["again"], "--json"]) == 0
    assert main(["restore", names["b"], names["again"]]) == 8
    assert main(["restore", names["b"], names["again"], "--replace"]) == 0
    assert main(["verify", names["again"]]) == 0
    _spoil(tmp_path / "c" / "truth.sqlite", 0)
    assert main(["verify", names["c"]]) == 8
    assert "damaged" in capsys.readouterr().out
