"""Spans of a program that traces, none for one that does not, and what a collection counts."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from mmsdk import telemetry
from mmsdk.assistant import Assistant
from mmsdk.collection import Collection
from mmsdk.errors import InvalidFilterError
from mmsdk.langchain import Embeddings, VectorStore
from mmsdk.llms.echo import Echo
from mmsdk.runtime import Runtime
from mmsdk.testing import HashingEncoder
from mmsdk.types import Delta, Message


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Configure tracing for one test; the provider of a process can be set only once."""
    found = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(found))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield found
    provider.shutdown()


def _attributes(span: ReadableSpan) -> dict[str, object]:
    return {key: value for key, value in (span.attributes or {}).items() if "seed" not in key}


def test_adding_and_searching_are_spans_with_encoding_within(exporter: InMemorySpanExporter, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("The secret of the tent.")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with Collection.open(tmp_path / "shop", create=True, encoders=[HashingEncoder()]) as shop:
        shop.add([tmp_path / "secret.txt", tmp_path / "broken.png"])
        shop.search("secret tent", k=3)
        with pytest.raises(InvalidFilterError):
            shop.search("tent", where={"$no": 1})
    within, add, query, search = exporter.get_finished_spans()
    assert [span.name for span in (within, add, query, search)] == [
        "embeddings hashing",
        "add shop",
        "embeddings hashing",
        "retrieval shop",
    ]
    assert within.parent is not None
    assert within.parent.span_id == add.context.span_id
    assert query.parent is not None
    assert query.parent.span_id == search.context.span_id
    assert _attributes(within) == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "mmsdk",
        "gen_ai.request.model": "hashing",
        "gen_ai.embeddings.dimension.count": 256,
        "mmsdk.inputs": 1,
        "mmsdk.role": "document",
    }
    assert _attributes(add) == {
        "gen_ai.operation.name": "add",
        "gen_ai.data_source.id": str(tmp_path / "shop"),
        "mmsdk.documents": 1,
        "mmsdk.chunks": 1,
        "mmsdk.skipped": 0,
        "mmsdk.failed": 1,
    }
    assert _attributes(search) == {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.data_source.id": str(tmp_path / "shop"),
        "gen_ai.retrieval.top_k": 3,
        "mmsdk.queries": 1,
        "mmsdk.hits": 1,
    }
    assert "secret" not in "".join(span.to_json() for span in exporter.get_finished_spans()).replace("secret.txt", "")


def test_a_question_is_one_span_over_retrieval_and_generation(
    exporter: InMemorySpanExporter, bundled: Runtime, tmp_path: Path
) -> None:
    tracer = trace.get_tracer("program")
    with Collection.open(tmp_path / "shop", create=True, encoders=bundled.encoders()) as shop:
        shop.add_texts(["Returns are free within 30 days."])
        exporter.clear()
        events = Assistant(shop, Echo(replies=["Returns are free within 30 days. [1]"])).stream("Are returns free?")
        for _ in events:  # what the program does between two events is not part of the question
            with tracer.start_as_current_span("program"):
                pass
    spans = {span.name.split()[0]: span for span in exporter.get_finished_spans()}
    ask, chat = spans["invoke_agent"], spans["chat"]
    assert ask.parent is None
    assert spans["program"].parent is None
    for name in ("retrieval", "chat"):
        parent = spans[name].parent
        assert parent is not None
        assert parent.span_id == ask.context.span_id
    assert chat.name == "chat Echo"
    told = _attributes(chat)
    assert told["gen_ai.provider.name"] == "echo"
    assert told["gen_ai.usage.output_tokens"] == 7
    assert {"mmsdk.status": "answered", "mmsdk.citations": 1}.items() <= _attributes(ask).items()


def test_errors_and_closing_end_a_span(exporter: InMemorySpanExporter) -> None:
    class Failing(Echo):
        def _pieces(self, reply: str, read: int, max_tokens: int) -> Iterator[Delta]:  # type: ignore[override]
            yield Delta("half")
            raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        list(telemetry.generate(Failing(), [Message("user", "a b")]))
    stream = telemetry.generate(spoken := Echo(), [Message("user", "a b c d")], max_tokens=4, temperature=0.5)
    assert next(stream).text == "a"
    stream.close()
    assert spoken.spoken == 1
    failed, closed = exporter.get_finished_spans()
    assert failed.status.status_code is StatusCode.ERROR
    assert _attributes(failed)["error.type"] == "ConnectionError"
    assert closed.status.status_code is StatusCode.UNSET
    assert _attributes(closed)["gen_ai.request.max_tokens"] == 4


def test_nothing_of_opentelemetry_is_imported_by_us(tmp_path: Path) -> None:
    program = f"""
import sys
from mmsdk import Collection
from mmsdk.testing import HashingEncoder
with Collection.open({str(tmp_path / "shop")!r}, create=True, encoders=[HashingEncoder()]) as shop:
    shop.add_texts(["a tent"])
    assert len(shop.search("tent")) == 1
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_info_counts_and_times_what_this_object_did(tmp_path: Path) -> None:
    path = tmp_path / "shop"
    (tmp_path / "a.txt").write_text("A tent.")
    with Collection.open(path, create=True, encoders=[HashingEncoder()]) as shop:
        shop.add(tmp_path / "a.txt")
        shop.add(tmp_path / "a.txt")
        shop.add_texts(["boots", "stove"], ids=["boots", "stove"])
        shop.search_many(["tent", "boots"])
        shop.delete("boots")
        activity = shop.info()["activity"]
    assert {key: activity[key] for key in ("searches", "added", "deleted")} == {
        "searches": 2,
        "added": 3,
        "deleted": 1,
    }
    assert set(activity["seconds"]) >= {"read", "cut", "encode", "store", "dense", "text", "fetch"}
    assert all(seconds >= 0 for seconds in activity["seconds"].values())
    with Collection.open(path, encoders=()) as shop:
        assert shop.info()["activity"] == {"searches": 0, "added": 0, "deleted": 0, "seconds": {}}
    with VectorStore.from_texts(["a", "b"], Embeddings(HashingEncoder())) as store:
        assert store.collection.info()["activity"]["added"] == 2
