"""What comes in by picture and goes out as speech, with the real programs where they are installed."""

import shutil

import pytest

from mmsdk.errors import InputError, ModelLoadError
from mmsdk.runtime import Runtime
from mmsdk.types import Chunk, Hit, Locator
from mmsdk_service.senses import shown, speaker


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_what_espeak_says_is_heard(bundled: Runtime) -> None:
    spoken = speaker("espeak-ng").speak("Your refund will arrive on Thursday.")
    heard = bundled.transcriber().transcribe([spoken])[0].text.casefold()
    assert "refund" in heard
    assert "thursday" in heard
    chinese = speaker("espeak-ng").speak("订单已退款。", "zh")
    assert 1 < len(chinese.samples) / chinese.rate < 6


def test_speech_that_cannot_be_made_is_said() -> None:
    with pytest.raises(InputError, match="no words to speak"):
        speaker("espeak-ng").speak(" ?! ")
    with pytest.raises(InputError, match="not 'festival'"):
        speaker("festival")
    if shutil.which("piper") is None:
        with pytest.raises(ModelLoadError, match="pip install piper-tts"):
            speaker("piper:voice.onnx").speak("hello")


@pytest.mark.parametrize(
    ("scores", "named"),
    [((0.88, 0.86), True), ((0.7, 0.5), True), ((0.8, 0.7), False), ((0.4, 0.1), False), ((0.6,), True), ((), False)],
)
def test_a_picture_that_is_like_two_products_is_not_named(scores: tuple[float, ...], named: bool) -> None:
    hits = [
        Hit(Chunk(str(n), "d", "", "", "image", Locator("image"), source=f"shelf/product-{n}.jpg"), score)
        for n, score in enumerate(scores)
    ]
    assert (shown(hits, 0.5) is not None) == named
