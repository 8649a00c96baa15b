"""A route for every task of the installed plugins, and the pages that they bring.

A task may read and change whatever the server may, so it needs a key for all collections with the scope write.
Files and folders that a request names (its fields of the type ``Path``) must lie in the data folder.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel

from mmsdk.errors import InputError, MmsdkError
from mmsdk.plugin import Task
from mmsdk.server import logs
from mmsdk.server.folder import DataFolder
from mmsdk.server.rules import Rule, Rules
from mmsdk.server.service import Service
from mmsdk.server.work import state_of

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def router(service: Service, rules: Rules) -> APIRouter:
    """Give ``POST /<plugin>/<task>`` for every task."""
    made = APIRouter(tags=["plugins"])
    for task in service.app.tasks.values():
        _route(service, rules, made, task=task)
    for status in service.app.plugins:
        if status.state == "failed":
            logs.tell(logging.WARNING, "plugin_failed", plugin=status.name)
    return made


def mount(service: Service, rules: Rules, app: FastAPI) -> list[tuple[str, str]]:
    """Mount every page of a plugin at ``/<plugin>/<name>`` and give plugin and name of each."""
    found = []
    for status in service.app.plugins:
        if status.state == "ready":
            for name, page in service.app.plugin(status.name).pages().items():
                path = f"/{status.name}/{name}"
                rules.add(Rule(_METHODS, path, scope="read", lane="page", whole=True, under=True, look="page"))
                app.mount(path, page)
                found.append((status.name, name))
    return found


def _route(service: Service, rules: Rules, made: APIRouter, *, task: Task) -> None:
    plugin, _, name = task.name.partition(".")

    async def run(request: Request, given: Any) -> Any:
        return await state_of(request.scope).run(service.threads, lambda: called(service, task, given))

    run.__annotations__ |= {"given": task.request, "return": task.response}
    run.__name__, run.__doc__ = f"{plugin}_{name}", task.help
    path = f"/{plugin}/{name}"
    rules.route(made, "POST", path, scope="write", lane="answer", whole=True, response_model=task.response)(run)


def called(service: Service, task: Task, given: BaseModel) -> BaseModel:
    """Run a task for a caller who may be far away; a ``ValueError`` of it is a mistake of theirs.

    Raises ``InputError`` for a path outside the data folder, besides what the task raises.
    """
    try:
        return task(_inside(given, service.folder))
    except ValueError as error:
        raise InputError(f"{task.name}: {_relative(str(error), service.folder)}") from error
    except MmsdkError as error:
        error.args = tuple(_relative(one, service.folder) if isinstance(one, str) else one for one in error.args)
        raise


def _relative(message: str, folder: DataFolder) -> str:
    """Name files as the caller does, who need not know where the data folder lies."""
    return message.replace(f"{folder.path}/", "").replace(str(folder.path), ".")


def _inside(given: Any, folder: DataFolder) -> Any:
    """Give a request with every path that the caller named found in the data folder; relative ones start there."""
    if isinstance(given, Path):
        return folder.inside(given)
    if isinstance(given, BaseModel):
        changed = {name: _inside(getattr(given, name), folder) for name in given.model_fields_set}
        return given.model_copy(update=changed)
    if isinstance(given, Mapping):
        return {key: _inside(value, folder) for key, value in given.items()}
    return type(given)(_inside(one, folder) for one in given) if isinstance(given, list | tuple | set) else given
