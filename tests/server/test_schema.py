"""Every operation of the OpenAPI description against made-up requests: no server error, nothing undocumented."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from mmsdk.runtime import Runtime
from mmsdk.settings import Serving

from .running import Running, running

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
"""Examples of an operation; without it 10 in the quick tier and 50 in the long one."""
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory, bundled: Runtime) -> Iterator[Running]:
    settings_ = bundled.settings.model_copy(update={"server": Serving(queue=100), "offline": True})
    with running(tmp_path_factory.mktemp("data"), settings_) as made:
        made.service.folder.create("shop").add_texts(["The lighthouse opens at six."], ids=["lighthouse"])
        yield made


def _check(server: Running, examples: int) -> list[str]:
    """Give what was wrong, an entry a failure."""
    described = server.app.app.state.openapi
    plugins = {task.partition(".")[0] for task in server.service.app.tasks}
    wrong: list[str] = []
    schema = schemathesis.openapi.from_dict(described)
    for found in schema.get_all_operations():
        found_one: Any = found
        operation = found_one.ok()
        if operation.path.split("/")[1] in plugins or (operation.method == "delete" and operation.path.count("/") == 2):
            continue  # what tasks answer is their authors' business; the collection is needed to the end

        @settings(max_examples=examples, deadline=None, database=None, derandomize=True,
                  phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(case=operation.as_strategy())
        def one(case: Any) -> None:
            if "collection" in (case.path_parameters or {}) and len(case.path_parameters["collection"]) % 2:
                case.path_parameters["collection"] = "shop"
            answer = case.call(base_url=server.url)
            case.validate_response(answer, checks=CHECKS)

        try:
            one()
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - every kind is a failure
            wrong.append(f"{operation.method} {operation.path}: {error} {getattr(error, 'exceptions', '')}")
    return wrong


def test_made_up_requests_get_documented_answers(fuzzed: Running) -> None:
    wrong = _check(fuzzed, EXAMPLES or 10)
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.soak
def test_many_made_up_requests_get_documented_answers(fuzzed: Running) -> None:
    wrong = _check(fuzzed, EXAMPLES or 100)
    assert not wrong, "\n\n".join(wrong)


def test_the_description_is_json_and_names_every_route_once(fuzzed: Running) -> None:
    with fuzzed.client() as client:
        described = client.get("/openapi.json").json()
    ids = [operation["operationId"] for path in described["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))
    assert json.dumps(described)
