"""One engine in one process: take texts in, answer queries one at a time. Run by ``__main__`` as a script.

    python engines.py ENGINE BACKEND JOB RESULT

ENGINE is a name of ``ENGINES``; BACKEND is ``default``, ``openvino`` (bfloat16) or ``bfloat16`` (torch), and for mmsdk
always ``default``. JOB is a JSON file with ``model``, ``folder``, ``texts`` (id to text) and ``queries``. Peers run in
an environment of their own, so nothing of mmsdk is imported here but by its own engine. Loading a model and, for
OpenVINO, converting it are not timed.
"""

# ruff: noqa: ARG002, D102

import json
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

K = 10
WARM = 20
Texts = Mapping[str, str]


class Mmsdk:
    """Everything that ``Collection.search`` does: hybrid, calibrated, with traces; durable when ``add`` returns."""

    def __init__(self, model: str, options: Mapping[str, Any], folder: str) -> None:
        from mmsdk.collection import Collection
        from mmsdk.settings import Chunking, Settings

        whole = Chunking(size=20_000)  # one vector a text, as the peers have
        self.collection = Collection.open(Path(folder) / "c", create=True, settings=Settings(chunking=whole))

    def add(self, texts: Texts) -> None:
        self.collection.add_texts(list(texts.values()), list(texts))

    def search(self, query: str) -> list[str]:
        return [hit.chunk.document_id for hit in self.collection.search(query, k=K)]

    def dense(self, query: str) -> list[str]:
        """Find by vectors alone, which is what the peers do."""
        encoder, store = self.collection.encoders[0], self.collection.store
        found = store.search(encoder.space, encoder.encode([query], role="query"), K)[0]
        return [chunk.document_id for chunk in store.get([name for name, _ in found])]


class LangChain:
    """LangChain's FAISS store (flat) with HuggingFaceEmbeddings."""

    def __init__(self, model: str, options: Mapping[str, Any], folder: str) -> None:
        from langchain_community.embeddings import HuggingFaceEmbeddings

        self.embeddings = HuggingFaceEmbeddings(model_name=model, model_kwargs=dict(options))
        self.embeddings.embed_query("warm")

    def add(self, texts: Texts) -> None:
        from langchain_community.vectorstores import FAISS

        self.store = FAISS.from_texts(list(texts.values()), self.embeddings, ids=list(texts))

    def search(self, query: str) -> list[str]:
        return [str(found.id) for found in self.store.similarity_search(query, k=K)]


class Chroma:
    """Chroma in a folder (HNSW) with its sentence-transformers function, in the largest batches that it takes."""

    def __init__(self, model: str, options: Mapping[str, Any], folder: str) -> None:
        import chromadb
        from chromadb.utils.embedding_functions import SentenceTransformerEmbeddingFunction

        self.client = chromadb.PersistentClient(folder)
        plain = {key: value for key, value in options.items() if key != "model_kwargs"}
        function = SentenceTransformerEmbeddingFunction(model, **plain)
        if "model_kwargs" in options:  # it takes primitive values only
            function._model = sentence_transformer(model, options)
        function(["warm"])
        self.collection = self.client.create_collection("texts", embedding_function=function)

    def add(self, texts: Texts) -> None:
        ids, most = list(texts), self.client.get_max_batch_size()
        for start in range(0, len(ids), most):
            some = ids[start : start + most]
            self.collection.add(ids=some, documents=[texts[name] for name in some])

    def search(self, query: str) -> list[str]:
        return list(self.collection.query(query_texts=[query], n_results=K)["ids"][0])


class Txtai:
    """Txtai at its defaults (FAISS), contents kept."""

    def __init__(self, model: str, options: Mapping[str, Any], folder: str) -> None:
        from txtai import Embeddings

        way = {"method": "sentence-transformers", "vectors": dict(options)} if options else {}
        self.embeddings = Embeddings(path=model, content=True, **way)
        self.embeddings.transform("warm")

    def add(self, texts: Texts) -> None:
        self.embeddings.index(list(texts.items()))

    def search(self, query: str) -> list[str]:
        return [found["id"] for found in self.embeddings.search(query, K)]


