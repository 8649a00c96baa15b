"""Ask about recordings in which a voice reads the invented places aloud.

    sudo apt-get install festival festvox-us-slt-hts
    python -m benchmarks.spoken benchmarks/answerability/invented.md --recordings /tmp/spoken
    python -m benchmarks.spoken benchmarks/answerability/customers.md --every 2 --recordings /tmp/spoken

Each place is a recording of its own in a collection of its own. An answer is right when a quotation is what Whisper
made of the answering sentence: they share six tenths of the content of the shorter one. Tables are not read aloud.
The recordings are made once and kept in ``--recordings``.
"""

import argparse
import re
import subprocess
import tempfile
import wave
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import track

from mmsdk import evaluation, lexicon
from mmsdk.assistant import Assistant
from mmsdk.chunking import sentences
from mmsdk.collection import Collection
from mmsdk.settings import Settings
from mmsdk.types import Answer

VOICE = "cmu_us_slt_arctic_hts"
PAUSE = 0.35
"""Seconds of silence between two sentences."""
SHARED = 0.6
NOT_SAID = ("#", "|", "? ", "- ")


@dataclass(frozen=True)
class Question:
    """A question and the sentences that answer it, none if none does."""

    text: str
    gold: tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", type=Path, help="a file of benchmarks/answerability")
    parser.add_argument("--recordings", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1, help="every how many-th place")
    parser.add_argument("--verbose", action="store_true", help="print every answer")
    arguments = parser.parse_args()
    blocks = re.split(r"(?m)^(?=# )", re.sub(r"(?s)<!--.*?-->", "", arguments.places.read_text("utf-8")))
    places = [block for block in blocks if block.strip() and not lexicon.is_cjk(block)][:: arguments.every]
    marks: list[str] = []
    for block in track(places, "places"):
        for question, answer in answers(block.splitlines(), arguments.recordings):
            marks.append(marked(question, answer))
            if arguments.verbose:
                print(f"{marks[-1]:8} {question.text} => {answer.text}")
    can = [float(mark == "right") for mark in marks if mark in ("right", "wrong", "withheld")]
    print(f"{arguments.places.name}: {dict(Counter(marks))}; right {evaluation.mean(can)} of {len(can)} answerable")


def answers(lines: Sequence[str], recordings: Path) -> Iterator[tuple[Question, Answer]]:
    """Ask the questions of a place about its recording."""
    file = recordings / (re.sub(r"\W+", "-", lines[0].casefold()).strip("-") + ".wav")
    said = [line[start:stop] for line in lines if not line.startswith(NOT_SAID) for start, stop in sentences(line)]
    if not file.exists():
        record(said, file)
    settings = Settings.load()
    with (
        tempfile.TemporaryDirectory() as place,
        Collection.open(Path(place) / "collection", create=True, settings=settings) as collection,
    ):
        collection.add(file)
        assistant = Assistant(collection, settings=settings)
        yield from ((question, assistant.ask(question.text)) for question in questions(lines, said))


def questions(lines: Sequence[str], said: Sequence[str]) -> Iterator[Question]:
    """Give the questions; those whose answer was not read aloud are left out."""
    for line in lines:
        text, _, gold = line[2:].strip().partition(" => ")
        found = tuple(one for one in said if any(words in one for words in gold.split(" || ")))
        if line.startswith("- "):
            yield Question(text, ())
        elif line.startswith("? ") and found:
            yield Question(text, found)


def marked(question: Question, answer: Answer) -> str:
    if answer.status != "answered":
        return "withheld" if question.gold else "refused"
    if not question.gold:
        return "false"
    quotes = [set(lexicon.content(citation.quote)) for citation in answer.citations]
    golds = [set(lexicon.content(gold)) for gold in question.gold]
    alike = any(len(gold & quote) >= SHARED * min(len(gold), len(quote)) for gold in golds for quote in quotes)
    return "right" if alike else "wrong"


def record(said: Sequence[str], file: Path) -> None:
    """Read sentences aloud into a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pieces = []
    with tempfile.TemporaryDirectory() as folder:
        piece = Path(folder) / "piece.wav"
        for sentence in said:
            command = ["text2wave", "-eval", f"(voice_{VOICE})", "-o", str(piece)]
            subprocess.run(command, input=sentence.encode(), check=True)
            with wave.open(str(piece)) as spoken:
                rate = spoken.getframerate()
                pieces += [spoken.readframes(spoken.getnframes()), bytes(2 * int(PAUSE * rate))]
    with wave.open(str(file), "wb") as target:
        target.setparams((1, 2, rate, 0, "NONE", ""))
        target.writeframes(b"".join(pieces))


if __name__ == "__main__":
    main()
