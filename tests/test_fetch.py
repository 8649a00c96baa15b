"""Addresses are fetched only from where they may be, and never more or longer than allowed."""

import gzip
import ipaddress
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsdk.errors import FetchError, MmsdkError
from mmsdk.loaders import fetch as fetching
from mmsdk.loaders import load, read
from mmsdk.loaders.fetch import fetch, normalised, refused
from mmsdk.settings import Fetch, Settings
from mmsdk.types import Failure

PAGE = "<html><head><meta charset=utf-8><title>灯</title></head><body><p>The lamp costs 19 euros.</p></body></html>"


class _Shop(BaseHTTPRequestHandler):
    """Serve good and bad answers by path."""

    protocol_version = "HTTP/1.1"
    seen: list[dict[str, str]] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.seen.append({"path": self.path, **dict(self.headers)})
        getattr(self, "_" + self.path.strip("/").partition("?")[0].partition("/")[0], self._missing)()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        return

    def _send(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "text/html", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _page(self) -> None:
        self._send(PAGE.encode())

    def _zipped(self) -> None:
        self._send(gzip.compress(PAGE.encode()), Content_Encoding="gzip")

    def _deflated(self) -> None:
        self._send(zlib.compress(PAGE.encode()), Content_Encoding="deflate")

    def _bomb(self) -> None:
        self._send(gzip.compress(bytes(40 << 20)), Content_Encoding="gzip")

    def _brotli(self) -> None:
        self._send(b"x", Content_Encoding="br")

    def _once(self) -> None:
        self._send(b"", 302, Location="/page")

    def _round(self) -> None:
        self._send(b"", 302, Location="/round")

    def _inside(self) -> None:
        self._send(b"", 301, Location="http://169.254.169.254/latest/meta-data/")

    def _file(self) -> None:
        self._send(b"", 301, Location="file:///etc/passwd")

    def _huge(self) -> None:
        self.send_response(200)
        self.end_headers()
        self._pour(b"x" * (1 << 16), pause=0)

    def _drip(self) -> None:
        self.send_response(200)
        self.end_headers()
        self._pour(b"x", pause=0.05)

    def _pour(self, piece: bytes, *, pause: float) -> None:
        try:
            for _ in range(400):
                self.wfile.write(piece)
                self.wfile.flush()
                time.sleep(pause)
        except OSError:
            self.close_connection = True

    def _headers(self) -> None:
        try:
            for _ in range(400):
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                self.wfile.flush()
                time.sleep(0.05)
        except OSError:
            self.close_connection = True

    def _cut(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"short")
        self.close_connection = True

    def _nonsense(self) -> None:
        self.wfile.write(b"\x00\xff nonsense\r\n\r\n")
        self.close_connection = True

    def _missing(self) -> None:
        self._send(b"", 404)


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Shop)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


OPEN = Fetch.model_validate({"allow_private": True, "mb": 5, "seconds": 20})


@pytest.mark.parametrize("path", ["page", "zipped", "deflated", "once"])
def test_pages_arrive_whole(shop: str, path: str) -> None:
    fetched = fetch(f"{shop}/{path}#part", OPEN)
    assert fetched.data.decode() == PAGE
    assert fetched.name.endswith((".html", ".htm"))
    if path == "once":
        assert fetched.url == f"{shop}/page"


def test_request_names_the_host_and_nothing_of_us(shop: str) -> None:
    _Shop.seen.clear()
    fetch(f"{shop}/page?q=灯", OPEN)
    (seen,) = _Shop.seen
    assert seen["path"] == "/page?q=%E7%81%AF"
    assert f"http://{seen['Host']}" == shop
    assert set(seen) <= {"path", "Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"}


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("bomb", "more than fetch.mb = 5"),
        ("huge", "more than fetch.mb = 5"),
        ("brotli", "content encoding 'br'"),
        ("round", "more than fetch.redirects = 5 times"),
        ("file", "only http and https"),
        ("cut", "broke off|IncompleteRead"),
        ("nonsense", "was not fetched"),
        ("nothing", "answered 404"),
    ],
)
def test_bad_answers(shop: str, path: str, says: str) -> None:
    with pytest.raises(FetchError, match=says):
        fetch(f"{shop}/{path}", OPEN)


@pytest.mark.parametrize("path", ["drip", "headers"])
def test_slow_answers_are_cut_off(shop: str, path: str) -> None:
    with pytest.raises(FetchError, match=r"more than fetch.seconds = 0.5"):
        fetch(f"{shop}/{path}", OPEN.model_copy(update={"seconds": 0.5}))


def test_nobody_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(FetchError, match="refused"):
        fetch(f"http://127.0.0.1:{port}/", OPEN)


