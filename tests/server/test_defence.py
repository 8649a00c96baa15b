"""Who may do what: every route against keys that are missing, wrong, expired or another collection's."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmsdk.errors import SettingsError
from mmsdk.runtime import Runtime
from mmsdk.server.keys import Keys
from mmsdk.server.service import Service
from mmsdk.server.serving import check
from mmsdk.settings import Serving

from .running import Running, running

OPEN = {
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("POST", "/logout"),
    ("GET", "/files/style.css"),
}
"""Routes that need no key; they tell nothing of collections."""
FOREIGN = {
    ("GET", "/"): 307,
    ("GET", "/openapi.json"): 200,
    ("GET", "/metrics"): 200,
    ("GET", "/collections"): 200,
    ("POST", "/collections"): 403,
    ("GET", "/collections/{collection}"): 404,
    ("DELETE", "/collections/{collection}"): 404,
    ("POST", "/collections/{collection}/files"): 404,
    ("POST", "/collections/{collection}/urls"): 404,
    ("POST", "/collections/{collection}/texts"): 404,
    ("POST", "/collections/{collection}/search"): 404,
    ("POST", "/collections/{collection}/ask"): 404,
    ("POST", "/collections/{collection}/delete"): 404,
    ("GET", "/collections/{collection}/documents"): 404,
    ("DELETE", "/collections/{collection}/documents/{document}"): 404,
    ("GET", "/collections/{collection}/documents/{document}/original"): 404,
    ("GET", "/collections/{collection}/chunks/{chunk}"): 404,
    ("GET", "/collections/{collection}/chunks/{chunk}/picture"): 404,
    ("GET", "/collections/{collection}/chunks/{chunk}/view"): 404,
    ("POST", "/v1/chat/completions"): 404,
    ("POST", "/v1/embeddings"): 422,
    ("POST", "/v1/audio/transcriptions"): 422,
    ("GET", "/v1/models"): 200,
    ("GET", "/v1/models/{model:path}"): 404,
    ("POST", "/mcp"): 400,
}
"""What a key gets that is an administrator's of another collection. Tasks and pages of plugins: 403."""
CHAT = {"model": "shop", "messages": [{"role": "user", "content": "What is secret?"}]}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, bundled: Runtime) -> Iterator[tuple[Running, dict[str, str]]]:
    """A server with keys over two collections."""
    with running(tmp_path_factory.mktemp("data"), bundled.settings) as made:
        for name in ("shop", "other"):
            made.service.folder.create(name).add_texts([f"The secret of {name} is kumquat."])
        keys = made.service.keys
        secrets = {
            "reader": keys.create("reader", "read", collections=["shop"])[1],
            "foreign": keys.create("foreign", "admin", collections=["other"])[1],
            "expired": keys.create("expired", "admin", expires="0h")[1],
            "admin": keys.create("admin", "admin")[1],
        }
        yield made, secrets


def _routes(server: Running) -> list[tuple[str, str, bool]]:
    return [
        (method, rule.template, rule.under) for rule in server.app.guard.rules.all for method in sorted(rule.methods)
    ]


def _address(template: str) -> str:
    return (
        template.replace("{collection}", "shop")
        .replace("{model:path}", "shop")
        .replace("{document}", "x")
        .replace("{chunk}", "x")
    )


def test_every_route_refuses_every_wrong_key(guarded: tuple[Running, dict[str, str]]) -> None:
    server, secrets = guarded
    plugins = {name for name, _, _ in (task.partition(".") for task in server.service.app.tasks)}
    before = {name: server.service.folder.open(name).info()["revision"] for name in ("shop", "other")}
    rows = set(FOREIGN) | OPEN
    with server.client() as client:
        for method, template, under in _routes(server):
            if (method, template) in OPEN:
                continue
            is_plugin = template.split("/")[1] in plugins
            assert is_plugin or under or (method, template) in rows, f"{method} {template} has no row in this table"
            for key in ("", "mmsdk_wrong", secrets["expired"]):
                answer = client.request(
                    method, _address(template), headers={"Authorization": f"Bearer {key}"} if key else {}
                )
                assert answer.status_code == 401, (method, template, key)
            body = {"json": CHAT} if template == "/v1/chat/completions" else {}
            foreign = {"Authorization": f"Bearer {secrets['foreign']}"}
            answer = client.request(method, _address(template), headers=foreign, **body)  # type: ignore[arg-type]
            expected = 403 if is_plugin else FOREIGN.get((method, template))
            assert under or answer.status_code == expected, (method, template, answer.text)
            assert "kumquat" not in answer.text
    assert {name: server.service.folder.open(name).info()["revision"] for name in before} == before
    assert server.service.folder.names() == ["other", "shop"]


def test_every_described_route_has_a_rule(guarded: tuple[Running, dict[str, str]]) -> None:
    server, _ = guarded
    described = {
        (method.upper(), path.replace("{model}", "{model:path}"))
        for path, methods in server.app.app.state.openapi["paths"].items()
        for method in methods
    }
    assert described <= {(method, template) for method, template, _ in _routes(server)}


