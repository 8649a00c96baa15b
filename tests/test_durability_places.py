"""Places that refuse: full disks, read-only folders, missing rights, files that vanish under a reader."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mmsdk.errors import CollectionError, MmsdkError
from mmsdk.stores.local import LocalStore
from tests.faults.world import ENCODERS, content, differences, drop, opened, put

HELD = dict.fromkeys(range(20), 0)
Mount = Callable[..., Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mount a file system for the test, or skip it where that is not allowed."""
    made: list[Path] = []

    def mounting(*arguments: str) -> Path:
        place = tmp_path / f"mount{len(made)}"
        place.mkdir()
        done = subprocess.run(["mount", *arguments, str(place)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"mount is not allowed here: {done.stderr.strip()}")
        made.append(place)
        return place

    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount")
    yield mounting
    for place in made:
        subprocess.run(["umount", "-l", str(place)], check=True)


def _error(call: Callable[[], object]) -> MmsdkError | None:
    """Give the typed error that a call raises; another one passes through."""
    try:
        call()
    except MmsdkError as error:
        return error
    return None


@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs is Linux's")
@pytest.mark.parametrize("left", [0, 1, 2, 4])
def test_a_full_disk_is_an_error_that_loses_nothing(mount: Mount, left: int) -> None:
    place = mount("-t", "tmpfs", "-o", "size=2m", "tmpfs")
    more = dict.fromkeys(range(15, 600), 1)
    with opened(place / "c") as store:
        put(store, HELD)
        free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
        (place / "ballast").write_bytes(bytes(max(0, free - left * 48_000)))
        with pytest.raises(CollectionError, match="no space left"):
            put(store, more)
        assert isinstance(_error(lambda: store.backup(place / "b")), CollectionError)
        assert isinstance(_error(store._publish), CollectionError | None)
        assert content(store) == HELD
        assert differences(store, HELD) == []
        (place / "ballast").unlink()
        put(store, {99: 0})
        assert differences(store, {**HELD, 99: 0}) == []
        assert store.verify() == []
    with opened(place / "c", create=False) as store:
        assert content(store) == {**HELD, 99: 0}
    assert sorted(file.name for file in place.iterdir()) == ["c"]


def test_a_new_collection_on_a_full_disk_is_an_error_and_made_later(mount: Mount) -> None:
    place = mount("-t", "tmpfs", "-o", "size=64k", "tmpfs")
    (place / "ballast").write_bytes(bytes(40_000))
    with pytest.raises(CollectionError):
        opened(place / "c")
    (place / "ballast").unlink()
    subprocess.run(["mount", "-o", "remount,size=2m", str(place)], check=True)
    with opened(place / "c") as store:
        put(store, HELD)
        assert store.verify() == []


def test_a_collection_on_a_read_only_file_system_can_be_read_and_no_more(tmp_path: Path, mount: Mount) -> None:
    with opened(tmp_path / "c") as store:
        put(store, HELD)
        store.backup(tmp_path / "b")
    for name in ("c", "b"):
        place = mount("--bind", "-o", "ro", str(tmp_path / name))
        for options in ({}, {"read_only": True}):
            error = _error(lambda: _read(place, options))  # noqa: B023 called here
            assert error is None or (isinstance(error, CollectionError) and str(place) in str(error))
            assert (error is None) == bool(options)
        with pytest.raises(CollectionError, match="cannot make the folder"):
            opened(place / "new")
    with opened(tmp_path / "c", create=False) as store:
        put(store, {99: 0})
        assert differences(store, {**HELD, 99: 0}) == []


def _read(place: Path, options: dict[str, bool]) -> None:
    with opened(place, create=False, **options) as store:
        assert differences(store, HELD) == []
        assert isinstance(_error(lambda: put(store, {99: 0})), CollectionError)
        assert store.verify() == []


WITHOUT_RIGHTS = """
import os, sys
from pathlib import Path
from mmsdk.errors import CollectionError
from tests.faults.world import *
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for options in ({"create": True}, {"create": False}, {"create": False, "read_only": True}):
    try:
        with opened(Path(sys.argv[1]), **options) as store:
            assert differences(store, dict.fromkeys(range(20), 0)) == []
            put(store, {99: 0})
        print("opened")
    except CollectionError as error:
        print(f"{type(error).__name__}: {error}")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user to be without rights")
@pytest.mark.parametrize("rights", [0o000, 0o555, 0o755, 0o700])
def test_missing_rights_are_an_error_that_loses_nothing(rights: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        with opened(root / "c") as store:
            put(store, HELD)
        (root if rights == 0o700 else root / "c").chmod(rights)
        for file in (root / "c").iterdir():
            file.chmod(0o600)
        code = [sys.executable, "-c", WITHOUT_RIGHTS, str(root / "c")]
        where = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        done = subprocess.run(code, env=where, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert len(lines) == 3
        assert all("Error: " in line and str(root / "c") in line for line in lines)
        with opened(root / "c", create=False) as store:
            put(store, {99: 0})
            assert differences(store, {**HELD, 99: 0}) == []


def test_files_removed_under_a_reader_are_an_error_until_they_are_back(tmp_path: Path) -> None:
    with opened(tmp_path / "c") as store:
        put(store, HELD)
    for removed in sorted(file.name for file in (tmp_path / "c").iterdir()):
        with opened(tmp_path / "c", create=False, read_only=True) as store:
            store.count()
            (tmp_path / "c" / removed).rename(tmp_path / "away")
            error = _error(lambda: differences(store, HELD))
            assert (error is not None) == (removed == "truth.sqlite")
            assert error is None or "removed or replaced" in str(error)
            (tmp_path / "away").rename(tmp_path / "c" / removed)
            assert differences(store, HELD) == []
            assert store.verify() == []


def test_a_folder_removed_under_a_writer_is_an_error(tmp_path: Path) -> None:
    with opened(tmp_path / "c") as store:
        put(store, HELD)
        (tmp_path / "c").rename(tmp_path / "away")
        for call in (store.count, lambda: put(store, {99: 0}), lambda: drop(store, [1]), store._publish):
            with pytest.raises(CollectionError):
                call()
        (tmp_path / "away").rename(tmp_path / "c")
        put(store, {99: 0})
        assert differences(store, {**HELD, 99: 0}) == []
    with LocalStore(tmp_path / "c", encoders=ENCODERS) as store:
        assert store.verify() == []
