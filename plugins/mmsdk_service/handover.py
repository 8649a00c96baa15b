"""Hand a thread to people: a packet with everything they need, a queue with a clock, a signed webhook.

While a thread is in the queue or held by a person the agent says nothing of its own. It gets the thread back when the
person gives it back.
"""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mmsdk import webhook
from mmsdk.errors import InputError
from mmsdk_service.state import Row, State
from mmsdk_service.wording import masked, triggered

TRIES = 6
MINUTES: Mapping[str, float] = {
    "safety": 1,
    "medical": 2,
    "fraud": 5,
    "vip": 5,
    "request": 15,
    "legal": 30,
    "anger": 15,
    "tool": 15,
    "flow": 30,
    "unsure": 30,
    "language": 30,
}
"""Within how many minutes somebody should take a thread, by reason."""


@dataclass(frozen=True)
class Webhook:
    """Name the address that hand-overs are posted to, and the secret they are signed with."""

    url: str
    secret: str
    seconds: float = 5.0

    def __post_init__(self) -> None:
        webhook.checked(self.url)
        if not self.secret:
            raise InputError("a webhook needs a secret to sign with")


@dataclass(frozen=True)
class Desk:
    """Say how threads are handed over: minutes until somebody should take them, by reason; and where to post."""

    minutes: Mapping[str, float] = field(default_factory=lambda: dict(MINUTES))
    webhook: Webhook | None = None


def packed(
    turns: Sequence[Row], text: str, *, action: Mapping[str, Any] | None, about: Mapping[str, Any]
) -> dict[str, Any]:
    """Give people everything they need: ``about`` (intent, slots, ...), transcript, summary, what was tried, mood.

    ``turns`` are those before the masked ``text`` of the customer, ``action`` what was done at last.
    """
    transcript = [{"role": one["role"], "text": one["text"], "at": one["at"]} for one in turns]
    transcript.append({"role": "customer", "text": text, "at": time.time()})
    asked = [str(one["text"]) for one in transcript if one["role"] == "customer" and one["text"]]
    tried = [one["text"] for one in turns if one["role"] == "agent"]
    if action is not None:
        tried.append(f"{action.get('tool') or action.get('flow')}: {action.get('error', 'asked')}")
    angry = about["reason"] == "anger" or any(triggered(one) == "anger" for one in asked)
    return {
        **about,
        "summary": _summary(asked, about["reason"]),
        "tried": tried[-10:],
        "sentiment": "negative" if angry else "neutral",
        "transcript": transcript,
    }


def _summary(asked: Sequence[str], reason: str) -> str:
    """Say in the customer's own masked words what it is about: the first and the last thing they said."""
    first, last = (asked[0], asked[-1]) if asked else ("", "")
    told = f"{first[:200]} … {last[:200]}" if first != last else first[:300]
    return f"[{reason}] {told}"