class LanceDB:
    """LanceDB in a folder, without an index (its default: exact), with its sentence-transformers function."""

    def __init__(self, model: str, options: Mapping[str, Any], folder: str) -> None:
        import lancedb
        from lancedb.embeddings import get_registry
        from lancedb.pydantic import LanceModel, Vector

        function = get_registry().get("sentence-transformers").create(name=model, device="cpu")
        if options:  # it takes no options: its model is exchanged
            loaded = sentence_transformer(model, options)
            type(function).get_embedding_model = lambda _: loaded

        class Row(LanceModel):  # type: ignore[misc]
            id: str
            text: str = function.SourceField()
            vector: Vector(function.ndims()) = function.VectorField()  # type: ignore[valid-type]

        self.table = lancedb.connect(folder).create_table("texts", schema=Row)

    def add(self, texts: Texts) -> None:
        self.table.add([{"id": name, "text": text} for name, text in texts.items()])

    def search(self, query: str) -> list[str]:
        return [row["id"] for row in self.table.search(query).limit(K).to_list()]


class Haystack:
    """Haystack's in-memory document store with its sentence-transformers embedders."""

    def __init__(self, model: str, options: Mapping[str, Any], folder: str) -> None:
        from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
        from haystack.document_stores.in_memory import InMemoryDocumentStore
        from haystack_integrations.components.embedders import sentence_transformers as embedders

        self.documents = embedders.SentenceTransformersDocumentEmbedder(model=model, progress_bar=False, **options)
        self.asked = embedders.SentenceTransformersTextEmbedder(model=model, progress_bar=False, **options)
        for part in (self.documents, self.asked):
            part.warm_up()
        self.store = InMemoryDocumentStore()
        self.retriever = InMemoryEmbeddingRetriever(self.store, top_k=K)

    def add(self, texts: Texts) -> None:
        from haystack import Document

        given = [Document(id=name, content=text) for name, text in texts.items()]
        self.store.write_documents(self.documents.run(given)["documents"])

    def search(self, query: str) -> list[str]:
        vector = self.asked.run(query)["embedding"]
        return [found.id for found in self.retriever.run(query_embedding=vector)["documents"]]


ENGINES: dict[str, Callable[[str, Mapping[str, Any], str], Any]] = {
    "mmsdk": Mmsdk,
    "langchain": LangChain,
    "chroma": Chroma,
    "txtai": Txtai,
    "lancedb": LanceDB,
    "haystack": Haystack,
}


def sentence_transformer(model: str, options: Mapping[str, Any]) -> Any:
    """Load a model with options that an engine has no way to pass on."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(model, **options)


def options_of(backend: str) -> dict[str, Any]:
    """Give the options of sentence-transformers for a backend."""
    if backend == "openvino":
        kwargs = {"file_name": "openvino/openvino_model.xml", "ov_config": {"INFERENCE_PRECISION_HINT": "bf16"}}
        return {"backend": "openvino", "model_kwargs": kwargs}
    if backend == "bfloat16":
        return {"model_kwargs": {"torch_dtype": "bfloat16"}}
    return {}


def timed(search: Callable[[str], list[str]], queries: Sequence[str]) -> dict[str, Any]:
    """Give milliseconds, by the clock and of the processor, and hits of queries asked one at a time, warm."""
    for query in queries[:WARM]:
        search(query)
    clock, processor, hits = [], [], []
    for query in queries:
        start, worked = time.perf_counter(), time.process_time()
        hits.append(search(query))
        clock.append(1e3 * (time.perf_counter() - start))
        processor.append(1e3 * (time.process_time() - worked))
    return {"milliseconds": clock, "worked": processor, "hits": hits}


def main(name: str, backend: str, job: str, result: str) -> None:
    given = json.loads(Path(job).read_text("utf-8"))
    engine = ENGINES[name](given["model"], options_of(backend), given["folder"])
    if name == "mmsdk":
        engine.collection.encoders[0].encode(["warm"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, worked = time.perf_counter(), time.process_time()
    engine.add(given["texts"])
    seconds, worked = time.perf_counter() - start, time.process_time() - worked
    found = {"seconds": seconds, "processor": worked, "loaded_kib": before, **timed(engine.search, given["queries"])}
    found["peak_kib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if name == "mmsdk":
        found["dense"] = [engine.dense(query) for query in given["queries"]]
    Path(result).write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
