"""The process in which files are parsed: ``python -m mmsdk.loaders.worker MEMORY_MB``.

It reads jobs from standard input and answers on standard output. It limits its own memory, is
killed by an alarm when a job takes too long even if its parent is gone, and knows no model.
"""

import os
import signal
import sys
from typing import Any, BinaryIO

from mmsdk.errors import DecodeError, MmsdkError
from mmsdk.loaders import wire
from mmsdk.loaders.parsed import Job, parse
from mmsdk.settings import Limits

GRACE = 2
"""Seconds after which the alarm rings when the parent should have killed us and did not."""


def main() -> None:
    """Serve jobs until the parent closes the pipe."""
    jobs, replies = _channels()
    limited = _limit_memory(int(sys.argv[1]))
    wire.send(replies, {"ready": True, "memory_limited": limited})
    while True:
        try:
            header, data = wire.receive(jobs, sys.maxsize)
        except wire.FrameError:
            return
        _alarm(header["limits"]["seconds"] + GRACE)
        reply, arrays = _answer(header, bytes(data))
        del data
        wire.send(replies, reply, arrays)
        _alarm(0)


def _channels() -> tuple[BinaryIO, BinaryIO]:
    """Keep the pipes to ourselves: what a parser prints goes to standard error, what it reads is empty."""
    jobs, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return jobs, replies


def _limit_memory(megabytes: int) -> bool:
    """Limit the address space to what is in use now and ``megabytes`` more. False where the system cannot."""
    try:
        import resource

        with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123
            used = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (megabytes << 20),) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):
        return False
    return True


def _alarm(seconds: float) -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _answer(header: dict[str, Any], data: bytes) -> tuple[dict[str, Any], list[memoryview]]:
    """Parse one file; every error becomes a reply. After ``MemoryError`` the parent replaces this process."""
    limits = Limits.model_validate(header["limits"])
    job = Job(header["name"], limits, header["pins"])
    try:
        return wire.pack(parse(data, job, only=tuple(header["only"])))
    except MmsdkError as error:
        return _refusal(error), []
    except MemoryError:
        needs = f"parsing needs more memory than limits.memory_mb = {limits.memory_mb}"
        return {**_refusal(DecodeError(needs)), "retire": True}, []
    except RecursionError:
        return _refusal(DecodeError("the file is nested too deep")), []
    except Exception as error:  # noqa: BLE001  # parsers of third parties raise whatever they like
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return _refusal(DecodeError(f"the file is damaged or of an unknown variant: {said}")), []


def _refusal(error: MmsdkError) -> dict[str, Any]:
    return {"error": type(error).__name__, "message": str(error), "pip": getattr(error, "pip", None)}


if __name__ == "__main__":
    main()
