"""LangChain's own test suites over mmsdk, and what they do not ask for."""

import datetime
import gc
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.embeddings import Embeddings as LangChainEmbeddings
from langchain_core.messages import AIMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import ToolException
from langchain_core.vectorstores import VectorStore as LangChainVectorStore
from langchain_tests.integration_tests import (
    EmbeddingsIntegrationTests,
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)
from langchain_tests.unit_tests import EmbeddingsUnitTests
from langgraph.graph import MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from pydantic import BaseModel

from mmsdk.app import App
from mmsdk.collection import Collection
from mmsdk.errors import EncoderMismatchError, InputError, InvalidFilterError, UnsupportedModalityError
from mmsdk.langchain import Embeddings, FromLangChain, Retriever, VectorStore, tools
from mmsdk.plugin import NoConfig, Plugin, task
from mmsdk.testing import HashingEncoder
from mmsdk.types import Audio, Image


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
        assert store.get_by_ids(["b", "missing", "a"])[1].page_content == long
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


def test_vector_store_gives_texts_back_as_they_came_and_metadata_as_json_has_it() -> None:
    texts = ["", "  spaces\n", "a\r\nb", "句子。 \u2028", "x" * 5000]
    given = {
        "day": datetime.date(2024, 5, 6),
        "at": datetime.datetime(2024, 5, 6, 7, 8, tzinfo=datetime.UTC),
        "path": Path("a/b.txt"),
        "id": uuid.UUID(int=7),
        "tuple": (1, 2.5, None, True),
        "number": np.float32(0.5),
        "nan": float("nan"),
        "中": {"deep": ["文"]},
    }
    with VectorStore(Hashing()) as store:
        ids = store.add_texts(iter(texts), [given] * len(texts))
        assert [found.page_content for found in store.get_by_ids(ids)] == texts
        assert store.get_by_ids(ids)[0].metadata == {
            "day": "2024-05-06",
            "at": "2024-05-06T07:08:00Z",
            "path": "a/b.txt",
            "id": str(uuid.UUID(int=7)),
            "tuple": [1, 2.5, None, True],
            "number": 0.5,
            "nan": None,
            "中": {"deep": ["文"]},
        }
        assert store.similarity_search("x", k=9, filter={"day": {"$gt": "2024-05-05"}, "中.deep": "文"})
        for wrong in ({"f": print}, {"big": 1 << 70}, {"text": "\ud800"}):
            with pytest.raises(InputError, match="metadata of document"):
                store.add_texts(["never kept"], [wrong], ids=["wrong"])
        with pytest.raises(ValueError, match="2 texts need 2 metadatas, not 1"):
            store.add_texts(["a", "b"], [{}])
        with pytest.raises(ValueError, match="2 texts need 2 ids, not 1"):
            store.add_texts(["a", "b"], ids=["a"])
        assert store.get_by_ids(["wrong", "a"]) == []
        assert store.add_texts([]) == []


def test_vector_store_replaces_by_id_and_deletes_by_filter() -> None:
    documents = [Document(id="a", page_content="one", metadata={"n": 1}), Document(page_content="two")]
    with VectorStore.from_documents(documents, Hashing()) as store:
        assert store.add_documents([Document(id="a", page_content="three"), Document(id="a", page_content="four")]) == [
            "a",
            "a",
        ]
        assert [found.page_content for found in store.get_by_ids(["a", "a"])] == ["four", "four"]
        assert len(store.collection) == 2
        store.delete(["a", "unknown"])
        store.delete([])
        assert len(store.collection) == 1
        store.add_texts(["five", "six"], [{"n": 5}, {"n": 6}])
        store.delete(filter={"n": {"$gte": 6}})
        assert {found.page_content for found in store.similarity_search("six", k=9)} == {"two", "five"}
        with pytest.raises(InvalidFilterError):
            store.similarity_search("six", filter=lambda metadata: True)  # type: ignore[arg-type]


