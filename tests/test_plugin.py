from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from mmsdk import Runtime, Settings
from mmsdk.plugin import NoConfig, Plugin, task
from mmsdk.testing import PluginContract


class Number(BaseModel):
    value: int


class Text(BaseModel):
    text: str


class Arithmetic(Plugin):
    name = "arithmetic"

    @task
    def double(self, request: Number) -> Number:
        """Double a number.

        More about it.
        """
        return Number(value=2 * request.value)

    @task
    def spelled_out(self, request: Number) -> Text:
        """Write a number as text."""
        return Text(text=str(request.value))

    def plain(self, request: Number) -> Number:
        return request


class Extended(Arithmetic):
    @task
    def double(self, request: Number) -> Number:
        """Double it, and one more."""
        return Number(value=2 * request.value + 1)

    @task
    def wrong(self, request: Number) -> Number:
        """Return something else than it says."""
        return Text(text="no")  # type: ignore[return-value]


class TestArithmetic(PluginContract):
    plugin = Arithmetic
    requests: ClassVar = {"double": [{"value": 2}], "spelled_out": [{"value": -1}]}


def _built(kind: type[Plugin]) -> Plugin:
    return kind(Runtime(Settings()), NoConfig())


def test_tasks_are_the_marked_methods_with_their_models() -> None:
    tasks = _built(Arithmetic).tasks()
    assert list(tasks) == ["double", "spelled_out"]
    double = tasks["double"]
    assert (double.name, double.request, double.response) == ("arithmetic.double", Number, Number)
    assert double.help.startswith("Double a number.")
    assert double(Number(value=4)) == Number(value=8)


def test_a_task_stays_an_ordinary_method() -> None:
    plugin = Arithmetic(Runtime(Settings()), NoConfig())
    assert plugin.spelled_out(Number(value=3)).text == "3"


def test_a_subclass_takes_over_the_tasks_it_writes_again() -> None:
    tasks = _built(Extended).tasks()
    assert list(tasks) == ["double", "spelled_out", "wrong"]
    assert tasks["double"](Number(value=1)) == Number(value=3)


def test_a_task_checks_what_goes_in_and_what_comes_out() -> None:
    tasks = _built(Extended).tasks()
    with pytest.raises(TypeError, match=r"arithmetic\.double takes a Number, not Text"):
        tasks["double"](Text(text="1"))
    with pytest.raises(TypeError, match=r"arithmetic\.wrong must return a Number, not Text"):
        tasks["wrong"](Number(value=1))


def test_no_pages_and_no_commands_by_default() -> None:
    assert _built(Arithmetic).pages() == {}
    assert _built(Arithmetic).commands() == {}


async def _asynchronous(self: Any, request: Number) -> Number:
    return request


def _generating(self: Any, request: Number) -> Iterator[Number]:
    yield request


def _no_request(self: Any) -> Number:
    return Number(value=1)


def _two_requests(self: Any, request: Number, other: Number) -> Number:
    return request


def _with_default(self: Any, request: Number = Number(value=1)) -> Number:  # noqa: B008
    return request


def _by_name(self: Any, *, request: Number) -> Number:
    return request


def _unannotated(self, request):  # type: ignore[no-untyped-def]
    return request


def _no_model(self: Any, request: Number) -> dict[str, int]:
    return {}


def _unknown(self: Any, request: "Missing") -> Number:  # type: ignore[name-defined]  # noqa: F821
    return Number(value=1)


def Loud(self: Any, request: Number) -> Number:  # noqa: N802
    return request


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (_asynchronous, "must be a plain def"),
        (_generating, "must be a plain def without yield"),
        (_no_request, r"must take exactly \(self, request\)"),
        (_two_requests, r"must take exactly \(self, request\)"),
        (_with_default, r"must take exactly \(self, request\)"),
        (_by_name, r"must take exactly \(self, request\)"),
        (_unannotated, "parameter 'request' with a pydantic model; it has no annotation"),
        (_no_model, r"return value with a pydantic model; not dict\[str, int\]"),
        (_unknown, "'Missing' is not defined.*at module level"),
        (Loud, "needs a lower-case name"),
        (Number, "is for methods of a Plugin"),
    ],
)
def test_any_other_signature_is_a_type_error(function: Any, said: str) -> None:
    function.__name__ = function.__name__.lstrip("_")
    with pytest.raises(TypeError, match=said):
        task(function)