def test_private_addresses_are_refused_by_default(shop: str) -> None:
    for url in (shop, shop.replace("127.0.0.1", "localhost"), "http://[::1]/", "http://0x7f.1/", "http://2130706433/"):
        with pytest.raises(FetchError, match=r"is refused: .* is a"):
            fetch(url, Fetch.model_validate({}))


def test_redirect_to_a_private_address_is_refused(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shop counts as public here; where it redirects to does not."""
    real = fetching.refused
    monkeypatch.setattr(fetching, "refused", lambda text: None if text == "127.0.0.1" else real(text))
    assert fetch(f"{shop}/once", Fetch.model_validate({})).data.decode() == PAGE
    with pytest.raises(FetchError, match=r"169\.254\.169\.254 is a link-local address"):
        fetch(f"{shop}/inside", Fetch.model_validate({}))


def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (place, port)) for place in ("93.184.215.14", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", answers)
    with pytest.raises(FetchError, match=r"'mixed.example' is refused: 10.0.0.1 is a private address"):
        fetch("http://mixed.example/", Fetch.model_validate({}))


def test_the_name_is_resolved_once_and_the_checked_address_used(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second answer (DNS rebinding) is never asked for, and the Host header keeps the name."""
    asked: list[str] = []

    def answer(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    _Shop.seen.clear()
    port = shop.rpartition(":")[2]
    assert fetch(f"http://shop.example:{port}/page", OPEN).data.decode() == PAGE
    assert asked == ["shop.example"]
    assert _Shop.seen[0]["Host"] == f"shop.example:{port}"


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.9.9.9", "169.254.169.254", "172.16.0.1", "192.0.0.8",
        "192.0.2.1", "192.168.1.1", "198.18.0.1", "203.0.113.9", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::1",
        "2002:7f00:1::", "2002:a00:1::1", "2001:db8::1", "fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0", "fec0::1",
        "ff02::1", "100::1", "2001:0:0:0:0:0:f5ff:fffe",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert refused(address) is not None


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]
)
def test_public_addresses(address: str) -> None:
    assert refused(address) is None


@given(st.ip_addresses(v=4))
def test_a_wrapped_address_is_refused_like_the_bare_one(address: ipaddress.IPv4Address) -> None:
    for wrapped in (f"::ffff:{address}", f"64:ff9b::{address}"):
        assert (refused(wrapped) is None) == (refused(str(address)) is None)


@pytest.mark.parametrize(
    ("url", "one"),
    [
        ("HTTP://Example.COM", "http://example.com/"),
        ("https://example.com:443/a b?x=1#y", None),
        ("https://example.com:443/a?x=1#y", "https://example.com/a?x=1"),
        ("http://例え.example/灯", "http://xn--r8jz45g.example/%E7%81%AF"),
        ("http://[2606:4700::1]:80/", "http://[2606:4700::1]/"),
        ("http://user:secret@example.com/", None),
        ("javascript:alert(1)", None),
        ("http://example.com:99999/", None),
        ("http://example.com/\r\nHost: x", None),
        ("http:///path", None),
        ("http://" + "a" * 300 + ".é/", None),
    ],
)
def test_addresses_are_written_in_one_way(url: str, one: str | None) -> None:
    if one is not None:
        assert normalised(url) == one
        assert normalised(one) == one
        return
    with pytest.raises(FetchError) as raised:
        normalised(url)
    assert "secret" not in str(raised.value)


@given(st.text(max_size=60))
def test_any_string_is_an_address_or_a_typed_error(text: str) -> None:
    try:
        assert normalised("http://" + text).startswith("http://")
    except MmsdkError as error:
        assert str(error)  # noqa: PT017


def test_offline_is_an_error() -> None:
    with pytest.raises(FetchError, match="offline = true"):
        fetch("http://example.com/", Fetch.model_validate({}), offline=True)


def test_addresses_become_documents(shop: str) -> None:
    settings = Settings.model_validate({"fetch": {"allow_private": True, "mb": 5}})
    failures: list[Failure] = []
    documents = list(
        read([f"{shop}/page", f"{shop}/nothing", f"{shop}/zipped"], settings=settings, on_failure=failures.append)
    )
    assert [document.text for document in documents] == ["The lamp costs 19 euros.\n\n"] * 2
    assert [document.source for document in documents] == [f"{shop}/page", f"{shop}/zipped"]
    assert documents[0].metadata["title"] == "灯"
    assert [(failure.stage, failure.code, failure.source) for failure in failures] == [
        ("fetch", "fetch", f"{shop}/nothing")
    ]
    with pytest.raises(FetchError, match="is refused"):
        load(f"{shop}/page")
