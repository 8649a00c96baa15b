"""The graph: provenance, idempotence, deletion, decisions, queries that only read, exports that others read."""

import csv
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mmsdk.errors import CollectionError, InputError
from mmsdk_graph import KnowledgeGraph, Schema
from mmsdk_graph.export import read_rdf, sparql, write
from mmsdk_graph.projection import check
from tests.plugins.graph_texts import DOCUMENTS, NEWS

pytestmark = pytest.mark.usefixtures("bundled")


def facts(graph: KnowledgeGraph) -> list[Any]:
    """Everything that must not depend on how the graph came about."""
    triples = graph.triples({"standing": {"$exists": True}, "kind": {"$exists": True}})
    supports = [[(s.sentence, s.document, s.locator, s.extractor, s.confidence) for s in t.supports] for t in triples]
    return [[t.fields() for t in triples], supports, graph.entities(), graph.review()]


@pytest.fixture(scope="module")
def news(tmp_path_factory: pytest.TempPathFactory, bundled: Any) -> KnowledgeGraph:
    graph = KnowledgeGraph.open(tmp_path_factory.mktemp("graph") / "news", settings=bundled.settings)
    graph.add_text(NEWS, source="news")
    return graph


def test_every_fact_shows_its_sentences(news: KnowledgeGraph) -> None:
    (bought,) = news.triples({"relation": "acquired", "head": "Acme Corp."})
    assert bought.tail.name == "Beta Systems"
    assert bought.valid_from == "2019"
    assert bought.head.aliases == ("Acme", "Acme Corporation")
    assert len(bought.sentences) == 2
    for support in bought.supports:
        start, stop = int(support.locator["start"]), int(support.locator["stop"])
        assert NEWS[start:stop] == support.sentence
        assert (support.source, support.layer) == ("news", "pattern")
    assert bought.confidence > max(s.confidence for s in bought.supports)


def test_only_what_is_asserted_is_a_fact(news: KnowledgeGraph) -> None:
    assert not news.triples({"name": "Yahoo"})
    standings = {t.tail.name: t.standing for t in news.triples({"standing": {"$ne": "asserted"}})}
    assert {k: standings[k] for k in ("Yahoo", "Mobileye", "Red Hat")} == {
        "Yahoo": "negated",
        "Mobileye": "hypothetical",
        "Red Hat": "attributed",
    }


def test_layers_stay_apart(news: KnowledgeGraph) -> None:
    assert {t.kind for t in news.triples()} == {"fact"}
    assert {t.relation for t in news.triples({"kind": "cooccurrence"})} == {"co_occurs"}
    assert {t.kind for t in news.triples({"kind": "open"})} <= {"open"}


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    with KnowledgeGraph.open(tmp_path / "g") as graph:
        graph.add_text(NEWS, source="news")
        before, version = facts(graph), graph.store.version
        assert graph.add_text(NEWS, source="news").skipped == 1
        assert (facts(graph), graph.store.version) == (before, version)
    with KnowledgeGraph.open(tmp_path / "g", create=False) as graph:
        assert facts(graph) == before


def operate(folder: Path, operations: int, seed: int) -> None:
    """Add, change and delete at random; the graph must equal one built from scratch."""
    chance, kept = random.Random(seed), dict[str, str]()
    with KnowledgeGraph.open(folder / "changed") as graph:
        for _ in range(operations):
            name = chance.choice(sorted(DOCUMENTS))
            if chance.random() < 0.4:
                assert graph.delete(source=name) == (kept.pop(name, None) is not None)
            else:
                kept[name] = " ".join(chance.sample([DOCUMENTS[name], DOCUMENTS[chance.choice("abcdef")]], 2))
                graph.add_text(kept[name], source=name)
        changed = facts(graph)
    with KnowledgeGraph.open(folder / "fresh") as graph:
        for name in sorted(kept, reverse=True):
            graph.add_text(kept[name], source=name)
        assert facts(graph) == changed
        for name in kept:
            graph.delete(source=name)
        assert facts(graph) == [[], [], [], {"pairs": [], "unknown": [], "contradictions": []}]


