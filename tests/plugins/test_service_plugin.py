"""The doors: command line, tasks, LangChain, evaluation, analytics, the example."""

import base64
import json
import runpy
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mmsdk import App, Collection
from mmsdk.cli import main
from mmsdk.errors import InputError
from mmsdk.runtime import Runtime
from mmsdk.settings import Settings
from mmsdk.testing import PluginContract
from mmsdk_service.analytics import clusters, figures, import_ratings, page
from mmsdk_service.plugin import Service
from mmsdk_service.state import State

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "examples" / "service"


@pytest.mark.usefixtures("bundled")
class TestService(PluginContract):
    plugin = Service
    requests: ClassVar = {"reply": [{"message": "hello"}, {"message": "I want a human", "customer": "ann"}]}


@pytest.fixture
def _settings(bundled: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a shop with settings in the working directory."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    with Collection.open("documents", create=True, settings=bundled.settings) as documents:
        documents.add(ROOT / "examples" / "data" / "faq.md")
    (tmp_path / "mmsdk.toml").write_text(
        f'[plugins.service]\nknowledge = "documents"\nintents = "intents.safetensors"\nstate = "sessions"\n'
        f'playbook = "{SERVICE / "playbook.yaml"}"\ntools = "customer_service:TOOLS"\n'
    )


def command(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main(["service", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("_settings")
def test_a_shop_is_run_by_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = command(capsys, "train", str(SERVICE / "intents.yaml"))
    assert (trained["intents"], trained["held_out"]["accuracy"] > 0.7) == (4, True)
    reply = command(capsys, "reply", "--message", "Where is my order QM-20481?", "--customer", "ann")
    assert reply["reply"].startswith("Order QM-20481 is on its way")
    assert reply["action"]["tool"] == "order_status"
    assert command(capsys, "reply", "--message", "I need a human", "--customer", "ann")["handover"] == 1
    assert [row["reason"] for row in command(capsys, "handover", "list")] == ["request"]
    assert command(capsys, "handover", "take", "1", "--by", "maren")["status"] == "held"
    assert command(capsys, "handover", "say", "1", "--by", "maren", "--text", "Hello.") == {"said": "Hello."}
    assert command(capsys, "handover", "release", "1", "--by", "maren")["status"] == "closed"
    monkeypatch.setattr(sys, "stdin", __import__("io").StringIO("How do I wash a down jacket?\n\n"))
    (turn,) = command(capsys, "chat")["turns"]
    assert "30 °C" in turn["reply"]
    found = command(capsys, "analytics", "--out", "desk.html")
    assert (found["sessions"], found["handover_reasons"]) == (3, {"request": 1})
    assert "<script" in (tmp_path / "desk.html").read_text("utf-8")
    assert len(command(capsys, "export", "ann")["sessions"]) == 2
    assert command(capsys, "erase", "ann") == {"sessions": 2}


@pytest.mark.usefixtures("_settings")
def test_evaluation_has_intervals_and_notices_a_regression(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command(capsys, "train", str(SERVICE / "intents.yaml"))
    (tmp_path / "some.csv").write_text(
        "text,intent,source,answer,handover\n"
        "could you tell me where my parcel is,order_status,,,no\n"
        "give me my money back please,refund,,,no\n"
        "How do I wash a down jacket?,,faq.md,30 °C,no\n"
        "Who painted the Mona Lisa?,out_of_scope,,,no\n"
        "I want to talk to a human,,,,yes\n"
    )
    found = command(capsys, "evaluate", "some.csv", "--out", "figures.json")["figures"]
    wanted = {"intent_accuracy", "out_of_scope_auroc", "out_of_scope_recall", "retrieval_recall_at_5", "grounded_rate"}
    assert wanted | {"handover_precision", "handover_recall", "answer_rate"} <= found.keys()
    assert all(one["low"] <= one["value"] <= one["high"] for one in found.values())
    assert found["grounded_rate"]["value"] == 1
    assert main(["service", "evaluate", "some.csv", "--baseline", "figures.json"]) == 0
    (tmp_path / "worse.csv").write_text("text,intent\nwho painted the Mona Lisa,refund\n")
    assert main(["service", "evaluate", "worse.csv", "--baseline", "figures.json"]) == 1
    assert "intent_accuracy is 0.000, below" in capsys.readouterr().err
    (tmp_path / "misread.csv").write_text("text,answer\nhello,yes\n")
    assert main(["service", "evaluate", "misread.csv"]) == 6
    assert "answer is words that the reply must hold, not 'yes'" in capsys.readouterr().err
    (tmp_path / "bad.csv").write_text("text,handover\nhello,maybe\n")
    assert main(["service", "evaluate", "bad.csv"]) == 6
    assert "row 1 of bad.csv: handover is yes or no, not 'maybe'" in capsys.readouterr().err


@pytest.mark.usefixtures("_settings")
def test_the_task_takes_pictures_and_is_a_langchain_tool(bundled: Runtime) -> None:
    from mmsdk.langchain import tools

    settings = Settings(plugins={"service": {"state": "sessions"}})
    with App(settings) as app:
        picture = (ROOT / "examples" / "data" / "pictures" / "alder-2-dimensions.png").read_bytes()
        reply = app.run("service.reply", {"image": base64.b64encode(picture).decode()})
        assert reply.status == "unsure"
        with pytest.raises(InputError, match="image is not base64"):
            app.run("service.reply", {"image": "%%%"})
        named = {tool.name: tool for tool in tools(app)}
        assert named["service_reply"].invoke({"message": "hello"})["status"] == "small_talk"
        assert {"customer", "vip"}.isdisjoint(named["service_reply"].args)
        mine = {tool.name: tool for tool in tools(app, {"service.reply": {"customer": "ann"}})}
        with pytest.raises(ValueError, match="customer"):
            mine["service_reply"].invoke({"message": "hello", "customer": "holt"})
        said = mine["service_reply"].invoke({"message": "hello"})
        with State("sessions", create=False) as state:
            kept = state.export("ann")["sessions"]
        assert [one["id"] for one in kept] == [said["session"]]


def test_wrong_settings_are_errors_with_advice(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["service", "handover", "list"]) == 8
    assert "a first reply makes them" in capsys.readouterr().err
    (tmp_path / "mmsdk.toml").write_text('[plugins.service]\ntools = "nowhere:TOOLS"\n')
    assert main(["service", "reply", "--message", "hello"]) == 4
    assert "must be module:NAME" in capsys.readouterr().err


def test_analytics_count_what_happened(tmp_path: Path) -> None:
    with State(tmp_path / "state") as state:
        for name, status in (("a", "answered"), ("b", "unsure"), ("c", "answered")):
            state.open(name, "")
            detail = {"status": status, "reason": "", "seconds": {"total": 0.1}, "intents": []}
            state.note(name, [("customer", f"question {name}", detail)])
        (tmp_path / "ratings.csv").write_text("session,score\na,5\nc,1\n")
        assert import_ratings(state, tmp_path / "ratings.csv") == 2
        (tmp_path / "ratings.csv").write_text("session,score\na,9\n")
        with pytest.raises(InputError, match=r"row 1 .* from 1 to 5, not 9"):
            import_ratings(state, tmp_path / "ratings.csv")
        found = figures(state)
    assert found["containment"]["value"] == 1
    assert found["wrong_containment"]["value"] == pytest.approx(2 / 3, abs=1e-3)
    assert found["csat"]["value"] == 3
    assert found["unanswered"] == [{"question": "question b", "times": 1, "like": []}]
    found["unanswered"][0]["question"] = "<script>alert(1)</script>"
    assert "<script>alert" not in page(found).html()


def test_questions_that_mean_the_same_are_one_cluster(bundled: Runtime) -> None:
    asked = ["do you sell kayaks", "can I buy a kayak from you", "what is your vat number", "do you sell kayaks"]
    found = clusters(asked, bundled.encoder("text:all-MiniLM-L6-v2"))
    assert [(one["question"], one["times"]) for one in found] == [
        ("do you sell kayaks", 3),
        ("what is your vat number", 1),
    ]


@pytest.mark.usefixtures("bundled")
def test_the_example_talks_and_hands_over(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "customer_service.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert "45 days" in printed
    assert "Order QM-20481 is refunded: €289.00" in printed
    assert "订单QM-20481已退款" in printed
    assert "request, 900 s left" in printed
