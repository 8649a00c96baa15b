"""The dashboard under a real server, in a real browser: what it shows, by which filters, and what it refuses."""

import json
import shutil
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from mmsdk.errors import InputError
from mmsdk_finance.dashboard import PAGE, dashboard
from mmsdk_finance.items import Rejected
from mmsdk_finance.monitor import SentimentMonitor

from .test_finance_monitor import item, monitor, script

CHROMIUM = shutil.which("chromium")
EVIL = "<img src=x onerror=\"document.title='owned'\"> Calder Motors cuts jobs"


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Run an ASGI application alone under uvicorn and give its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("dashboard") / "state"
    with monitor(folder) as opened:
        opened.take(script())
        opened.take([Rejected("Wire", "date", "'soon' is no time"), Rejected("Wire", "date", "'soon' is no time", "b")])
        opened.take([replace(item(9001, EVIL, hours=1, source="<i>Evil</i>"), url="javascript:alert(1)")])
    with served(dashboard(lambda: monitor(folder))) as found:
        yield found


def got(address: str, path: str = "", **asked: Any) -> Any:
    url = f"{address}/{path}?{urllib.parse.urlencode(asked)}"
    with urllib.request.urlopen(url, timeout=20) as answer:
        return json.loads(answer.read())


def sent(address: str, body: Any, kind: str = "application/json") -> tuple[int, Any]:
    request = urllib.request.Request(f"{address}/acknowledge", json.dumps(body).encode(), {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_the_overview_has_every_name_with_band_volume_and_share(address: str) -> None:
    seen = got(address, "overview")
    assert [name["ticker"] for name in seen["names"]] == ["CLD", "BRW", "NRT"]
    for name in seen["names"]:
        assert name["low"] <= name["index"] <= name["high"]
        assert len(name["course"]["index"]) == len(name["course"]["low"]) == len(seen["times"])
        assert sum(count for _, count in name["days"]) > 0
    assert sum(name["contribution"] for name in seen["names"]) == pytest.approx(seen["portfolio"], abs=1e-6)
    assert seen["quarantine"] == [{"source": "Wire", "code": "date", "reason": "'soon' is no time", "times": 2}]
    assert seen["counts"]["rejected"] == 2
    assert {alert["ticker"] for alert in seen["alerts"]} >= {"CLD"}


def test_evidence_is_chosen_by_name_source_label_words_and_time(address: str) -> None:
    whole = got(address, "evidence")
    assert len(whole["rows"]) == PAGE
    assert whole["more"]
    following = got(address, "evidence", offset=PAGE)["rows"]
    assert not {(row["story"], row["ticker"]) for row in following} & {
        (row["story"], row["ticker"]) for row in whole["rows"]
    }
    named = got(address, "evidence", ticker="CLD", label="negative")["rows"]
    assert {(row["ticker"], row["label"]) for row in named} == {("CLD", "negative")}
    source, day = named[0]["source"], named[0]["at"][:10]
    assert source in {one["source"] for one in got(address, "overview")["sources"]}
    assert all(row["sources"] > 1 or row["source"] == source for row in got(address, "evidence", source=source)["rows"])
    since = got(address, "evidence", since=day)["rows"]
    assert since
    assert all(row["at"] >= day for row in since)
    assert all(row["at"] < day for row in got(address, "evidence", until=day)["rows"])
    assert [row["text"] for row in got(address, "evidence", words="ONERROR")["rows"]] == [EVIL]
    assert got(address, "evidence", words="' OR 1=1 --")["rows"] == []


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("overview?days=-1", "days must be between 0 and 3650, not '-1'"),
        ("overview?days=many", "not 'many'"),
        ("evidence?since=soon", "'soon' is no time"),
        ("evidence?label=good", "not 'good'"),
        ("evidence?offset=nan", "offset"),
    ],
)
def test_wrong_questions_are_answered_with_what_is_wrong(address: str, path: str, said: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"{address}/{path}", timeout=20)
    assert error.value.code == 422
    assert said in json.loads(error.value.read())["error"]


def test_alerts_are_acknowledged_by_json_only(address: str) -> None:
    assert sent(address, {"number": 1, "by": "kim", "note": "seen"}) == (200, {"acknowledged": 1})
    first = next(alert for alert in got(address, "overview")["alerts"] if alert["number"] == 1)
    assert (first["acknowledged_by"], first["note"]) == ("kim", "seen")
    assert sent(address, {"number": 999, "by": "kim"})[0] == 422
    assert sent(address, {"number": 1})[0] == 422
    assert sent(address, {"number": 1, "by": "x" * (1 << 16)})[0] == 413
    assert sent(address, {"number": 1, "by": "kim"}, "text/plain")[0] == 415


def test_a_folder_without_a_monitor_is_an_answer() -> None:
    def absent() -> SentimentMonitor:
        raise InputError("there is no monitor in x; make one: mmsdk finance monitor")

    with served(dashboard(absent)) as found, pytest.raises(urllib.error.HTTPError) as error:
        got(found, "overview")
    assert "mmsdk finance monitor" in json.loads(error.value.read())["error"]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_the_page_is_drawn_in_a_browser(address: str, tmp_path: Path, scheme: str, width: int) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.goto(address)
        page.wait_for_selector("#evidence li")
        page.wait_for_selector("#chart .main-svg")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.fill("input[name=words]", "onerror")
        page.wait_for_selector("#evidence li:only-child")
        assert EVIL in page.inner_text("#evidence")
        assert "<i>Evil</i>" in page.inner_text("#evidence")
        assert page.locator("#evidence img, #evidence i, #evidence a").count() == 0
        assert page.title() == "Sentiment monitor"
        assert len(page.screenshot(path=tmp_path / "page.png")) > 10_000
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(244, 246, 248)" if scheme == "light" else "rgb(18, 22, 27)")
        browser.close()
    assert wrong == []
