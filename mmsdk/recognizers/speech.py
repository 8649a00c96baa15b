"""Speech recognition by faster-whisper: Whisper in CTranslate2, with Silero voice activity detection.

Knows nothing of documents; recordings of any rate in, transcripts out.
"""

import threading
from collections.abc import Iterable, Sequence
from functools import cached_property

import ctranslate2
from faster_whisper import WhisperModel
from faster_whisper.transcribe import Segment as Piece

from mmsdk import weights
from mmsdk.errors import DeviceMemoryError, ModelLoadError, SettingsError
from mmsdk.recognizers.sound import at_16_khz, spoken
from mmsdk.settings import Settings
from mmsdk.types import Audio, Segment, Transcript

DEFAULT_MODEL = "whisper-base"


class FasterWhisper:
    """Transcribe recordings (Radford et al. 2022, https://arxiv.org/abs/2212.04356), on CPU or CUDA.

    ``model`` is a folder, a pinned model or a hub repository in CTranslate2's format. Weights are int8
    on a CPU and float16 on a GPU. Stretches without voice are not decoded, and a segment that is
    probably silent or repeats itself is dropped, so silence gives an empty transcript. Safe to share
    between threads.

    >>> import numpy as np
    >>> from mmsdk.settings import Settings
    >>> FasterWhisper(settings=Settings()).transcribe([Audio(np.zeros(16000, np.float32), 16000)])
    [Transcript(segments=(), language='', language_probability=0.0)]
    """

    def __init__(self, model: str | None = None, *, settings: Settings) -> None:
        self.model = model or DEFAULT_MODEL
        self.settings = settings
        self._loading = threading.Lock()

    def transcribe(self, recordings: Sequence[Audio]) -> list[Transcript]:
        """Give one transcript a recording, in order; empty where nothing is said.

        Raises ``WeightsError`` or ``ModelLoadError`` when the model cannot be used, and
        ``DeviceMemoryError`` when the device has too little memory.
        """
        return [self._transcript(recording) for recording in recordings]

    def _transcript(self, recording: Audio) -> Transcript:
        samples = at_16_khz(recording)
        if not samples.any():
            return Transcript(())
        with self._loading:
            whisper = self._whisper
        try:
            pieces, info = whisper.transcribe(samples, vad_filter=True)
            segments = tuple(_segments(pieces, recording.seconds))
        except RuntimeError as error:
            if "out of memory" in str(error).lower():
                raise DeviceMemoryError(
                    f"{self.model}: too little memory for {recording}; set device = cpu or use a smaller model"
                ) from error
            raise
        if not segments:
            return Transcript(())
        return Transcript(segments, info.language, float(info.language_probability))

    @cached_property
    def _whisper(self) -> WhisperModel:
        folder = weights.resolve(self.model, settings=self.settings)
        device, index = _device(self.settings.device)
        precision = "int8" if device == "cpu" else "float16"
        try:
            return WhisperModel(str(folder), device=device, device_index=index, compute_type=precision)
        except (RuntimeError, ValueError, OSError) as error:
            raise ModelLoadError(f"{folder} does not load as a CTranslate2 Whisper model: {error}") from error


def _segments(pieces: Iterable[Piece], seconds: float) -> Iterable[Segment]:
    """Keep what was probably said; times never reach past the end of the recording."""
    for piece in pieces:
        believed = spoken(piece.no_speech_prob, piece.avg_logprob, piece.compression_ratio)
        if piece.text.strip() and believed:
            start = min(float(piece.start), seconds)
            yield Segment(start, max(start, min(float(piece.end), seconds)), piece.text)


def _device(name: str) -> tuple[str, int]:
    """Choose among what CTranslate2 knows: CUDA or the CPU, which also stands in for ``mps``."""
    kind, _, number = name.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (number and not number.isdecimal()):
        raise SettingsError(f"there is no device {name!r}; set device to auto, cpu, cuda, cuda:N or mps")
    count = ctranslate2.get_cuda_device_count()
    if kind == "cuda" and int(number or 0) >= count:
        raise ModelLoadError(
            f"device {name!r} was asked for, but CTranslate2 sees {count} CUDA devices; set device = auto"
        )
    if kind == "cuda" or (kind == "auto" and count):
        return "cuda", int(number or 0)
    return "cpu", 0