def test_a_key_sees_its_collections_and_does_what_its_scope_allows(guarded: tuple[Running, dict[str, str]]) -> None:
    server, secrets = guarded
    with server.client(secrets["reader"]) as reader:
        assert reader.get("/collections").json() == {"collections": [{"name": "shop"}]}
        assert "other" not in reader.get("/v1/models").text
        missing, foreign = (reader.get(f"/collections/{name}") for name in ("none", "other"))
        assert missing.status_code == foreign.status_code == 404
        assert missing.json()["error"]["message"].replace("none", "other") == foreign.json()["error"]["message"]
        assert reader.post("/collections/shop/search", json={"text": "secret"}).status_code == 200
        assert reader.post("/collections/shop/texts", json={"texts": ["x"]}).status_code == 403
        assert reader.delete("/collections/shop").status_code == 403


def test_revoked_keys_and_ended_sessions_are_useless(guarded: tuple[Running, dict[str, str]]) -> None:
    server, _ = guarded
    key, secret = server.service.keys.create("short", "read")
    with server.client() as client:
        assert client.post("/login", data={"key": "mmsdk_wrong"}).status_code == 401
        answer = client.post("/login", data={"key": secret})
        cookie = answer.headers["set-cookie"]
        assert answer.status_code == 303
        assert {"HttpOnly", "SameSite=strict"} <= {part.strip() for part in cookie.split(";")}
        assert secret not in cookie
        assert client.get("/collections").status_code == 200
        client.post("/logout")
        client.cookies.set("mmsdk_session", cookie.partition("=")[2].partition(";")[0])
        assert client.get("/collections").status_code == 401
    server.service.keys.revoke(key.id)
    with server.client(secret) as client:
        assert client.get("/collections").status_code == 401


def test_other_hosts_and_other_origins_are_refused(guarded: tuple[Running, dict[str, str]]) -> None:
    server, secrets = guarded
    with server.client(secrets["admin"]) as client:
        for host in ("evil.example", "localhost.evil.example", "", "127.0.0.1.evil.example"):
            assert client.get("/health", headers={"Host": host}).status_code in (400, 421), host
        for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
            answer = client.post("/collections", json={"name": "x"}, headers={"Origin": origin})
            assert answer.status_code == 403, origin
            assert "access-control-allow-origin" not in answer.headers
        assert client.get("/health", headers={"Host": "localhost"}).status_code == 200


def test_a_body_that_is_too_long_is_refused_before_it_is_read(guarded: tuple[Running, dict[str, str]]) -> None:
    server, secrets = guarded
    head = f"POST /collections/shop/search HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secrets['admin']}\r\n"
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as connection:
        connection.settimeout(10)
        connection.sendall(f"{head}Content-Length: {1 << 40}\r\n\r\n".encode())
        assert b" 413 " in connection.recv(4096)
    with server.client(secrets["admin"]) as client:
        endless = (b" " * (1 << 20) for _ in range(40))
        assert client.post("/collections/shop/search", content=endless).status_code == 413


def test_without_keys_only_this_machine_is_served(tmp_path: Path, bundled: Runtime) -> None:
    with Service(tmp_path, bundled.settings) as service:
        check(service, "127.0.0.1")
        with pytest.raises(SettingsError, match="mmsdk keys create"):
            check(service, "0.0.0.0")
        service.keys.create("a")
        check(service, "0.0.0.0")


def test_keys_are_kept_as_digests(tmp_path: Path) -> None:
    with Keys(tmp_path / "keys.sqlite") as keys:
        _, secret = keys.create("a", "write", expires="1h")
        assert keys.find(secret)
        assert not keys.find(secret[:-1])
    data = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert secret.encode() not in data
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.glob("keys.sqlite*"))


def test_other_origins_that_are_allowed_get_their_headers(tmp_path: Path, bundled: Runtime) -> None:
    settings = bundled.settings.model_copy(update={"server": Serving(origins=("https://app.example",))})
    with running(tmp_path, settings) as server, server.client() as client:
        asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
        answer = client.options("/collections", headers=asked)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, "https://app.example")
        assert client.post("/collections", json={"name": "x"}, headers=asked).status_code == 201
        assert client.options("/collections", headers={"Origin": "https://evil.example"}).status_code in (404, 405)


def searched(caplog: pytest.LogCaptureFixture) -> bool:
    told = [record.__dict__.get("fields", {}).get("route") for record in caplog.records]
    return "/collections/{collection}/search" in told


def test_no_secret_is_in_logs_errors_and_metrics(
    guarded: tuple[Running, dict[str, str]], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, secrets = guarded
    canary = "canary-7f3a"
    monkeypatch.setenv("OPENAI_API_KEY", canary)
    with caplog.at_level("DEBUG", logger="mmsdk"), server.client(secrets["admin"]) as client:
        texts = [
            client.get(
                "/collections", headers={"X-Request-ID": f"{canary}!", "Cookie": f"mmsdk_session={canary}"}
            ).text,
            client.get(f"/collections/{canary}-x").headers.get("x-request-id", ""),
            client.post("/collections/shop/search", json={"text": canary, "where": {"$x": canary}}).headers[
                "x-request-id"
            ],
            client.get(f"/nowhere?key={canary}").text,
            client.get("/metrics").text,
        ]
        ended = time.monotonic() + 20
        while not (found := searched(caplog)) and time.monotonic() < ended:  # a request is logged after its answer
            time.sleep(0.01)
    assert found
    told = "".join(texts) + "".join(str(record.__dict__) for record in caplog.records)
    assert "canary" not in told
    assert not [name for name, secret in secrets.items() if secret in told]
