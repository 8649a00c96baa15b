"""What the monitor knows, in one SQLite file: items, stories, scores, votes, alerts, deliveries, audit.

A batch of items and everything that follows from it change in one transaction, so a crash loses nothing that was
taken in and counts nothing twice. Times are seconds since 1970, UTC. The state does not know how anything is scored.
"""

import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mmsdk.database import WriterLock, connect, transaction
from mmsdk.errors import CollectionNotFoundError, InputError
from mmsdk.protocols import Closing
from mmsdk_finance.items import Item, Rejected

FILE = "finance.sqlite"
_APPLICATION = 0x6D6D6669
_CACHE = 16_384
"""Kibibytes of pages kept in memory: the stories of late are few, and a long stream must not fill more."""
_MIGRATIONS = (
    """
    CREATE TABLE facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
    CREATE TABLE stories (number INTEGER PRIMARY KEY, first_seen REAL NOT NULL, vector BLOB);
    CREATE TABLE items (
      number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, digest TEXT NOT NULL, story INTEGER NOT NULL,
      copied TEXT NOT NULL, id TEXT NOT NULL, text TEXT NOT NULL, source TEXT NOT NULL, event REAL NOT NULL,
      arrival REAL NOT NULL, kind TEXT NOT NULL, author TEXT NOT NULL, url TEXT NOT NULL, language TEXT NOT NULL,
      about TEXT NOT NULL);
    CREATE INDEX items_story ON items (story);
    CREATE INDEX items_event ON items (event);
    CREATE TABLE scores (
      story INTEGER NOT NULL, ticker TEXT NOT NULL, label TEXT NOT NULL, positive REAL NOT NULL,
      neutral REAL NOT NULL, negative REAL NOT NULL, quote TEXT NOT NULL, words TEXT NOT NULL,
      events TEXT NOT NULL, model TEXT NOT NULL,
      PRIMARY KEY (story, ticker)) WITHOUT ROWID;
    CREATE TABLE votes (
      story INTEGER NOT NULL, ticker TEXT NOT NULL, kind TEXT NOT NULL, at REAL NOT NULL, weight REAL NOT NULL,
      value REAL NOT NULL, PRIMARY KEY (ticker, at, story)) WITHOUT ROWID;
    CREATE INDEX votes_story ON votes (story);
    CREATE TABLE sums (
      ticker TEXT NOT NULL, decay REAL NOT NULL, at REAL NOT NULL, w REAL NOT NULL, ww REAL NOT NULL,
      wx REAL NOT NULL, wxx REAL NOT NULL, PRIMARY KEY (ticker, decay)) WITHOUT ROWID;
    CREATE TABLE standings (
      ticker TEXT NOT NULL, side INTEGER NOT NULL, raised INTEGER NOT NULL, last REAL NOT NULL,
      PRIMARY KEY (ticker, side)) WITHOUT ROWID;
    CREATE TABLE alerts (
      number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, ticker TEXT NOT NULL, side INTEGER NOT NULL,
      at REAL NOT NULL, cleared REAL, severity TEXT NOT NULL, body TEXT NOT NULL,
      acknowledged REAL, acknowledged_by TEXT, note TEXT);
    CREATE TABLE deliveries (
      alert INTEGER NOT NULL, sink TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL DEFAULT 0,
      delivered REAL, error TEXT NOT NULL DEFAULT '', PRIMARY KEY (alert, sink)) WITHOUT ROWID;
    CREATE TABLE rejected (
      number INTEGER PRIMARY KEY, at REAL NOT NULL, source TEXT NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL,
      excerpt TEXT NOT NULL, UNIQUE (source, code, reason, excerpt));
    CREATE TABLE reviews (
      written TEXT NOT NULL, ticker TEXT NOT NULL, reason TEXT NOT NULL, times INTEGER NOT NULL, item INTEGER NOT NULL,
      PRIMARY KEY (written, ticker, reason)) WITHOUT ROWID;
    CREATE TABLE audit (
      number INTEGER PRIMARY KEY, at REAL NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, detail TEXT NOT NULL);
    """,
)
Row = dict[str, Any]


