"""The open_clip encoder on a small checkpoint with random weights, made here: plumbing, not meaning."""

import json
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from mmsdk.encoders.open_clip import OpenClipEncoder, _repository
from mmsdk.errors import ModelLoadError, UnsupportedModalityError, WeightsError
from mmsdk.protocols import Encoder
from mmsdk.settings import Settings
from mmsdk.testing import EncoderContract
from mmsdk.types import Audio, Content, Image

CONFIG = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


@cache
def checkpoint() -> Path:
    """Register the architecture ``tiny-clip`` and give a folder with its weights, also as a model folder."""
    folder = Path(mkdtemp())
    (folder / "tiny-clip.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(folder / "tiny-clip.json")
    torch.manual_seed(0)
    state = open_clip.create_model("tiny-clip").state_dict()
    save_file(state, folder / "weights.safetensors")
    whole = folder / "whole"
    whole.mkdir()
    (whole / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {"size": 32}}))
    save_file(state, whole / "open_clip_model.safetensors")
    return folder


@cache
def tiny() -> OpenClipEncoder:
    return OpenClipEncoder(f"tiny-clip@{checkpoint() / 'weights.safetensors'}", settings=Settings(offline=True))


class TestOpenClipContract(EncoderContract):
    def encoder(self) -> Encoder:
        return tiny()


def picture(seed: int) -> Image:
    return Image(np.random.default_rng(seed).integers(0, 255, (40, 50, 3), np.uint8))


def test_vectors_are_those_of_open_clip() -> None:
    model, prepare = open_clip.create_model_from_pretrained(
        "tiny-clip", pretrained=str(checkpoint() / "weights.safetensors")
    )
    from PIL import Image as Picture

    with torch.inference_mode():
        text = model.encode_text(open_clip.get_tokenizer("tiny-clip")(["a tent"]), normalize=True).numpy()
        pixels = prepare(Picture.fromarray(picture(1).pixels))[None]
        image = model.encode_image(pixels, normalize=True).numpy()
    rows = tiny().encode([picture(1), "a tent"])
    assert rows == pytest.approx(np.concatenate([image, text]), abs=1e-5)


def test_texts_and_pictures_keep_their_order() -> None:
    inputs: list[Content] = ["one", picture(1), "two", picture(2), "三"]
    together = tiny().encode(inputs)
    alone = np.concatenate([tiny().encode([content]) for content in inputs])
    assert together == pytest.approx(alone, abs=1e-5)


def test_a_folder_with_its_configuration_is_a_model() -> None:
    made = OpenClipEncoder(str(checkpoint() / "whole"), settings=Settings(offline=True))
    assert made.dimension == 32
    assert made.space == "open_clip:whole"
    assert made.encode(["a tent", picture(3)]) == pytest.approx(tiny().encode(["a tent", picture(3)]), abs=1e-5)


def test_it_describes_its_space_by_architecture_and_file() -> None:
    assert tiny().space == "open_clip:tiny-clip@weights.safetensors"
    assert tiny().dimension == 32


def test_long_texts_are_counted() -> None:
    before = tiny().truncated
    tiny().encode(["short", "a much longer text than sixteen tokens can hold " * 3])
    assert tiny().truncated == before + 1


def test_audio_is_refused() -> None:
    with pytest.raises(UnsupportedModalityError, match="takes image and text"):
        tiny().encode([Audio(np.zeros(10, np.float32), 10)])


def test_an_unknown_architecture_and_an_unknown_tag_are_named(tmp_path: Path) -> None:
    settings = Settings(offline=True, cache=tmp_path)
    with pytest.raises(ModelLoadError, match="no architecture 'ViT-X-99'"):
        OpenClipEncoder("ViT-X-99", settings=settings).encode(["text"])
    with pytest.raises(WeightsError, match="has no weights 'nonsense'"):
        OpenClipEncoder("ViT-B-32@nonsense", settings=settings).encode(["text"])


def test_a_tag_is_a_hub_repository_and_offline_says_how_to_fetch_it(tmp_path: Path) -> None:
    assert _repository("ViT-B-32", "laion2b_s34b_b79k") == "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
    assert _repository("ViT-B-16-SigLIP2-256", "") == "timm/ViT-B-16-SigLIP2-256"
    made = OpenClipEncoder("ViT-B-32@laion2b_s34b_b79k", settings=Settings(offline=True, cache=tmp_path))
    with pytest.raises(WeightsError, match="mmsdk models fetch laion/CLIP-ViT-B-32-laion2B-s34B-b79K"):
        made.encode(["text"])


def test_a_checkpoint_of_another_architecture_does_not_load() -> None:
    checkpoint()
    made = OpenClipEncoder(f"RN50@{checkpoint() / 'weights.safetensors'}", settings=Settings(offline=True))
    with pytest.raises(ModelLoadError, match="does not load in open_clip"):
        made.encode(["text"])
