"""The doors: Python, command line, tasks; over the shipped model and the example archive."""

import json
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

import mmsdk_finance
from mmsdk import App
from mmsdk.cli import main
from mmsdk.runtime import Runtime
from mmsdk.testing import PluginContract
from mmsdk_finance.plugin import Finance
from mmsdk_finance.sources import records

ROOT = Path(__file__).parents[2]
ARCHIVE = ROOT / "examples" / "finance"
TURNS = {"CLD": "negative", "VLT": "positive", "SBK": "negative", "BRW": "positive", "HLX": "negative"}


@pytest.mark.usefixtures("bundled")
class TestFinance(PluginContract):
    plugin = Finance
    requests: ClassVar = {
        "score": [{"text": "Calder Motors cuts its outlook"}, {"text": "A and B", "entities": ["A", "B"]}],
    }


def command(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main(["finance", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def watched(bundled: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the monitor has seen the whole archive."""
    folder = tmp_path_factory.mktemp("finance") / "state"
    with mmsdk_finance.SentimentMonitor(folder, ARCHIVE / "watchlist.csv", runtime=bundled) as opened:
        opened.run(ARCHIVE / "news.jsonl", speed=float("inf"))
    return folder


def test_every_scripted_turn_is_alerted_once(watched: Path) -> None:
    with mmsdk_finance.SentimentMonitor(watched) as opened:
        assert {alert.ticker: alert.side for alert in opened.alerts()} == TURNS
        assert len(opened.alerts()) == len(TURNS)
        assert opened.state.counts()["rejected"] == 3
        assert opened.ledger.verify() == []


def test_scores_come_by_command(capsys: pytest.CaptureFixture[str], bundled: Runtime) -> None:
    text = "Voltara Energy soars on record profit while Calder Motors plunges after recall"
    asked = json.dumps({"text": text, "entities": ["Voltara Energy", "Calder Motors", "Nobody"]})
    results = command(capsys, "score", "--request", asked)["results"]
    assert [(one["entity"], one["label"]) for one in results] == [
        ("Voltara Energy", "positive"),
        ("Calder Motors", "negative"),
        ("Nobody", "neutral"),
    ]
    assert not results[2]["evidence"]
    assert all(abs(sum(one["probabilities"].values()) - 1) < 1e-6 for one in results)


def test_the_monitor_runs_by_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, watched: Path, bundled: Runtime
) -> None:
    news = tmp_path / "news.csv"
    news.write_text("when,headline\n2025-01-06,Calder Motors shares plunge 14% after the recall\nsoon,Calder Motors\n")
    folder, listed = str(tmp_path / "new"), str(ARCHIVE / "watchlist.csv")
    mapped = ("--columns", "text=headline,event=when")
    told = command(capsys, "monitor", str(news), "--state", folder, "--watchlist", listed, "--replay", "0", *mapped)
    assert (told["items"], told["rejected"], told["alerts"]) == (1, 1, [])
    levels = command(capsys, "index", "--state", folder)["levels"]
    assert levels["CLD"]["index"] < 0
    assert levels["VLT"]["index"] == 0


def test_alerts_report_and_export_by_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, watched: Path, bundled: Runtime
) -> None:
    folder = str(tmp_path / "state")
    shutil.copytree(watched, folder)
    alerts = command(capsys, "alerts", "--state", folder, "--acknowledge", "1", "--by", "kim")["alerts"]
    assert {alert["ticker"]: alert["side"] for alert in alerts} == TURNS
    assert alerts[0]["acknowledged_by"] == "kim"
    out = str(tmp_path / "report.html")
    assert command(capsys, "report", "--state", folder, "--out", out) == {"report": out}
    assert "acknowledged by kim" in Path(out).read_text("utf-8")
    rows = command(capsys, "export", "--state", folder, "--out", str(tmp_path / "votes.parquet"))["rows"]
    assert rows > 200
    answer = command(capsys, "ask", "--state", folder, "--question", "Why did Helixa turn negative?")
    assert answer["status"] == "answered"
    assert all("2025-02-" in citation["quote"] for citation in answer["citations"])


def test_wrong_uses_are_errors_with_advice(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["finance", "alerts", "--state", str(tmp_path / "none")]) == 8
    assert not (tmp_path / "none").exists()
    assert "mmsdk finance monitor" in capsys.readouterr().err
    assert main(["finance", "monitor", "x.csv", "--columns", "text"]) == 6
    assert "text=headline" in capsys.readouterr().err


def test_news_is_pushed_by_task_while_a_monitor_is_open(bundled: Runtime, tmp_path: Path) -> None:
    folder = str(tmp_path / "state")
    told = {"event": "2025-01-06", "source": "Desk"}
    first, copy = "Calder Motors shares plunge 14% after the recall", "Calder Motors shares plunge 14% after recall"
    with mmsdk_finance.SentimentMonitor(folder, ARCHIVE / "watchlist.csv", runtime=bundled) as opened, App() as app:
        opened.take([])
        pushed = app.run("finance.push", {"state": folder, "items": [{"text": first, **told}, {"text": "", **told}]})
        assert (pushed.items, pushed.copies, pushed.rejected) == (1, 0, 1)
        again = app.run("finance.push", {"state": folder, "items": [{"text": first, **told}]})
        assert (again.items, again.repeated) == (0, 1)
        (item,) = records([{"text": copy, "event": "2025-01-06T01:00:00Z", "source": "Wire"}])
        assert opened.take([item]).copies == 1  # it knows what the other connection wrote
        assert opened.state.counts()["stories"] == 1


def test_tasks_are_langchain_tools(bundled: Runtime) -> None:
    from mmsdk.langchain import tools

    with App() as app:
        named = {tool.name: tool for tool in tools(app)}
        scored = named["finance_score"].invoke(
            {"text": "Calder Motors shares plunge after the recall", "entities": ["Calder Motors"]}
        )
    assert scored["results"][0]["label"] == "negative"


@pytest.mark.usefixtures("bundled")
def test_the_example_tells_turns_and_writes_the_report(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, watched: Path
) -> None:
    shutil.copytree(watched, tmp_path / "demo-finance")
    runpy.run_path(str(ROOT / "examples" / "finance_monitor.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert printed.count(" turned ") == len(TURNS)
    assert "Why did Helixa turn negative?" in printed
    assert (tmp_path / "demo-finance" / "report.html").stat().st_size > 1_000_000


def test_the_archive_is_what_its_script_makes() -> None:
    made = runpy.run_path(str(ARCHIVE / "make_archive.py"))["lines"]
    assert "".join(made()) == (ARCHIVE / "news.jsonl").read_text("utf-8")
    assert len((ARCHIVE / "news.jsonl").read_text("utf-8").splitlines()) == 296


def test_importing_the_package_loads_no_model_library() -> None:
    import subprocess

    script = "import mmsdk_finance, sys; print({'torch', 'spacy', 'sklearn', 'plotly'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=_here())
    assert done.stdout.strip() == "set()"


def _here() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
