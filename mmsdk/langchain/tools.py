"""Plugin tasks as LangChain tools."""

from collections.abc import Mapping
from typing import Any, Protocol

from langchain_core.tools import StructuredTool
from pydantic import BaseModel


class _Task(Protocol):
    @property
    def request(self) -> type[BaseModel]: ...
    @property
    def help(self) -> str: ...


class _App(Protocol):
    @property
    def tasks(self) -> Mapping[str, _Task]: ...
    def run(self, name: str, request: Mapping[str, Any]) -> BaseModel: ...


def tools(app: _App) -> list[StructuredTool]:
    """Give one LangChain tool a plugin task; ``finance.score`` is called ``finance_score`` and gives JSON."""
    return [_tool(app, name, task) for name, task in app.tasks.items()]


def _tool(app: _App, name: str, task: _Task) -> StructuredTool:
    def run(**request: Any) -> Any:
        plain = {key: value.model_dump() if isinstance(value, BaseModel) else value for key, value in request.items()}
        return app.run(name, plain).model_dump(mode="json")

    label = name.replace(".", "_")
    return StructuredTool.from_function(
        run, name=label, description=task.help or name, args_schema=task.request, infer_schema=False
    )
