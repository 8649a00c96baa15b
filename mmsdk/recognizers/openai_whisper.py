"""Speech recognition by openai-whisper, the reference implementation in PyTorch.

Has no voice activity detection; Whisper's own thresholds keep most silence out.
"""

import threading
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from pickle import UnpicklingError

import torch
import whisper

from mmsdk.errors import ModelLoadError, WeightsError
from mmsdk.recognizers.devices import torch_device
from mmsdk.recognizers.sound import at_16_khz, spoken
from mmsdk.settings import Settings
from mmsdk.types import Audio, Segment, Transcript

DEFAULT_MODEL = "base"


class OpenAIWhisper:
    """Transcribe recordings with a ``.pt`` file, or a model name of openai-whisper such as ``turbo``.

    openai-whisper fetches named models itself, checked by SHA-256, into the cache folder.

    >>> from mmsdk.settings import Settings
    >>> OpenAIWhisper("turbo", settings=Settings()).model
    'turbo'
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
        network = self._network
        mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(samples), network.dims.n_mels).to(network.device)
        language, probability = "en", 1.0
        if network.is_multilingual:
            _, chances = network.detect_language(mel)
            language = max(chances, key=lambda code: chances[code])
            probability = float(chances[language])
        said = network.transcribe(samples, language=language, fp16=network.device.type == "cuda")["segments"]
        segments = tuple(
            Segment(float(piece["start"]), min(float(piece["end"]), recording.seconds), piece["text"])
            for piece in said
            if piece["text"].strip() and piece["start"] < recording.seconds and _is_spoken(piece)
        )
        return Transcript(segments, language, probability) if segments else Transcript(())

    @cached_property
    def _network(self) -> whisper.Whisper:
        device = torch_device(self.settings.device)
        root = self.settings.cache.expanduser() / "openai-whisper"
        file = Path(self.model).expanduser()
        if not file.is_file() and self.model not in whisper.available_models():
            raise WeightsError(f"{self.model!r} is neither a file nor one of: {', '.join(whisper.available_models())}")
        if not file.is_file() and self.settings.offline and not (root / f"{self.model}.pt").is_file():
            raise WeightsError(f"{root / self.model}.pt is not there and offline is set; use it once with a network")
        try:
            name = str(file) if file.is_file() else self.model
            network = whisper.load_model(name, device=torch.device(device), download_root=str(root))
        except (OSError, RuntimeError, KeyError, TypeError, UnpicklingError) as error:
            raise ModelLoadError(f"{self.model} does not load in openai-whisper: {error}") from error
        with warnings.catch_warnings():  # it leaves the file of its vocabulary open, once
            warnings.simplefilter("ignore", ResourceWarning)
            whisper.tokenizer.get_tokenizer(network.is_multilingual, num_languages=network.num_languages)
        return network


def _is_spoken(piece: dict[str, float]) -> bool:
    return spoken(piece["no_speech_prob"], piece["avg_logprob"], piece["compression_ratio"])
