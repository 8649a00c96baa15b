"""Opening SQLite: settings, migrations, checksums, errors, and the lock of the one writer."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import apsw
import pytest

from mmsdk.database import WriterLock, connect, damages, transaction
from mmsdk.errors import CollectionError, CorruptionError, LockedError

MIGRATIONS = (
    "CREATE TABLE notes (number INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT; INSERT INTO notes VALUES (1, 'first')",
)
MORE = (*MIGRATIONS, "ALTER TABLE notes ADD COLUMN year INTEGER; UPDATE notes SET year = 2024")


def _connect(file: Path, migrations: tuple[str, ...] = MIGRATIONS, **options: bool) -> apsw.Connection:
    return connect(file, application_id=7, migrations=migrations, **options)


def _value(connection: apsw.Connection, sql: str) -> object:
    return connection.execute(sql).fetchall()[0][0]


def test_a_new_database_is_durable_and_checked(tmp_path: Path) -> None:
    connection = _connect(tmp_path / "a.sqlite", create=True)
    assert _value(connection, "PRAGMA journal_mode") == "wal"
    assert _value(connection, "PRAGMA synchronous") == 2
    assert _value(connection, "PRAGMA foreign_keys") == 1
    assert _value(connection, "PRAGMA application_id") == 7
    assert _value(connection, "PRAGMA user_version") == 1
    assert _value(connection, "SELECT text FROM notes") == "first"
    assert damages(connection) == []


def test_it_is_not_made_unless_asked(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="cannot open"):
        _connect(tmp_path / "a.sqlite")
    assert not (tmp_path / "a.sqlite").exists()


def test_migrations_run_once_and_in_order(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    _connect(file, create=True).close()
    with pytest.raises(CollectionError, match="version 1 of 2"):
        _connect(file, MORE, read_only=True)
    connection = _connect(file, MORE)
    assert _value(connection, "SELECT year FROM notes") == 2024
    connection.close()
    assert _value(_connect(file, MORE), "SELECT count(*) FROM notes") == 1
    with pytest.raises(CollectionError, match="schema version 2, this mmsdk knows 1; install a newer mmsdk"):
        _connect(file)


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    _connect(file, create=True).close()
    with pytest.raises(apsw.SQLError):
        _connect(file, (*MIGRATIONS, "CREATE TABLE more (x); SELECT * FROM absent"))
    connection = _connect(file)
    assert _value(connection, "PRAGMA user_version") == 1
    assert _value(connection, "SELECT count(*) FROM sqlite_schema WHERE name = 'more'") == 0


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database at all, but long enough to be looked at " * 100)
    with pytest.raises(CorruptionError, match="text is damaged"):
        _connect(tmp_path / "text")
    connect(tmp_path / "other.sqlite", application_id=8, migrations=MIGRATIONS, create=True).close()
    with pytest.raises(CollectionError, match="something else"):
        _connect(tmp_path / "other.sqlite")


def _interrupted(connection: apsw.Connection) -> None:
    with transaction(connection, write=True):
        connection.execute("INSERT INTO notes VALUES (2, 'second')")
        raise KeyboardInterrupt


def test_a_transaction_is_whole_or_not_at_all(tmp_path: Path) -> None:
    connection = _connect(tmp_path / "a.sqlite", create=True)
    with pytest.raises(KeyboardInterrupt):
        _interrupted(connection)
    assert _value(connection, "SELECT count(*) FROM notes") == 1
    with transaction(connection, write=True):
        connection.execute("INSERT INTO notes VALUES (2, 'second')")
    assert _value(_connect(tmp_path / "a.sqlite", read_only=True), "SELECT count(*) FROM notes") == 2


def test_every_flipped_bit_in_a_page_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    connection = _connect(file, create=True)
    with transaction(connection, write=True):
        connection.executemany("INSERT INTO notes (text) VALUES (?)", [("x" * 300,) for _ in range(200)]).fetchall()
    connection.close()
    clean = file.read_bytes()
    for place in range(5000, len(clean), 7919):
        damaged = bytearray(clean)
        damaged[place] ^= 8
        file.write_bytes(damaged)
        connection = _connect(file)
        with pytest.raises(CorruptionError, match=r"a\.sqlite is damaged"), transaction(connection):
            connection.execute("SELECT sum(length(text)) FROM notes").fetchall()
        assert damages(connection) == ["a.sqlite: a page does not match its checksum"]
        connection.close()


def test_a_read_only_folder_and_a_full_disk_are_errors_of_ours(tmp_path: Path) -> None:
    connection = _connect(tmp_path / "a.sqlite", create=True)
    connection.execute("PRAGMA max_page_count = 20").fetchall()
    with pytest.raises(CollectionError, match="no space left"), transaction(connection, write=True):
        connection.execute("INSERT INTO notes (text) VALUES (?)", ("x" * 1_000_000,))
    reader = _connect(tmp_path / "a.sqlite", read_only=True)
    with pytest.raises(CollectionError, match="cannot open"), transaction(reader):
        reader.execute("DELETE FROM notes")
    assert _value(reader, "SELECT count(*) FROM notes") == 1


HOLDER = """
import sys
from pathlib import Path
from mmsdk.database import WriterLock
with WriterLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_waits_and_is_told_who_writes(tmp_path: Path) -> None:
    file = tmp_path / "writer.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LockedError, match=f"by process {holder.pid} and stayed locked"), WriterLock(file, seconds=0.05):
        pass
    threading.Timer(0.1, holder.stdin.close).start()
    with WriterLock(file, seconds=30) as lock:
        assert lock.held
    holder.wait()
    holder.stdout.close()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    file = tmp_path / "writer.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with WriterLock(file, seconds=0) as lock:
        assert lock.held
        assert file.read_text() == str(os.getpid())
    holder.stdin.close()
    holder.stdout.close()


def test_threads_take_turns_and_one_may_nest(tmp_path: Path) -> None:
    lock = WriterLock(tmp_path / "writer.lock", seconds=30)
    order: list[str] = []

    def write(name: str) -> None:
        with lock, lock:
            order.extend([name, name])

    threads = [threading.Thread(target=write, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order[::2] == order[1::2]
    assert sorted(order[::2]) == [str(number) for number in range(8)]
    assert not lock.held


def test_two_locks_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    with (
        WriterLock(tmp_path / "writer.lock"),
        pytest.raises(LockedError, match=f"process {os.getpid()}"),
        WriterLock(tmp_path / "writer.lock", seconds=0),
    ):
        pass
