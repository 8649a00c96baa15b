"""What the agent may do: an allow-list of functions with typed arguments.

A tool runs because a flow of the company says so, with slots that a customer gave and the flow checked. No text,
neither a customer's nor a document's nor an LLM's, names a tool or writes its arguments.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from mmsdk.errors import InputError, MmsdkError


class ToolError(MmsdkError):
    """Say that a tool failed; the thread is handed over."""

    status = 502


@dataclass(frozen=True)
class Tool:
    """Offer a function under a name.

    ``arguments`` is the pydantic model of what it takes; a field ``customer`` is filled with who is logged in, never
    from text. With ``effects`` the customer is asked before it runs. It gives a mapping, whose values the flow's
    phrases may show.
    """

    name: str
    function: Callable[[Any], Mapping[str, Any]]
    arguments: type[BaseModel]
    effects: bool = False


class Toolbox:
    """Run the tools of an allow-list and nothing else.

    >>> class Order(BaseModel):
    ...     order: str
    >>> box = Toolbox([Tool("status", lambda given: {"status": f"{given.order} is packed"}, Order)])
    >>> box.run("status", {"order": "QM-1"}, customer="")
    {'status': 'QM-1 is packed'}
    """

    def __init__(self, tools: Sequence[Tool] = ()) -> None:
        self._tools = {tool.name: tool for tool in tools}
        if len(self._tools) < len(tools):
            raise ValueError(f"two tools have one name: {sorted(tool.name for tool in tools)}")

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    def tool(self, name: str) -> Tool:
        """Give a tool by its name. Raises ``InputError`` for one that is not on the list."""
        if name not in self._tools:
            raise InputError(f"no tool is called {name!r}; there are: {', '.join(self._tools) or 'none'}")
        return self._tools[name]

    def run(self, name: str, slots: Mapping[str, str], *, customer: str) -> dict[str, Any]:
        """Run a tool with slots. Raises ``ToolError`` for whatever goes wrong in it, and for slots of a wrong type."""
        tool = self.tool(name)
        fields = tool.arguments.model_fields
        given = {key: value for key, value in slots.items() if key in fields and key != "customer"}
        given |= {"customer": customer} if "customer" in fields else {}
        try:
            return dict(tool.function(tool.arguments.model_validate(given)))
        except ValidationError as error:
            raise ToolError(f"tool {name} does not take these slots: {error}") from error
        except Exception as error:
            raise ToolError(f"tool {name} failed: {type(error).__name__}: {error}") from error
