"""Sizes and habits that no linter of ours checks; layers are import-linter's, in pyproject.toml.

Each test gives the list of violations, so that one run names them all.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "mmsdk").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])
CODE = [
    *SOURCES,
    *(path for folder in ("tests", "benchmarks", "docs") for path in sorted((ROOT / folder).rglob("*.py"))),
]
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "base", "factory", "core", "common", "misc"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def _nodes(paths: list[Path]) -> Iterator[tuple[str, ast.AST]]:
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", node


def test_modules_and_functions_are_short() -> None:
    long = [str(path.relative_to(ROOT)) for path in SOURCES if len(path.read_text("utf-8").splitlines()) > 400]
    for place, node in _nodes(CODE):
        if isinstance(node, Function) and (node.end_lineno or 0) - node.lineno >= 50:
            long.append(f"{place} {node.name}")
    assert not long


def test_functions_take_few_parameters_and_the_rest_by_name() -> None:
    many = []
    for place, node in _nodes(SOURCES):
        if not isinstance(node, Function) or place.startswith(
            "mmsdk/langchain/vectorstore.py"
        ):  # LangChain's own signatures
            continue
        given = node.args
        positional = [a.arg for a in (*given.posonlyargs, *given.args) if a.arg not in ("self", "cls")]
        private = node.name.startswith("_")
        command = "/cli/" in place and node.decorator_list  # its parameters are the options of a command
        if len(positional) > (6 if private else 3) or (len(positional) + len(given.kwonlyargs) > 6 and not command):
            many.append(f"{place} {node.name}({', '.join(positional)})")
    assert not many


def test_nothing_is_named_after_nothing() -> None:
    assert not [path for path in SOURCES if EMPTY_NAMES & set(path.relative_to(ROOT).with_suffix("").parts)]


def test_no_print_pickle_eval_bare_except_or_remote_code() -> None:
    found = []
    for place, node in _nodes(SOURCES):
        match node:
            case ast.Import(names=names) if {name.name for name in names} & {"pickle", "marshal", "shelve", "dill"}:
                found.append(f"{place} import")
            case ast.Call(func=ast.Name(id="print" | "eval" | "exec" as name)):
                found.append(f"{place} {name}")
            case ast.ExceptHandler(type=None):
                found.append(f"{place} bare except")
            case ast.keyword(arg="trust_remote_code", value=value):
                if not (isinstance(value, ast.Constant) and value.value is False):
                    found.append(f"{place} trust_remote_code")
            case _:
                pass
    assert not found


def test_nothing_is_left_to_do() -> None:
    marks = re.compile(r"#.*\b(?:TODO|FIXME|XXX|HACK)\b")
    assert not [path for path in CODE if path != Path(__file__) and marks.search(path.read_text("utf-8"))]


def test_no_path_of_a_machine_is_written_down() -> None:
    machines = re.compile("|".join(("/" + "work/", "/" + "home/", "/" + "Users/")))
    texts = [*CODE, *ROOT.glob("*.toml"), *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "Makefile"]
    assert not [path for path in texts if machines.search(path.read_text("utf-8"))]


def test_every_module_has_a_place_in_the_layers() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["id"] == "layers")
    placed = {name for layer in layers for name in re.findall(r"\w+", layer)}
    there = {path.stem for path in (ROOT / "mmsdk").glob("[!_]*.py")}
    there |= {path.parent.name for path in (ROOT / "mmsdk").glob("*/__init__.py")}
    assert there <= placed
