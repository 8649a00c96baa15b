"""Recordings and the sound tracks of films: one part, mono at 16 kHz."""

from mmsdk.loaders.parsed import Job, Parsed, Problem
from mmsdk.media import decode_audio, recording_format
from mmsdk.types import Locator, Part


def load(data: bytes, job: Job) -> Parsed:
    """Read a recording. Damaged packets are left out and counted."""
    audio, damaged = decode_audio(data, seconds=job.limits.audio_seconds)
    metadata = {"format": recording_format(data), "seconds": round(audio.seconds, 3)}
    problems = (Problem("sound", f"{damaged} damaged packets were left out"),) if damaged else ()
    return Parsed((Part(audio, Locator("seconds", 0.0, audio.seconds), "recording"),), metadata, problems)
