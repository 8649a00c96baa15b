"""Commands derived from plugins: every task becomes a command, every scalar field of its request an option.

A list of texts is an option that is given once for each of them.

The derivation reads the request's JSON Schema, as the HTTP route and the form do. It knows no plugin by
name, and imports nothing of one before one of its commands is asked for.
"""

import inspect
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape
from typer.core import TyperGroup
from typer.main import get_group

from mmsdk.app import App
from mmsdk.cli.output import show, table
from mmsdk.errors import InputError
from mmsdk.plugin import Task

Schema = Mapping[str, Any]

_KINDS: dict[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool}
_TAKEN = frozenset({"json", "request", "help", "debug"})
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
_REQUEST = "The whole request as JSON, @FILE, or - for standard input; options are put on top of it."


@dataclass(frozen=True)
class _Option:
    """Hold a command line option that stands for one field of a request."""

    key: str
    kind: Any
    help: str

    def parameter(self, name: str) -> inspect.Parameter:
        flag = f"--{self.key.replace('_', '-')}"
        names = f"{flag}/--no-{flag[2:]}" if self.kind is bool else flag
        kind: Any = self.kind
        annotation = Annotated[kind | None, typer.Option(names, help=self.help, show_default=False)]
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


class PluginGroup(TyperGroup):
    """Hold the commands of one plugin; the plugin is loaded when they are asked for.

    ``app`` gives the app that runs it and ``help`` stands in the list of commands.
    """

    def __init__(self, name: str, app: Callable[[], App], **options: Any) -> None:
        super().__init__(name=name, rich_help_panel="Plugins", **options)
        self._plugin = name
        self._app = app

    @cached_property
    def _loaded(self) -> TyperGroup:
        app = self._app()
        plugin = app.plugin(self._plugin)
        commands = typer.Typer(name=self._plugin, add_completion=False)
        commands.callback()(lambda: None)
        for name, task in plugin.tasks().items():
            commands.command(name.replace("_", "-"), help=escape(task.help))(_task_command(app, task))
        for name, function in plugin.commands().items():
            commands.command(name)(_printing(function))
        return get_group(commands)

    def list_commands(self, ctx: Any) -> list[str]:
        """Name the plugin's commands."""
        return self._loaded.list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Give one of the plugin's commands, or None."""
        return self._loaded.get_command(ctx, cmd_name)


def _task_command(app: App, task: Task) -> Callable[..., None]:
    """Make a function that typer turns into the command of a task."""
    schema = task.request.model_json_schema()
    fields = {key: _option(key, field, schema) for key, field in schema.get("properties", {}).items()}
    options = {f"field_{index}": option for index, option in enumerate(filter(None, fields.values()))}
    others = [key for key, option in fields.items() if option is None]

    def run(**given: Any) -> None:
        as_json, whole = given.pop("json"), given.pop("request")
        named = {options[name].key: value for name, value in given.items() if value not in (None, [])}
        response = app.run(task.name, {**_request(whole), **named})
        show(response.model_dump(mode="json"), as_json)

    help_ = _REQUEST + (f" Only here: {', '.join(others)}." if others else "")
    whole = Annotated[str | None, typer.Option("--request", metavar="JSON", help=help_)]
    parameters = [option.parameter(name) for name, option in options.items()]
    parameters.append(inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=whole))
    return _signed(run, parameters)


def _printing(function: Callable[..., Any]) -> Callable[..., None]:
    """Make a plugin's own command print what it returns; for people as a table, where that has a method ``table``."""

    def run(**given: Any) -> None:
        as_json = given.pop("json")
        done = function(**given)
        lines = (lambda: table(*done.table())) if hasattr(done, "table") else None
        show(done.model_dump(mode="json") if hasattr(done, "model_dump") else done, as_json, lines)

    run.__doc__ = function.__doc__
    return _signed(run, list(inspect.signature(function, eval_str=True).parameters.values()))


def _signed(run: Callable[..., None], parameters: list[inspect.Parameter]) -> Callable[..., None]:
    json_flag = inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_JSON)
    vars(run)["__signature__"] = inspect.Signature([*parameters, json_flag])
    return run


def _option(key: str, field: Schema, schema: Schema) -> _Option | None:
    """Give the option for a field, or None when it is no scalar or its name is taken."""
    kind = _kind(_resolved(field, schema))
    if kind is None or key in _TAKEN or not key.replace("_", "").replace("-", "").isalnum():
        return None
    said = str(field.get("description", "")).strip()
    if key in schema.get("required", ()):
        said += " [required]"
    elif field.get("default") is not None:
        said += f" [default: {json.dumps(field['default'], ensure_ascii=False)}]"
    return _Option(key, kind, escape(said.strip()))


def _resolved(field: Schema, schema: Schema) -> Schema:
    """Follow a reference, and take the one alternative to null."""
    if "$ref" in field:
        return _resolved(schema["$defs"][field["$ref"].rpartition("/")[2]], schema)
    alternatives = [one for one in field.get("anyOf", ()) if one.get("type") != "null"]
    return _resolved(alternatives[0], schema) if len(alternatives) == 1 else field


def _kind(field: Schema) -> Any:
    if field.get("type") == "array" and field.get("items") == {"type": "string"}:
        return list[str]
    choices = field.get("enum", [field["const"]] if "const" in field else [])
    if choices and all(isinstance(choice, str) for choice in choices):
        return Literal[tuple(choices)]
    return _KINDS.get(str(field.get("type")))


def _request(text: str | None) -> dict[str, Any]:
    """Read the value of ``--request``. Raises ``InputError`` for what is no JSON object."""
    if text is None:
        return {}
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text("utf-8")
        request = json.loads(text)
    except (OSError, ValueError) as error:
        raise InputError(f"--request cannot be read as JSON: {error}") from error
    if not isinstance(request, dict):
        raise InputError(f"--request must be a JSON object, not {type(request).__name__}")
    return request
