"""Model files out of a Hugging Face repository, without the pickled ones."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from glob import escape
from pathlib import Path

from mmsdk.errors import MissingDependencyError, WeightsError
from mmsdk.weights.digests import walk
from mmsdk.weights.progress import Progress, watched
from mmsdk.weights.table import Source

_FETCHED = ("*.json", "*.txt", "*.safetensors", "*.model", "*.jinja", "model.bin")
_WEIGHTS = ("*.safetensors", "*.gguf", "model.bin")
_OTHER_RUNTIMES = ("onnx/*", "openvino/*", "coreml/*")
_PICKLE_MARKS = (b"PK\x03\x04", b"\x80")


def download(model: Source, folder: Path, *, revision: str, tell: Progress) -> tuple[str, dict[str, str]]:
    """Download the wanted files of a repository; give its revision and the SHA-256 it publishes."""
    try:
        from huggingface_hub import HfApi, snapshot_download
    except ModuleNotFoundError as error:
        raise MissingDependencyError("huggingface_hub", "models") from error
    try:
        info = HfApi().model_info(model.repository, revision=revision or None, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or [] if _wanted(file.rfilename, model.path)}
        if not any(fnmatch(file, pattern) for file in sizes for pattern in _WEIGHTS):
            asked = model.path or "weights as safetensors, GGUF or CTranslate2"
            raise WeightsError(f"{model.repository} has no {asked}; pickled weights are not loaded")
        total = sum(sizes.values())
        with watched(folder, lambda size: tell(model.name, min(size, total), total)), _quiet_hub():
            chosen = [escape(file) for file in sizes]
            snapshot_download(model.repository, revision=info.sha, local_dir=folder, allow_patterns=chosen)
    except WeightsError:
        raise
    except Exception as error:  # which HTTP library the hub has, and so its errors, varies
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{model.name} could not be fetched from Hugging Face: {reason}") from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    _refuse_pickles(model, folder)
    published = {file.rfilename: file.lfs.sha256 for file in info.siblings or [] if file.lfs}
    return info.sha or "", {file: published[file] for file in sizes if file in published}


def _wanted(file: str, path: str) -> bool:
    if path:
        return file == path
    return any(fnmatch(file, keep) for keep in _FETCHED) and not any(fnmatch(file, drop) for drop in _OTHER_RUNTIMES)


def _refuse_pickles(model: Source, folder: Path) -> None:
    for file, path in walk(folder):
        with path.open("rb") as stream:
            if file.endswith(".bin") and stream.read(4).startswith(_PICKLE_MARKS):
                raise WeightsError(f"{model.name}: {file} is a pickle, which is not loaded")


@contextmanager
def _quiet_hub() -> Iterator[None]:
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