def test_random_operations_equal_a_graph_from_scratch(tmp_path: Path) -> None:
    operate(tmp_path, 40, 1)


@pytest.mark.soak
def test_five_hundred_random_operations_equal_a_graph_from_scratch(tmp_path: Path) -> None:
    operate(tmp_path, 500, 2)


def test_decisions_hold_and_are_undone(tmp_path: Path) -> None:
    with KnowledgeGraph.open(tmp_path / "g") as graph:
        graph.add_text(NEWS, source="news")
        (bought,) = graph.triples({"relation": "acquired", "head": "Acme Corp."})
        graph.reject(bought.id)
        assert not graph.triples({"relation": "acquired", "head": "Acme Corp."})
        graph.add_text(NEWS + " Acme Corp. acquired Beta Systems.", source="news")
        assert not graph.triples({"relation": "acquired", "head": "Acme Corp."})
        graph.undo()
        assert graph.triples({"relation": "acquired", "head": "Acme Corp."})
        graph.accept(bought.id)
        assert graph.triples({"id": bought.id})[0].confidence == 1.0
        number = graph.merge("Google", "Microsoft")
        assert graph.entity("Google") == graph.entity("Microsoft")
        graph.undo(number)
        assert graph.entity("Google") != graph.entity("Microsoft")
        graph.never("Acme", "Acme Corp.")
        assert graph.entity("Acme").id != graph.entity("Acme Corp.").id
        with pytest.raises(InputError, match="no triple"):
            graph.accept("nothing")
        with pytest.raises(InputError, match="no decision 99"):
            graph.undo(99)


def test_contradictions_are_listed(tmp_path: Path) -> None:
    with KnowledgeGraph.open(tmp_path / "g") as graph:
        graph.add_text("Jane Smith was born in London. Jane Smith was born in Paris.", source="a")
        (pair,) = graph.contradictions()
        assert {t.tail.name for t in pair} == {"London", "Paris"}
        assert len(graph.triples()) == 2


def test_cypher_finds_paths(news: KnowledgeGraph) -> None:
    rows = news.query(
        "MATCH (p:Person)-[:works_for]->(o:Organization)-[r:acquired]->(b) RETURN p.name, b.name, r.sentences"
    )
    assert [(row["p.name"], row["b.name"]) for row in rows] == [("Jane Smith", "Beta Systems")]
    assert len(rows[0]["r.sentences"]) == 2
    assert news.query("MATCH (a {name: $name}) RETURN a.type", {"name": "Armonk"}) == [{"a.type": "Location"}]


@pytest.mark.parametrize(
    "cypher",
    [
        "CREATE (:Person {id: 'x'})",
        "MATCH (a) DETACH DELETE a",
        "COPY (MATCH (a) RETURN a.name) TO '/tmp/x.csv'",
        "LOAD FROM '/etc/passwd' RETURN *",
        "EXPORT DATABASE '/tmp/x'",
        "MATCH (a) RETURN a; MATCH (b) RETURN b",
        "match (a) set a.name = 'x' return a",
        "MATCH (a) /* */ CALL show_tables() RETURN *",
        "RETURN 'open",
        "",
    ],
)
def test_a_query_only_reads(news: KnowledgeGraph, cypher: str) -> None:
    with pytest.raises(InputError):
        news.query(cypher)


def test_llama_cpp_is_imported_after_a_query(news: KnowledgeGraph) -> None:
    """With LadybugDB's symbols open to all, importing llama.cpp after it aborted the process."""
    code = "import sys; from mmsdk_graph import KnowledgeGraph; "
    code += (
        "print(KnowledgeGraph.open(sys.argv[1]).query('MATCH (n) RETURN count(n)')); import xllamacpp; print('both')"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(news.store.folder)], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout.split()[-1:]) == (0, ["both"]), run.stderr


def test_words_in_strings_and_properties_are_no_commands() -> None:
    assert check("MATCH (a) WHERE a.name = 'delete' AND a.set = $drop RETURN a // create")


