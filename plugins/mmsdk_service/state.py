"""What the agent remembers: sessions, turns, hand-overs and ratings, in one SQLite file.

Texts come in masked, apart from what a flow's pattern took as a slot. Everything belongs to a session, a session to at
most one customer, who can have it exported and erased; sessions that were silent for long are deleted. Times are
seconds since 1970, UTC.
"""

import json
import re
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmsdk.database import WriterLock, connect, transaction
from mmsdk.errors import CollectionNotFoundError, InputError
from mmsdk.protocols import Closing

FILE = "service.sqlite"
_APPLICATION = 0x6D6D7376
_MIGRATIONS = (
    """
    CREATE TABLE sessions (
      id TEXT PRIMARY KEY, customer TEXT NOT NULL, created REAL NOT NULL, seen REAL NOT NULL, memory TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX sessions_customer ON sessions (customer);
    CREATE INDEX sessions_seen ON sessions (seen);
    CREATE TABLE turns (
      number INTEGER PRIMARY KEY, session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE, at REAL NOT NULL,
      role TEXT NOT NULL, text TEXT NOT NULL, detail TEXT NOT NULL);
    CREATE INDEX turns_session ON turns (session, number);
    CREATE TABLE handovers (
      number INTEGER PRIMARY KEY, session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE, at REAL NOT NULL,
      reason TEXT NOT NULL, due REAL NOT NULL, packet TEXT NOT NULL, person TEXT NOT NULL DEFAULT '', taken REAL,
      closed REAL, note TEXT NOT NULL DEFAULT '', notified REAL, attempts INTEGER NOT NULL DEFAULT 0,
      next REAL NOT NULL DEFAULT 0);
    CREATE INDEX handovers_session ON handovers (session);
    CREATE TABLE ratings (
      session TEXT PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE, at REAL NOT NULL, score REAL NOT NULL
    ) WITHOUT ROWID;
    """,
)
_NAME = re.compile(r"[\w.:@+-]{1,128}")
Row = dict[str, Any]


@dataclass
class Memory:
    """Hold what a session carries from one message to the next.

    ``flow`` is where a flow stands (``flows.Standing`` as JSON), ``paused`` one that goes on after it, ``choices`` the
    intents of a clarifying question, ``unsure`` how many times in a row the agent had no answer.
    """

    language: str = ""
    slots: dict[str, str] = field(default_factory=dict)
    flow: dict[str, Any] | None = None
    choices: list[str] = field(default_factory=list)
    question: str = ""
    intent: str = ""
    unsure: int = 0
    returned: bool = False
    paused: dict[str, Any] | None = None

    def rest(self) -> None:
        """Forget what was waited for."""
        self.flow, self.paused, self.choices, self.unsure = None, None, [], 0


