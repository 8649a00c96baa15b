"""What all Whisper engines share: the rate of recordings, and which segments to believe."""

import av
import numpy as np
from numpy.typing import NDArray

from mmsdk.types import Audio

RATE = 16_000
"""Hz."""
_BLOCK = 1 << 20
_REPETITIVE = 2.4
_SILENT = 0.6
_UNSURE = -1.0


def at_16_khz(recording: Audio) -> NDArray[np.float32]:
    """Resample (libswresample) to 16 kHz; float32 ``[time]``, in [-1, 1], without NaN or infinity."""
    samples = np.clip(np.nan_to_num(recording.samples, posinf=1.0, neginf=-1.0), -1.0, 1.0)
    if recording.rate == RATE or not len(samples):
        return samples
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=RATE)
    pieces = []
    for start in range(0, len(samples), _BLOCK):
        block = np.ascontiguousarray(samples[start : start + _BLOCK])
        frame = av.AudioFrame.from_ndarray(block[None], format="fltp", layout="mono")
        frame.sample_rate = recording.rate
        frame.pts = start
        pieces += resampler.resample(frame)
    pieces += resampler.resample(None)
    if not pieces:
        return np.zeros(0, np.float32)
    joined: NDArray[np.float32] = np.concatenate([piece.to_ndarray()[0] for piece in pieces])
    return joined


def spoken(no_speech: float, mean_log_probability: float, compression: float) -> bool:
    """Tell a segment that was probably said from silence and from a model that repeats itself.

    The thresholds are those of Whisper's authors (Radford et al. 2022, section 4.5).
    """
    silent = no_speech > _SILENT and mean_log_probability < _UNSURE
    return not silent and compression <= _REPETITIVE
