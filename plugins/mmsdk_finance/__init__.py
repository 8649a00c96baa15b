"""Finance sentiment monitoring: feeds in; per watched name the mood, its turns, and the evidence out.

Names are resolved on first use, so importing the package loads no model library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmsdk_finance.items import Item
    from mmsdk_finance.monitor import Options, SentimentMonitor
    from mmsdk_finance.plugin import Finance
    from mmsdk_finance.sentiment import EntitySentiment, score_text, score_texts
    from mmsdk_finance.watchlist import Watchlist

_HOMES = {
    "EntitySentiment": "sentiment",
    "Finance": "plugin",
    "Item": "items",
    "Options": "monitor",
    "SentimentMonitor": "monitor",
    "Watchlist": "watchlist",
    "score_text": "sentiment",
    "score_texts": "sentiment",
}

__all__ = [
    "EntitySentiment",
    "Finance",
    "Item",
    "Options",
    "SentimentMonitor",
    "Watchlist",
    "score_text",
    "score_texts",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"mmsdk_finance.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'mmsdk_finance' has no attribute {name!r}")
