"""Text, image and speech encoders with the bundled models: what they say of the world, and the contract."""

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from PIL import ImageDraw

from mmsdk import registry, weights
from mmsdk.encoders import build, openvino, shared
from mmsdk.encoders.batching import packed, shrinking, unit
from mmsdk.encoders.bert import pooling_of
from mmsdk.encoders.text import _PROBES, TextEncoder, Way, _unpadded
from mmsdk.errors import DeviceMemoryError, ModelLoadError, SettingsError, UnsupportedModalityError
from mmsdk.protocols import Encoder
from mmsdk.settings import Settings
from mmsdk.testing import EncoderContract
from mmsdk.types import Audio, Image, Vectors


@cache
def encoder(position: int) -> Encoder:
    return build(Settings())[position]


def drawing(shape: str) -> Image:
    """A flat drawing: an ``orange`` disc, or the ``keyboard`` of a computer."""
    picture = Picture.new("RGB", (200, 200), "white")
    draw = ImageDraw.Draw(picture)
    if shape == "orange":
        draw.ellipse((40, 40, 160, 160), fill=(255, 150, 0), outline=(200, 100, 0), width=3)
    else:
        for row in range(5):
            for column in range(10):
                left, top = 8 + column * 19, 50 + row * 20
                draw.rectangle((left, top, left + 15, top + 16), fill=(40, 40, 45), outline="black")
    return Image(np.asarray(picture))


class TestTextContract(EncoderContract):
    def encoder(self) -> Encoder:
        return encoder(0)


class TestImageContract(EncoderContract):
    def encoder(self) -> Encoder:
        return encoder(1)


def test_the_three_share_one_space_and_one_object_a_process() -> None:
    text, image, speech = build(Settings())
    assert text.space == image.space == speech.space == "text:all-MiniLM-L6-v2"
    assert (text.dimension, image.dimension, speech.dimension) == (384, 384, 384)
    assert len({text.fingerprint, image.fingerprint, speech.fingerprint}) == 3
    assert build(Settings())[0] is text
    assert shared("text:all-MiniLM-L6-v2", Settings()) is text


def test_fingerprint_and_dimension_need_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise AssertionError("the weights were loaded")

    monkeypatch.setattr("sentence_transformers.SentenceTransformer", refuse)
    made = TextEncoder(settings=Settings())
    assert made.dimension == 384
    assert made.fingerprint.startswith("text:all-MiniLM-L6-v2@")


def test_vectors_are_those_of_sentence_transformers() -> None:
    from sentence_transformers import SentenceTransformer

    texts = ["Returns are free within 30 days.", "退货免费", "", "a " * 100]
    folder = weights.resolve("all-MiniLM-L6-v2", settings=Settings())
    reference = SentenceTransformer(str(folder), device="cpu").encode(texts, normalize_embeddings=True)
    assert ((reference * encoder(0).encode(texts)).sum(axis=1) >= 0.999).all()


@pytest.mark.usefixtures("bundled")
def test_an_unchanged_folder_is_added_again_without_importing_a_model_library(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("A tent.")
    program = f"""
import sys
from mmsdk import Collection
with Collection.open({str(tmp_path / "shop")!r}, create=True) as shop:
    report = shop.add({str(tmp_path / "docs")!r})
    print(report.documents, report.skipped, "torch" in sys.modules)
"""
    runs = [
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True) for _ in range(2)
    ]
    assert [run.stdout.split() for run in runs] == [["1", "0", "True"], ["0", "1", "False"]]


