"""The journal of a shop in one SQLite file: what users did, what they were shown and how likely, what they clicked.

Events are pushed one by one and outlive a crash; a frame for fitting comes out. A user's rows can be erased. Times are
seconds since 1970, UTC. The journal knows no model.
"""

import json
import time
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mmsdk.database import WriterLock, connect, transaction
from mmsdk.errors import InputError
from mmsdk.protocols import Closing
from mmsdk_recommend.catalogue import plain

FILE = "journal.sqlite"
_APPLICATION = 0x6D6D7263
_HEAVIEST = 1e6
_LATEST = 1e11
"""The year 5138: a larger time is in milliseconds."""
_LARGEST = 2**63 - 1
"""SQLite's largest integer."""
_MIGRATIONS = (
    """
    CREATE TABLE events (
      number INTEGER PRIMARY KEY, user TEXT NOT NULL, item TEXT NOT NULL, time REAL NOT NULL, kind TEXT NOT NULL,
      weight REAL NOT NULL);
    CREATE INDEX events_user ON events (user);
    CREATE TABLE shown (
      request INTEGER NOT NULL, rank INTEGER NOT NULL, user TEXT NOT NULL, item TEXT NOT NULL, time REAL NOT NULL,
      score REAL NOT NULL, propensity REAL, version TEXT NOT NULL, reward REAL NOT NULL DEFAULT 0,
      PRIMARY KEY (request, rank)) WITHOUT ROWID;
    CREATE INDEX shown_user ON shown (user);
    """,
    """
    PRAGMA secure_delete = ON;
    ALTER TABLE events RENAME TO older;
    CREATE TABLE events (
      number INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT NOT NULL, item TEXT NOT NULL, time REAL NOT NULL,
      kind TEXT NOT NULL, weight REAL NOT NULL);
    INSERT INTO events SELECT * FROM older;
    DROP TABLE older;
    CREATE INDEX events_user ON events (user);
    """,  # a number is never given twice, so "after" holds when events were erased
)


