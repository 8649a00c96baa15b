"""The demo: take in the documents of an invented shop, then ask in text, with a picture, aloud, and in vain.

``make demo`` runs it. The collection stays in ``demo-collection``, so only the first run takes the documents in.
"""

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import track

from mmsdk import Answer, Assistant, Audio, Collection, Image, load
from mmsdk.types import Query

EXAMPLES = Path(__file__).resolve().parent
COLLECTION = Path("demo-collection")
console = Console(highlight=False)


def main() -> None:
    with Collection.open(COLLECTION, create=True) as collection:
        ingest(collection)
        assistant = Assistant(collection)
        for title, question in questions():
            console.rule(title)
            console.print(f"[bold]{escape(worded(question))}")
            show(assistant.ask(question))


def questions() -> list[tuple[str, Query]]:
    picture = load(EXAMPLES / "questions" / "picture-question.png")
    recording = load(EXAMPLES / "questions" / "spoken-question.ogg")
    return [
        ("A question", "How many days do I have to send something back?"),
        ("A question with a picture of a tent", ["How much does this cost?", picture]),
        ("A spoken question", recording),
        ("A question that the documents do not answer", "How much does the Heron sleeping bag weigh?"),
    ]


def ingest(collection: Collection) -> None:
    """Add every file of examples/data; what the collection holds already costs nothing."""
    files = sorted(path for path in (EXAMPLES / "data").rglob("*") if path.is_file())
    reports = [collection.add(path) for path in track(files, "Taking in examples/data", console=console)]
    new = sum(report.documents for report in reports)
    console.print(f"{len(files)} files, {new} of them new or changed: {len(collection)} chunks in {COLLECTION}/\n")
    for failure in (failure for report in reports for failure in report.failed):
        console.print(f"[red]not taken in:[/] {escape(f'{failure.source}: {failure.reason}')}")


def worded(question: Query) -> str:
    if isinstance(question, str):
        return question
    if isinstance(question, Image | Audio):
        return repr(question)
    return " + ".join(worded(content) for content in question)


def show(answer: Answer) -> None:
    """Print an answer and, for each citation, the source, the place in it, and the words that support the answer."""
    console.print(f"[green]{escape(answer.text)}" if answer.status == "answered" else f"[yellow]{escape(answer.text)}")
    for number, citation in enumerate(answer.citations, start=1):
        source = Path(citation.hit.chunk.source).relative_to(EXAMPLES / "data")
        console.print(f"  {number}. {escape(str(source))}, {escape(str(citation.locator))}")
        console.print(f"     [italic]{escape(citation.quote)}")
    console.print(f"[dim]status: {answer.status}\n")


if __name__ == "__main__":
    main()
