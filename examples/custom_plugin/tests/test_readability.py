from typing import ClassVar

import pytest
from acme_readability import NgramEncoder, Readability, ScoreRequest

from mmsdk import App, Settings
from mmsdk.errors import InputError, SettingsError
from mmsdk.protocols import Encoder
from mmsdk.testing import EncoderContract, PluginContract

HARD = "Institutional intermediaries systematically overestimate macroeconomic volatility."


class TestNgramEncoder(EncoderContract):
    def encoder(self) -> Encoder:
        return NgramEncoder()


class TestReadability(PluginContract):
    plugin = Readability
    requests: ClassVar = {"score": [{"text": "The cat sat on the mat."}, {"text": HARD, "scale": "grade"}]}


def test_short_words_are_easier_than_long_ones() -> None:
    with App(Settings()) as app:
        easy, hard = (app.run("readability.score", ScoreRequest(text=text)) for text in ("The cat sat.", HARD))
    assert easy.score > 100 > hard.score
    assert (easy.hard, hard.hard) == (False, True)


def test_the_setting_moves_the_border() -> None:
    with App(Settings(plugins={"readability": {"hard": -300.0}})) as app:
        assert app.run("readability.score", {"text": HARD}).hard is False


def test_wrong_requests_and_settings_are_named() -> None:
    with pytest.raises(InputError, match="scale"):
        App(Settings()).run("readability.score", {"text": "a", "scale": "stars"})
    with pytest.raises(SettingsError, match=r"plugins\.readability.*harder"):
        App(Settings(plugins={"readability": {"harder": 1}})).run("readability.score", {"text": "a"})
