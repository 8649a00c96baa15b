"""Three engines hear one recording: all run the bundled Whisper base, for two of them converted here."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mmsdk import registry
from mmsdk.errors import ModelLoadError, SettingsError, WeightsError
from mmsdk.loaders import load
from mmsdk.protocols import Transcriber
from mmsdk.recognizers.openai_whisper import OpenAIWhisper
from mmsdk.recognizers.sound import RATE, at_16_khz, spoken
from mmsdk.recognizers.speech import FasterWhisper
from mmsdk.recognizers.transformers_whisper import TransformersWhisper
from mmsdk.settings import Settings
from mmsdk.types import Audio, Transcript
from tests import whisper_checkpoints

ENGINES = {"faster-whisper": FasterWhisper, "openai-whisper": OpenAIWhisper, "transformers": TransformersWhisper}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Engine to its model."""
    folder = tmp_path_factory.mktemp("whisper")
    whisper_checkpoints.write_openai(folder / "base.pt")
    whisper_checkpoints.write_transformers(folder / "hf")
    return {
        "faster-whisper": "whisper-base",
        "openai-whisper": str(folder / "base.pt"),
        "transformers": str(folder / "hf"),
    }


@pytest.fixture(scope="module")
def engines(models: dict[str, str]) -> dict[str, Transcriber]:
    return {name: registry.create("recognizers", f"{name}:{models[name]}", settings=Settings()) for name in ENGINES}


@pytest.mark.parametrize("engine", ENGINES)
def test_english_speech(engine: str, engines: dict[str, Transcriber], shared_data: Path) -> None:
    recording = load(shared_data / "speech_clips" / "en" / "jfk.flac")
    assert isinstance(recording, Audio)
    assert type(engines[engine]) is ENGINES[engine]
    (heard,) = engines[engine].transcribe([recording])
    words = heard.text.lower().replace(",", "")
    assert "and so my fellow americans ask not what your country can do for you" in words
    assert heard.language == "en"
    assert all(0 <= piece.start <= piece.stop <= recording.seconds for piece in heard.segments)


@pytest.mark.parametrize("engine", ENGINES)
def test_silence_and_nothing_give_an_empty_transcript(engine: str, engines: dict[str, Transcriber]) -> None:
    silence, nothing = Audio(np.zeros(48000, np.float32), 16000), Audio(np.zeros(0, np.float32), 44100)
    assert engines[engine].transcribe([silence, nothing]) == [Transcript(()), Transcript(())]
    assert engines[engine].transcribe([]) == []


def test_noise_and_tones_give_an_empty_transcript(engines: dict[str, Transcriber]) -> None:
    time = np.arange(3 * RATE) / RATE
    noise = np.random.default_rng(0).normal(0, 0.05, len(time)).astype(np.float32)
    tone = (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    broken = np.full(RATE, np.nan, np.float32)
    heard = engines["faster-whisper"].transcribe([Audio(sound, RATE) for sound in (noise, tone, broken)])
    assert [transcript.text for transcript in heard] == ["", "", ""]


def test_times_count_from_the_start_of_the_recording(engines: dict[str, Transcriber], shared_data: Path) -> None:
    recording = load(shared_data / "speech_clips" / "en" / "jfk.flac")
    assert isinstance(recording, Audio)
    late = Audio(np.concatenate([np.zeros(5 * recording.rate, np.float32), recording.samples]), recording.rate)
    (heard,) = engines["faster-whisper"].transcribe([late])
    assert 4.5 <= heard.segments[0].start <= 7
    assert heard.segments[-1].stop <= late.seconds


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000])
def test_resampling_keeps_duration_and_pitch(rate: int) -> None:
    time = np.arange(2 * rate) / rate
    tone = Audio((0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32), rate)
    samples = at_16_khz(tone)
    assert samples.dtype == np.float32
    assert abs(len(samples) - 2 * RATE) <= 32
    spectrum = np.abs(np.fft.rfft(samples))
    assert spectrum.argmax() * RATE / len(samples) == pytest.approx(440, abs=1)
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.02)


def test_resampling_joins_its_blocks_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    time = np.arange(30000) / 44100
    tone = Audio((0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32), 44100)
    whole = at_16_khz(tone)
    monkeypatch.setattr("mmsdk.recognizers.sound._BLOCK", 1000)
    assert at_16_khz(tone) == pytest.approx(whole, abs=1e-4)


def test_a_segment_is_believed_by_whispers_own_thresholds() -> None:
    assert spoken(0.1, -0.3, 1.5)
    assert spoken(0.9, -0.3, 1.5)
    assert not spoken(0.9, -1.3, 1.5)
    assert not spoken(0.1, -0.3, 9.0)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_folder_or_file_that_is_no_model_is_a_model_error(engine: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    broken = tmp_path
    if engine == "openai-whisper":
        broken = tmp_path / "broken.pt"
        torch.save({"dims": {}}, broken)
    made = registry.create("recognizers", f"{engine}:{broken}", settings=Settings())
    with pytest.raises(ModelLoadError, match="does not load"):
        made.transcribe([Audio(np.ones(1600, np.float32), RATE)])


def test_a_pickle_with_code_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path(tmp_path / "ran").touch, ())

    torch.save({"dims": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(ModelLoadError):
        OpenAIWhisper(str(tmp_path / "trap.pt"), settings=Settings()).transcribe(
            [Audio(np.ones(1600, np.float32), RATE)]
        )
    assert not (tmp_path / "ran").exists()


def test_openai_whisper_names_its_models_and_keeps_to_offline(tmp_path: Path) -> None:
    sound = [Audio(np.ones(1600, np.float32), RATE)]
    with pytest.raises(WeightsError, match="neither a file nor one of"):
        OpenAIWhisper("gigantic", settings=Settings()).transcribe(sound)
    with pytest.raises(WeightsError, match="offline is set"):
        OpenAIWhisper("turbo", settings=Settings(cache=tmp_path, offline=True)).transcribe(sound)


def test_an_unknown_device_is_a_settings_error() -> None:
    with pytest.raises(SettingsError, match="auto, cpu, cuda, cuda:N or mps"):
        FasterWhisper(settings=Settings(device="tpu")).transcribe([Audio(np.ones(1600, np.float32), RATE)])
