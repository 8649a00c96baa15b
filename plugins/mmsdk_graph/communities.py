"""Communities of a graph and what is said in each, for questions about the whole.

Communities are found by Louvain's method (Blondel et al. 2008, arXiv:0803.0476) with a fixed seed. A summary is made of
the sentences of the surest facts; nothing is invented.
"""

from collections import Counter
from dataclasses import dataclass

from mmsdk.errors import MissingDependencyError
from mmsdk_graph.graph import KnowledgeGraph
from mmsdk_graph.triples import Entity, Triple


@dataclass(frozen=True)
class Community:
    """Hold entities that are joined more with each other than with the rest, most joined first."""

    entities: tuple[Entity, ...]
    triples: tuple[Triple, ...]

    @property
    def title(self) -> str:
        """The names of its three most joined entities."""
        return ", ".join(entity.name for entity in self.entities[:3])

    def summary(self, sentences: int = 5) -> str:
        """Give sentences of its surest facts, no entity pair twice."""
        ranked = sorted(self.triples, key=lambda t: (-len(t.supports), -t.confidence, t.id))
        return " ".join(list(dict.fromkeys(t.supports[0].sentence for t in ranked))[:sentences])


def communities(graph: KnowledgeGraph, *, least: int = 2) -> list[Community]:
    """Give the communities of at least so many entities, the largest first."""
    try:
        import networkx
    except ModuleNotFoundError as error:
        raise MissingDependencyError("networkx", "graph") from error
    triples = graph.triples()
    made = networkx.Graph()
    for triple in triples:
        before = made.get_edge_data(triple.head.id, triple.tail.id, {"weight": 0.0})["weight"]
        made.add_edge(triple.head.id, triple.tail.id, weight=before + triple.confidence)
    known = {end.id: end for triple in triples for end in (triple.head, triple.tail)}
    found = []
    for members in networkx.community.louvain_communities(made, seed=0):
        inside = tuple(t for t in triples if t.head.id in members and t.tail.id in members)
        joined = Counter(end.id for t in inside for end in (t.head, t.tail))
        order = sorted(members, key=lambda number: (-joined[number], known[number].name, number))
        found.append(Community(tuple(known[number] for number in order), inside))
    return sorted((c for c in found if len(c.entities) >= least), key=lambda c: (-len(c.entities), c.title))
