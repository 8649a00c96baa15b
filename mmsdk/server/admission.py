"""Who may go in now, who waits, who is sent away: bounded queues, fair between keys.

Each lane has so many slots, and a queue bounded in requests and tokens. Slots go round the keys that wait.
When the queue is full, a key that has fewer requests in it than another takes the place of that one's
newest. Runs on one event loop; knows nothing of HTTP.
"""

import asyncio
import math
from collections import OrderedDict, deque
from dataclasses import dataclass, field

_MEMORY = 0.1  # weight of the newest duration in the running mean


class RefusedError(Exception):
    """Say that there is no place, and after how many seconds there may be one."""

    def __init__(self, message: str, after: int, *, closing: bool = False) -> None:
        super().__init__(message)
        self.after = after
        self.closing = closing


@dataclass(eq=False)
class Waiter:
    """Hold one request that waits; ``place`` is done when its slot has come."""

    key: str
    tokens: int
    place: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Lane:
    """Let ``slots`` requests in at a time, and ``items`` with ``tokens`` wait."""

    def __init__(self, slots: int, *, items: int, tokens: int) -> None:
        self.slots, self.items, self.tokens = slots, items, tokens
        self.running = self.coming = 0
        self.closing = False
        self._waiting: OrderedDict[str, deque[Waiter]] = OrderedDict()
        self._mean = 0.1

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return sum(map(len, self._waiting.values()))

    def is_full_for(self, key: str) -> bool:
        """Say whether ``enter`` would refuse a key, whatever it brings, once those that are coming have entered."""
        return (
            self.waiting + self.coming >= self.items
            and (self.running + self.coming >= self.slots or bool(self._waiting))
            and not self._rival(key)
        )

    def enter(self, key: str, tokens: int) -> "Waiter | None":
        """Take a slot, or give what to wait on. Raises ``RefusedError`` when there is no place to wait."""
        if self.closing:
            raise RefusedError("the server is shutting down", 5, closing=True)
        if self.running < self.slots and not self._waiting:
            self.running += 1
            return None
        waiting = sum(waiter.tokens for waiters in self._waiting.values() for waiter in waiters)
        if self.waiting >= self.items or (self._waiting and waiting + tokens > self.tokens):
            self._make_room(key)
        waiter = Waiter(key, tokens)
        self._waiting.setdefault(key, deque()).append(waiter)
        return waiter

    def leave(self, seconds: float) -> None:
        """Give the slot back that was held for so long."""
        self._mean += _MEMORY * (seconds - self._mean)
        self.running -= 1
        self._hand_on()

    def abandon(self, waiter: "Waiter") -> None:
        """Leave the queue, or give the slot back that came at the same moment."""
        self._drop(waiter)
        place = waiter.place
        if place.done() and not place.cancelled() and place.exception() is None:
            self.running -= 1
            self._hand_on()

    def close(self) -> None:
        """Send away all who wait and whoever comes."""
        self.closing = True
        for waiters in list(self._waiting.values()):
            for waiter in list(waiters):
                self._refuse(waiter, "the server is shutting down", closing=True)

    def _make_room(self, key: str) -> None:
        """Send the newest of the longest queue away, or raise when that is one's own."""
        rival = self._rival(key)
        if rival is None:
            raise self.refusal()
        self._refuse(self._waiting[rival][-1], self._said())

    def _rival(self, key: str) -> str | None:
        """Name the key that has most in the queue, if that is at least two more than a key has."""
        longest = max(self._waiting, key=lambda name: len(self._waiting[name]), default=None)
        own = len(self._waiting.get(key, ()))
        return None if longest is None or len(self._waiting[longest]) <= own + 1 else longest

    def load(self) -> tuple[int, int, int]:
        """Give what a refusal says: how many run, how many wait, and after how many seconds to come again."""
        return self.running, self.waiting, self._after()

    def refusal(self) -> RefusedError:
        """Say that there is no place."""
        return RefusedError(self._said(), self._after())

    def _refuse(self, waiter: Waiter, message: str, *, closing: bool = False) -> None:
        self._drop(waiter)
        if not waiter.place.done():
            waiter.place.set_exception(RefusedError(message, self._after(), closing=closing))

    def _drop(self, waiter: Waiter) -> None:
        waiters = self._waiting.get(waiter.key)
        if waiters and waiter in waiters:
            waiters.remove(waiter)
            if not waiters:
                del self._waiting[waiter.key]

    def _hand_on(self) -> None:
        while self.running < self.slots and self._waiting:
            key, waiters = next(iter(self._waiting.items()))
            waiter = waiters.popleft()
            self._waiting.move_to_end(key)
            if not waiters:
                del self._waiting[key]
            if not waiter.place.done():
                self.running += 1
                waiter.place.set_result(None)

    def _said(self) -> str:
        return f"{self.running} requests run and {self.waiting} wait, which is all that is allowed"

    def _after(self) -> int:
        """Give the seconds in which the queue will have been worked off, as things go now."""
        return max(1, math.ceil(self._mean * (self.waiting + 1) / self.slots))
