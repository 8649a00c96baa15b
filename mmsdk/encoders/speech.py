"""Speech encoder: recognise what is said, then encode it as text.

The vectors stand in the space of the text encoder. Tone, speaker and music are lost.
"""

from collections.abc import Sequence
from functools import cached_property

from mmsdk.encoders import shared
from mmsdk.encoders.batching import check
from mmsdk.protocols import Encoder, Transcriber
from mmsdk.recognizers import transcriber
from mmsdk.settings import Settings
from mmsdk.types import Audio, Content, Modality, Role, Vectors
from mmsdk.weights import model_name


class SpeechEncoder:
    """Encode recordings by their transcripts, in the space of the text encoder.

    ``model`` is a registry name of a transcriber, by default that of the settings. A recording in which
    nothing is said has the vector of the empty string.

    >>> import numpy as np
    >>> from mmsdk.settings import Settings
    >>> SpeechEncoder(settings=Settings()).encode([Audio(np.zeros(16000, np.float32), 16000)]).shape
    (1, 384)
    """

    modalities: frozenset[Modality] = frozenset({"audio"})

    def __init__(self, model: str | None = None, *, settings: Settings) -> None:
        self.settings = settings if model is None else settings.model_copy(update={"speech": model})

    @cached_property
    def space(self) -> str:
        """The name of the vector space, that of the text encoder."""
        return self._text.space

    @cached_property
    def dimension(self) -> int:
        """The length of a vector."""
        return self._text.dimension

    @cached_property
    def fingerprint(self) -> str:
        """What vectors depend on."""
        return f"{self._text.fingerprint} heard by {model_name('speech', self.settings)}"

    def encode(self, inputs: Sequence[Content], *, role: Role = "document") -> Vectors:
        """Encode recordings in order; float32 ``[len(inputs), dimension]``, rows of unit L2 norm.

        Raises ``UnsupportedModalityError`` for anything but audio, and what the transcriber and the
        text encoder raise.
        """
        check(inputs, self.modalities, "the speech encoder")
        recordings = [recording for recording in inputs if isinstance(recording, Audio)]
        transcripts = self._transcriber.transcribe(recordings)
        return self._text.encode([transcript.text for transcript in transcripts], role=role)

    @cached_property
    def _text(self) -> Encoder:
        return shared(model_name("text", self.settings), self.settings)

    @cached_property
    def _transcriber(self) -> Transcriber:
        return transcriber(self.settings)
