"""Every example runs: code blocks of README and docs, examples in docstrings; generated pages are up to date."""

import doctest
import json
import os
import pkgutil
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path

import pytest
from sybil import Example, Region
from sybil.document import Document
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

import mmsdk
import mmsdk_finance
import mmsdk_graph
import mmsdk_recommend
import mmsdk_service
from mmsdk.settings import Settings

ROOT = Path(__file__).parents[1]
PAGES = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if path.is_file()]
PACKAGES = (mmsdk, mmsdk_finance, mmsdk_graph, mmsdk_recommend, mmsdk_service)
MODULES = [
    name
    for package in PACKAGES
    for name in (package.__name__, *(m.name for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")))
]
LINK = r"\]\((?!https?:|#)([^)#\s]+)"
ELSEWHERE = ("make", "git", "cd", "pip", "export", "docker")


def _run_shell(example: Example) -> None:
    """Run the commands of mmsdk in a block."""
    for line in example.parsed.splitlines():
        _run_command(line)


def _run_console(example: Example) -> None:
    """Run the commands behind a prompt; the other lines are what they printed."""
    for line in example.parsed.splitlines():
        if line.startswith("$ "):
            _run_command(line.removeprefix("$ "))


def _run_command(command: str) -> None:
    words = shlex.split(command, comments=True)
    if words and words[0] == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert set(words[1:]) <= set(targets), command
    elif words and words[0] not in ELSEWHERE:
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def _check_toml(example: Example) -> None:
    table = tomllib.loads(example.parsed)
    if "project" not in table:
        Settings.model_validate(table)


def _check_json(example: Example) -> None:
    json.loads(example.parsed)


PARSERS: list[Callable[[Document], Iterable[Region]]] = [
    SkipParser(),
    PythonCodeBlockParser(),
    CodeBlockParser("console", _run_console),
    *(CodeBlockParser(language, _run_shell) for language in ("sh", "bash", "shell")),
    CodeBlockParser("toml", _check_toml),
    CodeBlockParser("json", _check_json),
]


@pytest.mark.usefixtures("bundled")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_code_block_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.setenv("PATH", os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    for example in Document.parse(str(page), *PARSERS).examples():
        example.evaluate()


@pytest.mark.usefixtures("bundled")
@pytest.mark.parametrize("name", MODULES)
def test_every_example_in_a_docstring_runs(name: str) -> None:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failures, _ = doctest.testmod(import_module(name), optionflags=flags)
    assert failures == 0


def test_the_generated_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "docs.generate", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_check_notices_a_changed_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    generate = import_module("docs.generate")
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    assert generate.main(["--check"]) == 1
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    page = tmp_path / "settings.md"
    page.write_text(page.read_text("utf-8").replace("60.0", "61.0"), "utf-8")
    assert generate.main(["--check"]) == 1


def test_links_between_pages_lead_somewhere() -> None:
    texts = {page: re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL) for page in PAGES}
    links = [(page, link) for page, text in texts.items() for link in re.findall(LINK, text)]
    assert not [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()]
