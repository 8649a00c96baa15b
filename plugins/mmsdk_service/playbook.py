"""The company's own words and rules in one YAML file: approved replies, flows, titles of intents, VIPs, allowed links.

The file is read by a safe loader and checked key by key; a mistake is named with its place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, Field, ValidationError, field_validator

from mmsdk.errors import InputError
from mmsdk_service.flows import Flow, Slot, Text


class _Slot(BaseModel, extra="forbid"):
    name: str = Field(pattern=r"^\w+$")
    pattern: str
    ask: dict[str, str]
    invalid: dict[str, str] = {}

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        import re

        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from error
        return pattern


class _Flow(BaseModel, extra="forbid"):
    name: str
    intents: list[str]
    slots: list[_Slot] = []
    tool: str
    done: dict[str, str]
    confirm: dict[str, str] = {}


class _File(BaseModel, extra="forbid"):
    approved: dict[str, dict[str, str]] = {}
    titles: dict[str, dict[str, str]] = {}
    phrases: dict[str, dict[str, str]] = {}
    flows: list[_Flow] = []
    vip: list[str] = []
    links: list[str] = []


@dataclass(frozen=True)
class Playbook:
    """Hold what a company has decided.

    ``approved`` maps an intent to its reply by language, ``titles`` to what it is called in a clarifying question,
    ``phrases`` replaces system phrases, ``vip`` names customers whom people serve, ``links`` the hosts that replies
    may name.
    """

    approved: Mapping[str, Text] = field(default_factory=dict)
    titles: Mapping[str, Text] = field(default_factory=dict)
    phrases: Mapping[str, Text] = field(default_factory=dict)
    flows: tuple[Flow, ...] = ()
    vip: frozenset[str] = frozenset()
    links: frozenset[str] = frozenset()

    @classmethod
    def read(cls, file: str | Path) -> Self:
        """Read a YAML file. Raises ``InputError`` naming what is wrong and where."""
        found = read_yaml(file)
        try:
            checked = _File.model_validate(found or {})
        except ValidationError as error:
            said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise InputError(f"the playbook {file} is wrong: {said}") from error
        flows = tuple(_flow(one) for one in checked.flows)
        vip, links = frozenset(checked.vip), frozenset(host.casefold() for host in checked.links)
        return cls(checked.approved, checked.titles, checked.phrases, flows, vip, links)

    def title(self, intent: str, language: str) -> str:
        """Give what an intent is called to customers; without a title, the words of its label."""
        spoken = self.titles.get(intent, {})
        return spoken.get(language) or spoken.get("en") or intent.replace("_", " ").replace("-", " ")


def _flow(one: _Flow) -> Flow:
    slots = tuple(Slot(**slot.model_dump()) for slot in one.slots)
    return Flow(one.name, tuple(one.intents), slots, one.tool, one.done, one.confirm)


def read_yaml(file: str | Path) -> Any:
    """Read a YAML file without making objects. Raises ``InputError``."""
    import yaml

    try:
        return yaml.safe_load(Path(file).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{file} cannot be read as YAML: {error}") from error