class State(Closing):
    """Keep sessions in a folder, made when it is not there. Threads and processes may share it."""

    def __init__(self, folder: str | Path, *, create: bool = True) -> None:
        self.folder = Path(folder)
        if not create and not (self.folder / FILE).is_file():
            raise CollectionNotFoundError(f"there are no sessions in {self.folder}; a first reply makes them")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._writer = WriterLock(self.folder / "writer.lock")
        self._lock = threading.RLock()
        self.connection = connect(self.folder / FILE, application_id=_APPLICATION, migrations=_MIGRATIONS, create=True)
        self.connection.execute("PRAGMA secure_delete = ON").fetchall()

    def close(self) -> None:
        """Close the file; calling it twice is fine."""
        with self._lock:
            self.connection.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Run the body in one transaction under the writer lock."""
        with self._lock, self._writer, transaction(self.connection, write=True):
            yield

    def rows(self, sql: str, *values: Any) -> list[Row]:
        """Run a query and give its rows by column name."""
        with self._lock:
            cursor = self.connection.execute(sql, values)
            names = [column[0] for column in cursor.description] if (first := cursor.fetchone()) is not None else []
            found = [] if first is None else [first, *cursor]
        return [dict(zip(names, row, strict=True)) for row in found]

    def open(self, session: str | None, customer: str) -> tuple[str, Memory]:
        """Give a session and its memory, a new one without a name or for a name nobody has.

        Raises ``InputError`` for a name with other characters than letters, figures and ``.:@+-_``, and for the session
        of another customer.
        """
        name = secrets.token_urlsafe(16) if session is None else session
        for what, value in (("session", name), ("customer", customer)):
            if not _NAME.fullmatch(value) and not (what == "customer" and not value):
                raise InputError(f"a {what} is named by at most 128 letters, figures and .:@+-_, not {value[:60]!r}")
        with self.writing():
            found = self.rows("SELECT customer, memory FROM sessions WHERE id = ?", name)
            if not found:
                now = time.time()
                values = (name, customer, now, now, json.dumps(asdict(Memory())))
                self.connection.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?)", values)
                return name, Memory()
            owner = found[0]["customer"]
            if owner != customer and (owner or not customer):
                raise InputError(f"session {name} belongs to another customer than {customer!r}; begin a new session")
            if not owner and customer:
                self.connection.execute("UPDATE sessions SET customer = ? WHERE id = ?", (customer, name))
        return name, Memory(**json.loads(found[0]["memory"]))

    def note(self, session: str, turns: list[tuple[str, str, dict[str, Any]]], memory: Memory | None = None) -> None:
        """Keep turns (role, masked text, detail), and what the session carries on."""
        now = time.time()
        with self.writing():
            for role, text, detail in turns:
                values = (session, now, role, text, json.dumps(detail, ensure_ascii=False))
                self.connection.execute(
                    "INSERT INTO turns (session, at, role, text, detail) VALUES (?, ?, ?, ?, ?)", values
                )
            self.connection.execute("UPDATE sessions SET seen = ? WHERE id = ?", (now, session))
            if memory is not None:
                written = json.dumps(asdict(memory), ensure_ascii=False)
                self.connection.execute("UPDATE sessions SET memory = ? WHERE id = ?", (written, session))

    def turns(self, session: str, *, last: int = 1000) -> list[Row]:
        """Give the last turns of a session, in order."""
        rows = self.rows(
            "SELECT number, at, role, text, detail FROM turns WHERE session = ? ORDER BY number DESC LIMIT ?",
            *(session, last),
        )
        return [row | {"detail": json.loads(row["detail"])} for row in reversed(rows)]

    def rate(self, session: str, score: float) -> None:
        """Keep a rating from 1 to 5; a later one takes its place. Raises ``InputError``."""
        if not 1 <= score <= 5:
            raise InputError(f"a rating is from 1 to 5, not {score}")
        with self.writing():
            if not self.rows("SELECT 1 FROM sessions WHERE id = ?", session):
                raise InputError(f"there is no session {session!r}")
            put = "INSERT OR REPLACE INTO ratings VALUES (?, ?, ?)"
            self.connection.execute(put, (session, time.time(), score))

    def export(self, customer: str) -> dict[str, Any]:
        """Give everything that is kept of a customer. Raises ``InputError`` for nobody."""
        sessions = []
        for row in self.rows("SELECT * FROM sessions WHERE customer = ? ORDER BY created", _named(customer)):
            handed = self.rows("SELECT * FROM handovers WHERE session = ? ORDER BY number", row["id"])
            sessions.append(
                row
                | {"memory": json.loads(row["memory"]), "turns": self.turns(row["id"])}
                | {"handovers": [one | {"packet": json.loads(one["packet"])} for one in handed]}
                | {"ratings": self.rows("SELECT at, score FROM ratings WHERE session = ?", row["id"])}
            )
        return {"customer": customer, "sessions": sessions}

    def erase(self, customer: str) -> int:
        """Delete everything that is kept of a customer, on the disk too; give the number of sessions."""
        return self._delete("customer = ?", _named(customer))

    def expire(self, days: float) -> int:
        """Delete sessions that were silent for so many days; give their number."""
        return self._delete("seen < ?", time.time() - 86400 * days)

    def _delete(self, condition: str, value: Any) -> int:
        with self.writing():
            count = int(self.rows(f"SELECT count(*) AS n FROM sessions WHERE {condition}", value)[0]["n"])  # noqa: S608
            self.connection.execute(f"DELETE FROM sessions WHERE {condition}", (value,))  # noqa: S608  our own words
        if count:
            with self._lock, self._writer:
                self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return count


def _named(customer: str) -> str:
    if not customer:
        raise InputError("name the customer; sessions without one belong to nobody and expire")
    return customer
