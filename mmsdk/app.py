"""A runtime and the installed plugins: run any task by its name.

The app finds plugins through entry points, builds each on first use, and keeps one that fails away
from the others. It knows nothing of how a task is called from outside.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from threading import Lock
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from mmsdk import registry
from mmsdk.errors import (
    InputError,
    MmsdkError,
    PluginConflictError,
    PluginLoadError,
    PluginNotFoundError,
    SettingsError,
)
from mmsdk.plugin import NAME, Plugin, Task
from mmsdk.protocols import Closing
from mmsdk.runtime import Runtime
from mmsdk.settings import Settings

_COLLECTIONS = ("add", "ask", "backup", "chat", "delete", "info", "reindex", "repair", "restore", "search", "verify")
_ROUTES = ("collections", "files", "health", "login", "logout", "metrics", "openapi", "ready", "v1")
RESERVED = frozenset(
    {*_COLLECTIONS, *_ROUTES, "config", "help", "keys", "mcp", "models", "plugins", "serve", "transcribe", "ui"}
)
"""Names of the core's commands and of the server's routes, present and to come; no plugin may take one."""


@dataclass(frozen=True)
class PluginStatus:
    """Say of a plugin name who offers it and whether it can be used, and if not, why."""

    name: str
    distributions: tuple[str, ...]
    state: Literal["ready", "failed"]
    reason: str = ""
    tasks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Write it in the shape ``mmsdk plugins --json`` prints."""
        return {**asdict(self), "distributions": list(self.distributions), "tasks": list(self.tasks)}


class App(Closing):
    """Run the tasks of the installed plugins over one runtime.

    Raises ``SettingsError`` when the settings have a table for a plugin that is not installed.

    >>> with App() as app:
    ...     [status.name for status in app.plugins if status.state == "failed"]
    []
    """

    def __init__(self, settings: Settings | None = None, *, runtime: Runtime | None = None) -> None:
        self.runtime = runtime or Runtime(settings)
        self.settings = self.runtime.settings
        self._plugins: dict[str, Plugin] = {}
        self._lock = Lock()
        offered = registry.offers("plugins")
        for name in self.settings.plugins:
            if name not in offered:
                near = get_close_matches(name, offered, n=3) or list(offered)
                raise SettingsError(
                    f"[plugins.{name}] is set, but no plugin of that name is installed; there are: "
                    f"{', '.join(near) or 'none'}"
                )

    def plugin(self, name: str) -> Plugin:
        """Give a plugin, imported and built on first use.

        Raises ``PluginNotFoundError``, ``PluginConflictError`` (several distributions offer the name and
        none is pinned), ``PluginLoadError``, ``MissingDependencyError``, and ``SettingsError`` for its table.
        """
        with self._lock:
            if name not in self._plugins:
                self._plugins[name] = self._build(name)
            return self._plugins[name]

    @property
    def plugins(self) -> tuple[PluginStatus, ...]:
        """Every plugin name that is offered, ready or failed; builds them all."""
        return tuple(self._status(name) for name in registry.offers("plugins"))

    @property
    def tasks(self) -> dict[str, Task]:
        """Every task by its full name such as ``finance.score``, of all plugins that are ready."""
        ready = [status.name for status in self.plugins if status.state == "ready"]
        return {task.name: task for name in ready for task in self.plugin(name).tasks().values()}

    def task(self, name: str) -> Task:
        """Give a task by its full name such as ``finance.score``; builds only that plugin."""
        plugin, _, wanted = name.partition(".")
        tasks = self.plugin(plugin).tasks()
        if wanted not in tasks:
            near = get_close_matches(wanted, tasks, n=3) or list(tasks)
            raise PluginNotFoundError(
                f"plugin {plugin!r} has no task {wanted!r}; there are: {', '.join(near) or 'none'}"
            )
        return tasks[wanted]

    def run(self, name: str, request: BaseModel | Mapping[str, Any]) -> Any:
        """Run a task by its full name and give its response; the request is its model, or a mapping that is checked.

        Raises ``InputError`` naming every field that is wrong, besides what ``plugin`` and the task raise.
        """
        task = self.task(name)
        if not isinstance(request, Mapping):
            return task(request)
        try:
            checked = task.request.model_validate(dict(request))
        except ValidationError as error:
            raise InputError(f"the request to {name} is wrong: {_explained(error)}") from error
        return task(checked)

    def close(self) -> None:
        """Close the runtime; calling it twice is fine."""
        self._plugins.clear()
        self.runtime.close()

    def _build(self, name: str) -> Plugin:
        if name in RESERVED:
            raise PluginConflictError(f"a plugin cannot be called {name!r}: it is a command of mmsdk itself")
        kind = _load(name, self.settings)
        table = self.settings.plugins.get(name, {})
        try:
            config = kind.Config.model_validate(dict(table))
        except ValidationError as error:
            raise SettingsError(f"[plugins.{name}] is wrong: {_explained(error)}") from error
        try:
            plugin = kind(self.runtime, config)
            clashes = plugin.tasks().keys() & plugin.commands().keys()
        except MmsdkError:
            raise
        except Exception as error:
            raise PluginLoadError(f"plugin {name!r} does not start: {type(error).__name__}: {error}") from error
        if clashes:
            raise PluginLoadError(f"plugin {name!r} has a task and a command of one name: {', '.join(sorted(clashes))}")
        return plugin

    def _status(self, name: str) -> PluginStatus:
        points = registry.offers("plugins").get(name, [])
        distributions = tuple(sorted({point.dist.name for point in points if point.dist is not None}))
        try:
            tasks = tuple(self.plugin(name).tasks())
        except MmsdkError as error:
            return PluginStatus(name, distributions, "failed", str(error))
        return PluginStatus(name, distributions, "ready", tasks=tasks)


def _load(name: str, settings: Settings) -> type[Plugin]:
    try:
        kind = registry.load("plugins", name, pins=settings.pins)
    except SystemExit as error:
        raise PluginLoadError(f"plugin {name!r} does not import: it tries to exit with {error.code!r}") from error
    if not (isinstance(kind, type) and issubclass(kind, Plugin)):
        raise PluginLoadError(f"plugin {name!r} is {kind!r}, which is not a subclass of mmsdk.Plugin")
    called = getattr(kind, "name", None)
    if called != name or not NAME.fullmatch(name):
        raise PluginLoadError(
            f"plugin {name!r} calls itself {called!r}; its class attribute `name` and its entry point must agree "
            "and consist of lower-case words joined by hyphens"
        )
    return kind


def _explained(error: ValidationError) -> str:
    said = []
    for problem in error.errors(include_url=False):
        field = ".".join(str(step) for step in problem["loc"])
        what = "unknown field" if problem["type"] == "extra_forbidden" else problem["msg"]
        said.append(f"{field}: {what}" if field else what)
    return "; ".join(said)
