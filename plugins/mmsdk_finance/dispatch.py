"""Sending what is due: every alert to every sink it was raised for, again and later until it is taken.

What is sent is marked after it was sent: a crash between the two sends it once more, under the same id.
"""

import json
import time
from collections.abc import Sequence

from mmsdk_finance.alerts import Alert, alert_of
from mmsdk_finance.sinks import DeliveryError, Sink
from mmsdk_finance.state import State

LONGEST = 3600.0
"""Seconds between two attempts at most; they double from 2 seconds."""


def deliver(state: State, sinks: Sequence[Sink], *, now: float | None = None) -> int:
    """Send every delivery that is due, and give how many were taken. ``now`` is in seconds since 1970."""
    now = time.time() if now is None else now
    named = {sink.name: sink for sink in sinks}
    done = 0
    for row in state.rows("SELECT * FROM deliveries WHERE delivered IS NULL AND due <= ? ORDER BY alert", now):
        sink = named.get(row["sink"])
        if sink is None:
            continue
        try:
            sink.send(alerts(state, number=row["alert"])[0])
        except DeliveryError as error:
            due = now + min(2.0 ** (row["attempts"] + 1), LONGEST)
            change, values = "attempts = attempts + 1, due = ?, error = ?", (due, str(error))
        else:
            done += 1
            change, values = "attempts = attempts + 1, delivered = ?, error = ?", (now, "")
        with state.writing():
            sql = f"UPDATE deliveries SET {change} WHERE alert = ? AND sink = ?"  # noqa: S608  ours
            state.run(sql, *values, row["alert"], row["sink"])
    return done


def alerts(state: State, *, number: int | None = None, since: float = 0.0, ticker: str | None = None) -> list[Alert]:
    """Give alerts in the order they were raised: all, one by number, those since a time, those of a name."""
    sql = (
        "SELECT * FROM alerts WHERE at >= ? AND (? IS NULL OR number = ?) AND (? IS NULL OR ticker = ?) ORDER BY number"
    )
    return [alert_of(row, json.loads(row["body"])) for row in state.rows(sql, since, number, number, ticker, ticker)]
