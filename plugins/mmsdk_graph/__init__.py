"""Knowledge graphs from documents: entities, relations, and for every edge the sentences it came from."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmsdk_graph.graph import KnowledgeGraph
    from mmsdk_graph.schema import Schema
    from mmsdk_graph.tagger import Tagger

_HOMES = {"KnowledgeGraph": "graph", "Schema": "schema", "Tagger": "tagger"}
__all__ = ["KnowledgeGraph", "Schema", "Tagger"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"mmsdk_graph.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'mmsdk_graph' has no attribute {name!r}")