def test_vector_store_as_a_retriever_in_every_search_type() -> None:
    texts = ["A tent for two.", "A tent for two!", "Boots for the winter.", "A stove."]
    with VectorStore.from_texts(texts, Hashing(), [{"n": n} for n in range(4)]) as store:
        near = store.as_retriever(search_kwargs={"k": 1, "filter": {"n": {"$ne": 0}}})
        assert [found.page_content for found in near.invoke("A tent for two.")] == ["A tent for two!"]
        mixed = store.as_retriever(search_type="mmr", search_kwargs={"k": 2, "fetch_k": 4, "lambda_mult": 0.1})
        assert {found.metadata["n"] for found in mixed.invoke("A tent for two.")} & {2, 3}
        vector = store.embeddings.embed_query("A tent for two.")
        apart = store.max_marginal_relevance_search_by_vector(vector, 2, 4, 0.1, filter={"n": {"$gt": 0}})
        assert apart[0].metadata["n"] == 1
        sure = store.as_retriever(search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.9})
        assert {found.metadata["n"] for found in sure.invoke("A tent for two.")} <= {0, 1}
        with pytest.raises(ValueError, match="256 components, not 3"):
            store.similarity_search_by_vector([0.0, 1.0, 0.0])


def test_a_store_without_a_path_leaves_nothing_behind() -> None:
    closed = VectorStore.from_texts(["a"], Hashing())
    dropped = VectorStore.from_texts(["a"], Hashing())
    folders = [Path(store.collection.store.info()["path"]) for store in (closed, dropped)]
    assert all(folder.is_dir() for folder in folders)
    closed.close()
    closed.close()
    assert [folder.exists() for folder in folders] == [False, True]
    del dropped
    gc.collect()
    assert not folders[1].parent.exists()
    with pytest.raises(InputError):
        VectorStore.from_texts(["a"], Hashing(), [{"f": print}])


def test_embeddings_take_names_files_pictures_and_recordings(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (40, 30), "red").save(tmp_path / "红.png")
    embeddings = Embeddings(HashingEncoder(modalities=frozenset({"text", "image", "audio"})))
    picture = Image(np.full((30, 40, 3), (255, 0, 0), np.uint8))
    assert embeddings.embed_images([tmp_path / "红.png"]) == embeddings.embed_images([picture])
    (row,) = embeddings.embed_audio([Audio(np.zeros(160, np.float32), 16000)])
    assert np.isclose(np.linalg.norm(row), 1)
    with pytest.raises(UnsupportedModalityError, match="not one of Audio"):
        embeddings.embed_audio([str(tmp_path / "红.png")])
    named = Embeddings("text:all-MiniLM-L6-v2")
    assert named.encoder is Embeddings().encoder


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


class Refuse(Plugin):
    name = "refuse"

    @task
    def order(self, request: Text) -> Text:
        """Take an order."""
        raise {"wrong": InputError("there is no such lamp"), "odd": ValueError("less than 1")}[request.text]


def test_an_error_of_a_task_is_told_to_the_llm(monkeypatch: pytest.MonkeyPatch) -> None:
    """With LangGraph's own node; what nobody raised on purpose ends the run as before."""
    with App() as app:
        plugin = Refuse(app.runtime, NoConfig())
        monkeypatch.setattr(App, "tasks", {"refuse.order": plugin.tasks()["order"]})
        monkeypatch.setattr(app, "plugin", lambda name: plugin)
        (tool,) = tools(app)
        graph = StateGraph(MessagesState)
        graph.add_node("tools", ToolNode([tool]))
        graph.set_entry_point("tools")
        agent = graph.compile()

        def called(text: str) -> Any:
            call = {"name": tool.name, "args": {"text": text}, "id": "1", "type": "tool_call"}
            return agent.invoke({"messages": [AIMessage("", tool_calls=[call])]})["messages"][-1]

        for text, said in (("wrong", "input: there is no such lamp"), ("odd", "input: less than 1")):
            told = called(text)
            assert (told.type, told.status, told.content) == ("tool", "error", said)
        with pytest.raises(KeyError):
            called("broken")
        tool.handle_tool_error = False
        with pytest.raises(ToolException, match="no such lamp") as raised:
            tool.invoke({"text": "wrong"})
        assert isinstance(raised.value.__cause__, InputError)
