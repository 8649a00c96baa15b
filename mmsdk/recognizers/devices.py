"""Which device PyTorch models run on, and how to load them quietly. Knows nothing of the models."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mmsdk.errors import ModelLoadError, SettingsError

if TYPE_CHECKING:
    import torch


def torch_device(name: str) -> "torch.device":
    """Turn ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps`` into a device; ``auto`` takes the fastest there is.

    Raises ``SettingsError`` for another name and ``ModelLoadError`` for a device that is not there.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise SettingsError(f"there is no device {name!r}; set device to auto, cpu, cuda, cuda:N or mps")
    device = torch.device(name)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        raise ModelLoadError(f"device {name!r} was asked for, but PyTorch sees {count} CUDA devices; set device = auto")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ModelLoadError("device 'mps' was asked for, but PyTorch sees no Apple GPU here; set device = auto")
    return device


@contextmanager
def without_bars() -> Iterator[None]:
    """Keep transformers from drawing progress bars while a model loads."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
