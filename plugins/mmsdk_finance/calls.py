"""Calls as turns: what was said from when to when, and by whom where the transcript tells.

Transcripts with times (WebVTT, SubRip) name speakers by a voice tag or as ``NAME: ...``; what is heard names none.
"""

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mmsdk import transcribe
from mmsdk.errors import InputError, MissingDependencyError

TRANSCRIPTS = {".vtt", ".srt"}
_NAME = r"[A-Z][\w.'’-]*"
_SPEAKER = re.compile(  # one word alone may begin a sentence ("Outlook: ...")
    rf"({_NAME}(?: (?:{_NAME}|\d+|of|van|von|de|der|da|del|al|and|&|[-–]|\([^)]*\)),?){{1,7}}"
    r"|[A-Z]{3,}|Operator|Moderator|Host|Analyst|Speaker): +"
)
_LONGEST = 600  # characters of a turn


@dataclass(frozen=True)
class Turn:
    """Hold what one speaker said, from ``start`` to ``stop`` in seconds."""

    start: float
    stop: float
    text: str
    speaker: str = ""


def heard(path: Path) -> tuple[list[Turn], str]:
    """Hear a recording; give turns, cut where they get long, and the language."""
    transcript = transcribe(path)
    said = [Turn(one.start, one.stop, one.text) for one in transcript.segments]
    return list(turns(said)), transcript.language


def read_transcript(path: Path) -> list[Turn]:
    """Read a transcript with times; a speaker holds until the next is named. Raises ``InputError`` when it is none."""
    return list(turns(_cues(path)))


def turns(said: Iterable[Turn], *, longest: int = _LONGEST) -> Iterator[Turn]:
    """Join what a speaker said in one go, up to ``longest`` characters."""
    held: Turn | None = None
    for one in said:
        text = " ".join(one.text.split())
        if held and held.speaker == one.speaker and len(held.text) + len(text) <= longest:
            held = Turn(held.start, one.stop, f"{held.text} {text}", held.speaker)
            continue
        if held:
            yield held
        held = Turn(one.start, one.stop, text, one.speaker)
    if held:
        yield held


def _cues(path: Path) -> Iterator[Turn]:
    try:
        import webvtt
    except ModuleNotFoundError as error:
        raise MissingDependencyError("webvtt-py", "finance") from error
    text = path.read_bytes().decode("utf-8-sig", "replace").replace("\r\n", "\n")
    try:
        cues = webvtt.from_buffer(io.StringIO(text), format=path.suffix.lower().removeprefix(".")).captions
    except webvtt.errors.MalformedFileError as error:
        raise InputError(f"{path.name} is no transcript with times ({error})") from error
    if not cues:
        raise InputError(f"{path.name} holds no line with its times (00:01.000 --> 00:04.000)")
    speaker = ""
    for cue in cues:
        named = _SPEAKER.match(cue.text)
        speaker = cue.voice or (named.group(1) if named else speaker)
        said = cue.text[named.end() :] if named and not cue.voice else cue.text
        yield Turn(_seconds(cue.start), _seconds(cue.end), said, speaker)


def _seconds(written: str) -> float:
    hours, minutes, seconds = written.replace(",", ".").split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
