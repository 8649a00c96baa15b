"""What a plugin is: a class with tasks, each a typed function from a request to a response.

From one task the Python call, the command line, the HTTP route and the form are derived. This module
knows nothing of how plugins are found, run or shown.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model

from mmsdk.runtime import Runtime

F = TypeVar("F", bound=Callable[[Any, Any], BaseModel])

NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_MARK = "__mmsdk_task__"


@dataclass(frozen=True)
class Task:
    """Hold a task of a plugin: call it with a request to get the response.

    ``request`` and ``response`` are the pydantic models it takes and gives, ``help`` is its docstring.
    """

    name: str
    request: type[BaseModel]
    response: type[BaseModel]
    help: str
    function: Callable[[Any], BaseModel]

    @property
    def offered(self) -> type[BaseModel]:
        """``request`` without what no language model may fill, such as who is logged in.

        Such fields are marked ``Field(..., json_schema_extra={"caller": True})``.
        """
        fields = self.request.model_fields
        extras = {name: field.json_schema_extra for name, field in fields.items()}
        hidden = {name for name, extra in extras.items() if isinstance(extra, dict) and extra.get("caller")}
        if not hidden:
            return self.request
        shown: dict[str, Any] = {name: (one.annotation, one) for name, one in fields.items() if name not in hidden}
        config, doc = self.request.model_config, self.request.__doc__
        made: type[BaseModel] = create_model(self.request.__name__, __config__=config, __doc__=doc, **shown)
        return made

    def __call__(self, request: BaseModel) -> BaseModel:
        """Run it. Raises ``TypeError`` when the request or the response is not of its model."""
        if not isinstance(request, self.request):
            raise TypeError(f"task {self.name} takes a {self.request.__name__}, not {type(request).__name__}")
        response = self.function(request)
        if not isinstance(response, self.response):
            raise TypeError(
                f"task {self.name} must return a {self.response.__name__}, not {type(response).__name__}; "
                "this is a mistake in the plugin"
            )
        return response


@dataclass(frozen=True)
class _Mark:
    request: type[BaseModel]
    response: type[BaseModel]


def task(function: F) -> F:
    """Make a method ``(self, request: Request) -> Response`` a task; both types are pydantic models.

    The first paragraph of its docstring is the help text. Raises ``TypeError`` for any other signature
    and for coroutines and generators: tasks are plain functions, the server runs them in threads.
    """
    where = function.__qualname__
    if not inspect.isfunction(function):
        raise TypeError(f"@task is for methods of a Plugin, not for {type(function).__name__}")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise TypeError(f"task {where} must be a plain def without yield; the server runs tasks in threads")
    if inspect.isasyncgenfunction(function):
        raise TypeError(f"task {where} must be a plain def; the server runs tasks in threads")
    if not NAME.fullmatch(function.__name__):
        raise TypeError(f"task {where} needs a lower-case name such as score or top_items")
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) != 2 or any(
        parameter.kind is not parameter.POSITIONAL_OR_KEYWORD or parameter.default is not parameter.empty
        for parameter in parameters
    ):
        raise TypeError(f"task {where} must take exactly (self, request), not {inspect.signature(function)}")
    hints = _hints(function)
    request, response = (_model(hints, name, where) for name in (parameters[1].name, "return"))
    vars(function)[_MARK] = _Mark(request, response)
    return function


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except NameError as error:
        raise TypeError(
            f"the annotations of task {function.__qualname__} are unknown ({error}); "
            "define its request and response models above the plugin class, at module level"
        ) from error


def _model(hints: Mapping[str, Any], name: str, where: str) -> type[BaseModel]:
    found = hints.get(name)
    if isinstance(found, type) and issubclass(found, BaseModel):
        return found
    what = "its return value" if name == "return" else f"its parameter {name!r}"
    said = f"not {found!r}" if name in hints else "it has no annotation"
    raise TypeError(f"task {where} must annotate {what} with a pydantic model; {said}")


class NoConfig(BaseModel):
    """Accept no settings: the ``Config`` of a plugin that has none of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Plugin:
    """Package tasks under a name. The only class of mmsdk that is meant for inheritance.

    ``Config`` describes its table ``[plugins.<name>]`` in mmsdk.toml. It is given the runtime, from which
    it takes models and collections; it cannot reach other plugins, the command line or the server.
    Constructors only store: load models on first use.

    >>> class Text(BaseModel):
    ...     text: str
    >>> class Shout(Plugin):
    ...     name = "shout"
    ...     @task
    ...     def upper(self, request: Text) -> Text:
    ...         "Write it in capitals."
    ...         return Text(text=request.text.upper())
    >>> Shout(Runtime(), NoConfig()).tasks()["upper"](Text(text="hello"))
    Text(text='HELLO')
    """

    name: ClassVar[str]
    Config: ClassVar[type[BaseModel]] = NoConfig

    def __init__(self, runtime: Runtime, config: Any) -> None:
        self.runtime = runtime
        self.config = config

    def tasks(self) -> dict[str, Task]:
        """Give its tasks by name, those of base classes first, in the order they were written."""
        found: dict[str, Task] = {}
        names = [name for kind in reversed(type(self).__mro__) for name in vars(kind)]
        for name in dict.fromkeys(names):
            method = inspect.getattr_static(self, name)
            mark = getattr(method, _MARK, None)
            if isinstance(mark, _Mark):
                help_ = inspect.getdoc(method) or ""
                found[name] = Task(f"{self.name}.{name}", mark.request, mark.response, help_, getattr(self, name))
        return found

    def pages(self) -> Mapping[str, Any]:
        """Give ASGI applications by name; the server mounts each at ``/<plugin>/<name>`` behind its authentication."""
        return {}

    def commands(self) -> Mapping[str, Callable[..., Any]]:
        """Give commands beyond the tasks by name: functions whose parameters typer understands.

        What one returns (a pydantic model, a dict, a list, a string) is printed like a task's response.
        """
        return {}
