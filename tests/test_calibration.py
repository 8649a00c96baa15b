"""Calibration: what is recorded wins, pairs and rows give scales that make one list of all modalities fair."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from mmsdk import Collection
from mmsdk.calibration import Question, from_pairs
from mmsdk.errors import InputError
from mmsdk.explain import explain
from mmsdk.fusion import Ranking
from mmsdk.runtime import Runtime
from mmsdk.testing import HashingEncoder
from mmsdk.types import Content, Document, Image, Locator, Modality, Part, Role, Vectors

THINGS = ("tent", "boot", "lamp", "rope", "knife", "map", "stove", "boat", "coat", "hat")


class Gapped:
    """Encode what a picture or a text is of; pictures are far from texts, texts near to each other."""

    space, dimension, fingerprint = "gapped", 64, "gapped"
    modalities: frozenset[Modality] = frozenset({"text", "image"})

    def encode(self, inputs: Sequence[Content], *, role: Role = "document") -> Vectors:
        rows = np.zeros((len(inputs), self.dimension), np.float32)
        for row, content in zip(rows, inputs, strict=True):
            if isinstance(content, Image):
                noise = np.random.default_rng(int(content.pixels[0, 0, 1])).normal(size=self.dimension)
                row[int(content.pixels[0, 0, 0])] = 1.0
                row += 0.05 * noise
                row[-1] = 2.0
            elif isinstance(content, str):
                noise = np.random.default_rng(list(content.encode())).normal(size=self.dimension)
                for number, thing in enumerate(THINGS):
                    row[number] = float(thing in content)
                row += 0.05 * noise
                row[-2] = 2.0
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Collection]:
    """120 texts of which none is about a thing, and 40 pictures, four a thing."""
    with Collection.open(tmp_path, True, Gapped()) as collection:
        yield collection


def fill(shop: Collection) -> None:
    shop.add_texts(
        [f"This is notice number {n} of the town of {chr(65 + n % 26)}{n}. It says little." for n in range(120)]
    )
    pictures = []
    for number in range(40):
        image = Image(np.full((2, 2, 3), (number % 10, number, 0), np.uint8))
        pictures.append(Document(f"p{number}", (Part(image, Locator("image"), "picture"),), f"p{number}.png", "x"))
    shop.add(pictures)


def test_an_unknown_encoder_is_calibrated_from_its_rows_once_there_are_enough(shop: Collection) -> None:
    assert shop.info()["calibration"] == []
    shop.add_texts([f"Notice {n} of the town. It says little." for n in range(20)])
    assert shop.info()["calibration"] == []
    fill(shop)
    rows = {(row["query"], row["item"]): (row["low"], row["high"]) for row in shop.info()["calibration"]}
    assert rows["text", "text"][0] > 0.5
    before = shop.info()["calibration"]
    fill(shop)
    assert shop.info()["calibration"] == before


def test_rows_make_pictures_findable_beside_texts(shop: Collection) -> None:
    fill(shop)
    shop.store.note("calibration", None)
    assert {hit.chunk.modality for hit in shop.search("a photo of a tent", 4)} == {"text"}
    scales = shop.calibrate()
    assert {(row["query"], row["item"]) for row in scales} >= {("text", "image"), ("image", "text"), ("image", "image")}
    assert [hit.chunk.document_id for hit in shop.search("a photo of a tent", 4)].count("p0") == 1
    assert {hit.chunk.modality for hit in shop.search("a photo of a tent", 4)} == {"image"}
    assert shop.search("notice number 7 of the town", 1)[0].chunk.modality == "text"


def test_pairs_are_recorded_and_win(shop: Collection) -> None:
    fill(shop)
    shop.store.note("calibration", None)
    pairs: list[tuple[Content, list[str]]] = [
        (f"a photo of a {thing}", [f"p{number}" for number in range(40) if number % 10 == place])
        for place, thing in enumerate(THINGS)
    ]
    texts = [hit.chunk for hit in shop.search("notice", 60, {"modality": "text"})]
    pairs += [(chunk.text.partition(".")[0], [chunk.document_id]) for chunk in texts[:20]]
    rows = shop.calibrate(pairs)
    assert {row["by"] for row in rows} == {"pairs"}
    assert {(row["query"], row["item"]) for row in rows} == {("text", "image")}
    assert {hit.chunk.modality for hit in shop.search("a photo of a rope", 4)} == {"image"}
    assert shop.search(texts[30].text, 1)[0].chunk == texts[30]
    with pytest.raises(InputError, match="'nowhere'"):
        shop.calibrate([("a photo", "nowhere")])


def test_the_calibration_is_in_the_collection(tmp_path: Path) -> None:
    with Collection.open(tmp_path, True, Gapped()) as shop:
        fill(shop)
        found = shop.search("a photo of a lamp", 3)
        recorded = shop.info()["calibration"]
    with Collection.open(tmp_path, encoders=Gapped(), read_only=True) as again:
        assert again.info()["calibration"] == recorded
        assert again.search("a photo of a lamp", 3) == found
    with Collection.open(tmp_path, encoders=HashingEncoder(), reindex=True) as other:
        assert other.info()["calibration"] == []


def test_questions_of_one_modality_teach_nothing() -> None:
    near = Ranking(0, "text", "image", "s", [("p", 0.3), ("q", 0.1)])
    question = Question([near], {"p": "image", "q": "image"}, frozenset({"p"}))
    assert from_pairs([question] * 5, {}) == {}
    assert from_pairs([], {}) == {}


def test_what_was_said_is_told_apart_from_texts(bundled: Runtime, tmp_path: Path) -> None:
    said = "Mend the coat before you go out."
    talk = Document("talk", (Part(said, Locator("seconds", 0.0, 2.0), "transcript"),), "talk.wav", "1")
    with Collection.open(tmp_path, True, bundled.encoders(), settings=bundled.settings) as shop:
        shop.add_texts([said], ids=["note"])
        shop.add([talk])
        hits = {hit.chunk.document_id: hit for hit in shop.search("repair your jacket before leaving")}
        cosines = {name: explain(hit).contributions[0].raw for name, hit in hits.items()}
        assert cosines["talk"] == pytest.approx(cosines["note"], abs=1e-3)
        assert hits["talk"].score > hits["note"].score
        assert shop.info()["calibration"] == []