class Queue:
    """Hold the threads that wait for people or are held by them."""

    def __init__(self, state: State, desk: Desk | None = None) -> None:
        self.state = state
        self.desk = desk or Desk()
        self._sending = threading.Lock()

    def add(self, session: str, reason: str, packet: Mapping[str, Any]) -> int:
        """Put a thread into the queue and give its number; one that is in it already keeps its number."""
        now = time.time()
        due = now + 60 * self.desk.minutes.get(reason, 30)
        with self.state.writing():
            held = self.open(session)
            if held is not None:
                return int(held["number"])
            values = (session, now, reason, due, json.dumps(packet, ensure_ascii=False))
            insert = "INSERT INTO handovers (session, at, reason, due, packet) VALUES (?, ?, ?, ?, ?)"
            self.state.connection.execute(insert, values)
            number = self.state.connection.last_insert_rowid()
        if self.desk.webhook is not None:
            threading.Thread(target=self.deliver, daemon=True).start()
        return number

    def open(self, session: str) -> Row | None:
        """Give the hand-over that a session is in, None when the agent has it."""
        rows = self.state.rows("SELECT * FROM handovers WHERE session = ? AND closed IS NULL", session)
        return rows[0] if rows else None

    def waiting(self, now: float | None = None) -> list[Row]:
        """Give the open hand-overs, the one due first at the top, with the seconds left (negative: too late)."""
        moment = time.time() if now is None else now
        rows = self.state.rows("SELECT * FROM handovers WHERE closed IS NULL ORDER BY due, number")
        return [_shown(row, moment) for row in rows]

    def get(self, number: int) -> Row:
        """Give a hand-over. Raises ``InputError`` for an unknown number."""
        rows = self.state.rows("SELECT * FROM handovers WHERE number = ?", number)
        if not rows:
            raise InputError(f"there is no hand-over {number}")
        return _shown(rows[0], time.time())

    def take(self, number: int, person: str) -> Row:
        """Let a person hold a thread. Raises ``InputError`` when another one does, or it is closed."""
        if not person.strip():
            raise InputError("say who takes it")
        with self.state.writing():
            row = self._open(number)
            if row["person"] and row["person"] != person:
                raise InputError(f"hand-over {number} is held by {row['person']}")
            self.state.connection.execute(
                "UPDATE handovers SET person = ?, taken = coalesce(taken, ?) WHERE number = ?",
                (person, time.time(), number),
            )
        return self.get(number)

    def say(self, number: int, person: str, text: str) -> None:
        """Write to the customer as the person who holds the thread."""
        row = self._open(number)
        if row["person"] != person:
            raise InputError(f"hand-over {number} is held by {row['person'] or 'nobody'}; take it first")
        self.state.note(row["session"], [("person", text, {"person": person})])

    def release(self, number: int, person: str, *, note: str = "") -> Row:
        """Give a thread back to the agent, with what was done."""
        with self.state.writing():
            row = self._open(number)
            if row["person"] != person:
                raise InputError(f"hand-over {number} is held by {row['person'] or 'nobody'}; only they give it back")
            self.close(row["session"], masked(note))
        return self.get(number)

    def close(self, session: str, note: str) -> None:
        """End the hand-over of a session; the agent goes on, and what it waited for before is forgotten."""
        with self.state.writing() if not self.state.connection.in_transaction else _nothing():
            values = (time.time(), note, session)
            self.state.connection.execute(
                "UPDATE handovers SET closed = ?, note = ? WHERE session = ? AND closed IS NULL", values
            )
            rows = self.state.rows("SELECT memory FROM sessions WHERE id = ?", session)
            memory = json.loads(rows[0]["memory"]) | {
                "flow": None,
                "paused": None,
                "choices": [],
                "unsure": 0,
                "returned": True,
            }
            written = json.dumps(memory, ensure_ascii=False)
            self.state.connection.execute("UPDATE sessions SET memory = ? WHERE id = ?", (written, session))

    def deliver(self, now: float | None = None) -> int:
        """Post what is due to the webhook and give how many were taken; what fails is tried again later."""
        hook = self.desk.webhook
        if hook is None:
            return 0
        moment, sent = time.time() if now is None else now, 0
        with self._sending:
            due = "SELECT * FROM handovers WHERE notified IS NULL AND attempts < ? AND next <= ? ORDER BY due"
            for row in self.state.rows(due, TRIES, moment):
                done = _posted(hook, _shown(row, moment))
                wait = moment + 30 * 2 ** row["attempts"]
                with self.state.writing():
                    self.state.connection.execute(
                        "UPDATE handovers SET notified = ?, attempts = attempts + 1, next = ? WHERE number = ?",
                        (moment if done else None, wait, row["number"]),
                    )
                sent += done
        return sent

    def _open(self, number: int) -> Row:
        row = self.get(number)
        if row["closed"] is not None:
            raise InputError(f"hand-over {number} is closed")
        return row


class _nothing:  # noqa: N801  a context manager
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def _posted(hook: Webhook, row: Row) -> bool:
    body = json.dumps(row, ensure_ascii=False).encode("utf-8", "replace")
    key = f"handover-{row['number']}-{int(row['at'])}"
    try:
        webhook.post(hook.url, body, key=key, secret=hook.secret, seconds=hook.seconds)
    except OSError:
        return False
    return True


def _shown(row: Row, now: float) -> Row:
    """Give a hand-over as JSON: its packet read, its times in words, the seconds that are left."""
    packet = json.loads(row["packet"]) if isinstance(row["packet"], str) else row["packet"]
    status = "closed" if row["closed"] is not None else "held" if row["person"] else "waiting"
    left = round(row["due"] - (row["taken"] or row["closed"] or now))
    times = {name: datetime.fromtimestamp(row[name], UTC).isoformat(timespec="seconds") for name in ("at", "due")}
    return {**row, "packet": packet, "status": status, "seconds_left": left, "overdue": left < 0, "when": times}
