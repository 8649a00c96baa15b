"""What every encoder does with its inputs: check them, pack them into batches, shrink a batch that does not fit.

Knows nothing of models.
"""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from mmsdk.errors import DeviceMemoryError, UnsupportedModalityError
from mmsdk.types import Content, Modality, Vectors, modality_of

if TYPE_CHECKING:
    import torch


def needs(*libraries: str) -> None:
    """Raise ``ModuleNotFoundError`` for a library that is not there, without importing those that are.

    Model libraries take seconds to import, and an encoder that is only asked for its space does not need them.
    """
    for library in libraries:
        if find_spec(library) is None:
            raise ModuleNotFoundError(f"No module named {library!r}", name=library)


def check(inputs: Sequence[Content], modalities: frozenset[Modality], encoder: str) -> None:
    """Raise ``UnsupportedModalityError`` for an input of another modality, ``TypeError`` for a bare string."""
    if isinstance(inputs, str):
        raise TypeError("inputs is a sequence of contents; put the one text into a list")
    for position, content in enumerate(inputs):
        modality = modality_of(content)
        if modality not in modalities:
            takes = " and ".join(sorted(modalities))
            raise UnsupportedModalityError(
                f"{encoder} takes {takes}, but inputs[{position}] is {modality}; use an encoder for {modality}"
            )


def packed(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Put inputs of like length together: batches of positions with (size x longest) within ``budget``, longest first.

    >>> packed([3, 9, 2, 1], budget=10)
    [[1], [0, 2, 3]]
    """
    batches: list[list[int]] = []
    longest = 0
    for position in sorted(range(len(lengths)), key=lambda position: -lengths[position]):
        if not batches or (len(batches[-1]) + 1) * longest > budget:
            batches.append([])
            longest = max(lengths[position], 1)
        batches[-1].append(position)
    return batches


def shrinking(run: Callable[[Sequence[int]], Vectors], batch: Sequence[int], what: str) -> Vectors:
    """Run a batch of positions; when the device is out of memory, run its halves.

    Raises ``DeviceMemoryError`` when a single input does not fit.
    """
    import torch

    try:
        return run(batch)
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        if len(batch) == 1:
            raise DeviceMemoryError(
                f"{what}: the device has too little memory for one input; set device = cpu or use a smaller model"
            ) from error
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = len(batch) // 2
    return np.concatenate([shrinking(run, batch[:middle], what), shrinking(run, batch[middle:], what)])


def _out_of_memory(error: BaseException) -> bool:
    import torch

    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in text or "can't allocate memory" in text


def unit(rows: "torch.Tensor") -> Vectors:
    """Scale rows to unit L2 norm as float32; a row of zeros becomes the vector with all components equal."""
    array: Vectors = rows.float().cpu().numpy()
    norms = np.linalg.norm(array, axis=1, keepdims=True)
    even = np.full_like(array, array.shape[1] ** -0.5)
    scaled: Vectors = np.where(norms > 0, array / np.where(norms > 0, norms, 1), even).astype(np.float32)
    return scaled
