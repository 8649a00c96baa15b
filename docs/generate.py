"""Write docs/settings.md, docs/cli.md and docs/reference.md from the code; ``--check`` fails where they differ.

Settings come from the fields of the settings model, commands from the command line's own description,
the reference from the sources, read but not run, so that no library decides how it looks.
"""

import ast
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typer.main import get_command

from mmsdk import errors
from mmsdk.cli.commands import app
from mmsdk.errors import MmsdkError
from mmsdk.settings import PREFIX, Settings

DOCS = Path(__file__).parent
HOUSE = DOCS.parent / "mmsdk"
MODULES = (
    *("types", "settings", "errors", "registry", "loaders", "chunking", "encoders", "recognizers", "llms"),
    *("filters", "collection", "rerank", "explain", "assistant", "guard", "heads", "entities", "evaluation"),
    *("weights", "database", "report", "webhook", "langchain"),
    *("langchain.embeddings", "langchain.vectorstore", "langchain.retriever", "langchain.tools"),
    *("runtime", "plugin", "app", "server.app", "server.keys", "server.batching", "testing"),
)
NOTE = "<!-- Written by docs/generate.py (make docs). Change the code, not this file. -->\n"
PLUGINS = """A plugin adds a command `mmsdk <plugin> <task>` for each of its tasks, with an option for every scalar
field of the request; lists and nested fields go through `--request JSON`, `--request @FILE` or `--request -` (standard
input). `mmsdk plugins` lists what is installed. `--debug` may stand anywhere and shows tracebacks."""
SHAPES = """With `--json` a command prints one JSON value on standard output, and an error as
`{"error": {"code", "message"}}` on standard error.

- a hit: `{"id", "document_id", "score", "modality", "source", "locator", "text", "metadata"}`; `search` prints a list
- a locator: `{"kind": "characters" | "page" | "image" | "seconds" | "row" | "slide", ...}`
- an answer: `{"text", "status", "citations": [{"start", "stop", "source", "locator", "quote"}], "hits"}`
- `add`: `{"documents", "chunks", "skipped", "failed": [{"source", "stage", "code", "reason"}], ...}`"""
Function = ast.FunctionDef


def settings() -> str:
    """Describe every setting, table by table."""
    lines = ["# Settings", "", NOTE, _plain(inspect.getdoc(sys.modules[Settings.__module__])), ""]
    for title, model in _tables():
        key = "" if model is Settings else f"{title}."
        lines += [f"## {'Top level' if model is Settings else f'[{title}]'}", ""]
        if model is not Settings:
            lines += [_plain(inspect.getdoc(model) or ""), ""]
        lines += ["| key | type | default | what | variable |", "|---|---|---|---|---|"]
        for name, field in model.model_fields.items():
            if not _is_table(field.annotation):
                variable = PREFIX + f"{key}{name}".upper().replace(".", "__")
                cells = (
                    f"`{name}`",
                    f"`{_type(field.annotation)}`",
                    _default(field),
                    field.description,
                    f"`{variable}`",
                )
                lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _tables() -> Iterator[tuple[str, type[BaseModel]]]:
    yield "Top level", Settings
    for name, field in Settings.model_fields.items():
        if _is_table(field.annotation):
            yield name, field.annotation  # type: ignore[misc]


