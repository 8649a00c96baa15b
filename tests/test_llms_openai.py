"""The OpenAI client against a real local HTTP server that speaks the protocol."""

import base64
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from pydantic import BaseModel

from mmsdk import llms, registry
from mmsdk.errors import GenerationError, UnsupportedModalityError
from mmsdk.llms.openai import OpenAILLM
from mmsdk.protocols import LLM
from mmsdk.settings import Settings
from mmsdk.types import Audio, Image, Message, Usage


class Handler(BaseHTTPRequestHandler):
    """Answer chat completions: ``repeat`` says the last text, ``endless`` never ends, others are unknown."""

    server: "Server"

    def log_message(self, *said: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.answer(200, {"object": "list", "data": [{"id": "repeat", "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append({**body, "key": self.headers["Authorization"]})
        if self.headers["Authorization"] == "Bearer wrong":
            self.answer(401, {"error": {"message": "bad key", "type": "invalid_request_error"}})
        elif body["model"] not in ("repeat", "endless"):
            self.answer(404, {"error": {"message": f"no model {body['model']}", "type": "not_found"}})
        elif len(json.dumps(body)) > 100_000:
            self.answer(400, {"error": {"message": "context length exceeded", "code": "context_length_exceeded"}})
        else:
            self.stream(body)

    def answer(self, status: int, body: dict[str, Any]) -> None:
        written = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(written)))
        self.end_headers()
        self.wfile.write(written)

    def stream(self, body: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        last = body["messages"][-1]["content"]
        text = last if isinstance(last, str) else " ".join(part.get("text", "") for part in last)
        words = text.split(" ") if body["model"] == "repeat" else iter(lambda: "on", None)
        count = 0
        try:
            for word in words:
                count += 1
                self.event({"choices": [{"index": 0, "delta": {"content": word if count == 1 else f" {word}"}}]})
            self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            usage = {"prompt_tokens": 7, "completion_tokens": count, "total_tokens": 7 + count}
            self.event({"choices": [], "usage": usage})
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            self.server.hung_up.set()

    def event(self, body: dict[str, Any]) -> None:
        shape = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "repeat", **body}
        self.wfile.write(b"data: " + json.dumps(shape).encode() + b"\n\n")
        self.wfile.flush()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, Any]] = []
        self.hung_up = threading.Event()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{running.server_address[1]}/v1")
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        monkeypatch.delenv("OPENAI_MODEL", raising=False)
        yield running
        running.shutdown()
        thread.join()


HELLO = [Message("system", "Be kind."), Message("user", "你好 from here")]


def test_it_streams_and_counts_with_the_model_the_server_lists(server: Server) -> None:
    llm = registry.create("llms", "openai", settings=Settings(offline=True))
    assert isinstance(llm, LLM)
    deltas = list(llm.generate(HELLO, max_tokens=9, seed=3, temperature=0.5, stop=["END"]))
    assert "".join(delta.text for delta in deltas) == "你好 from here"
    assert deltas[-1].usage == Usage(7, 3)
    asked = server.asked[0]
    assert asked["key"] == "Bearer none"
    assert {name: asked[name] for name in ("model", "max_tokens", "seed", "temperature", "stop", "stream")} == {
        "model": "repeat",
        "max_tokens": 9,
        "seed": 3,
        "temperature": 0.5,
        "stop": ["END"],
        "stream": True,
    }
    assert asked["messages"][0] == {"role": "system", "content": "Be kind."}


def test_pictures_travel_as_png(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    pixels = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    llm = OpenAILLM("repeat", settings=Settings())
    assert "".join(d.text for d in llm.generate([Message("user", ["What is it?", Image(pixels)])])).strip()
    assert server.asked[0]["key"] == "Bearer secret"
    kind, picture = server.asked[0]["messages"][0]["content"]
    assert kind == {"type": "text", "text": "What is it?"}
    sent = base64.b64decode(picture["image_url"]["url"].removeprefix("data:image/png;base64,"))
    assert np.array_equal(np.asarray(Pillow.open(io.BytesIO(sent))), pixels)


def test_a_schema_becomes_a_response_format(server: Server) -> None:
    class Price(BaseModel):
        euros: float

    llm = OpenAILLM("repeat", settings=Settings())
    assert llms.complete(llm, [Message("user", '{"euros": 3.5}')], Price).euros == 3.5
    shape = server.asked[0]["response_format"]
    assert shape["type"] == "json_schema"
    assert shape["json_schema"]["schema"]["properties"]["euros"]["type"] == "number"


def test_closing_hangs_up(server: Server) -> None:
    stream = OpenAILLM("endless", settings=Settings()).generate(HELLO)
    next(stream)
    stream.close()
    assert server.hung_up.wait(30)


def test_refusals_are_typed_and_say_what_to_do(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()
    with pytest.raises(GenerationError, match=r"404: .*no model unknown"):
        list(OpenAILLM("unknown", settings=settings).generate(HELLO))
    with pytest.raises(GenerationError, match="context length exceeded"):
        list(OpenAILLM("repeat", settings=settings).generate([Message("user", "x" * 200_000)]))
    with pytest.raises(UnsupportedModalityError, match="not audio"):
        OpenAILLM("repeat", settings=settings).generate([Message("user", [Audio(np.zeros(4, np.float32), 8000)])])
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    with pytest.raises(GenerationError, match="refused the key in OPENAI_API_KEY"):
        list(OpenAILLM("repeat", settings=settings).generate(HELLO))


def test_nobody_there_no_key_and_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openai._base_client.BaseClient._calculate_retry_timeout", lambda *_: 0.0)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(GenerationError, match="cannot be reached"):
        list(OpenAILLM("any", settings=Settings()).generate(HELLO))
    monkeypatch.setenv("OPENAI_BASE_URL", "https://llm.example.org/v1")
    with pytest.raises(GenerationError, match=r"offline is set and https://llm\.example\.org"):
        list(OpenAILLM("any", settings=Settings(offline=True)).generate(HELLO))
    monkeypatch.delenv("OPENAI_BASE_URL")
    with pytest.raises(GenerationError, match="no OPENAI_API_KEY"):
        list(OpenAILLM("any", settings=Settings()).generate(HELLO))
