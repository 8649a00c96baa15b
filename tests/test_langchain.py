"""LangChain's own test suites over mmsdk, and what they do not ask for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.embeddings import Embeddings as LangChainEmbeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore as LangChainVectorStore
from langchain_tests.integration_tests import (
    EmbeddingsIntegrationTests,
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)
from langchain_tests.unit_tests import EmbeddingsUnitTests
from pydantic import BaseModel

from mmsdk.app import App
from mmsdk.collection import Collection
from mmsdk.errors import EncoderMismatchError, UnsupportedModalityError
from mmsdk.langchain import Embeddings, FromLangChain, Retriever, VectorStore, tools
from mmsdk.plugin import NoConfig, Plugin, task
from mmsdk.testing import HashingEncoder
from mmsdk.types import Image


class Hashing(Embeddings):
    """Embeddings that the suites can build without an argument."""

    def __init__(self) -> None:
        super().__init__(HashingEncoder())


class TestEmbeddingsUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[LangChainEmbeddings]:
        return Hashing


class TestEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[LangChainEmbeddings]:
        return Hashing


class TestVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self) -> Iterator[LangChainVectorStore]:
        with VectorStore(self.get_embeddings()) as store:
            yield store


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    path = tmp_path_factory.mktemp("shop") / "collection"
    with Collection.open(path, create=True, encoders=[HashingEncoder()]) as opened:
        opened.add_texts(
            ["A tent for two.", "Boots for the winter.", "A stove for the tent.", "带锁的柜子。"],
            ["tent", "boots", "stove", "locker"],
            [{"price": 200}, {"price": 90}, {"price": 40}, {"price": 10}],
        )
        yield opened


class TestRetriever(RetrieversIntegrationTests):
    collection: Collection

    @pytest.fixture(autouse=True)
    def _opened(self, shop: Collection) -> None:
        type(self).collection = shop

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return Retriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"retriever": self.collection}

    @property
    def retriever_query_example(self) -> str:
        return "tent"


def test_retriever_says_where_and_how_near(shop: Collection) -> None:
    found = Retriever(shop, k=2, where={"price": {"$lt": 100}}).invoke("a stove for a tent")
    assert found[0].id == "stove"
    assert found[0].metadata["locator"] == {"kind": "characters", "start": 0, "stop": 21}
    assert 0 <= found[1].metadata["score"] <= found[0].metadata["score"] <= 1


def test_vector_store_filters_keeps_long_texts_whole_and_lasts(tmp_path: Path) -> None:
    long = "Tents are light. " * 400
    with VectorStore(Hashing(), tmp_path / "store") as store:
        store.add_texts([long, "Boots."], [{"kind": "tent"}, {"kind": "boots"}], ids=["a", "b"])
    with VectorStore(Hashing(), tmp_path / "store") as store:
        assert store.get_by_ids(["b", "missing", "a"])[1].page_content == long.strip()
        ((found, score),) = store.similarity_search_with_relevance_scores("tents", k=5, filter={"kind": "boots"})
        assert (found.page_content, found.id) == ("Boots.", "b")
        assert 0 <= score <= 1
        vector = store.embeddings.embed_query("Boots.")
        assert store.similarity_search_by_vector(vector, k=1)[0].id == "b"
        assert {document.id for document in store.max_marginal_relevance_search("boots", k=2)} == {"a", "b"}
        store.delete()
        assert store.max_marginal_relevance_search("boots", k=2) == []
    with pytest.raises(EncoderMismatchError):
        VectorStore(DeterministicFakeEmbedding(size=8), tmp_path / "store")


def test_from_langchain_is_an_encoder_with_a_fingerprint() -> None:
    encoder = FromLangChain(DeterministicFakeEmbedding(size=8))
    rows = encoder.encode(["a", "b"])
    assert rows.shape == (2, 8)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1)
    assert encoder.fingerprint == FromLangChain(DeterministicFakeEmbedding(size=8)).fingerprint
    assert encoder.fingerprint != FromLangChain(DeterministicFakeEmbedding(size=9)).fingerprint
    with pytest.raises(UnsupportedModalityError):
        encoder.encode([Image(np.zeros((2, 2, 3), np.uint8))])


class Text(BaseModel):
    text: str
    times: int = 1


class Shout(Plugin):
    name = "shout"

    @task
    def upper(self, request: Text) -> Text:
        """Write it in capitals."""
        return Text(text=request.text.upper() * request.times)


def test_every_plugin_task_is_a_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    with App() as app:
        plugin = Shout(app.runtime, NoConfig())
        monkeypatch.setattr(App, "tasks", {"shout.upper": plugin.tasks()["upper"]})
        monkeypatch.setattr(app, "plugin", lambda name: plugin)
        (tool,) = tools(app)
        assert (tool.name, tool.description) == ("shout_upper", "Write it in capitals.")
        assert set(tool.args) == {"text", "times"}
        assert tool.invoke({"text": "hi", "times": 2}) == {"text": "HIHI", "times": 1}
