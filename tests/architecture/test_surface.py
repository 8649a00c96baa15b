"""The public surface: names, docstrings, entry points and what an import may load."""

import inspect
import json
import pkgutil
import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import pytest

import mmsdk
from mmsdk.registry import Group

ROOT = Path(__file__).parents[2]
HEAVY = {
    "torch",
    "transformers",
    "faiss",
    "open_clip",
    "sentence_transformers",
    "onnxruntime",
    "faster_whisper",
    "xllamacpp",
    "pandas",
    "gradio",
    "langchain_core",
    "scipy",
    "sklearn",
}
GROUPS: tuple[Group, ...] = ("encoders", "scorers", "recognizers", "loaders", "stores", "llms", "plugins")
TELL = """
import atexit, json, os, sys
tell = os.dup(2)
atexit.register(lambda: os.write(tell, json.dumps(sorted({n.partition(".")[0] for n in sys.modules})).encode()))
"""
MODULES = [module.name for module in pkgutil.walk_packages(mmsdk.__path__, "mmsdk.")]


def _loaded_by(*command: str) -> set[str]:
    """Run Python and give the top-level names of all modules it loaded."""
    done = subprocess.run([sys.executable, "-c", TELL + command[0], *command[1:]], capture_output=True, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_all_names_resolve_and_are_all_there_are() -> None:
    assert sorted(mmsdk.__all__) == sorted(mmsdk._HOMES)
    assert set(dir(mmsdk)) == {*mmsdk.__all__, "__version__"}
    for name in mmsdk.__all__:
        assert getattr(mmsdk, name).__module__.startswith("mmsdk."), name
    assert len(mmsdk.__all__) < 30


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Collektion'"):
        _ = mmsdk.Collektion


def test_the_version_is_that_of_the_distribution() -> None:
    assert f'version = "{mmsdk.__version__}"' in (ROOT / "pyproject.toml").read_text("utf-8")


def test_importing_mmsdk_loads_nothing_heavy() -> None:
    loaded = _loaded_by("import mmsdk")
    assert "mmsdk" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("arguments", [("--help",), ("search", "--help"), ("models", "list", "--json"), ("plugins",)])
def test_light_commands_load_nothing_heavy(arguments: tuple[str, ...]) -> None:
    loaded = _loaded_by("from mmsdk.cli import main; sys.exit(main(sys.argv[1:]))", *arguments)
    assert "typer" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("module", ["app", "collection", "assistant", "runtime", "plugin", "loaders", "langchain"])
def test_importing_a_part_loads_no_model_library(module: str) -> None:
    if find_spec(f"mmsdk.{module}") is None:
        pytest.fail(f"mmsdk.{module} is missing")
    models = HEAVY - ({"langchain_core"} if module == "langchain" else set())
    assert not _loaded_by(f"import mmsdk.{module}") & models


@pytest.mark.parametrize("group", GROUPS)
def test_every_entry_point_resolves(group: Group) -> None:
    own = [point for point in entry_points(group=f"mmsdk.{group}") if point.dist and point.dist.name == "mmsdk"]
    assert own
    assert all(callable(point.load()) for point in own)


def test_no_package_called_plugins_or_tests_is_installed() -> None:
    script = (
        "import importlib.util as u; print([u.find_spec(name) for name in ('plugins', 'tests', 'docs', 'examples')])"
    )
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, check=True, cwd="/", text=True)
    assert done.stdout.strip() == "[None, None, None, None]"


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_has_a_docstring(name: str) -> None:
    module = import_module(name)
    assert module.__doc__, name
    for label, member in inspect.getmembers(module):
        if getattr(member, "__module__", None) != name or label.startswith("_"):
            continue
        if inspect.isclass(member) or inspect.isfunction(member):
            assert inspect.getdoc(member), f"{name}.{label}"
