"""Run the server: where it listens, when it may, and how it ends.

Without any key it listens on loopback only. On SIGTERM it takes no more requests, sends away those that
wait, finishes those that run, stops those that take longer than a minute, and closes the data folder.
"""

import asyncio
import ipaddress
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from mmsdk.errors import SettingsError
from mmsdk.server import logs
from mmsdk.server.app import build
from mmsdk.server.service import Service
from mmsdk.settings import Settings

_GRACE = 60
_LONG = 32 << 10
"""Bytes that the headers of a request may have."""


class _TerminatedError(SystemExit):
    """SIGTERM came, or uvicorn gives on the one that ended it."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the lanes first, so that whoever waits is told at once."""
        for lane in self._service.lanes.values():
            lane.close()
        await super().shutdown(sockets)


def serve(
    data: str | Path, settings: Settings | None = None, *, host: str = "127.0.0.1", port: int = 8000, ui: bool = True
) -> None:
    """Serve a data folder until a signal ends it.

    Raises ``SettingsError`` for an address beyond this machine while there is no key.
    """
    with _until_terminated(), Service(data, settings) as service:
        check(service, host)
        logs.install()
        config = uvicorn.Config(
            build(service, host=host, ui=ui),
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=_GRACE,
            h11_max_incomplete_event_size=_LONG,
            ws_max_size=1 << 20,
        )
        open_to = "everybody on this machine: no key was ever made" if not service.keys.any() else "holders of a key"
        logs.tell(logging.INFO, "serving", address=f"http://{host}:{port}", open_to=open_to)
        _Server(config, service).run()


@contextmanager
def _until_terminated() -> Iterator[None]:
    """Leave the block on SIGTERM in good order.

    uvicorn raises the signal again once it has shut down; by default that kills the process before the service
    is closed, with a status that says failure.
    """

    def leave(*_: Any) -> None:
        raise _TerminatedError(0)

    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread only
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    except _TerminatedError:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)


def check(service: Service, host: str) -> None:
    """Raise ``SettingsError`` when the server would be open to other machines without any key."""
    if not service.keys.any() and not is_loopback(host):
        raise SettingsError(
            f"without any key the server listens on this machine only, not on {host}; make one: "
            f"mmsdk keys create NAME --data {service.folder.path}, or leave out --host"
        )


def is_loopback(host: str) -> bool:
    """Say whether an address leads to this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve_tools(data: str | Path, settings: Settings | None = None) -> None:
    """Serve the tools of the Model Context Protocol over standard input and output."""
    from mmsdk.server.mcp import Tools

    with Service(data, settings) as service:
        logs.install(level=logging.WARNING)
        asyncio.run(Tools(service).stdio())
