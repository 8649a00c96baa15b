"""Addresses that lead inside, and names that lead out: a canary that nobody calls, a file that nobody opens."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from mmsdk.runtime import Runtime

from .hostile import XSS, addresses, paths
from .running import Running, running

CANARY = "canary-51c2"
pytestmark = pytest.mark.filterwarnings("ignore")  # of Gradio, when the UI is made


class Listener:
    """Count who connects to a port of this machine, over IPv4 and IPv6."""

    def __init__(self) -> None:
        self.calls = 0
        self.socket = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.calls += 1
            connection.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.socket.close()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, bundled: Runtime) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("outer")
    (folder / "secret.txt").write_text(CANARY)
    with running(folder / "data", bundled.settings, ui=True) as made:
        made.service.folder.create("shop").add_texts(["The lighthouse opens at six."])
        yield made


def test_no_address_leads_inside(target: Running, listener: Listener) -> None:
    given = addresses(listener.port)
    assert len(given) >= 150
    with target.client() as client:
        fetched = [url for url in given if url.lower().startswith(("http://", "https://"))]
        for url in set(given) - set(fetched):
            assert client.post("/collections/shop/urls", json={"urls": [url]}).status_code == 422, url
        for start in range(0, len(fetched), 80):
            urls = fetched[start : start + 80]
            report = client.post("/collections/shop/urls", json={"urls": urls}).json()
            assert (report["documents"], len(report["failed"])) == (0, len(urls)), report
        for url in given[:: len(given) // 20]:
            part = {"type": "image_url", "image_url": {"url": url}}
            chat = {"model": "shop", "messages": [{"role": "user", "content": [part]}]}
            assert client.post("/v1/chat/completions", json=chat).status_code in (422, 502), url
        for url in (f"http://127.0.0.1:{listener.port}/x", f"http://localhost:{listener.port}/x"):
            for route in ("/ui/gradio_api/file=", "/ui/gradio_api/proxy=", "/ui/file=", "/ui/proxy="):
                assert client.get(route + url).status_code in (404, 405)
    assert listener.calls == 0


def test_the_canary_is_called_where_that_is_allowed(tmp_path: Path, bundled: Runtime, listener: Listener) -> None:
    fetch = bundled.settings.fetch.model_copy(update={"allow_private": True})
    with running(tmp_path, bundled.settings.model_copy(update={"fetch": fetch})) as server, server.client() as client:
        server.service.folder.create("shop")
        report = client.post("/collections/shop/urls", json={"urls": [f"http://127.0.0.1:{listener.port}/x"]}).json()
    assert report["failed"]  # the canary hangs up
    assert listener.calls > 0


def test_no_name_leads_out(target: Running) -> None:
    given = paths()
    assert len(given) >= 200
    with target.client() as client:
        for start in range(0, len(given), 50):
            files = [("files", (name, b"Some words.")) for name in given[start : start + 50]]
            assert CANARY not in client.post("/collections/shop/files", files=files).text
        for name in given:
            for place in (name, quote(name, safe="")):
                for route in (
                    "/collections/{0}",
                    "/collections/shop/documents/{0}/original",
                    "/ui/gradio_api/file={0}",
                ):
                    with suppress(httpx.InvalidURL):
                        told = client.get(route.format(place)).text
                        assert CANARY not in told, name
                        assert "root:" not in told, name
        assert CANARY not in client.get("/collections/shop/documents").text
        client.post("/collections/shop/files", files=[("files", ("control.txt", f"See {CANARY}.".encode()))])
        every = client.get("/collections/shop/documents?limit=100").json()["documents"]
        control = next(one["id"] for one in every if one["source"] == "control.txt")
        assert CANARY in client.get(f"/collections/shop/documents/{control}/original").text
        for outside in (target.service.folder.path.parent / "secret.txt", target.service.folder.own / "keys.sqlite"):
            assert client.get(f"/ui/gradio_api/file={outside}").status_code in (403, 404)
    outer = target.service.folder.path.parent
    assert sorted(path.name for path in outer.iterdir()) == ["data", "secret.txt"]
    assert target.service.folder.names() == ["shop"]
    assert all(len(path.name) == 64 for path in (target.service.folder.own / "originals" / "shop").iterdir())


def test_there_are_many_strings() -> None:
    assert len(set(XSS)) >= 200