def test_every_way_to_run_the_model_gives_its_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for batches of mixed lengths, above and below the length where attention changes."""
    monkeypatch.setattr("mmsdk.encoders.text.native_half", lambda device: torch.bfloat16)
    made = TextEncoder(settings=Settings(device="cpu"))
    library = made._library
    plain, half = (_unpadded(made._loaded, "mean", kind) for kind in (None, torch.bfloat16))
    assert made.way.name == plain[0].name == "torch.float32 without padding"
    assert [len(plain), len(half)] == [2, 2]  # OpenVINO too
    texts = [*_PROBES, *_PROBES[1:3], "word " * 230, "字" * 400]
    ids, lengths = made._tokenized(texts, None)
    assert max(lengths) == 256
    exact = library.run(texts, ids, None)
    for way, least in [*((way, 0.999999) for way in plain), *((way, 0.999) for way in half)]:
        assert (exact * way.run(texts, ids, None)).sum(axis=1).min() >= least
    assert np.abs(exact - made.way.run(texts, ids, None)).max() < 1e-5
    assert np.abs(exact[:2] - made.way.run(texts[:2], ids[:2], None)).max() < 1e-5


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_texts_in_one_row_see_only_themselves(pooling: str) -> None:
    made = TextEncoder(settings=Settings(device="cpu"))
    by_openvino = openvino.Bert(made._loaded[0].auto_model, pooling)
    ids, lengths = made._tokenized(
        ["tent 12", "", "How long is the guarantee?", "退货免费", "word " * 60, "tent 12"], None
    )
    assert sum(lengths) <= openvino.ROW
    alone = torch.cat([by_openvino([text]) for text in ids])
    assert (by_openvino(ids) - alone).abs().max() < 1e-5
    filled = [*ids, *made._tokenized(["long " * 240] * 2, None)[0]]
    assert sum(map(len, filled)) > openvino.ROW
    assert (by_openvino(filled)[: len(ids)] - alone).abs().max() < 1e-5


def test_openvino_is_there_without_its_telemetry() -> None:
    program = (
        "import sys; from mmsdk.encoders.openvino import openvino; openvino();"
        "print('openvino' in sys.modules, any('openvino_telemetry' in name for name in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert run.stdout.split() == ["True", "False"]


def test_the_fastest_way_that_is_faithful_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    made = TextEncoder(settings=Settings(device="cpu"))
    made.encode(["few tokens"])
    exact = made.way
    even = Way("even", exact.run)
    wrong = Way("wrong", lambda texts, ids, _: exact.run(texts[::-1], ids[::-1], None))
    made._tokens = 1_000_000
    monkeypatch.setattr("mmsdk.encoders.text.native_half", lambda device: torch.bfloat16)
    for quick, seconds, chosen in ((even, 1, "even"), (even, 3, exact.name), (wrong, 1, exact.name)):
        times = {exact.name: 2, made._library.name: 4, quick.name: seconds}
        monkeypatch.setattr("mmsdk.encoders.text._unpadded", lambda *_, quick=quick: [quick])
        monkeypatch.setattr("mmsdk.encoders.text._seconds", lambda way, *_, times=times: times[way.name])
        made.__dict__.pop("_fastest", None)
        assert made.way.name == chosen


def test_models_that_are_no_plain_bert_are_left_to_the_library() -> None:
    modules: list[Any] = list(TextEncoder(settings=Settings(device="cpu"))._loaded)
    assert pooling_of(modules) == "mean"
    modules[1].pooling_mode = "max"
    assert pooling_of(modules) is None
    modules[1].pooling_mode = "cls"
    assert pooling_of(modules) == "cls"
    modules[0].auto_model.config.hidden_act = "relu"
    assert pooling_of(modules) is None
    assert pooling_of([torch.nn.Linear(2, 2)]) is None


def test_long_texts_are_cut_and_counted() -> None:
    made = TextEncoder(settings=Settings())
    made.encode(["short", "word " * 300, "字" * 300])
    assert made.truncated == 2
    made.encode(["word " * 1000])
    assert made.truncated == 3


def test_a_query_prompt_of_the_model_is_used(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    source = SentenceTransformer(str(weights.resolve("all-MiniLM-L6-v2", settings=Settings())), device="cpu")
    source.prompts = {"query": "find the opposite of: ", "document": ""}
    source.save(str(tmp_path / "prompted"))
    made = TextEncoder(str(tmp_path / "prompted"), settings=Settings())
    query, document = made.encode(["cold"], role="query"), made.encode(["cold"])
    assert float((query * document).sum()) < 0.95
    assert made.space == "text:prompted"
    assert made.fingerprint != encoder(0).fingerprint


def test_lone_surrogates_are_encoded() -> None:
    assert np.isfinite(encoder(0).encode(["broken \ud800 text"])).all()


def test_wrong_modalities_name_what_is_taken() -> None:
    with pytest.raises(UnsupportedModalityError, match=r"takes text, but inputs\[1\] is image"):
        encoder(0).encode(["good", drawing("orange")])
    with pytest.raises(UnsupportedModalityError, match="takes image"):
        encoder(1).encode(["text"])
    with pytest.raises(UnsupportedModalityError, match="takes audio"):
        encoder(2).encode(["text"])


@pytest.mark.parametrize("device", ["tpu", "cuda:x", "CPU"])
def test_an_unknown_device_is_a_settings_error(device: str) -> None:
    with pytest.raises(SettingsError, match="auto, cpu, cuda, cuda:N or mps"):
        TextEncoder(settings=Settings(device=device)).encode(["text"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_device_that_is_not_there_says_so() -> None:
    with pytest.raises(ModelLoadError, match="0 CUDA devices; set device = auto"):
        TextEncoder(settings=Settings(device="cuda")).encode(["text"])


def test_a_folder_without_safetensors_does_not_load(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert", "hidden_size": 8}')
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04not weights")
    with pytest.raises(ModelLoadError, match="does not load"):
        TextEncoder(str(tmp_path), settings=Settings()).encode(["text"])


def test_names_reach_the_encoders_through_the_registry() -> None:
    made = registry.create("encoders", "text:all-MiniLM-L6-v2", settings=Settings())
    assert isinstance(made, TextEncoder)


def test_drawings_are_nearer_to_what_they_show() -> None:
    names = encoder(0).encode(["an orange fruit", "a computer keyboard"])
    orange, keyboard = encoder(1).encode([drawing("orange"), drawing("keyboard")]) @ names.T
    assert orange[0] > orange[1]
    assert keyboard[1] > keyboard[0]


def test_photos_are_nearer_to_their_class(shared_data: Path) -> None:
    """A floor well under the figure in docs/LOG.md, on 60 pictures of 10 classes."""
    labels = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    pictures, truth = [], []
    for position, label in enumerate(labels):
        for file in sorted((shared_data / "img_cifar10").rglob(f"{label}_*.jpg"))[:6]:
            with Picture.open(file) as picture:
                pictures.append(Image(np.asarray(picture.convert("RGB"))))
            truth.append(position)
    near = (encoder(1).encode(pictures) @ encoder(0).encode(labels).T).argmax(axis=1)
    assert len(truth) == 60
    assert float((near == np.array(truth)).mean()) > 0.4


def test_kept_class_vectors_that_are_damaged_are_made_again(tmp_path: Path) -> None:
    from mmsdk.encoders.image import _keep, _kept

    file = tmp_path / "derived" / "vectors.npy"
    vectors: Vectors = np.eye(3, dtype=np.float32)
    _keep(file, vectors)
    again = _kept(file)
    assert again is not None
    assert (again == vectors).all()
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    assert _kept(file) is None
    assert _kept(tmp_path / "absent.npy") is None


def test_silence_has_the_vector_of_the_empty_string() -> None:
    silence = encoder(2).encode([Audio(np.zeros(8000, np.float32), 8000)])
    assert float((silence @ encoder(0).encode([""]).T).min()) > 0.999
    assert encoder(2).encode([]).shape == (0, 384)


def test_speech_is_nearest_to_what_it_says(shared_data: Path) -> None:
    from mmsdk.loaders import load

    heard = encoder(2).encode([load(shared_data / "speech_clips" / "en" / "jfk.flac")])
    near = heard @ encoder(0).encode(["what you can do for your country", "the price of a tent"]).T
    assert near[0, 0] > near[0, 1] + 0.2


def test_packing_keeps_every_position_once_within_the_budget() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 300, 500).tolist()
    batches = packed(lengths, 2048)
    assert sorted(position for batch in batches for position in batch) == list(range(500))
    assert all(len(batch) * max(lengths[position] for position in batch) <= 2048 for batch in batches)
    assert packed([], 10) == []
    assert packed([50, 50], 10) == [[0], [1]]


def test_a_batch_that_does_not_fit_is_halved_and_keeps_its_order() -> None:
    sizes: list[int] = []

    def run(batch: list[int]) -> Vectors:
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return np.array([[float(position)] for position in batch], np.float32)

    rows = shrinking(run, [5, 3, 9, 1, 7], "a model")  # type: ignore[arg-type]
    assert rows[:, 0].tolist() == [5, 3, 9, 1, 7]
    assert max(sizes[1:]) < 5

    def never(batch: list[int]) -> Vectors:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(DeviceMemoryError, match="a model: the device has too little memory for one input"):
        shrinking(never, [0, 1], "a model")  # type: ignore[arg-type]


def test_other_errors_are_not_taken_for_memory() -> None:
    def broken(batch: list[int]) -> Vectors:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        shrinking(broken, [0, 1], "a model")  # type: ignore[arg-type]


def test_rows_of_zeros_become_unit_vectors() -> None:
    rows = unit(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    assert rows[1].tolist() == pytest.approx([0.6, 0.8])
    assert np.linalg.norm(rows, axis=1).tolist() == pytest.approx([1.0, 1.0])
