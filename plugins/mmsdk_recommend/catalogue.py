"""What can be recommended: items with metadata to filter by, and their content as vectors of one space.

Text, pictures and recordings go through the core's loaders and encoders; each kind of content is centred, scaled and
joined with the others, then reduced. Nothing here knows what users do.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmsdk import loaders
from mmsdk.errors import InputError, UnsupportedModalityError
from mmsdk.filters import check_metadata
from mmsdk.protocols import Encoder
from mmsdk.types import Audio, Content, Image, Modality, modality_of
from mmsdk_recommend import interactions
from mmsdk_recommend.interactions import Floats

TEXTS = ("title", "text", "description", "genres", "category", "categories", "brand", "tags", "keywords")
"""Columns that are read as text, joined; lists, and text with | between, are words."""
CONTENT = (*TEXTS, "image", "audio", "vector")
_DIMENSIONS = 128


@dataclass(frozen=True, eq=False)
class Projection:
    """Hold how blocks of content become vectors of one space: ``axes`` is float32 ``[sum of blocks, dimension]``."""

    means: Mapping[str, Floats]
    axes: Floats

    @classmethod
    def fit(cls, blocks: Mapping[str, Floats]) -> "Projection":
        """Fit means and principal axes on blocks float32 ``[items, width]``; a row of zeros is an item without."""
        means = {name: blocks[name][np.abs(blocks[name]).sum(axis=1) > 0].mean(axis=0) for name in sorted(blocks)}
        wide = _joined(blocks, means)
        values, vectors = np.linalg.eigh((wide.T @ wide).astype(np.float64))
        keep = np.argsort(-values)[:_DIMENSIONS]
        keep = keep[values[keep] > 1e-6 * max(values.max(initial=0.0), 1e-9)]
        return cls(means, vectors[:, keep].astype(np.float32))

    def __call__(self, blocks: Mapping[str, Floats]) -> Floats:
        """Project; rows have unit length, or are zero where there is no content."""
        rows = len(next(iter(blocks.values())))
        whole = {name: blocks.get(name, np.zeros((rows, len(mean)), np.float32)) for name, mean in self.means.items()}
        return _unit(_joined(whole, self.means) @ self.axes)


@dataclass(eq=False)
class Catalogue:
    """Hold items: their names, metadata, and content float32 ``[items, dimension]`` or None without any.

    >>> frame = pd.DataFrame({"item": ["a", "b"], "price": [3, 4], "vector": [[1.0, 0.0], [0.0, 1.0]]})
    >>> catalogue = Catalogue.from_frame(frame)
    >>> catalogue.records[1], catalogue.content.shape
    ({'item': 'b', 'price': 4}, (2, 1))
    """

    items: pd.Index
    records: list[dict[str, Any]]
    content: Floats | None = None
    projection: Projection | None = None

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        encoders: Sequence[Encoder] | None = None,
        encode: bool = True,
        projection: Projection | None = None,
    ) -> "Catalogue":
        """Check a frame and encode its content.

        The column item is required; those of ``TEXTS`` are text; image and audio are paths, addresses, bytes
        or values of mmsdk; vector is content that was encoded elsewhere; all other columns are metadata. Raises
        ``InputError`` naming what is wrong.
        """
        if not isinstance(frame, pd.DataFrame) or "item" not in frame.columns:
            there = ", ".join(map(str, getattr(frame, "columns", [])))
            raise InputError(
                f"a catalogue is a DataFrame with a column item, and others; there: {there or type(frame)}"
            )
        names = frame["item"]
        if names.isna().any() or names.duplicated().any():
            doubles = names[names.duplicated()].head(3).tolist()
            raise InputError(f"every item of a catalogue has a name of its own; empty or repeated: {doubles}")
        made = cls(pd.Index(names.to_numpy()), _records(frame))
        if encode and set(CONTENT) & set(frame.columns):
            blocks = _blocks(frame, encoders)
            if blocks:
                made.projection = projection or Projection.fit(blocks)
                made.content = made.projection(blocks)
        return made

    def placed(self, items: pd.Index) -> Floats | None:
        """Give content in the order of other names; float32 ``[len(items), dimension]``, zeros for unknown ones."""
        if self.content is None:
            return None
        places = self.items.get_indexer(items)
        return np.where((places >= 0)[:, None], self.content[places], np.float32(0))

    def metadata(self, items: pd.Index) -> list[dict[str, Any]]:
        """Give metadata in the order of other names, the name alone for unknown ones."""
        places = self.items.get_indexer(items)
        return [
            self.records[place] if place >= 0 else {"item": plain(name)}
            for place, name in zip(places.tolist(), items, strict=True)
        ]


def read(path: Path) -> pd.DataFrame:
    """Read a catalogue from a .csv, .tsv, .parquet or .jsonl file.

    A column such as movieId or product_id is taken for item; files named in image and audio lie beside the catalogue.
    """
    if path.suffix.casefold() == ".jsonl":
        try:
            frame = pd.DataFrame([json.loads(row) for row in path.read_text("utf-8").split("\n") if row.strip()])
        except (ValueError, OSError) as error:
            raise InputError(f"{path} cannot be read as JSON lines: {error}") from error
    else:
        frame = interactions.read(path)
    for kind in ("image", "audio"):
        if kind in frame.columns:
            frame[kind] = [_beside(path, value) for value in frame[kind]]
    return frame


def taste(query: Content | Sequence[Content], projection: Projection, encoders: Sequence[Encoder] | None) -> Floats:
    """Place a text, a picture or a recording (or several at once) in the space of a catalogue; ``[1, dimension]``.

    A kind of content that the catalogue does not have is compared with another that is encoded in the same space.
    """
    contents: Sequence[Content] = [query] if isinstance(query, str | Image | Audio) else query
    if not contents or (isinstance(query, str) and not query.strip()):
        raise InputError("say something of the taste: a text, a picture or a recording")
    blocks: dict[str, Floats] = {}
    for content in contents:
        kind = modality_of(content)
        vector = _encoder(kind, encoders).encode([content], role="query")
        fitting = [name for name, mean in projection.means.items() if len(mean) == vector.shape[1] and name != "vector"]
        if not fitting:
            raise UnsupportedModalityError(f"the catalogue has no content that a query of kind {kind} compares with")
        blocks[kind if kind in fitting else fitting[0]] = vector
    return projection(blocks)


def plain(value: Any) -> Any:
    """Turn a value of numpy into one of Python."""
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()]
    return value.item() if isinstance(value, np.generic) else value


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    kept = [name for name in frame.columns if name != "vector"]
    found = []
    for number, row in enumerate(frame[kept].to_dict("records")):
        values = {str(key): plain(value) for key, value in row.items() if not _absent(value)}
        for name in ("image", "audio"):
            if isinstance(values.get(name), Path):
                values[name] = str(values[name])
            elif name in values and not isinstance(values[name], str):
                del values[name]
        for name, value in values.items():
            if isinstance(value, pd.Timestamp):
                values[name] = value.isoformat()
        found.append(check_metadata(values, f"catalogue row {number}"))
    return found


def _absent(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and np.isnan(value))


def _blocks(frame: pd.DataFrame, encoders: Sequence[Encoder] | None) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    texts = [name for name in TEXTS if name in frame.columns]
    if texts:
        joined = [". ".join(_words(v) for v in row if not _absent(v)) for row in frame[texts].itertuples(index=False)]
        found["text"] = _encoded([text or None for text in joined], "text", encoders)
    kinds: tuple[Modality, ...] = ("image", "audio")
    for kind in kinds:
        if kind in frame.columns:
            found[kind] = _encoded(_loaded(frame, kind), kind, encoders)
    if "vector" in frame.columns:
        found["vector"] = _given(frame["vector"])
    return {name: block for name, block in found.items() if np.abs(block).sum() > 0}


def _beside(path: Path, value: Any) -> Any:
    return value if not isinstance(value, str) or "://" in value or not value else str(path.parent.absolute() / value)


def _words(value: Any) -> str:
    if isinstance(value, list | tuple | np.ndarray):
        return ", ".join(map(str, value))
    return str(value).replace("|", ", ")


def _encoded(contents: Sequence[Content | None], kind: Modality, encoders: Sequence[Encoder] | None) -> Floats:
    places: dict[Content, list[int]] = {}
    for place, content in enumerate(contents):
        if content is not None:
            places.setdefault(content, []).append(place)
    if not places:
        return np.zeros((len(contents), 1), np.float32)
    vectors = _encoder(kind, encoders).encode(list(places))
    block = np.zeros((len(contents), vectors.shape[1]), np.float32)
    for vector, same in zip(vectors, places.values(), strict=True):
        block[same] = vector
    return block


def _encoder(kind: Modality, encoders: Sequence[Encoder] | None) -> Encoder:
    if encoders is None:
        from mmsdk.runtime import default

        encoders = default().encoders()
    for encoder in encoders:
        if kind in encoder.modalities:
            return encoder
    raise UnsupportedModalityError(f"no encoder at hand takes {kind}; there are: {[e.space for e in encoders]}")


def _loaded(frame: pd.DataFrame, kind: Modality) -> list[Content | None]:
    """Load what a column names, a file that is named twice once."""
    files: dict[str, Content] = {}
    found: list[Content | None] = []
    for item, value in zip(frame["item"], frame[kind], strict=True):
        if _absent(value) or value == "":
            found.append(None)
            continue
        key = str(value) if isinstance(value, str | Path) else ""
        content = files.get(key) or (value if isinstance(value, Image | Audio) else loaders.load(value))
        if modality_of(content) != kind:
            raise InputError(f"item {item!r}: its {kind} is of kind {modality_of(content)}")
        if key:
            files[key] = content
        found.append(content)
    return found


def _given(column: "pd.Series[Any]") -> Floats:
    widths = {len(row) for row in column if not _absent(row)}
    if len(widths) != 1:
        raise InputError(f"vectors of a catalogue are lists of one length, not of {sorted(widths)}")
    width = widths.pop()
    try:
        block = np.array([np.zeros(width) if _absent(row) else row for row in column], np.float32)
    except (ValueError, TypeError) as error:
        raise InputError(f"vectors of a catalogue are lists of numbers: {error}") from error
    if not np.isfinite(block).all():
        raise InputError(f"vectors hold what is not finite, first in row {np.argwhere(~np.isfinite(block))[0][0]}")
    return block


def _joined(blocks: Mapping[str, Floats], means: Mapping[str, Floats]) -> Floats:
    parts = []
    for name, mean in means.items():
        block = blocks[name]
        if block.shape[1] != len(mean):
            raise InputError(f"content of kind {name} has {block.shape[1]} dimensions, the catalogue's has {len(mean)}")
        there: NDArray[np.bool_] = np.abs(block).sum(axis=1, keepdims=True) > 0
        parts.append(np.where(there, _unit(block - mean), np.float32(0)))
    return np.concatenate(parts, axis=1)


def _unit(rows: Floats) -> Floats:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, length, out=np.zeros_like(rows), where=length > 1e-6), np.float32)