class State(Closing):
    """Hold the monitor's memory in a folder, made when it is not there. Raises ``CollectionNotFoundError``.

    Reading goes on while another process writes; ``writing`` lets one process in.
    """

    def __init__(self, folder: str | Path, *, create: bool = True) -> None:
        self.folder = Path(folder)
        file = self.folder / FILE
        if not create and not file.is_file():
            raise CollectionNotFoundError(
                f"there is no monitor in {self.folder}; run: mmsdk finance monitor SOURCE --watchlist CSV"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = WriterLock(self.folder / "writer.lock")
        self.connection = connect(file, application_id=_APPLICATION, migrations=_MIGRATIONS, create=create)
        self.connection.execute(f"PRAGMA cache_size = -{_CACHE}")
        if self.fact("id") is None:
            self.connection.execute("INSERT OR IGNORE INTO facts VALUES ('id', ?)", (secrets.token_hex(8),))

    def close(self) -> None:
        """Close the file; calling it twice is fine."""
        self.connection.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Run the body in one transaction under the writer lock."""
        with self._lock, transaction(self.connection, write=True):
            yield

    def rows(self, sql: str, *values: Any) -> list[Row]:
        """Run a query and give its rows by column name."""
        names: list[str] = []
        found = []
        cursor = self.connection.execute(sql, values)
        for row in cursor:
            names = names or [column[0] for column in cursor.description]
            found.append(dict(zip(names, row, strict=True)))
        return found

    def run(self, sql: str, *values: Any) -> None:
        """Run a statement that gives nothing back."""
        self.connection.execute(sql, values)

    def fact(self, name: str) -> Any:
        """Give a single fact such as the watermark, None when it is not known."""
        found = self.connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchall()
        return found[0][0] if found else None

    def set_fact(self, name: str, value: Any) -> None:
        """Keep a single fact."""
        self.run("INSERT INTO facts VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", name, value)

    def shown(self, ticker: str) -> str:
        """Give what a name is called on the watch list, or its ticker."""
        names = {name["ticker"]: name["names"][0] for name in json.loads(self.fact("watchlist") or "[]")}
        return str(names.get(ticker, ticker))

    @property
    def watermark(self) -> float:
        """The latest event time of any item, 0 before the first."""
        return float(self.fact("watermark") or 0.0)

    def item(self, key: str) -> Row | None:
        """Give the stored item with a key."""
        found = self.rows("SELECT * FROM items WHERE key = ?", key)
        return found[0] if found else None

    def put_item(self, item: Item, story: int | None, *, copied: str) -> tuple[int, int]:
        """Keep an item, under a new story when ``story`` is None; give the numbers of item and story."""
        event, arrival = item.event.timestamp(), item.arrival.timestamp()
        values = (item.id, item.text, item.source, event, arrival, item.kind, item.author, item.url, item.language)
        self.run(
            "INSERT INTO items (key, digest, story, copied, id, text, source, event, arrival, kind, author, url, "
            "language, about) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            *(item.key, item.digest, story or 0, copied, *values, " ".join(item.about)),
        )
        number = self.connection.last_insert_rowid()
        if story is None:
            self.run("INSERT INTO stories (first_seen) VALUES (?)", arrival)
            story = self.connection.last_insert_rowid()
            self.run("UPDATE items SET story = ? WHERE number = ?", story, number)
        else:
            self.run("UPDATE stories SET first_seen = min(first_seen, ?) WHERE number = ?", arrival, story)
        if event > self.watermark:
            self.set_fact("watermark", event)
        return number, story

    def reject(self, rejected: Rejected, at: float) -> bool:
        """Keep what was not taken in, once; tell whether it is new."""
        before = self.connection.total_changes()
        self.run(
            "INSERT OR IGNORE INTO rejected (at, source, code, reason, excerpt) VALUES (?, ?, ?, ?, ?)",
            *(at, rejected.source, rejected.code, _whole(rejected.reason), _whole(rejected.excerpt)),
        )
        return self.connection.total_changes() > before

    def note(self, actor: str, action: str, detail: Mapping[str, Any]) -> None:
        """Write a line of the audit trail."""
        self.run(
            "INSERT INTO audit (at, actor, action, detail) VALUES (?, ?, ?, ?)",
            *(time.time(), actor, action, json.dumps(detail, ensure_ascii=False)),
        )

    def acknowledge(self, number: int, by: str, *, note: str = "") -> None:
        """Say that somebody has seen an alert. Raises ``InputError`` for an unknown one or no name."""
        if not by.strip():
            raise InputError("say who acknowledges the alert")
        with self.writing():
            if not self.rows("SELECT 1 FROM alerts WHERE number = ?", number):
                raise InputError(f"there is no alert {number}")
            self.run(
                "UPDATE alerts SET acknowledged = ?, acknowledged_by = ?, note = ? WHERE number = ?",
                *(time.time(), by, note, number),
            )
            self.note(by, "acknowledged", {"alert": number, "note": note})

    def forget(self, days: float, *, actor: str = "retention") -> int:
        """Delete the texts, scores and rejects of events older than some days before the watermark.

        Votes stay: they are numbers, and the index rests on them. Gives the number of items gone. Raises
        ``InputError`` for fewer than 7 days, within which copies are still looked for.
        """
        if days < 7:
            raise InputError(f"texts are kept for 7 days at least, not {days:g}")
        before = self.watermark - days * 86400
        with self.writing():
            self.run("DELETE FROM items WHERE event < ?", before)
            gone = self.connection.changes()
            for table, column in (("stories", "number"), ("scores", "story")):
                self.run(f"DELETE FROM {table} WHERE {column} NOT IN (SELECT story FROM items)")  # noqa: S608  ours
            self.run("DELETE FROM rejected WHERE at < ?", before)
            self.note(actor, "forgot", {"items": gone, "before": stamp(before)})
        return gone

    def counts(self) -> dict[str, int]:
        """Count items, stories, alerts, rejects and names for review."""
        tables = ("items", "stories", "votes", "alerts", "rejected", "reviews")
        return {t: int(self.rows(f"SELECT count(*) AS n FROM {t}")[0]["n"]) for t in tables}  # noqa: S608  ours


def stamp(at: float | None) -> str:
    """Write seconds since 1970 as ISO 8601 in UTC; nothing for None.

    >>> stamp(1736152200.0)
    '2025-01-06T08:30:00Z'
    """
    return "" if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def marks(values: Sequence[Any]) -> str:
    """Give as many question marks as there are values, for SQL."""
    return ",".join("?" * len(values))


def _whole(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