def _is_table(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _type(annotation: Any) -> str:
    name = (
        annotation.__name__ if isinstance(annotation, type) and not hasattr(annotation, "__args__") else str(annotation)
    )
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", name)


def _default(field: Any) -> str:
    if field.default is PydanticUndefined:
        return "the user's cache folder" if field.annotation is Path else "empty"
    return "" if field.default is None else f"`{field.default}`"


def commands() -> str:
    """Describe every command of the core with its arguments and options, and the exit codes."""
    root: Any = get_command(app)
    lines = ["# The command line", "", NOTE, _plain(root.help), "", PLUGINS, "", SHAPES, ""]
    for name, command in _walk("mmsdk", root):
        usage = " ".join(_placeholder(param) for param in command.params if param.param_type_name == "argument")
        lines += [f"## `{name}{' ' + usage if usage else ''}`", "", _plain(command.help), ""]
        rows = [_row(param) for param in command.params]
        lines += ["| | what | default |", "|---|---|---|", *rows, ""] if rows else []
    return "\n".join([*lines, *_exit_codes()])


def _walk(path: str, group: Any) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _walk(f"{path} {name}", command)
        else:
            yield f"{path} {name}", command


def _placeholder(param: Any) -> str:
    name = param.metavar or param.name.upper() + ("..." if param.nargs != 1 else "")
    return name if param.required else f"[{name}]"


def _row(param: Any) -> str:
    if param.param_type_name == "argument":
        label, default = f"`{_placeholder(param)}`", ""
    else:
        value = "" if param.is_flag else f" {param.metavar or param.bare_type().upper()}"
        label = ", ".join(f"`{flag}{value}`" for flag in param.opts)
        default = "" if param.default in (None, False) else f"`{param.default}`"
    return f"| {label} | {param.help or ''} | {default} |".replace("  ", " ")


def _exit_codes() -> list[str]:
    classes = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, MmsdkError)]
    names: dict[int, list[str]] = {}
    for kind in classes:
        names.setdefault(kind.exit_code, []).append(f"`{kind.__name__}`")
    rows = {0: "all good", 1: "an unexpected error", 2: "wrong usage", 3: "partly done; every failure is listed"}
    rows |= {code: ", ".join(kinds) for code, kinds in names.items() if code != 1} | {130: "interrupted"}
    table = [f"| {code} | {meaning} |" for code, meaning in sorted(rows.items())]
    return ["## Exit codes", "", "| code | when |", "|---|---|", *table, ""]


def reference() -> str:
    """Describe every public class and function of the documented modules."""
    lines = [
        "# Reference",
        "",
        NOTE,
        "What stands in `mmsdk` itself can be imported from there; the rest from its module.",
        "",
    ]
    for name in MODULES:
        place = HOUSE.joinpath(*name.split("."))
        package = place / "__init__.py"
        tree = ast.parse((package if package.exists() else place.with_suffix(".py")).read_text("utf-8"))
        lines += [f"## mmsdk.{name}", "", *_docstring(tree)]
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                lines += _class(node)
            elif isinstance(node, Function) and not node.name.startswith("_"):
                lines += [f"### `{_signature(node)}`", "", *_docstring(node)]
    return "\n".join(lines)


def _class(node: ast.ClassDef) -> list[str]:
    functions = [part for part in node.body if isinstance(part, Function)]
    made = next((part for part in functions if part.name == "__init__"), None)
    lines = [f"### `class {_signature(made, node.name) if made else node.name}`", "", *_docstring(node)]
    fields = [ast.unparse(part) for part in node.body if isinstance(part, ast.AnnAssign) and not _is_private(part)]
    if fields:
        lines += ["```text", *fields, "```", ""]
    for function in functions:
        if not function.name.startswith("_") and ast.get_docstring(function):
            lines += [f"#### `{node.name}.{_signature(function)}`", "", *_docstring(function)]
    return lines


def _is_private(part: ast.AnnAssign) -> bool:
    return isinstance(part.target, ast.Name) and part.target.id.startswith("_")


def _signature(node: Function, name: str | None = None) -> str:
    if any(isinstance(mark, ast.Name) and mark.id in ("property", "cached_property") for mark in node.decorator_list):
        return f"{node.name}: {ast.unparse(node.returns) if node.returns else 'Any'}"
    given = deepcopy(node.args)
    given.args = [one for one in given.args if one.arg not in ("self", "cls")]
    result = f" -> {ast.unparse(node.returns)}" if node.returns and name is None else ""
    return f"{name or node.name}({ast.unparse(given)}){result}".replace("'", "").replace('"', "")


def _docstring(node: ast.Module | ast.ClassDef | Function) -> list[str]:
    """Give a docstring as Markdown: examples are fenced, double backticks become single ones."""
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", ast.get_docstring(node) or ""):
        fenced = paragraph.lstrip().startswith(">>>")
        lines += ["```pycon", inspect.cleandoc(paragraph), "```", ""] if fenced else [_plain(paragraph), ""]
    return lines


def _plain(text: str | None) -> str:
    return re.sub(r"``([^`]+)``", r"`\1`", text or "")


PAGES = {"settings.md": settings, "cli.md": commands, "reference.md": reference}


def main(arguments: Iterable[str]) -> int:
    """Write the pages, or with ``--check`` name those that are out of date."""
    stale = []
    for name, write in PAGES.items():
        text = write().rstrip() + "\n"
        page = DOCS / name
        if "--check" not in arguments:
            page.write_text(text, "utf-8")
        elif not page.is_file() or page.read_text("utf-8") != text:
            stale.append(name)
    if stale:
        print(f"out of date: {', '.join(f'docs/{name}' for name in stale)}. Run: make docs")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
