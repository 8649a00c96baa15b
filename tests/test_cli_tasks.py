"""Commands derived from plugins."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmsdk.cli import main

ORDERS = """
from datetime import date
from enum import Enum
from typing import Literal
import typer
from pydantic import BaseModel, Field
from mmsdk import Plugin, task
from mmsdk.errors import InputError

class Colour(Enum):
    red = "red"
    blue = "blue"

class Line(BaseModel):
    item: str
    count: int = 1

class Order(BaseModel, extra="forbid"):
    customer: str = Field(description="who [red] orders")
    size: Literal["S", "M"] = "M"
    colour: Colour | None = None
    due: date | None = None
    weight: float = Field(1.5, gt=0, description="in kg")
    gift: bool = False
    pieces: int = 1
    lines: list[Line] = []
    tags: list[str] = []
    json: str = "taken"

class Receipt(BaseModel):
    order: Order
    total: int

class Orders(Plugin):
    name = "orders"

    @task
    def place_order(self, request: Order) -> Receipt:
        '''Place an order.

        It is not sent yet.
        '''
        if request.customer == "nobody":
            raise InputError("nobody cannot order; name a customer")
        return Receipt(order=request, total=request.pieces + sum(line.count for line in request.lines))

    def commands(self):
        return {"count": count}

def count(word: str, times: int = typer.Option(2, help="how often")):
    "Count up."
    return {"said": [word] * times}
"""

Ask = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def orders(offer: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> Ask:
    offer("acme-orders", "mmsdk.plugins", "orders = acme_orders:Orders", acme_orders=ORDERS)

    def call(*arguments: str) -> tuple[int, Any, str]:
        capsys.readouterr()
        code = main(["orders", *arguments])
        out, err = capsys.readouterr()
        return code, json.loads(out) if "--json" in arguments and out else out, err

    return call


def test_scalar_fields_are_options(orders: Ask) -> None:
    who, how = (
        ("--customer", "吴", "--size", "S", "--colour", "blue"),
        ("--weight", "0.5", "--gift", "--pieces", "3", "--tags", "a", "--tags", "b c"),
    )
    code, receipt, _ = orders("place-order", *who, *how, "--due", "2024-02-29", "--json")
    assert code == 0
    assert receipt["total"] == 3
    assert receipt["order"] == {
        "customer": "吴",
        "size": "S",
        "colour": "blue",
        "due": "2024-02-29",
        "weight": 0.5,
        "gift": True,
        "pieces": 3,
        "lines": [],
        "tags": ["a", "b c"],
        "json": "taken",
    }


def test_defaults_are_those_of_the_request(orders: Ask) -> None:
    order = orders("place-order", "--customer", "a", "--no-gift", "--json")[1]["order"]
    assert (order["size"], order["weight"], order["gift"], order["colour"]) == ("M", 1.5, False, None)


def test_nested_fields_come_as_json_under_the_options(orders: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    request = json.dumps({"customer": "a", "pieces": 5, "lines": [{"item": "tent", "count": 2}]})
    assert orders("place-order", "--request", request, "--json")[1]["total"] == 7
    assert orders("place-order", "--request", request, "--pieces", "1", "--json")[1]["total"] == 3
    Path("order.json").write_text(request, "utf-8")
    assert orders("place-order", "--request", "@order.json", "--json")[1]["total"] == 7
    monkeypatch.setattr(sys, "stdin", io.StringIO(request))
    assert orders("place-order", "--request", "-", "--json")[1]["total"] == 7


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 6, "customer: Field required"),
        (("--customer", "nobody"), 6, "nobody cannot order"),
        (("--customer", "a", "--weight", "-1"), 6, "weight: Input should be greater than 0"),
        (("--customer", "a", "--due", "soon"), 6, "due: Input should be a valid date"),
        (("--customer", "a", "--pieces", "many"), 2, "--pieces"),
        (("--customer", "a", "--size", "XXL"), 2, "--size"),
        (("--colour", "green"), 2, "--colour"),
        (("--request", "{"), 6, "--request cannot be read as JSON"),
        (("--request", "[]"), 6, "--request must be a JSON object, not list"),
        (("--request", "@absent.json"), 6, "absent.json"),
        (("--request", '{"customer": "a", "lines": [{"count": 1}]}'), 6, "lines.0.item: Field required"),
        (("--request", '{"customer": "a", "size": "XXL"}'), 6, "size: Input should be 'S' or 'M'"),
    ],
)
def test_wrong_requests_are_one_line(orders: Ask, arguments: tuple[str, ...], code: int, said: str) -> None:
    got, out, err = orders("place-order", *arguments)
    assert (got, out) == (code, "")
    assert err.startswith("mmsdk: ")
    assert err.count("\n") == 1
    assert said in err
    assert said in json.loads(orders("place-order", *arguments, "--json")[2])["error"]["message"]


def test_help_tells_types_defaults_and_choices(orders: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    _, text, _ = orders("place-order", "--help")
    for said in (
        "Place an order.",
        "who [red] orders",
        "[required]",
        "S|M",
        "red|blue",
        "1.5",
        "--no-gift",
        "lines, json",
    ):
        assert said in text
    assert "place-order" in orders("--help")[1]


def test_a_plugin_brings_commands_beyond_tasks(orders: Ask) -> None:
    assert orders("count", "嗨", "--json")[1] == {"said": ["嗨", "嗨"]}
    assert "嗨" in orders("count", "嗨", "--times", "1")[1]
    assert orders("count")[0] == 2


def test_the_name_stands_in_the_help_without_an_import(orders: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "from acme-orders" in capsys.readouterr().out
    assert "acme_orders" not in sys.modules
    assert orders("place-order", "--customer", "a")[0] == 0
    assert "acme_orders" in sys.modules


def test_plugins_are_listed_with_the_reason_of_those_that_fail(
    orders: Ask, offer: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    offer("acme-bad", "mmsdk.plugins", "bad = acme_bad:Bad", acme_bad="1 / 0")
    assert main(["plugins", "--json"]) == 0
    listed = {status["name"]: status for status in json.loads(capsys.readouterr().out)}
    bad, good = listed["bad"], listed["orders"]
    assert (bad["name"], bad["state"], bad["distributions"]) == ("bad", "failed", ["acme-bad"])
    assert "ZeroDivisionError" in bad["reason"]
    assert (good["name"], good["state"], good["tasks"]) == ("orders", "ready", ["place_order"])
    assert main(["plugins"]) == 0
    assert "ZeroDivisionError" in capsys.readouterr().out
    assert main(["bad", "anything"]) == 5
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["--help"]) == 0


def test_a_plugin_cannot_take_a_command_of_the_core(
    offer: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("search", "serve", "config")  # the last is kept for a command to come
    offer("acme", "mmsdk.plugins", "\n".join(f"{name} = acme:Acme" for name in names), acme="1 / 0")
    assert main(["search", "nowhere", "text"]) == 8
    assert main(["serve", "anything"]) == 2
    assert "'--data'" in capsys.readouterr().err
    assert main(["config", "anything"]) == 5
    assert "is a command of mmsdk itself" in capsys.readouterr().err
