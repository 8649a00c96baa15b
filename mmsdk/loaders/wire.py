"""Frames between a worker and its parent: a JSON header and raw bytes, never pickle.

A frame is two unsigned 64-bit lengths (big endian), a UTF-8 JSON header and a payload. This module
knows nothing of processes.
"""

import json
import re
import struct
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, BinaryIO

import numpy as np

from mmsdk.loaders.parsed import Parsed, Problem
from mmsdk.types import Audio, Image, Locator, Part

_LENGTHS = struct.Struct(">QQ")
_UNREADABLE = re.compile("[\x00\ud800-\udfff]")


class FrameError(Exception):
    """Say that the other side closed the pipe or sent more than was agreed."""


def send(stream: BinaryIO, header: Any, payload: Sequence[bytes | memoryview] = ()) -> None:
    """Write one frame."""
    text = json.dumps(header, ensure_ascii=False).encode("utf-8", "replace")
    stream.write(_LENGTHS.pack(len(text), sum(len(piece) for piece in payload)))
    stream.write(text)
    stream.writelines(payload)
    stream.flush()


def receive(stream: BinaryIO, most: int) -> tuple[Any, bytearray]:
    """Read one frame of at most ``most`` bytes. Raises ``FrameError``."""
    header, payload = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    if header + payload > most:
        raise FrameError(f"the result has {header + payload} bytes, more than the {most} allowed")
    text = _exactly(stream, header)
    return json.loads(text), _exactly(stream, payload)


def _exactly(stream: BinaryIO, length: int) -> bytearray:
    data = bytearray(length)
    view, filled = memoryview(data), 0
    while filled < length:
        count = stream.readinto(view[filled:])  # type: ignore[attr-defined]  # binary streams of pipes have it
        if not count:
            raise FrameError("the pipe was closed")
        filled += count
    return data


def pack(parsed: Parsed) -> tuple[dict[str, Any], list[memoryview]]:
    """Turn what a loader found into a header and arrays. NULs and lone surrogates in text become U+FFFD."""
    arrays: list[memoryview] = []
    parts = []
    for part in parsed.parts:
        shape: dict[str, Any] = {"kind": part.kind, "locator": part.locator.to_json()}
        if isinstance(part.content, str):
            shape["text"] = _readable(part.content)
        elif isinstance(part.content, Image):
            shape["image"] = part.content.pixels.shape[:2]
            arrays.append(np.ascontiguousarray(part.content.pixels).data.cast("B"))
        else:
            shape["audio"], shape["rate"] = len(part.content.samples), part.content.rate
            arrays.append(np.ascontiguousarray(part.content.samples).data.cast("B"))
        parts.append(shape)
    problems = [asdict(problem) for problem in parsed.problems]
    header = {"parts": parts, "metadata": _plain(parsed.metadata), "problems": _plain(problems)}
    return header, arrays


def unpack(header: dict[str, Any], payload: bytearray) -> Parsed:
    """Give back what ``pack`` took. Raises ``ValueError`` when header and payload do not agree."""
    parts, offset = [], 0
    for shape in header["parts"]:
        content: str | Image | Audio
        if "text" in shape:
            content = str(shape["text"])
        elif "image" in shape:
            height, width = shape["image"]
            pixels = np.frombuffer(payload, np.uint8, height * width * 3, offset)
            content, offset = Image(pixels.reshape(height, width, 3)), offset + pixels.nbytes
        else:
            samples = np.frombuffer(payload, np.uint8, shape["audio"] * 4, offset).view(np.float32)
            content, offset = Audio(samples, shape["rate"]), offset + samples.nbytes
        parts.append(Part(content, Locator.from_json(shape["locator"]), shape["kind"]))
    problems = tuple(Problem(**problem) for problem in header["problems"])
    return Parsed(tuple(parts), header["metadata"], problems)


def _readable(text: str) -> str:
    return _UNREADABLE.sub("\ufffd", text)


def _plain(value: Any) -> Any:
    """Give ``value`` as JSON: other objects as their string."""
    if isinstance(value, str):
        return _readable(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {_readable(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return _readable(str(value))
