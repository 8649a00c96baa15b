"""Plugin tasks as LangChain tools."""

from collections.abc import Mapping
from typing import Any, Protocol

from langchain_core.tools import StructuredTool, ToolException
from pydantic import BaseModel

from mmsdk.errors import MmsdkError


class _Task(Protocol):
    @property
    def offered(self) -> type[BaseModel]: ...
    @property
    def help(self) -> str: ...


class _App(Protocol):
    @property
    def tasks(self) -> Mapping[str, _Task]: ...
    def run(self, name: str, request: Mapping[str, Any]) -> BaseModel: ...


def tools(app: _App, fixed: Mapping[str, Mapping[str, Any]] | None = None) -> list[StructuredTool]:
    """Give one LangChain tool a plugin task; ``finance.score`` is called ``finance_score`` and gives JSON.

    What only a caller may say (who is logged in) is no argument of a tool, since an LLM fills those; ``fixed`` holds
    it by task: ``{"service.reply": {"customer": "ann"}}``. What a task raises on purpose (an ``MmsdkError``, or a
    ``ValueError`` for a wrong argument) is told to the LLM as a result with ``status="error"``; set a tool's
    ``handle_tool_error`` to ``False`` to have a ``ToolException`` instead, whose cause it is.
    """
    return [_tool(app, name, task, (fixed or {}).get(name, {})) for name, task in app.tasks.items()]


def _tool(app: _App, name: str, task: _Task, fixed: Mapping[str, Any]) -> StructuredTool:
    def run(**request: Any) -> Any:
        plain = {key: value.model_dump() if isinstance(value, BaseModel) else value for key, value in request.items()}
        try:
            return app.run(name, {**plain, **fixed}).model_dump(mode="json")
        except (MmsdkError, ValueError) as error:
            raise ToolException(f"{error.code if isinstance(error, MmsdkError) else 'input'}: {error}") from error

    return StructuredTool.from_function(
        run,
        name=name.replace(".", "_"),
        description=task.help or name,
        args_schema=task.offered,
        infer_schema=False,
        handle_tool_error=True,
    )
