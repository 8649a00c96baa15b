"""A real server on loopback, in a thread of the test process."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from mmsdk.server.app import build
from mmsdk.server.loops import LOOP
from mmsdk.server.service import Service
from mmsdk.server.serving import Protocol
from mmsdk.settings import Settings


@dataclass
class Running:
    """A server that runs: its address, its service, and a client without a key."""

    url: str
    service: Service
    app: Any
    loop: Any = None

    def client(self, key: str | None = None, **options: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False, **options)


@contextmanager
def running(data: Path, settings: Settings, *, ui: bool = False, service: Service | None = None) -> Iterator[Running]:
    service = service or Service(data, settings)
    app = build(service, ui=ui)
    made = Running("", service, app)

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        made.loop = asyncio.get_running_loop()
        await app(scope, receive, send)

    vars(noting).update(refused=made.app.refused, heads=made.app.heads)  # what the protocol asks before there is a task
    config = uvicorn.Config(
        noting,
        port=0,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        loop=LOOP,
        ws="websockets-sansio",
        http=Protocol,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        made.url = f"http://127.0.0.1:{port}"
        yield made
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()
