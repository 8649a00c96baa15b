"""API keys and browser sessions, in an SQLite database beside the collections.

A key is 256 random bits, shown once; the database has its SHA-256. (A slow hash protects what people
choose; it adds nothing to random bits.) This module knows nothing of HTTP.
"""

import hashlib
import json
import re
import secrets
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsdk import database
from mmsdk.errors import InputError
from mmsdk.protocols import Closing

SCOPES = ("read", "write", "admin")
"""Each includes those before it."""
_APPLICATION = 0x6D6D6B79
_MIGRATIONS = (
    """
    CREATE TABLE keys (id TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, name TEXT NOT NULL, scope TEXT NOT NULL,
      collections TEXT, created REAL NOT NULL, expires REAL, revoked REAL);
    CREATE TABLE sessions (hash TEXT PRIMARY KEY, key TEXT NOT NULL REFERENCES keys (id), expires REAL NOT NULL);
    """,
)
_UNITS = {"h": 3600, "d": 86400, "w": 7 * 86400}


@dataclass(frozen=True)
class Key:
    """Say who asks: ``collections`` is None for all, ``expires`` a time in seconds since 1970 or None."""

    id: str
    name: str
    scope: str
    collections: frozenset[str] | None = None
    created: float = 0.0
    expires: float | None = None
    revoked: float | None = None

    def may(self, scope: str) -> bool:
        """Say whether the key has a scope."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)

    def sees(self, collection: str) -> bool:
        """Say whether the key has to do with a collection."""
        return self.collections is None or collection in self.collections

    def valid(self, now: float) -> bool:
        """Say whether the key can be used at a time."""
        return self.revoked is None and (self.expires is None or now < self.expires)

    def to_json(self) -> dict[str, Any]:
        """Write it without anything secret."""
        return {
            "id": self.id,
            "name": self.name,
            "scope": self.scope,
            "collections": None if self.collections is None else sorted(self.collections),
            "created": _iso(self.created),
            "expires": _iso(self.expires),
            "revoked": _iso(self.revoked),
        }


LOCAL = Key("local", "everybody on this machine", "admin")
"""Who asks while no key was ever made: the server is then bound to loopback."""


class Keys(Closing):
    """Make, check, list and revoke keys. Safe to share between threads and processes.

    >>> import tempfile
    >>> with Keys(Path(tempfile.mkdtemp()) / "keys.sqlite") as keys:
    ...     key, secret = keys.create("alice", "read", collections=["shop"])
    ...     found = keys.find(secret)
    ...     found.name, found.may("write"), found.sees("shop"), keys.find("mmsdk_wrong")
    ('alice', False, True, None)
    """

    def __init__(self, file: Path) -> None:
        self._lock = threading.RLock()
        with database.WriterLock(file.with_suffix(".lock")):
            self._connection = database.connect(file, application_id=_APPLICATION, migrations=_MIGRATIONS, create=True)
        for path in file.parent.glob(f"{file.name}*"):
            path.chmod(0o600)

    def create(
        self, name: str, scope: str = "read", *, collections: Iterable[str] | None = None, expires: str | None = None
    ) -> tuple[Key, str]:
        """Make a key and give it with its secret, which is kept nowhere. ``expires`` is such as ``12h`` or ``30d``.

        Raises ``InputError`` for an unknown scope or a time that cannot be read.
        """
        if scope not in SCOPES:
            raise InputError(f"there is no scope {scope!r}; there are: {', '.join(SCOPES)}")
        chosen = None if collections is None else frozenset(collections)
        now = time.time()
        until = None if expires is None else now + _seconds(expires)
        key = Key(secrets.token_hex(4), name, scope, chosen, now, until)
        secret = f"mmsdk_{secrets.token_urlsafe(32)}"
        listed = None if chosen is None else json.dumps(sorted(chosen))
        self._write(
            "INSERT INTO keys (id, hash, name, scope, collections, created, expires) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (key.id, _hash(secret), name, scope, listed, now, until),
        )
        return key, secret

    def revoke(self, id: str) -> Key:  # noqa: A002
        """Make a key useless from now on. Raises ``InputError`` for an unknown id."""
        self._write("UPDATE keys SET revoked = coalesce(revoked, ?) WHERE id = ?", (time.time(), id))
        found = self._select("id = ?", (id,))
        if not found:
            raise InputError(f"there is no key {id!r}; mmsdk keys list shows them")
        return found[0]

    def list(self) -> Sequence[Key]:
        """Give all keys ever made, oldest first."""
        return self._select("1 ORDER BY created", ())

    def any(self) -> bool:
        """Say whether a key was ever made; from then on every request needs one."""
        with self._lock:
            return bool(self._connection.execute("SELECT 1 FROM keys LIMIT 1").fetchall())

    def find(self, secret: str) -> Key | None:
        """Give the key behind a secret, or None when there is none, or it is expired or revoked."""
        return self._valid(self._select("hash = ?", (_hash(secret),)))

    def log_in(self, secret: str, seconds: float) -> str | None:
        """Give a token for a browser session of a key; it ends with the key or after so many seconds."""
        key = self.find(secret)
        if key is None:
            return None
        token = secrets.token_urlsafe(32)
        self._write("DELETE FROM sessions WHERE expires < ?", (time.time(),))
        self._write("INSERT INTO sessions VALUES (?, ?, ?)", (_hash(token), key.id, time.time() + seconds))
        return token

    def session(self, token: str) -> Key | None:
        """Give the key of a browser session, or None."""
        where = "id = (SELECT key FROM sessions WHERE sessions.hash = ? AND sessions.expires > ?)"
        return self._valid(self._select(where, (_hash(token), time.time())))

    def log_out(self, token: str) -> None:
        """End a browser session."""
        self._write("DELETE FROM sessions WHERE hash = ?", (_hash(token),))

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._connection.close()

    def _valid(self, found: Sequence[Key]) -> Key | None:
        return found[0] if found and found[0].valid(time.time()) else None

    def _select(self, where: str, values: Sequence[Any]) -> Sequence[Key]:
        columns = "id, name, scope, collections, created, expires, revoked"
        with self._lock:
            rows: Any = self._connection.execute(f"SELECT {columns} FROM keys WHERE {where}", values).fetchall()  # noqa: S608
        return [
            Key(row[0], row[1], row[2], None if row[3] is None else frozenset(json.loads(row[3])), *row[4:])
            for row in rows
        ]

    def _write(self, sql: str, values: Sequence[Any]) -> None:
        with self._lock, database.transaction(self._connection, write=True):
            self._connection.execute(sql, values).fetchall()


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d{1,6})([hdw])", text.strip())
    if match is None:
        raise InputError(f"{text!r} is no time; write such as 12h, 30d or 4w")
    return int(match[1]) * _UNITS[match[2]]


def _iso(moment: float | None) -> str | None:
    return None if moment is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
