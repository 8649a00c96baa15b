"""Recommendation: interactions and a catalogue in; lists that are measured, explained and hold for new items out.

Names are resolved on first use, so importing the package loads no model library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmsdk_recommend.catalogue import Catalogue
    from mmsdk_recommend.evaluation import evaluate
    from mmsdk_recommend.interactions import Interactions
    from mmsdk_recommend.interactions import read as read_interactions
    from mmsdk_recommend.plugin import Recommend
    from mmsdk_recommend.recommender import Recommender
    from mmsdk_recommend.serving import Rules, Serving
    from mmsdk_recommend.splits import split

_HOMES = {
    "Catalogue": ("catalogue", "Catalogue"),
    "Interactions": ("interactions", "Interactions"),
    "Recommend": ("plugin", "Recommend"),
    "Recommender": ("recommender", "Recommender"),
    "Rules": ("serving", "Rules"),
    "Serving": ("serving", "Serving"),
    "evaluate": ("evaluation", "evaluate"),
    "read_interactions": ("interactions", "read"),
    "split": ("splits", "split"),
}

__all__ = [
    "Catalogue",
    "Interactions",
    "Recommend",
    "Recommender",
    "Rules",
    "Serving",
    "evaluate",
    "read_interactions",
    "split",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module, attribute = _HOMES[name]
        return getattr(import_module(f"mmsdk_recommend.{module}"), attribute)
    raise AttributeError(f"module 'mmsdk_recommend' has no attribute {name!r}")
