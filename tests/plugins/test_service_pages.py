"""The pages run alone: a chat over HTTP and WebSocket, the console, analytics; nothing remote, everything escaped."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from mmsdk.errors import InputError
from mmsdk_service import ServiceAgent, pages

EVIL = "<script>alert(1)</script> I want a human"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[ServiceAgent]:
    with ServiceAgent(None, state=tmp_path) as made:
        yield made


def test_the_chat_answers_and_shows_what_people_say(agent: ServiceAgent) -> None:
    client = TestClient(pages.chat(lambda: agent, embed=("https://shop.example",)))
    page = client.get("/")
    assert not re.search(r"(?:src|href)\s*=|innerHTML|@import|url\(", page.text)
    assert "frame-ancestors 'self' https://shop.example" in page.headers["content-security-policy"]
    first = client.post("/message", json={"message": "hello"}).json()
    assert (first["reply"], first["action"]) == ("Hello! What can I do for you?", None)
    handed = client.post("/message", json={"message": "I want a human", "session": first["session"]}).json()
    agent.queue.take(handed["handover"], "maren")
    agent.queue.say(handed["handover"], "maren", "Good morning.")
    (said,) = client.get("/people", params={"session": first["session"]}).json()
    assert said["text"] == "Good morning."
    assert client.get("/people", params={"session": first["session"], "after": said["number"]}).json() == []


def test_the_web_socket_talks_to_its_own_page_only(agent: ServiceAgent) -> None:
    client = TestClient(pages.chat(lambda: agent))
    with client.websocket_connect("/ws", headers={"origin": "http://testserver"}) as socket:
        socket.send_text('{"message": "你好"}')
        assert socket.receive_json()["reply"].startswith("您好")
        socket.send_text("nothing")
        assert socket.receive_json() == {"error": "the message is no JSON"}
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("/ws", headers={"origin": "https://evil.example"}),
    ):
        pass
    assert client.post("/message", json={"message": "x"}, headers={"origin": "https://evil.example"}).status_code == 403


@pytest.mark.parametrize("body", [b"", b"[]", b'{"message": 3}', b'{"message": "x", "session": 1}', b"x" * 30_000])
def test_wrong_messages_are_refused(agent: ServiceAgent, body: bytes) -> None:
    answer = TestClient(pages.chat(lambda: agent)).post("/message", content=body)
    assert answer.status_code == 422
    assert answer.json()["error"]


def test_people_take_answer_and_give_back_in_the_console(agent: ServiceAgent) -> None:
    session = agent.reply(EVIL).session
    client = TestClient(pages.console(lambda: agent))
    page = client.get("/").text
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert re.search(r"14 min \d+ s left|15 min 0 s left", page)
    for do in ("take", "say", "release"):
        assert client.post("/act", data={"number": "1", "person": "maren", "do": do, "text": "Hi."}).status_code == 200
    assert agent.queue.waiting() == []
    assert [turn["text"] for turn in agent.state.turns(session) if turn["role"] == "person"] == ["Hi."]
    assert client.post("/act", data={"number": "1", "person": "otto", "do": "take"}).status_code == 422
    assert client.post("/act", data={"number": "x"}).status_code == 422
    assert client.post("/act", data={"number": "1"}, headers={"origin": "https://evil.example"}).status_code == 403


@pytest.mark.usefixtures("bundled")
def test_analytics_are_one_page_without_a_network(agent: ServiceAgent) -> None:
    agent.reply(EVIL)
    page = TestClient(pages.figures(lambda: agent)).get("/").text
    assert "Why threads were handed over" in page
    assert "alert(1)</script>" not in page


def test_pages_say_what_is_wrong_with_the_settings() -> None:
    def broken() -> ServiceAgent:
        raise InputError("no tool is called '<shop_status>'")

    for page in (pages.console(broken), pages.figures(broken)):
        answer = TestClient(page).get("/")
        assert answer.status_code == 422
        assert "no tool is called &#x27;&lt;shop_status&gt;" in answer.text
    client = TestClient(pages.chat(broken))
    for answer in (client.get("/people", params={"session": "x"}), client.post("/message", json={"message": "x"})):
        assert answer.status_code == 422
        assert answer.json() == {"error": "no tool is called '<shop_status>'"}
