"""What all tests share: no user settings, no network beyond this machine, real models, evaluation data."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pytest_socket import socket_allow_hosts

from mmsdk import weights
from mmsdk.settings import Settings

if TYPE_CHECKING:
    from mmsdk.runtime import Runtime

ROOT = Path(__file__).parents[1]
KEPT = {"MMSDK_CACHE", "MMSDK_SHARED_DATA"}

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(autouse=True)
def _no_network() -> None:
    socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)


@pytest.fixture(autouse=True)
def _no_user_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Take away the caller's settings, but not where the model files are."""
    for name in [name for name in os.environ if name.startswith("MMSDK_") and name not in KEPT]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield
    if "mmsdk.runtime" in sys.modules:
        sys.modules["mmsdk.runtime"].default.cache_clear()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real evaluation data; tests that need it are skipped where it is not."""
    folder = Path(os.environ.get("MMSDK_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no evaluation data at {folder}; MMSDK_SHARED_DATA names another place")
    return folder


@pytest.fixture(scope="session")
def bundled() -> "Iterator[Runtime]":
    """A runtime over the bundled models, which must have been fetched."""
    from mmsdk.runtime import Runtime

    settings = Settings.load(environment={name: os.environ[name] for name in KEPT & set(os.environ)})
    states = {model.name: model.state for model in weights.listing(settings)}
    missing = [name for name in weights.needed(settings) if states[name] != "ready"]
    if missing:
        pytest.fail(f"the model files of {', '.join(missing)} are missing or damaged: run make install", pytrace=False)
    with Runtime(settings) as opened:
        yield opened


@pytest.fixture
def offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Install a distribution and give its place: ``offer("acme", "mmsdk.llms", "x = acme:X", acme=source)``."""
    made: list[str] = []

    def install(distribution: str, group: str, entries: str, **modules: str) -> Path:
        place = tmp_path / "site" / distribution
        info = place / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{entries}\n")
        for name, source in modules.items():
            (place / f"{name}.py").write_text(source)
            made.append(name)
        monkeypatch.syspath_prepend(str(place))
        return place

    yield install
    for name in made:
        sys.modules.pop(name, None)
