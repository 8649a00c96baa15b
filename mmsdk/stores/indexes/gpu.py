"""Copies of FAISS indexes on GPUs: which devices, how much memory, how many rows to ask for.

GPU indexes take no ID selectors and cannot remove rows, so a search asks for more than it wants and
leaves out what is not allowed; where that would be more than a GPU index gives (2,048), the CPU
searches. Written against faiss-gpu with no GPU at hand: what decides and prepares is tested, the
searches are run by tests/gpu where there is one.
"""

import logging
import math
import re
import threading
from dataclasses import dataclass
from typing import Any

import faiss as library
import numpy as np
from numpy.typing import NDArray

from mmsdk.errors import DeviceMemoryError, SettingsError
from mmsdk.types import Vectors

log = logging.getLogger(__name__)
faiss: Any = library  # its type stubs lack half of it
MOST = 2048
"""Neighbours that a GPU index gives at most."""
_ROOM = 1.2
"""How much more is asked for than allowed rows are expected among the nearest."""


@dataclass(frozen=True)
class Plan:
    """Say which GPUs hold the index and how."""

    devices: tuple[int, ...]
    shard: bool = False
    float16: bool = False
    memory: int = 0
    """Bytes a GPU may give to one index; 0 is no limit."""
    strict: bool = False
    """Whether too little memory is an error: a device was named, not ``auto``."""


def planned(device: str, *, shard: bool = False, float16: bool = False, memory: int = 0) -> Plan | None:
    """Give the plan for ``auto``, ``cpu``, ``all``, ``cuda`` or ``cuda:N``; ``None`` is the CPU.

    Raises ``SettingsError`` for a name that is none of these and for a GPU that is not there.
    """
    if device in ("cpu", "mps"):
        return None
    named = re.fullmatch(r"auto|all|cuda(?::(\d+))?", device)
    if named is None:
        raise SettingsError(f"device is auto, cpu, all, cuda or cuda:N, not {device!r}")
    count = visible()
    if count == 0:
        reason = "no GPU is visible" if hasattr(faiss, "StandardGpuResources") else "this is faiss-cpu"
        log.log(logging.INFO if device == "auto" else logging.WARNING, "FAISS searches on the CPU: %s", reason)
        return None
    devices = tuple(range(count)) if named[1] is None and device != "cuda" else (int(named[1] or 0),)
    if devices[0] >= count:
        raise SettingsError(f"there is no {device}: {count} GPUs are visible")
    return Plan(devices, shard and len(devices) > 1, float16, memory, device != "auto")


def visible() -> int:
    """Count the GPUs that FAISS can use."""
    return int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


def needed(index: Any, plan: Plan) -> int:
    """Estimate the bytes that each GPU of the plan needs for an index: codes, ids and centroids."""
    inner = faiss.downcast_index(index)
    code: int = int(getattr(inner, "code_size", 4 * index.d))
    if plan.float16 and isinstance(inner, faiss.IndexFlat | faiss.IndexIVFFlat):
        code //= 2
    rows: int = math.ceil(index.ntotal / (len(plan.devices) if plan.shard else 1))
    centroids = int(inner.nlist) * int(index.d) * 4 if isinstance(inner, faiss.IndexIVF) else 0
    return rows * (code + 8) + centroids


class GpuCopy:
    """Search a copy of an index that lies on GPUs."""

    def __init__(self, index: Any, plan: Plan, *, effort: int) -> None:
        options = faiss.GpuMultipleClonerOptions()
        options.shard, options.useFloat16 = plan.shard, plan.float16
        options.common_ivf_quantizer = plan.shard and isinstance(index, faiss.IndexIVF)
        self._lock = threading.Lock()  # the scratch memory of a GPU serves one search at a time
        self._index = faiss.index_cpu_to_gpus_list(index, options, list(plan.devices))
        if effort:
            faiss.GpuParameterSpace().set_index_parameter(self._index, "nprobe", min(effort, MOST))
        self.is_rough = plan.float16
        self.device = ", ".join(f"cuda:{number}" for number in plan.devices)
        self.device += " (sharded)" if plan.shard else ""

    def search(
        self, queries: Vectors, wanted: int, *, rows: int, count: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]] | None:
        """Give enough nearest, with scores, for ``wanted`` of ``count`` allowed among ``rows``, or ``None``."""
        asked = widened(wanted, rows, count)
        if asked > MOST:
            return None
        with self._lock:
            scores, positions = self._index.search(queries, asked)
        return scores, positions


def widened(wanted: int, rows: int, count: int) -> int:
    """Give how many rows to ask for so that ``wanted`` of them should be among ``count`` allowed ones."""
    return wanted if count >= rows else min(math.ceil(_ROOM * wanted * rows / max(count, 1)) + 8, rows)


def copied(index: Any, plan: Plan | None, *, effort: int) -> GpuCopy | None:
    """Copy an index to the GPUs of a plan, or give ``None`` and log why it stays on the CPU.

    Raises ``DeviceMemoryError`` when a named device has too little memory.
    """
    if plan is None:
        return None
    bytes_needed = needed(index, plan)
    if plan.memory and bytes_needed > plan.memory:
        _refuse(plan, f"the index needs {bytes_needed >> 20} MB a GPU, {plan.memory >> 20} MB are allowed")
        return None
    try:
        return GpuCopy(index, plan, effort=effort)
    except RuntimeError as error:
        text = str(error)
        if "memory" in text.lower() or "alloc" in text.lower():
            _refuse(plan, f"a GPU has too little memory for {bytes_needed >> 20} MB: {text[:200]}")
        else:
            log.warning("FAISS searches on the CPU: this kind of index cannot be copied to a GPU: %s", text[:200])
        return None


def _refuse(plan: Plan, reason: str) -> None:
    if plan.strict:
        raise DeviceMemoryError(f"{reason}; take device='auto' for the CPU instead, or a smaller kind of index")
    log.warning("FAISS searches on the CPU: %s", reason)
