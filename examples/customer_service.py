"""Customer service for the invented shop of examples/data: documents, intents, flows, a hand-over, in two languages.

What it writes goes to ``demo-collection`` (the documents, shared with demo.py) and ``demo-service`` (sessions).
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape

from mmsdk import Collection
from mmsdk_service import Options, ServiceAgent, Tool

EXAMPLES = Path(__file__).resolve().parent
ORDERS = {"QM-20481": ("on its way, due on Thursday", "€289.00"), "QM-20482": ("being packed", "€12.50")}
console = Console(highlight=False)


class Order(BaseModel):
    order: str


def order_status(given: Order) -> dict[str, Any]:
    return {"status": ORDERS[given.order][0]}


def refund(given: Order) -> dict[str, Any]:
    return {"amount": ORDERS[given.order][1]}


TOOLS = (Tool("order_status", order_status, Order), Tool("refund", refund, Order, effects=True))
CONVERSATIONS = (
    ("A question, and a follow-up", ["How many days do I have to send something back?", "and who pays the postage?"]),
    ("An order, with a question in between", ["Where is my order?", "How do I wash a down jacket?", "QM-20481"]),
    ("A refund with a correction", ["I want a refund", "QM-20482", "sorry, I meant QM-20481", "yes"]),
    ("Two requests at once", ["Where is my order QM-20482 and how long is the guarantee on a tent?"]),
    ("In Chinese", ["收到货后多少天内可以退货？", "我要退款", "QM-20481", "好的"]),
    ("What nobody wrote down", ["What is the capital of Mongolia?", "And who is its president?"]),
    ("A person is asked for", ["Let me speak to a real person please", "Hello?"]),
)


def main() -> None:
    with Collection.open("demo-collection", create=True) as collection:
        collection.add(EXAMPLES / "data")
        service = EXAMPLES / "service"
        options = Options(tools=TOOLS)
        with ServiceAgent(
            *(collection, service / "intents.yaml"),
            playbook=service / "playbook.yaml",
            state="demo-service",
            options=options,
        ) as agent:
            for title, messages in CONVERSATIONS:
                console.rule(title)
                talk(agent, messages)
            console.rule("The queue of the people behind it")
            for waiting in agent.queue.waiting():
                packet = waiting["packet"]
                console.print(
                    f"{waiting['number']}. {waiting['reason']}, {waiting['seconds_left']} s left: "
                    f"{escape(packet['summary'])}"
                )


def talk(agent: ServiceAgent, messages: list[str]) -> None:
    session = None
    for message in messages:
        reply = agent.reply(message, session=session)
        session = reply.session
        console.print(f"[bold]{escape(message)}")
        console.print(f"[green]{escape(reply.reply)}" if reply.status != "handover" else f"[yellow]{reply.reply}")
        for piece in reply.pieces:
            if piece.citation is not None:
                source = Path(piece.citation.hit.chunk.source).name
                console.print(f"  [dim]{escape(source)}, {escape(str(piece.citation.locator))}")
        if reply.action is not None and "tool" in reply.action:
            console.print(f"  [dim]action: {escape(str(reply.action))}")


if __name__ == "__main__":
    main()