def test_a_wrong_query_says_so(news: KnowledgeGraph) -> None:
    with pytest.raises(InputError, match="does not run"):
        news.query("MATCH (a:Nobody) RETURN a")


def test_exports_are_read_by_others(news: KnowledgeGraph, tmp_path: Path) -> None:
    import networkx

    expected = sorted((t.head.name, t.relation, t.tail.name) for t in news.triples())
    for format_, name in (("turtle", "g.ttl"), ("json-ld", "g.jsonld")):
        assert write(news, tmp_path / name, format_) == len(expected)
        assert read_rdf(tmp_path / name) == expected
    write(news, tmp_path / "g.graphml", "graphml")
    read = networkx.read_graphml(tmp_path / "g.graphml")
    edges = ((read.nodes[a]["name"], data["relation"], read.nodes[b]["name"]) for a, b, data in read.edges(data=True))
    assert sorted(edges) == expected
    write(news, tmp_path / "tables", "csv")
    with (tmp_path / "tables" / "triples.csv").open(newline="") as file:
        assert sorted((r["head"], r["relation"], r["tail"]) for r in csv.DictReader(file)) == expected
    write(news, tmp_path / "g.cypher", "cypher")
    assert (tmp_path / "g.cypher").read_text().count("MERGE (a)-[r:") == len(expected)
    with pytest.raises(InputError, match="format"):
        write(news, tmp_path / "x", "xml")


def test_sparql_asks_the_facts(news: KnowledgeGraph) -> None:
    query = "SELECT ?n WHERE { ?a <urn:mmsdk:graph:relation:based_in> ?b . ?b rdfs:label 'Armonk' . ?a rdfs:label ?n }"
    assert sparql(news, query) == [{"n": "International Business Machines"}]
    with pytest.raises(InputError):
        sparql(news, "INSERT DATA { <a:b> <a:c> <a:d> }")
    for word in ("SERVICE", "service", r"\u0053ERVICE", r"SERV\U00000049CE"):
        with pytest.raises(InputError, match="another host"):
            sparql(news, f"SELECT * WHERE {{ {word} SILENT <http://127.0.0.1:9/x> {{ ?s ?p ?o }} }}")


def test_a_schema_comes_from_yaml_and_owl(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("types: {Org: {spacy: [ORG]}}\nrelations: {x: {domain: [Nobody]}}\n")
    with pytest.raises(InputError, match="Nobody"):
        Schema.load(tmp_path / "s.yaml")
    (tmp_path / "s.ttl").write_text(
        "@prefix : <http://e.org/#> . @prefix owl: <http://www.w3.org/2002/07/owl#> . "
        "@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .\n"
        ':Org a owl:Class . :Bank a owl:Class ; rdfs:subClassOf :Org . :City a owl:Class ; rdfs:label "Town" .\n'
        ":basedIn a owl:ObjectProperty, owl:FunctionalProperty ; rdfs:domain :Org ; rdfs:range :City ."
    )
    schema = Schema.load(tmp_path / "s.ttl")
    assert schema.relations["basedIn"].functional
    assert schema.allows("basedIn", "Bank", "City")
    assert (schema.type_of("town"), schema.relation_of("based in")) == ("City", ("basedIn", False))


def test_known_entities_are_found_in_chinese(tmp_path: Path) -> None:
    schema = Schema.model_validate(
        {
            "types": {"Org": {}},
            "entities": {"北辰科技": {"type": "Org"}, "华兴银行": {"type": "Org", "aliases": ["华兴"]}},
        }
    )
    with KnowledgeGraph.open(tmp_path / "g", schema=schema) as graph:
        graph.add_text("北辰科技向华兴借款。", source="a")
        (pair,) = graph.triples({"kind": "cooccurrence"})
        assert {pair.head.name, pair.tail.name} == {"北辰科技", "华兴银行"}


def test_no_graph_is_an_error_that_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="mmsdk graph extract"):
        KnowledgeGraph.open(tmp_path / "none", create=False)
