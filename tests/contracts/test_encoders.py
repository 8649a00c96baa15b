"""Every built-in encoder passes the suite that is offered to third parties."""

import pytest

from mmsdk.protocols import Encoder
from mmsdk.runtime import Runtime
from mmsdk.testing import EncoderContract, HashingEncoder
from mmsdk.types import Content, Modality


class TestHashingEncoder(EncoderContract):
    def encoder(self) -> Encoder:
        return HashingEncoder(modalities=frozenset({"text", "audio"}))


class _Bundled(EncoderContract):
    name: str
    runtime: Runtime

    @pytest.fixture(autouse=True)
    def _bundled(self, bundled: Runtime) -> None:
        self.runtime = bundled

    def encoder(self) -> Encoder:
        return self.runtime.encoder(self.name)


class TestTextEncoder(_Bundled):
    name = "text"


class TestImageEncoder(_Bundled):
    name = "image"


class TestSpeechEncoder(_Bundled):
    name = "speech"

    def samples(self, modality: Modality) -> list[Content]:
        return super().samples(modality)[:2]


def test_the_preset_has_one_space_for_all_modalities(bundled: Runtime) -> None:
    encoders = bundled.encoders()
    assert len({encoder.space for encoder in encoders}) == 1
    assert len({encoder.dimension for encoder in encoders}) == 1
    assert frozenset().union(*(encoder.modalities for encoder in encoders)) == {"text", "image", "audio"}
