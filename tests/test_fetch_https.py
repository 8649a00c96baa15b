"""Addresses with https: the certificate is checked against the name, and the name is what the server hears."""

import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from mmsdk.errors import FetchError
from mmsdk.loaders import read
from mmsdk.loaders.fetch import fetch
from mmsdk.settings import Fetch, Settings

OPEN = Fetch.model_validate({"allow_private": True, "seconds": 20})
PAGE = "<html><head><meta charset=utf-8></head><body><p>The lamp costs 19 euros. 灯</p></body></html>".encode()
heard: list[str | None] = []


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/down":
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/latest")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        return


class _Server(ThreadingHTTPServer):
    """Speak TLS, each handshake in its own thread; clients that hang up are expected."""

    daemon_threads = True
    context: ssl.SSLContext

    def finish_request(self, request: Any, client_address: Any) -> None:
        with self.context.wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        return


@contextmanager
def _served(certificate: trustme.LeafCert) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    context.sni_callback = lambda _socket, name, _context: heard.append(name)
    server = _Server(("127.0.0.1", 0), _Page)
    server.context = context
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """An authority that this machine trusts, and names that lead to it."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))

    def answer(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return made


def test_a_page_behind_a_good_certificate_becomes_a_document(authority: trustme.CA) -> None:
    heard.clear()
    with _served(authority.issue_cert("shop.example")) as port:
        (document,) = read(f"https://shop.example:{port}/lamp.html", settings=Settings(fetch=OPEN))
        with pytest.raises(FetchError, match=r"169\.254\.169\.254 is a link-local address"):
            _fetch_as_public(f"https://shop.example:{port}/down")
    assert document.text.strip() == "The lamp costs 19 euros. 灯"
    assert heard[0] == "shop.example"


def _fetch_as_public(url: str) -> None:
    """Fetch with 127.0.0.1 counting as public, so that only the redirect can be what is refused."""
    from mmsdk.loaders import fetch as fetching

    real = fetching.refused
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetching, "refused", lambda text: None if text == "127.0.0.1" else real(text))
        patch.setattr(socket, "getaddrinfo", _literal(socket.getaddrinfo))
        fetch(url, Fetch.model_validate({"seconds": 20}))


def _literal(by_name: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    def answer(host: str, port: int, **options: Any) -> list[Any]:
        found = by_name(host, port, **options)
        return [(*entry[:4], (host, port)) if host[0].isdigit() else entry for entry in found]

    return answer


@pytest.mark.parametrize(
    ("issue", "reason"),
    [
        (lambda ca: ca.issue_cert("other.example"), "Hostname mismatch"),
        (lambda ca: trustme.CA().issue_cert("shop.example"), "unable to get local issuer|self.signed"),
        (
            lambda ca: ca.issue_cert("shop.example", not_after=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)),
            "expired",
        ),
    ],
)
def test_certificates_that_prove_nothing_are_refused(
    authority: trustme.CA, issue: Callable[[trustme.CA], trustme.LeafCert], reason: str
) -> None:
    with _served(issue(authority)) as port, pytest.raises(FetchError, match=f"certificate verify failed: .*({reason})"):
        fetch(f"https://shop.example:{port}/", OPEN)


def test_a_server_that_speaks_no_tls_or_nothing_at_all_is_told(authority: trustme.CA) -> None:
    plain = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=plain.serve_forever, daemon=True)
    thread.start()
    with pytest.raises(FetchError, match="was not fetched"):
        fetch(f"https://shop.example:{plain.server_address[1]}/", OPEN)
    plain.shutdown()
    plain.server_close()
    thread.join()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(FetchError, match=r"more than fetch\.seconds = 0\.5"):
            fetch(f"https://shop.example:{silent.getsockname()[1]}/", OPEN.model_copy(update={"seconds": 0.5}))
