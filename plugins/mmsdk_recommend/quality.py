"""What is odd about interactions before anything is learned from them: repetitions, robots, gaps, times.

Nothing is removed: the report names what to look at.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from mmsdk_recommend.catalogue import plain
from mmsdk_recommend.interactions import check

_DAY = 86400.0


@dataclass(frozen=True)
class Quality:
    """Hold the report: counts, and the names of what stands out (at most 20 each).

    ``duplicates`` are rows that repeat user, item and time; ``repeats`` pairs of user and item that occur again.
    ``bots`` are users that took more than 1,000 times in an hour, or ten times as many items as the 99th percentile of
    users. ``gaps`` are spans without interactions that are ten times the longest of the usual ones, as dates.
    """

    interactions: int
    users: int
    items: int
    duplicates: int
    repeats: int
    single_users: int
    single_items: int
    first: str
    last: str
    future: int
    bots: tuple[Any, ...]
    gaps: tuple[tuple[str, str], ...]
    unknown_items: tuple[Any, ...]

    def to_json(self) -> dict[str, Any]:
        """Write it in the shape that ``mmsdk recommend validate --json`` prints."""
        return asdict(self)


def validate(interactions: pd.DataFrame, catalogue: pd.DataFrame | None = None) -> Quality:
    """Look at interactions, and at which of their items a catalogue lacks. Raises ``InputError`` as fitting would.

    >>> frame = pd.DataFrame({"user": ["a", "a", "b"], "item": ["x", "x", "y"], "time": [1, 1, 2]})
    >>> found = validate(frame)
    >>> found.duplicates, found.users, found.first
    (1, 2, '1970-01-01')
    """
    frame = check(interactions)
    users, items = frame["user"].value_counts(), frame["item"].value_counts()
    timed = bool(frame["time"].notna().all())
    keys = ["user", "item", "time"] if timed else ["user", "item"]
    times = np.sort(frame["time"].to_numpy()) if timed else np.zeros(0)
    missing = [] if catalogue is None else items.index.difference(pd.Index(catalogue["item"]), sort=False)
    return Quality(
        interactions=len(frame),
        users=len(users),
        items=len(items),
        duplicates=int(frame.duplicated(keys).sum()),
        repeats=int(frame.drop_duplicates(keys).duplicated(["user", "item"]).sum()),
        single_users=int((users == 1).sum()),
        single_items=int((items == 1).sum()),
        first=_date(times[0]) if timed else "",
        last=_date(times[-1]) if timed else "",
        future=int((times > pd.Timestamp.now().timestamp() + _DAY).sum()),
        bots=tuple(plain(user) for user in _bots(frame, users, timed)[:20]),
        gaps=tuple(_gaps(times)[:20]),
        unknown_items=tuple(plain(item) for item in list(missing)[:20]),
    )


def _bots(frame: pd.DataFrame, users: "pd.Series[int]", timed: bool) -> list[Any]:
    many = users[users > max(10 * float(users.quantile(0.99)), 1000)].index.tolist()
    if timed:
        hours = frame.assign(hour=(frame["time"] // 3600)).groupby(["user", "hour"]).size()
        many += hours[hours > 1000].index.get_level_values("user").tolist()
    return list(dict.fromkeys(many))


def _gaps(times: np.ndarray[Any, np.dtype[np.float64]]) -> list[tuple[str, str]]:
    if len(times) < 100:
        return []
    between = np.diff(times)
    usual = max(float(np.quantile(between, 0.999)), _DAY)
    wide = np.flatnonzero(between > 10 * usual)
    order = wide[np.argsort(-between[wide])]
    return [(_date(times[place]), _date(times[place + 1])) for place in order]


def _date(seconds: float) -> str:
    return str(pd.Timestamp(seconds, unit="s").date())
