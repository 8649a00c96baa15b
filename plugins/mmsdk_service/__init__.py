"""Customer service: an agent that answers from a company's documents, knows when it does not know, and hands over.

Names are resolved on first use, so importing the package loads no model library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmsdk_service.agent import ServiceAgent
    from mmsdk_service.flows import Flow, Slot
    from mmsdk_service.handover import Desk, Webhook
    from mmsdk_service.intents import IntentClassifier
    from mmsdk_service.parts import Options
    from mmsdk_service.playbook import Playbook
    from mmsdk_service.plugin import Service
    from mmsdk_service.reply import Reply
    from mmsdk_service.tools import Tool

_HOMES = {
    "Desk": "handover",
    "Flow": "flows",
    "IntentClassifier": "intents",
    "Options": "parts",
    "Playbook": "playbook",
    "Reply": "reply",
    "Service": "plugin",
    "ServiceAgent": "agent",
    "Slot": "flows",
    "Tool": "tools",
    "Webhook": "handover",
}

__all__ = [
    "Desk",
    "Flow",
    "IntentClassifier",
    "Options",
    "Playbook",
    "Reply",
    "Service",
    "ServiceAgent",
    "Slot",
    "Tool",
    "Webhook",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"mmsdk_service.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'mmsdk_service' has no attribute {name!r}")
