"""A recommender in a folder: JSON, safetensors and Parquet, each with its digest. Nothing is pickled.

The folder is written beside its place and renamed into it, so that it is there whole or not at all.
"""

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from mmsdk.errors import CollectionError, CollectionNotFoundError, CorruptionError
from mmsdk_recommend.catalogue import Catalogue, Projection
from mmsdk_recommend.interactions import Interactions

_ABOUT, _FORMAT = "recommender.json", 1
_FILES = ("interactions.parquet", "items.parquet", "catalogue.json", "model.safetensors")


@dataclass(frozen=True, eq=False)
class Saved:
    """Hold what a recommender is: parameters, interactions, items, what the model learned, and for how many items."""

    params: dict[str, Any]
    data: Interactions
    catalogue: Catalogue | None
    model: dict[str, NDArray[Any]]
    width: int


def save(saved: Saved, folder: Path) -> Path:
    """Write a recommender; an older one in the same place is replaced. Raises ``CollectionError``."""
    if folder.exists() and not (folder / _ABOUT).is_file() and (folder.is_file() or any(folder.iterdir())):
        raise CollectionError(f"{folder} holds something else than a recommender; choose another place")
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    old = made.with_name(f"{made.name}-old")
    try:
        saved.data.frame().to_parquet(made / _FILES[0])
        pd.DataFrame({"item": saved.data.items}).to_parquet(made / _FILES[1])
        (made / _FILES[2]).write_text(json.dumps(_metadata(saved.catalogue), ensure_ascii=False), "utf-8")
        save_file(_arrays(saved), made / _FILES[3])
        digests = {name: _digest(made / name) for name in _FILES}
        about = {"format": _FORMAT, "params": saved.params, "width": saved.width, "digests": digests}
        (made / _ABOUT).write_text(json.dumps(about, ensure_ascii=False, indent=1), "utf-8")
        if folder.exists():
            folder.rename(old)
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return folder


def load(folder: Path) -> Saved:
    """Read what ``save`` wrote. Raises ``CollectionNotFoundError`` and ``CorruptionError``, naming the file."""
    if not (folder / _ABOUT).is_file():
        raise CollectionNotFoundError(f"no recommender in {folder}; fit one: mmsdk recommend fit INTERACTIONS")
    try:
        about = json.loads((folder / _ABOUT).read_text("utf-8"))
        version = int(about["format"])
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptionError(f"{folder / _ABOUT} is damaged: {error}; restore it from a backup") from error
    if version > _FORMAT:
        raise CollectionError(f"{folder} has format {version}, this mmsdk reads {_FORMAT}; install a newer one")
    for name, digest in about["digests"].items():
        if not (folder / name).is_file() or _digest(folder / name) != digest:
            raise CorruptionError(f"{folder / name} is missing or damaged; restore it, or fit again")
    try:
        return _read(folder, about)
    except (KeyError, ValueError, SafetensorError) as error:
        raise CorruptionError(f"{folder} does not read: {error}; restore it, or fit again") from error


def _read(folder: Path, about: dict[str, Any]) -> Saved:
    items = pd.read_parquet(folder / _FILES[1])["item"]
    frame = pd.read_parquet(folder / _FILES[0])
    if frame["time"].isna().all():
        frame = frame.drop(columns="time")
    data = Interactions.from_frame(frame, order=pd.Index(items.to_numpy()))
    arrays = load_file(folder / _FILES[3])
    model = {name.removeprefix("model/"): value for name, value in arrays.items() if name.startswith("model/")}
    catalogue = _catalogue(json.loads((folder / _FILES[2]).read_text("utf-8")), arrays)
    return Saved(about["params"], data, catalogue, model, int(about["width"]))


def _arrays(saved: Saved) -> dict[str, Any]:
    found = {f"model/{name}": np.ascontiguousarray(value) for name, value in saved.model.items()}
    catalogue = saved.catalogue
    if catalogue is not None and catalogue.content is not None and catalogue.projection is not None:
        found["catalogue/content"] = np.ascontiguousarray(catalogue.content)
        found["catalogue/axes"] = np.ascontiguousarray(catalogue.projection.axes)
        found |= {f"catalogue/mean/{name}": mean for name, mean in catalogue.projection.means.items()}
    return found


def _metadata(catalogue: Catalogue | None) -> dict[str, Any] | None:
    return None if catalogue is None else {"items": catalogue.items.tolist(), "records": catalogue.records}


def _catalogue(written: dict[str, Any] | None, arrays: dict[str, Any]) -> Catalogue | None:
    if written is None:
        return None
    made = Catalogue(pd.Index(written["items"]), written["records"], arrays.get("catalogue/content"))
    if made.content is not None:
        start = "catalogue/mean/"
        means = {name.removeprefix(start): mean for name, mean in sorted(arrays.items()) if name.startswith(start)}
        made.projection = Projection(means, arrays["catalogue/axes"])
    return made


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
