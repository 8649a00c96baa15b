"""Speech recognition by Whisper models in transformers' format.

Has no voice activity detection, and reports no probability of the language.
"""

import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from transformers import AutomaticSpeechRecognitionPipeline, pipeline
from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

from mmsdk import weights
from mmsdk.errors import ModelLoadError
from mmsdk.recognizers.devices import torch_device, without_bars
from mmsdk.recognizers.sound import RATE, at_16_khz
from mmsdk.settings import Settings
from mmsdk.types import Audio, Segment, Transcript

DEFAULT_MODEL = "openai/whisper-large-v3-turbo"
_DECODING: Mapping[str, Any] = {
    "task": "transcribe",
    "num_beams": 1,
    "temperature": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
    "compression_ratio_threshold": 1.35,  # of tokens, as transformers counts; 2.4 of characters in other engines
    "logprob_threshold": -1.0,
    "no_speech_threshold": 0.6,
}


class TransformersWhisper:
    """Transcribe recordings with a folder or hub repository of a Whisper model for transformers.

    >>> from mmsdk.settings import Settings
    >>> TransformersWhisper(settings=Settings()).model
    'openai/whisper-large-v3-turbo'
    """

    def __init__(self, model: str | None = None, *, settings: Settings) -> None:
        self.model = model or DEFAULT_MODEL
        self.settings = settings
        self._running = threading.Lock()

    def transcribe(self, recordings: Sequence[Audio]) -> list[Transcript]:
        """Give one transcript a recording, in order; empty where nothing is said.

        Raises ``WeightsError`` or ``ModelLoadError`` when the model cannot be used.
        """
        with self._running:
            return [self._transcript(recording) for recording in recordings]

    def _transcript(self, recording: Audio) -> Transcript:
        samples = at_16_khz(recording)
        if not samples.any():
            return Transcript(())
        sound = {"raw": samples, "sampling_rate": RATE}
        said: Any = self._pipeline(sound, return_timestamps=True, return_language=True, generate_kwargs=dict(_DECODING))
        segments, language = [], ""
        for piece in said["chunks"]:
            start, stop = piece["timestamp"]
            start = min(start or 0.0, recording.seconds)
            stop = recording.seconds if stop is None else min(stop, recording.seconds)
            language = language or TO_LANGUAGE_CODE.get(piece.get("language") or "", "")
            if piece["text"].strip() and stop >= start:
                segments.append(Segment(start, stop, piece["text"]))
        return Transcript(tuple(segments), language) if segments else Transcript(())

    @cached_property
    def _pipeline(self) -> AutomaticSpeechRecognitionPipeline:
        device = torch_device(self.settings.device)
        folder = weights.resolve(self.model, settings=self.settings)
        try:
            with without_bars():
                return pipeline(
                    "automatic-speech-recognition",
                    model=str(folder),
                    device=device,
                    model_kwargs={"use_safetensors": True},
                )
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise ModelLoadError(f"{folder} does not load as a Whisper model in transformers: {error}") from error