class Journal(Closing):
    """Keep events and showings in a folder.

    >>> import tempfile
    >>> with Journal(tempfile.mkdtemp()) as journal:
    ...     journal.push("ada", "tent", kind="buy", at=5)
    ...     journal.frame()[["user", "item", "time"]].values.tolist()
    [['ada', 'tent', 5.0]]
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = WriterLock(self.folder / "journal.lock")
        with self._lock:
            self.connection = connect(
                self.folder / FILE, application_id=_APPLICATION, migrations=_MIGRATIONS, create=True
            )
            self.connection.execute("PRAGMA secure_delete = ON").fetchall()  # what is erased is overwritten

    def close(self) -> None:
        """Close the file; calling it twice is fine."""
        self.connection.close()

    def push(
        self,
        user: Hashable,
        item: Hashable,
        *,
        kind: str = "take",
        weight: float = 1.0,
        at: float | None = None,
        click: tuple[int, Hashable] | None = None,
    ) -> None:
        """Keep one event; on the disk when this returns. Raises ``InputError`` for empty names and odd numbers.

        ``click`` is the request and the item whose showing it answers, as for ``reward``: both are kept or neither.
        """
        if user in (None, "") or item in (None, "") or not 0 < weight <= _HEAVIEST:
            raise InputError(
                f"an event has a user, an item and a weight above 0, at most {_HEAVIEST:g}, "
                f"not {user!r}, {item!r}, {weight!r}"
            )
        when = time.time() if at is None else float(at)
        if not abs(when) < _LATEST:
            raise InputError(f"the time of an event is in seconds since 1970, not {at!r}")
        row = (_key(user), _key(item), when, kind, float(weight))
        with self._lock, transaction(self.connection, write=True):
            if click is not None:
                self._reward(*click, 1.0)
            self.connection.execute("INSERT INTO events (user, item, time, kind, weight) VALUES (?,?,?,?,?)", row)

    def frame(
        self, weights: Mapping[str, float] | None = None, *, after: int = 0, until: int | None = None
    ) -> pd.DataFrame:
        """Give the events after a number, until another, as user, item, time, kind, weight.

        ``weights`` multiplies by kind, 0 leaves a kind out.
        """
        rows: list[Any] = self.connection.execute(
            "SELECT user, item, time, kind, weight FROM events WHERE number > ? AND number <= ? ORDER BY number",
            (after, self.last() if until is None else until),
        ).fetchall()
        frame = pd.DataFrame(
            [(json.loads(user), json.loads(item), *rest) for user, item, *rest in rows],
            columns=["user", "item", "time", "kind", "weight"],
        )
        if weights is not None:
            frame["weight"] *= frame["kind"].map(lambda kind: weights.get(kind, 1.0))
            frame = frame[frame["weight"] > 0].reset_index(drop=True)
        return frame

    def count(self) -> int:
        """Give the number of events."""
        found: Any = self.connection.execute("SELECT count(*) FROM events").fetchall()[0][0]
        return int(found)

    def last(self) -> int:
        """Give the number of the event that was pushed last, erased or not; 0 when there was none."""
        found: Any = self.connection.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = 'events'").fetchall()
        return int(found[0][0] or 0)

    def show(self, found: pd.DataFrame, *, version: str = "", at: float | None = None) -> list[int]:
        """Keep lists as ``Recommender.recommend`` gave them, and give the number of each user's request, in order."""
        when = time.time() if at is None else float(at)
        with self._lock, transaction(self.connection, write=True):
            last: Any = self.connection.execute("SELECT coalesce(max(request), 0) FROM shown").fetchall()[0][0]
            numbers = {user: last + place for place, user in enumerate(found["user"].unique(), 1)}
            rows = [
                (numbers[r["user"]], r["rank"], _key(r["user"]), _key(r["item"]), when, r["score"], r.get("propensity"))
                for r in found.to_dict("records")
            ]
            self.connection.executemany(
                "INSERT INTO shown (request, rank, user, item, time, score, propensity, version) "
                "VALUES (?,?,?,?,?,?,?,?)",
                [(*row, version) for row in rows],
            )
        return list(numbers.values())

    def reward(self, request: int, item: Hashable, *, value: float = 1.0) -> None:
        """Note that something shown was clicked, or what it earned. Raises ``InputError`` when it was not shown."""
        with self._lock, transaction(self.connection, write=True):
            self._reward(request, item, float(value))

    def _reward(self, request: int, item: Hashable, value: float) -> None:
        if abs(request) <= _LARGEST:
            sql = "UPDATE shown SET reward = ? WHERE request = ? AND item = ?"
            self.connection.execute(sql, (value, request, _key(item)))
            if self.connection.changes():
                return
        raise InputError(f"request {request} did not show {item!r}")

    def showings(self) -> pd.DataFrame:
        """Give everything shown: request, rank, user, item, time, score, propensity, version, reward."""
        names = ("request", "rank", "user", "item", "time", "score", "propensity", "version", "reward")
        rows = self.connection.execute(f"SELECT {', '.join(names)} FROM shown ORDER BY request, rank").fetchall()  # noqa: S608  ours
        frame = pd.DataFrame(rows, columns=list(names))
        for name in ("user", "item"):
            frame[name] = frame[name].map(json.loads)
        return frame

    def monitor(
        self, items: int, *, of: Mapping[str, int] | None = None, since: float = 0.0
    ) -> dict[str, dict[str, float]]:
        """Give requests, showings, click-through and coverage of each version since a time.

        ``items`` are how many there are, in all versions but those that ``of`` names.
        """
        rows: list[Any] = self.connection.execute(
            "SELECT version, count(DISTINCT request), count(*), avg(reward > 0), count(DISTINCT item) FROM shown "
            "WHERE time >= ? GROUP BY version ORDER BY version",
            (since,),
        ).fetchall()
        there = of or {}
        return {
            version: {
                "requests": requests,
                "showings": shown,
                "click_through": clicked,
                "coverage": distinct / there.get(version, max(items, distinct)),
            }
            for version, requests, shown, clicked, distinct in rows
        }

    def erase(self, user: Hashable) -> int:
        """Delete everything of a user; give how many rows."""
        gone = 0
        with self._lock, transaction(self.connection, write=True):
            for table in ("events", "shown"):
                self.connection.execute(f"DELETE FROM {table} WHERE user = ?", (_key(user),))  # noqa: S608  ours
                gone += self.connection.changes()
        with self._lock:
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return gone


def _key(name: Hashable) -> str:
    """Write a name so that the number 1 and the text 1 stay two."""
    return json.dumps(plain(name), ensure_ascii=False)
