"""Alerts reach real servers, are signed, are tried again, and are never new twice; news is taken over HTTP."""

import json
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller

from mmsdk.errors import InputError
from mmsdk.webhook import SIGNATURE, signature, verified
from mmsdk_finance import dispatch
from mmsdk_finance.alerts import Alert, Reason
from mmsdk_finance.push import Listener
from mmsdk_finance.sinks import Console, DeliveryError, File, Mail, Webhook

from .test_finance_monitor import monitor, script

REASON = Reason(
    *("Calder, 下跌", ("plunges",), ("earnings",), -0.9, "Wire", "https://wire.example/1", "2025-01-06T08:30:00Z", 1)
)
ALERT = Alert(
    *(1, "abc-1", "CLD", "Calder\x1b[31m", "negative", "2025-01-06T08:30:00Z", "high", -0.5, -0.7, -0.3, -4.0),
    *(("Echo", "Wire"), (REASON,)),
)


class Receiver:
    """Hold a real HTTP server that notes what it gets and answers as told, 200 when nothing is left to tell."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers.items()), body))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    opened = Receiver()
    yield opened
    opened.close()


def test_a_webhook_is_signed_and_carries_the_id(receiver: Receiver) -> None:
    Webhook(receiver.url, "secret").send(ALERT)
    ((headers, body),) = receiver.got
    assert headers["Idempotency-Key"] == "abc-1"
    assert verified(body, headers[SIGNATURE], secret="secret")
    assert not verified(body + b" ", headers[SIGNATURE], secret="secret")
    assert not verified(body, headers[SIGNATURE], secret="other")
    assert json.loads(body)["reasons"][0]["quote"] == "Calder, 下跌"
    assert "secret" not in repr(Webhook(receiver.url, "secret"))


def test_an_old_signature_is_not_good() -> None:
    header = signature(b"{}", "secret", at=1000)
    assert verified(b"{}", header, secret="secret", now=1200)
    assert not verified(b"{}", header, secret="secret", now=2000)
    for odd in ("", "t=", "t=1000,v1=é\udc80", "t=²,v1=0", "t=" + "9" * 5000):
        assert not verified(b"{}", odd, secret="secret", now=1000)
    assert not verified(b"{}", "nonsense", secret="secret")


@pytest.mark.parametrize("answer", [500, 404, 302])
def test_what_is_no_success_is_a_failure(receiver: Receiver, answer: int) -> None:
    receiver.answers = [answer]
    with pytest.raises(DeliveryError, match=str(answer)):
        Webhook(receiver.url).send(ALERT)
    assert len(receiver.got) == 1


def test_a_webhook_that_is_down_or_no_address_is_named() -> None:
    with pytest.raises(DeliveryError, match="did not take alert abc-1"):
        Webhook("http://127.0.0.1:9/hook").send(ALERT)
    with pytest.raises(InputError, match="http"):
        Webhook("file:///etc/passwd")


def test_deliveries_are_tried_again_later_under_the_same_id(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answers = [503, 503]
    hook = Webhook(receiver.url, "secret")
    with monitor(tmp_path, sinks=[hook]) as opened:
        opened.take(script())
        state = opened.state
        assert dispatch.deliver(state, [hook], now=1000.0) == 0
        assert dispatch.deliver(state, [hook], now=1001.0) == 0
        assert len(receiver.got) == 2
        waiting = state.rows("SELECT attempts, due, error FROM deliveries")
        assert [(row["attempts"], row["due"]) for row in waiting] == [(1, 1002.0), (1, 1002.0)]
        assert "503" in waiting[0]["error"]
        assert dispatch.deliver(state, [hook], now=1002.0) == 2
        assert dispatch.deliver(state, [hook], now=9999.0) == 0
    keys = [headers["Idempotency-Key"] for headers, _ in receiver.got]
    assert keys[:2] == keys[2:]
    assert len(set(keys)) == 2


def test_a_file_has_each_alert_once(tmp_path: Path) -> None:
    sink = File(tmp_path / "alerts.jsonl")
    sink.send(ALERT)
    sink.path.write_bytes(sink.path.read_bytes().rstrip(b"\n"))
    sink.send(ALERT)
    other = Alert(**{**vars(ALERT), "id": "abc-2"})
    sink.send(other)
    assert [json.loads(line)["id"] for line in sink.path.read_text().splitlines()] == ["abc-1", "abc-2"]
    with pytest.raises(DeliveryError, match="cannot write"):
        File(tmp_path / "none" / "alerts.jsonl").send(ALERT)


def test_the_console_gets_one_line_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    Console().send(ALERT)
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "\x1b" not in line
    assert "HIGH Calder" in line


class Mailbox:
    def __init__(self) -> None:
        self.got: list[Any] = []
        self.refuse = False

    async def handle_DATA(  # noqa: N802  the name aiosmtpd calls
        self, server: Any, session: Any, envelope: Any
    ) -> str:
        if self.refuse:
            return "451 try again later"
        self.got.append(envelope)
        return "250 OK"


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=0)
    controller.port = _free_port()
    controller.start()
    yield box, controller.port
    controller.stop()


def _free_port() -> int:
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_mail_arrives_with_subject_reasons_and_id(mailbox: tuple[Mailbox, int]) -> None:
    box, port = mailbox
    sink = Mail("127.0.0.1", ("desk@example.org",), "monitor@example.org", port=port, starttls=False)
    sink.send(ALERT)
    (envelope,) = box.got
    text = envelope.content.decode()
    assert envelope.rcpt_tos == ["desk@example.org"]
    assert "Message-ID: <abc-1@mmsdk-finance>" in text
    assert "Subject: [high] Calder" in text
    box.refuse = True
    with pytest.raises(DeliveryError, match="451"):
        sink.send(ALERT)
    with pytest.raises(DeliveryError, match="STARTTLS"):
        Mail("127.0.0.1", ("desk@example.org",), "monitor@example.org", port=port).send(ALERT)


def test_mail_over_tls_goes_to_servers_whose_certificate_is_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=_free_port(), tls_context=context, require_starttls=True)
    controller.start()
    try:
        sink = Mail("127.0.0.1", ("desk@example.org",), "monitor@example.org", port=controller.port)
        with pytest.raises(DeliveryError, match="certificate"):
            sink.send(ALERT)
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        sink.send(ALERT)
    finally:
        controller.stop()
    assert len(box.got) == 1


TOKEN = "0123456789abcdef"


def _post(port: int, body: bytes, *, token: str = TOKEN, path: str = "/items") -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_pushed_news_is_stored_before_the_answer(tmp_path: Path) -> None:
    with monitor(tmp_path) as opened, Listener(opened, TOKEN) as listener:
        rows = [{"id": "1", "text": "Calder Motors cuts jobs", "event": "2025-01-06"}, {"id": "2", "text": ""}]
        status, told = _post(listener.port, json.dumps(rows).encode())
        assert (status, told["items"], told["rejected"]) == (200, 1, 1)
        assert opened.levels()["CLD"].index < 0
        assert _post(listener.port, json.dumps(rows[0]).encode())[1]["repeated"] == 1


def test_the_listener_refuses_what_it_should(tmp_path: Path) -> None:
    with monitor(tmp_path) as opened:
        with pytest.raises(InputError, match="16 characters"):
            Listener(opened, "short")
        with Listener(opened, TOKEN) as listener:
            assert _post(listener.port, b"{}", token="wrong")[0] == 401
            assert _post(listener.port, b"{}", path="/admin")[0] == 404
            assert _post(listener.port, b"[1]")[0] == 422
            assert _post(listener.port, b"{broken")[0] == 422
        assert opened.state.counts()["items"] == 0


def test_pushes_at_the_same_time_are_all_counted(tmp_path: Path) -> None:
    with monitor(tmp_path) as opened, Listener(opened, TOKEN) as listener:

        def push(number: int) -> None:
            rows = [{"id": f"{number}-{n}", "text": f"Calder Motors beats in {number} {n}"} for n in range(5)]
            assert _post(listener.port, json.dumps(rows).encode())[0] == 200

        threads = [threading.Thread(target=push, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert opened.state.counts()["items"] == 30
        assert opened.ledger.verify() == []
