"""Read a GGUF file: what it says about a model, its words and its weights, the 4- and 8-bit ones as numbers.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Of the kinds of weights those of the bundled file are
read: F32, F16, Q8_0 and Q4_1. ``gguf`` on PyPI reads all of them, and takes seconds to open a file (decision 0181).
"""

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmsdk.errors import ModelLoadError

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_BLOCK = 32
"""How many weights share a scale."""


@dataclass(frozen=True)
class Weights:
    """Hold what a GGUF file says: ``facts`` by their names in it, and ``tensors`` in float32, ``[outputs, inputs]``."""

    facts: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]


def read(path: Path) -> Weights:
    """Read a whole file. Raises ``ModelLoadError`` for another format and for weights of another kind."""
    try:
        return _Reader(path.read_bytes()).all()
    except (struct.error, ValueError, KeyError, UnicodeDecodeError) as error:
        raise ModelLoadError(f"{path} is no GGUF file that can be read here: {error}") from error


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def all(self) -> Weights:
        magic, _, count, facts = self._take("<4sIQQ")
        if magic != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        found = {self._string(): self._value(*self._take("<I")) for _ in range(facts)}
        described = [self._described() for _ in range(count)]
        step = int(found.get("general.alignment", _BLOCK))
        start = -(-self.at // step) * step
        tensors = {name: self._tensor(start + place, shape, kind) for name, place, shape, kind in described}
        return Weights(found, tensors)

    def _take(self, form: str) -> tuple[Any, ...]:
        values = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return values

    def _string(self) -> str:
        (length,) = self._take("<Q")
        (text,) = self._take(f"<{length}s")
        return str(text, "utf-8")

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            return self._take(f"<{_SCALARS[kind]}")[0]
        kind, count = self._take("<IQ")
        if kind in _SCALARS:
            return list(self._take(f"<{count}{_SCALARS[kind]}"))
        return [self._value(kind) for _ in range(count)]

    def _described(self) -> tuple[str, int, tuple[int, ...], int]:
        name, (axes,) = self._string(), self._take("<I")
        shape = self._take(f"<{axes}Q")[::-1]
        kind, place = self._take("<IQ")
        return name, place, shape, kind

    def _tensor(self, start: int, shape: tuple[int, ...], kind: int) -> torch.Tensor:
        if kind not in _KINDS:
            raise ValueError(f"weights of kind {kind}")
        form, numbers, widened = _KINDS[kind]
        count = math.prod(shape)
        stored = np.frombuffer(self.data, np.dtype(form), count // numbers, start)
        return torch.from_numpy(widened(stored).reshape(shape))


Stored = NDArray[Any]
_KINDS: dict[int, tuple[Any, int, Callable[[Stored], NDArray[np.float32]]]] = {
    0: ("<f4", 1, lambda stored: stored.astype(np.float32)),
    1: ("<f2", 1, lambda stored: stored.astype(np.float32)),
    3: ([("scale", "<f2"), ("least", "<f2"), ("half", "u1", 16)], _BLOCK, lambda stored: _four_bits(stored)),
    8: ([("scale", "<f2"), ("whole", "i1", 32)], _BLOCK, lambda stored: _scaled(stored, stored["whole"])),
}


def _four_bits(stored: Stored) -> NDArray[np.float32]:
    halves = np.concatenate([stored["half"] & 15, stored["half"] >> 4], axis=1)
    return _scaled(stored, halves) + stored["least"].astype(np.float32)[:, None]


def _scaled(stored: Stored, whole: Stored) -> NDArray[np.float32]:
    return whole * stored["scale"].astype(np.float32)[:, None]
