"""Find encoders, recognizers, loaders, stores, LLMs and plugins by name through entry points.

The groups are ``mmsdk.encoders``, ``mmsdk.scorers``, ``mmsdk.recognizers``, ``mmsdk.loaders``,
``mmsdk.stores``, ``mmsdk.llms`` and ``mmsdk.plugins``; what mmsdk brings itself is declared in the same way in its
pyproject.toml. An entry point written ``name = "module:object [extra]"`` names the extra that its
libraries come with. The registry imports nothing until a name is asked for and knows nothing of
what the objects do.
"""

from collections import defaultdict
from collections.abc import Mapping
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from mmsdk.errors import MissingDependencyError, PluginConflictError, PluginLoadError, PluginNotFoundError

Group = Literal["encoders", "scorers", "recognizers", "loaders", "stores", "llms", "plugins"]


def offers(group: Group) -> dict[str, list[EntryPoint]]:
    """Give every name of a group with the entry points that offer it, sorted by name."""
    found: dict[str, list[EntryPoint]] = defaultdict(list)
    for point in entry_points(group=f"mmsdk.{group}"):
        if point not in found[point.name]:
            found[point.name].append(point)
    return dict(sorted(found.items()))


def find(group: Group, name: str, *, pins: Mapping[str, str] | None = None) -> EntryPoint:
    """Give the entry point behind a name.

    Raises ``PluginNotFoundError`` with the nearest names, and ``PluginConflictError`` when several
    distributions offer the name and ``pins`` (name to distribution) chooses none of them.
    """
    available = offers(group)
    points = available.get(name, [])
    if not points:
        near = get_close_matches(name, available, n=3) or list(available)
        raise PluginNotFoundError(f"no {group} entry point is called {name!r}; there are: {', '.join(near) or 'none'}")
    pinned = (pins or {}).get(name)
    if pinned is not None:
        points = [point for point in points if _distribution(point) == _normal(pinned)]
        if not points:
            raise PluginNotFoundError(f"{name!r} is pinned to {pinned!r}, which is not installed or does not offer it")
    if len(points) > 1:
        names = ", ".join(sorted(_distribution(point) for point in points))
        raise PluginConflictError(
            f'{name!r} is offered by {names}; choose one in mmsdk.toml: [pins] {name} = "{_distribution(points[0])}"'
        )
    return points[0]


def load(group: Group, name: str, *, pins: Mapping[str, str] | None = None) -> Any:
    """Import and give the object behind a name.

    Raises what ``find`` raises, ``MissingDependencyError`` when its extra is not installed, and
    ``PluginLoadError`` when its module fails to import.
    """
    point = find(group, name, pins=pins)
    try:
        return point.load()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if point.extras and missing and missing != point.module.partition(".")[0]:
            raise MissingDependencyError(missing, point.extras[0]) from error
        raise PluginLoadError(f"{name!r} ({point.value}) does not import: {error}") from error
    except Exception as error:
        raise PluginLoadError(f"{name!r} ({point.value}) does not import: {type(error).__name__}: {error}") from error


def create(group: Group, name: str, *, pins: Mapping[str, str] | None = None, **options: Any) -> Any:
    """Build the object that a name such as ``open_clip:ViT-B-32`` stands for.

    What follows the first colon goes to the factory as its first argument; without a colon that is
    ``None``, for the factory's own default.
    """
    entry, _, model = name.partition(":")
    return load(group, entry, pins=pins)(model or None, **options)


def _distribution(point: EntryPoint) -> str:
    return _normal(point.dist.name) if point.dist is not None else "unknown"


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")
