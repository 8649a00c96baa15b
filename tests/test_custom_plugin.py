"""The example distribution, installed by pip: from Python, from the command line, pinned over another."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mmsdk import App, Runtime

EXAMPLE = Path(__file__).parents[1] / "examples" / "custom_plugin"
MMSDK = Path(sys.executable).with_name("mmsdk")
RIVAL = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "rival-readability"
version = "0.1"
[project.entry-points."mmsdk.plugins"]
readability = "rival:Readability"
[tool.setuptools]
py-modules = ["rival"]
"""
RIVAL_CODE = """
from pydantic import BaseModel
from mmsdk import Plugin, task

class Text(BaseModel):
    text: str

class Readability(Plugin):
    name = "readability"

    @task
    def score(self, request: Text) -> Text:
        "Praise the text."
        return Text(text="lovely")
"""


def _install(source: Path, target: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    command += ["--disable-pip-version-check", "--target", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("acme")
    shutil.copytree(EXAMPLE, folder / "source", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    _install(folder / "source", folder / "site")
    return folder / "site"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, site: Path) -> str:
    folder = tmp_path_factory.mktemp("rival")
    (folder / "pyproject.toml").write_text(RIVAL)
    (folder / "rival.py").write_text(RIVAL_CODE)
    _install(folder, folder / "site")
    return os.pathsep.join((str(site), str(folder / "site")))


def _run(path: Path | str, *command: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(path)}
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, check=False)


def _json(path: Path | str, *arguments: str) -> Any:
    done = _run(path, MMSDK, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_is_found_and_runs_from_the_command_line(site: Path) -> None:
    assert "from acme-readability" in _run(site, MMSDK, "--help").stdout
    status = {"name": "readability", "distributions": ["acme-readability"], "state": "ready", "reason": ""}
    assert {**status, "tasks": ["score", "simplest"]} in _json(site, "plugins")
    scored = _json(site, "readability", "score", "--text", "The cat sat on the mat.")
    assert scored == {"score": 116.15, "words": 6, "sentences": 1, "hard": False}
    assert _json(site, "readability", "bands", "--below", "40") == {"hard": 30, "very hard": 0}
    assert _run(site, MMSDK, "readability", "score", "--scale", "stars").returncode == 2


def test_its_settings_come_from_the_file(site: Path) -> None:
    Path("mmsdk.toml").write_text("[plugins.readability]\nhard = 200.0\n")
    assert _json(site, "readability", "score", "--text", "The cat sat.")["hard"] is True
    Path("mmsdk.toml").write_text("[plugins.readability]\nharder = 1\n")
    done = _run(site, MMSDK, "readability", "score", "--text", "The cat sat.")
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert "harder" in done.stderr


def test_it_runs_from_python_as_its_readme_says(site: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (EXAMPLE / "README.md").read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        done = _run(site, sys.executable, "-c", block)
        assert done.returncode == 0, done.stderr


def test_it_passes_its_own_tests_and_the_contracts(site: Path) -> None:
    pytest_ = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", EXAMPLE / "pyproject.toml")
    done = _run(site, *pytest_, EXAMPLE / "tests")
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) >= 15


def test_of_two_distributions_one_is_pinned(both: str) -> None:
    score = ("readability", "score", "--text", "The cat sat on the mat.")
    conflict = _run(both, MMSDK, *score)
    assert conflict.returncode == 5
    assert "acme-readability, rival-readability" in conflict.stderr
    assert conflict.stderr.count("\n") == 1
    Path("mmsdk.toml").write_text('[pins]\nreadability = "rival-readability"\n')
    assert _json(both, *score) == {"text": "lovely"}
    Path("mmsdk.toml").write_text('[pins]\nreadability = "acme-readability"\n')
    assert _json(both, *score)["words"] == 6


def test_it_answers_over_a_collection(site: Path, bundled: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(site))
    texts = ["Institutional intermediaries overestimate the durability of footwear.", "Wax your boots and they last."]
    with App(bundled.settings) as app:
        app.runtime.collection("shop", create=True).add_texts(texts)
        found = app.run("readability.simplest", {"collection": "shop", "query": "durability of boots"})
    assert found.text == texts[1]
