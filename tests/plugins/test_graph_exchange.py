"""With others: a graph server, LangChain's graph documents, an LLM, an assistant; communities."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmsdk.llms.echo import Echo
from mmsdk.types import Answer
from mmsdk_graph import KnowledgeGraph
from mmsdk_graph.answers import GraphAssistant, GraphRetriever
from mmsdk_graph.communities import communities
from mmsdk_graph.langchain import add_graph_documents, to_graph_documents
from mmsdk_graph.llm import LLMReader
from mmsdk_graph.schema import default
from mmsdk_graph.sync import sync
from tests.plugins.graph_texts import DOCUMENTS, NEWS

pytestmark = pytest.mark.usefixtures("bundled")


class Server:
    """Hold what the statements of ``sync`` make, as a graph server would."""

    def __init__(self, fails_after: int = 10**9) -> None:
        self.nodes: dict[str, Any] = {}
        self.edges: dict[str, Any] = {}
        self.calls, self.fails_after = 0, fails_after

    def run(self, query: str, parameters: Mapping[str, Any]) -> None:
        self.calls += 1
        if self.calls > self.fails_after:
            raise ConnectionError("the server went away")
        if "DETACH DELETE n" in query:
            for number in parameters["ids"]:
                del self.nodes[number]
                self.edges = {k: e for k, e in self.edges.items() if number not in (e["head"], e["tail"])}
        elif "DELETE r" in query:
            for number in parameters["ids"]:
                self.edges.pop(number, None)
        else:
            into = self.edges if "MERGE (a)-[r:" in query else self.nodes
            for row in parameters["rows"]:
                if into is self.edges:
                    assert row["head"] in self.nodes
                    assert row["tail"] in self.nodes
                into[row["id"]] = row


def same(server: Server, graph: KnowledgeGraph) -> bool:
    return (set(server.nodes), set(server.edges)) == (
        {e.id for e in graph.entities()},
        {t.id for t in graph.triples()},
    )


def test_a_server_is_kept_up_to_date_by_what_changed(tmp_path: Path) -> None:
    server = Server()
    with KnowledgeGraph.open(tmp_path / "g") as graph:
        for name, text in DOCUMENTS.items():
            graph.add_text(text, source=name)
        first = sync(graph, server)
        assert same(server, graph)
        assert sync(graph, server) == {"sent": 0, "removed": 0}
        graph.delete(source="a")
        graph.add_text("Siemens AG is based in Munich.", source="g")
        assert 0 < sync(graph, server)["sent"] < first["sent"]
        assert same(server, graph)
        graph.delete(source="e")
        broken = Server(fails_after=0)
        with pytest.raises(ConnectionError):
            sync(graph, broken)
        sync(graph, server)
        assert same(server, graph)


def test_graph_documents_go_both_ways(tmp_path: Path) -> None:
    with KnowledgeGraph.open(tmp_path / "a") as one, KnowledgeGraph.open(tmp_path / "b") as other:
        one.add_text(NEWS, source="news")
        assert add_graph_documents(other, to_graph_documents(one)).documents == 1
        expected = {(t.head.name, t.relation, t.tail.name) for t in one.triples()}
        assert {(t.head.name, t.relation, t.tail.name) for t in other.triples()} == expected
        node = SimpleNamespace(id="X", type="Spaceship", properties={})
        said = SimpleNamespace(nodes=[node], relationships=[], source=SimpleNamespace(page_content="X", metadata={}))
        add_graph_documents(other, [said])
        assert {"kind": "type", "name": "Spaceship", "times": 1} in other.review()["unknown"]


def test_an_llm_reads_under_the_schema_and_invents_no_name(tmp_path: Path) -> None:
    said = (
        '{"relations": [{"head": "Acme", "head_type": "Organization", "relation": "based_in", "tail": "Bern", '
        '"tail_type": "Location", "standing": "asserted"}, {"head": "Nobody", "head_type": "Person", "relation": '
        '"born_in", "tail": "Bern", "tail_type": "Location", "standing": "asserted"}]}'
    )
    with KnowledgeGraph.open(tmp_path / "g", reader=LLMReader(Echo(replies=[said]), default())) as graph:
        graph.add_text("Everybody at Acme loves Bern, where it sits.", source="a")
        assert [(t.head.name, t.relation, t.tail.name) for t in graph.triples({"layer": "llm"})] == [
            ("Acme", "based_in", "Bern")
        ]


class Nothing:
    """A retriever and an assistant that find nothing."""

    def retrieve(self, query: Any, k: int = 8, *, where: Any = None) -> list[Any]:
        return []

    def ask(self, question: str, *, history: Any = ()) -> Answer:
        return Answer("nothing", "not_in_sources")


def test_a_question_over_two_documents_cites_both(tmp_path: Path) -> None:
    with KnowledgeGraph.open(tmp_path / "g") as graph:
        graph.add_text("Jane Smith leads Acme Corp. since May.", source="a")
        graph.add_text("Acme Corporation is based in London.", source="b")
        graph.add_text("Beta Systems is based in Paris.", source="c")
        assistant: Any = Nothing()
        answer = GraphAssistant(graph, assistant).ask("Where is the company that Jane Smith leads based?")
        assert [c.hit.chunk.source for c in answer.citations] == ["a", "b"]
        assert all(answer.text[c.start : c.stop] == c.quote for c in answer.citations)
        assert GraphAssistant(graph, assistant).ask("What is the price of tea?").status == "not_in_sources"
        hits = GraphRetriever(Nothing(), graph).retrieve("Where is the company that Jane Smith leads based?")
        assert {hit.chunk.source for hit in hits} == {"a", "b"}


def test_communities_are_told_by_their_sentences(tmp_path: Path) -> None:
    with KnowledgeGraph.open(tmp_path / "g") as graph:
        graph.add_text("Acme Corp. acquired Beta Systems. Jane Smith leads Acme Corp.", source="a")
        graph.add_text("Siemens AG is based in Munich.", source="b")
        first, second = communities(graph)
        assert {e.name for e in first.entities} == {"Acme Corp.", "Beta Systems", "Jane Smith"}
        assert "acquired" in first.summary()
        assert second.summary() == "Siemens AG is based in Munich."
