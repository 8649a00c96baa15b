"""What a model must offer: it is fitted on histories, and scores all items for any history.

A model never sees the name of a user, so that new users are served without fitting again. Models are found by name
through the entry point group ``mmsdk_recommend.models``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mmsdk.errors import InputError, PluginNotFoundError
from mmsdk_recommend.interactions import Floats, Histories

Arrays = dict[str, NDArray[Any]]
Target = NDArray[np.float64]
"""Float64 ``[width]``: a combination of items whose score is asked for, most often one item."""
GROUP = "mmsdk_recommend.models"


@dataclass(frozen=True, eq=False)
class Corpus:
    """Hold what a model is fitted on.

    ``content`` is float32 ``[items, dimension]`` of the items' content, a row of zeros for an item without, or None.
    """

    histories: Histories
    content: Floats | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Contributions:
    """Hold what a score is made of: what each item of the history adds, and the rest by name. They sum to the score.

    ``parts`` splits ``history`` by component, for a model that has any.
    """

    history: NDArray[np.float64]
    rest: Mapping[str, float] = field(default_factory=dict)
    parts: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """The sum of all parts."""
        return float(self.history.sum()) + sum(self.rest.values())


@runtime_checkable
class Model(Protocol):
    """Score items for histories."""

    def get_params(self) -> dict[str, Any]:
        """Give what it was made with, as JSON: ``type(model)(**params)`` makes its like."""
        ...

    def fit(self, corpus: Corpus) -> None:
        """Learn from histories; fitting again forgets what was learned before."""
        ...

    def score(self, histories: Histories) -> Floats:
        """Score all items for each history; float32 ``[len(histories), width]``, finite, higher is better.

        The array is the caller's to change. An empty history is allowed.
        """
        ...

    def contributions(self, history: Histories, target: Target) -> Contributions:
        """Say what ``score(history)[0] @ target`` is made of; the target of one item is ``towards(item, width)``."""
        ...

    def arrays(self) -> Arrays:
        """Give what was learned, to be stored; ``restore`` takes it."""
        ...

    def restore(self, arrays: Arrays) -> None:
        """Become what gave these arrays."""
        ...


@runtime_checkable
class Factored(Model, Protocol):
    """Score by inner products: ``score(histories)`` is ``vectors(histories) @ item_vectors().T``.

    Candidates of such models can come from an index.
    """

    def item_vectors(self) -> Floats:
        """Give the vectors of all items; float32 ``[width, dimension]``."""
        ...

    def vectors(self, histories: Histories) -> Floats:
        """Give the vectors of histories; float32 ``[len(histories), dimension]``."""
        ...


def names() -> list[str]:
    """Give the names of all models that are installed."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def create(name: str, **params: Any) -> Model:
    """Make a model by its name.

    Raises ``PluginNotFoundError`` with the nearest names, and ``InputError`` for a parameter it does not have.
    """
    points = {point.name: point for point in entry_points(group=GROUP)}
    if name not in points:
        near = get_close_matches(str(name), points, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise PluginNotFoundError(f"no model is called {name!r}{hint} There are: {', '.join(sorted(points))}")
    kind = points[name].load()
    try:
        return cast(Model, kind(**params))
    except TypeError as error:
        known = ", ".join(kind().get_params()) or "none"
        raise InputError(f"model {name!r} does not take these parameters ({error}); it has: {known}") from error


def towards(item: int, width: int) -> Target:
    """Give the target of one item."""
    found = np.zeros(width)
    found[item] = 1.0
    return found


def shared(history: Histories, values: Target) -> Target:
    """Give each item of the history its value, divided among its repetitions; ``values`` is ``[width]``."""
    _, inverse, counts = np.unique(history.items, return_inverse=True, return_counts=True)
    return np.asarray(values[history.items] / counts[inverse])


def single(history: Histories) -> Histories:
    """Check that a history is one. Raises ``ValueError``."""
    if len(history) != 1:
        raise ValueError(f"contributions are told for one history, not for {len(history)}")
    return history
