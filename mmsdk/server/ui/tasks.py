"""A form for every task of the plugins, made from the JSON Schema of its request."""

import json
from collections.abc import Mapping
from typing import Any

import gradio
from pydantic import ValidationError

from mmsdk import deadline
from mmsdk.errors import MmsdkError
from mmsdk.plugin import Task
from mmsdk.server import plugins, problems
from mmsdk.server.service import Service
from mmsdk.server.ui.asking import work_of
from mmsdk.server.work import StoppedError

Schema = Mapping[str, Any]


def build(service: Service) -> None:
    """Make the page: one fold a task."""
    for task in service.app.tasks.values():
        with gradio.Accordion(f"{task.name}: {task.help.partition(chr(10))[0]}", open=False):
            _form(service, task)


def _form(service: Service, task: Task) -> None:
    schema = task.request.model_json_schema()
    fields: dict[str, Any] = {}
    is_json: dict[str, bool] = {}
    for key, field in schema.get("properties", {}).items():
        fields[key], is_json[key] = _field(key, _resolved(field, schema), required=key in schema.get("required", ()))
    run = gradio.Button("Run", variant="primary")
    given = gradio.JSON(label="Result")

    def called(*values: Any, request: gradio.Request) -> Any:
        work = work_of(service, request, scope="write")
        if work.key.collections is not None:
            raise gradio.Error("This needs a key that is not bound to collections.")
        try:
            asked = task.request.model_validate(_request(fields, is_json, values))
            with deadline.within(work.left):
                return plugins.called(service, task, asked).model_dump(mode="json")
        except StoppedError as error:
            raise gradio.Error("It took longer than allowed.", print_exception=False) from error
        except ValidationError as error:
            raise gradio.Error(problems.explained(error.errors())[0], print_exception=False) from error
        except (MmsdkError, ValueError) as error:
            raise gradio.Error(str(error), print_exception=False) from error

    def click(request: gradio.Request, *values: Any) -> Any:
        return called(*values, request=request)

    run.click(click, list(fields.values()), [given], api_visibility="private")


def _request(fields: Mapping[str, Any], is_json: Mapping[str, bool], values: tuple[Any, ...]) -> dict[str, Any]:
    request: dict[str, Any] = {}
    for key, value in zip(fields, values, strict=True):
        if value is None or value == "":
            continue
        request[key] = json.loads(value) if is_json[key] else value
    return request


def _field(key: str, field: Schema, *, required: bool) -> tuple[Any, bool]:
    label = f"{key}{' *' if required else ''}"
    info = field.get("description")
    default = field.get("default")
    choices = field.get("enum")
    if choices:
        return gradio.Dropdown([str(one) for one in choices], value=default, label=label, info=info), False
    kind = field.get("type")
    if kind == "boolean":
        return gradio.Checkbox(value=bool(default), label=label, info=info), False
    if kind in ("integer", "number"):
        return gradio.Number(value=default, label=label, info=info, precision=0 if kind == "integer" else None), False
    if kind == "string":
        return gradio.Textbox(value=default, label=label, info=info, lines=1), False
    shown = None if default is None else json.dumps(default, ensure_ascii=False)
    return gradio.Textbox(value=shown, label=f"{label} (JSON)", info=info, lines=3), True


def _resolved(field: Schema, schema: Schema) -> Schema:
    """Follow a reference, and take the one alternative to null."""
    if "$ref" in field:
        return {**_resolved(schema["$defs"][field["$ref"].rpartition("/")[2]], schema), **_own(field)}
    alternatives = [one for one in field.get("anyOf", ()) if one.get("type") != "null"]
    return {**_resolved(alternatives[0], schema), **_own(field)} if len(alternatives) == 1 else field


def _own(field: Schema) -> dict[str, Any]:
    return {key: field[key] for key in ("description", "default") if key in field}
