"""What the server is made of, put together once: the app, the data folder, keys, lanes, batchers, threads.

Routes, tools and forms get this and nothing else. Knows nothing of HTTP.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from mmsdk import loaders
from mmsdk.app import App
from mmsdk.assistant import Assistant, Event
from mmsdk.collection import Collection
from mmsdk.errors import InputError, UnsupportedModalityError
from mmsdk.protocols import LLM, Closing, Encoder
from mmsdk.runtime import Runtime
from mmsdk.server.admission import Lane
from mmsdk.server.batching import Batcher
from mmsdk.server.folder import DataFolder
from mmsdk.server.keys import Key, Keys
from mmsdk.server.metrics import Metrics
from mmsdk.server.problems import RefusalError
from mmsdk.server.work import Stoppable, Waiting, Work
from mmsdk.settings import Serving, Settings
from mmsdk.types import Audio, Filter, Hit, Image, Message, Query


class ServingRuntime(Runtime):
    """Be a runtime whose encoders share batches between requests."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.model_copy(update={"precision": settings.server.precision}))
        self.batched: list[Batcher] = []
        self.told: Any = lambda _: None

    def encoders(self) -> tuple[Encoder, ...]:
        """Give the encoders that collections are made with, batched."""
        made: tuple[Encoder, ...] = self._once(
            "batched", lambda: tuple(map(self._batched, super(ServingRuntime, self).encoders()))
        )
        return made

    def _batched(self, encoder: Encoder) -> Batcher:
        server = self.settings.server
        batcher = Batcher(encoder, items=server.batch_items, tokens=server.batch_tokens,
                          waiting=server.inputs * 8, told=lambda size: self.told(size))  # fmt: skip
        self.batched.append(batcher)
        return batcher

    def close(self) -> None:
        """End the batchers, then close collections and models."""
        for batcher in self.batched:
            batcher.close()
        self.batched = []
        super().close()


class Service(Closing):
    """Hold the parts of one server over a data folder."""

    def __init__(self, data: str | Path, settings: Settings | None = None) -> None:
        self.runtime = ServingRuntime(settings or Settings.load())
        self.settings = self.runtime.settings
        self.app = App(self.settings, runtime=self.runtime)
        self.folder = DataFolder(data, self.runtime)
        self.keys = Keys(self.folder.own / "keys.sqlite")
        self.lanes = _lanes(self.settings.server)
        self.metrics = Metrics(self.lanes)
        self.runtime.told = self.metrics.batch.observe
        self.turns = threading.Semaphore(self.settings.server.generating)
        self.searches = threading.Semaphore(self.settings.server.searching)
        self.threads = ThreadPoolExecutor(sum(lane.slots for lane in self.lanes.values()), "mmsdk-serve")
        self.waiting = Waiting()
        self.settle: Callable[[], object] = lambda: None
        """Called when the models are loaded and before ``ready`` says so."""
        self.ready = False

    def collection(self, name: str, key: Key) -> Collection:
        """Open a collection that a key sees. Raises ``RefusalError`` 404, as if it were missing, for others."""
        if not key.sees(name) or name not in self.folder.names():
            raise RefusalError(404, "collection_not_found", f"there is no collection {name!r}", param="collection")
        return self.folder.open(name)

    def names(self, key: Key) -> list[str]:
        """Name the collections that a key sees."""
        return [name for name in self.folder.names() if key.sees(name)]

    def search(
        self, collection: Collection, query: Query, *, k: int = 8, where: Filter | None = None, **options: Any
    ) -> list[Hit]:
        """Search. Raises ``InputError`` for options that cannot be."""
        try:
            with self.searches:
                return collection.search(query, k, where, **options)
        except ValueError as error:
            raise InputError(str(error)) from error

    def stream(
        self,
        collection: Collection,
        question: Query,
        *,
        work: Work,
        history: Sequence[Message] = (),
        where: Filter | None = None,
    ) -> Iterator[Event]:
        """Answer as events come about; raises ``StoppedError`` between tokens when the work is stopped."""
        llm: LLM = Stoppable(self.runtime.llm(), work, turns=self.turns)
        assistant = Assistant(collection, llm, settings=self.settings)
        events: Any = assistant.stream(question, history=history, where=where)
        with closing(events):
            for event in events:
                work.check()
                if event.answer is not None:
                    self.metrics.tokens.labels("input").inc(event.answer.usage.input_tokens)
                    self.metrics.tokens.labels("output").inc(event.answer.usage.output_tokens)
                yield event

    def media(self, data: bytes | str, kind: type[Image] | type[Audio], *, field: str) -> Image | Audio:
        """Read a picture or a recording from bytes or an http(s) address. Raises ``InputError`` for another kind."""
        content = loaders.load(data)
        if not isinstance(content, kind):
            raise UnsupportedModalityError(f"{field} holds {content!r}, which is no {kind.__name__.lower()}")
        return content

    def close(self) -> None:
        """Close everything; calling it twice is fine."""
        self.threads.shutdown(wait=True, cancel_futures=True)
        self.app.close()
        self.keys.close()


def _lanes(server: Serving) -> dict[str, Lane]:
    """Make the lanes. As many searches as run wait in threads, so that the next begins without the event loop."""
    ahead = round(server.searching * min(server.queue, 1))
    slots = {
        "light": 64,
        "page": 256,
        "encode": server.encoding,
        "search": server.searching,
        "answer": server.answering,
        "add": server.adding,
    }
    lanes = {}
    for name, count in slots.items():
        waiting = max(1, round(count * (server.queue if name != "add" else 16)))
        more = min(ahead, waiting - 1) if name == "search" else 0
        lanes[name] = Lane(count + more, items=waiting - more, tokens=server.queue_tokens)
    return lanes
