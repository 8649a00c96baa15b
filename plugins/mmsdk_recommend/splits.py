"""Splits of interactions into what a model learns from and what it is asked about.

The global split in time is what a deployed recommender meets; the others are common in papers, and know things of the
future: they are labelled so. Interactions of equal time are put in a random order, so that the order of a file (often
by item) tells nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmsdk.errors import InputError
from mmsdk_recommend.interactions import check
from mmsdk_recommend.models.blending import Holdout

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Split:
    """Hold two parts of interactions; ``about`` says what the split knows that a deployed recommender would not."""

    name: str
    about: str
    train: pd.DataFrame
    test: pd.DataFrame
    holdout: Holdout = "last"

    @property
    def tuning(self) -> "Split":
        """The training part, split again in the same way: to choose hyper-parameters by."""
        return split(self.train, self.name)


def split(interactions: pd.DataFrame, how: str = "global_time", *, seed: int = 0) -> Split:
    """Split in one of the ways of ``WAYS``. Raises ``InputError``: unknown, no times, or a part that is empty.

    >>> frame = pd.DataFrame({"user": list("abab"), "item": list("wxyz"), "time": [1, 2, 3, 4]})
    >>> split(frame, "leave_last_out").test["item"].tolist()
    ['y', 'z']
    """
    if how not in WAYS:
        raise InputError(f"there is no split {how!r}; there are: {', '.join(WAYS)}")
    checked = check(interactions)
    about, timed, mask = WAYS[how]
    if timed and checked["time"].isna().any():
        raise InputError(f"the split {how} needs a column time; without times there is: random")
    random = np.random.default_rng(seed)
    frame = checked.iloc[random.permutation(len(checked))].sort_values("time", kind="stable", ignore_index=True)
    if frame["time"].isna().all():
        frame = frame.drop(columns="time")
    tested = mask(frame, random)
    if tested.all() or not tested.any():
        raise InputError(f"the split {how} leaves one part empty: {int(tested.sum())} of {len(frame)} are for the test")
    train, test = (frame[chosen].reset_index(drop=True) for chosen in (~tested, tested))
    return Split(how, about, train, test, "last" if timed else "random")


def _global_time(frame: pd.DataFrame, _: np.random.Generator) -> Mask:
    return np.asarray(frame["time"] > frame["time"].quantile(0.8, interpolation="lower"))


def _user_time(frame: pd.DataFrame, _: np.random.Generator) -> Mask:
    place, count = _places(frame)
    return np.asarray(place >= np.ceil(0.8 * count))


def _leave_last_out(frame: pd.DataFrame, _: np.random.Generator) -> Mask:
    place, count = _places(frame)
    return np.asarray((place == count - 1) & (count > 1))


def _random(frame: pd.DataFrame, random: np.random.Generator) -> Mask:
    order = frame.iloc[random.permutation(len(frame))]
    place, count = _places(order)
    return np.asarray((place >= np.ceil(0.75 * count)).sort_index())


def _places(frame: pd.DataFrame) -> tuple["pd.Series[int]", "pd.Series[int]"]:
    grouped = frame.groupby("user", sort=False)["item"]
    return grouped.cumcount(), grouped.transform("size")


WAYS: dict[str, tuple[str, bool, Callable[[pd.DataFrame, np.random.Generator], Mask]]] = {
    "global_time": ("one moment divides past and future, 80/20, as for a deployed recommender", True, _global_time),
    "user_time": ("the last 20 % of each user: knows the future of other users", True, _user_time),
    "leave_last_out": ("the last one of each user: knows the future of other users", True, _leave_last_out),
    "random": ("a random 25 % of each user: knows the future", False, _random),
}
