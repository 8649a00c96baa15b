"""Collections by real models: what goes in is found again, by text, picture and voice, and stays right under change."""

import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import pytest

from mmsdk.collection import Collection
from mmsdk.errors import EncoderMismatchError, InputError, UnsupportedModalityError
from mmsdk.loaders import load
from mmsdk.protocols import Retriever
from mmsdk.runtime import Runtime
from mmsdk.testing import HashingEncoder
from mmsdk.types import Audio, Image

ROOT = Path(__file__).parents[1]
DATA = ROOT / "examples" / "data"
QUESTIONS = ROOT / "examples" / "questions"


@pytest.fixture(scope="module")
def shop(bundled: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    """The example shop: texts, tables, drawings and recordings."""
    folder = tmp_path_factory.mktemp("shop")
    with Collection.open(folder, create=True, encoders=bundled.encoders(), settings=bundled.settings) as collection:
        report = collection.add(DATA, metadata={"shop": "alder"})
        assert report.failed == ()
        assert report.documents == len(list(collection.store.documents())) > 10
        yield collection


def test_a_question_finds_its_passage(shop: Collection) -> None:
    hits = shop.search("How many days do I have to return an unused item?", k=3)
    assert any(hit.chunk.source.endswith("returns.md") for hit in hits)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(0 <= hit.score <= 1 for hit in hits)


def test_a_chinese_question_finds_its_chinese_passage(shop: Collection) -> None:
    hits = shop.search("退货需要多少天？", k=3)
    assert hits[0].chunk.source.endswith("退换货政策.md")
    assert "退" in hits[0].chunk.text


def test_speech_is_found_with_its_seconds(shop: Collection) -> None:
    hits = shop.search("opening hours on the phone", k=5, where={"modality": "audio"})
    assert hits
    assert all(hit.chunk.locator.kind == "seconds" for hit in hits)
    assert any(hit.chunk.source.endswith("voicemail-opening-hours.ogg") for hit in hits)


def test_a_spoken_question_is_heard(shop: Collection) -> None:
    question = load(QUESTIONS / "spoken-question.ogg")
    assert isinstance(question, Audio)
    hits = shop.search(question, k=5)
    assert len(hits) == 5
    assert "text" in hits[0].trace
    assert shop.search([question, "tents"], k=3)


def test_a_picture_finds_pictures_and_texts(shop: Collection) -> None:
    picture = load(DATA / "pictures" / "store-map.png")
    hits = shop.search(picture, k=40)
    assert hits[0].chunk.source.endswith("store-map.png")
    assert isinstance(hits[0].chunk.content, Image)
    assert {type(hit.chunk.content) for hit in hits} == {Image, str}
    together = shop.search([picture, "return an unused item"], k=10)
    assert any(hit.chunk.source.endswith("returns.md") for hit in together)
    assert any(hit.chunk.source.endswith("store-map.png") for hit in together)


def test_the_trace_says_how_a_score_came_about(shop: Collection) -> None:
    hit = shop.search("How heavy is the Alder 2 tent?", k=1)[0]
    space = hit.trace["spaces"]
    words = hit.trace["text"]
    assert isinstance(space, list)
    assert isinstance(words, list)
    assert -1 <= space[0]["cosine"] <= 1
    assert space[0]["rank"] >= 1
    assert words[0]["score"] > 0
    assert hit.trace["fused"] == hit.score
    assert set(hit.trace["seconds"]) >= {"encode", "dense", "text", "fetch"}  # type: ignore[arg-type]


def test_filters_leave_k_hits_when_k_match(shop: Collection) -> None:
    for source in {hit.chunk.source for hit in shop.search("shop", k=100)}:
        matching = shop.count({"source": source})
        hits = shop.search("price of a tent", k=matching, where={"source": source})
        assert len(hits) == matching
        assert {hit.chunk.source for hit in hits} == {source}
    assert shop.search("price", where={"shop": "other"}) == []


def test_many_questions_give_what_one_gives(shop: Collection) -> None:
    questions = ["return policy", "帐篷", ["how heavy", "the tent"]]
    together = shop.search_many(questions, k=4)
    alone = [shop.search(question, k=4) for question in questions]
    for batched, single in zip(together, alone, strict=True):  # a batch rounds otherwise: near ties may change places
        assert batched[0].chunk.id == single[0].chunk.id
        assert [hit.score for hit in batched] == pytest.approx([hit.score for hit in single], abs=0.02)
    assert isinstance(shop, Retriever)
    assert shop.retrieve("return policy", 4)[0].chunk.id == together[0][0].chunk.id


def test_adding_again_costs_no_encoding(shop: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    before, revision = len(shop), shop.info()["revision"]
    monkeypatch.setattr("mmsdk.ingestion.encode", pytest.fail)
    report = shop.add(DATA, metadata={"shop": "alder"})
    assert report.documents == 0
    assert report.skipped > 10
    assert len(shop) == before
    assert shop.info()["revision"] == revision


def test_locators_point_to_what_was_found(shop: Collection) -> None:
    from mmsdk import loaders

    text = next(iter(loaders.read(DATA / "policies" / "returns.md"))).text
    found = [hit.chunk for hit in shop.search("returns", k=100) if hit.chunk.source.endswith("returns.md")]
    assert found
    for chunk in found:
        start, stop = chunk.locator.start, chunk.locator.stop
        assert start is not None
        assert stop is not None
        assert text[int(start) : int(stop)] == chunk.text


def test_one_id_for_two_texts_is_an_error_and_equal_texts_are_one(tmp_path: Path) -> None:
    with Collection.open(tmp_path / "c", True, HashingEncoder()) as collection:
        for ids, metadata in ((["a", "b", "a"], None), (["b", "a", "b"], [{}, {}, {"year": 2024}])):
            with pytest.raises(InputError, match=r"ids\[0\] and ids\[2\] are both"):
                collection.add_texts(["A tent.", "A lamp.", "A tent." if metadata else "A boot."], ids, metadata)
        assert len(collection) == 0
        assert collection.add_texts(["A tent.", "A tent."], ["a", "a"]) == ["a", "a"]
        first, second = collection.add_texts(["A lamp.", "A lamp."], metadata=[{"year": 1}, {"year": 2}])
        assert first == second
        assert [hit.chunk.metadata for hit in collection.search("lamp", 1)] == [{"year": 2}]
        assert len(collection) == 2


def test_another_encoder_is_refused_and_reindexing_offered(bundled: Runtime, tmp_path: Path) -> None:
    with Collection.open(tmp_path / "c", True, HashingEncoder(), settings=bundled.settings) as collection:
        collection.add_texts(["A tent for two people.", "Boots for the winter.", "退货政策"])
    with pytest.raises(EncoderMismatchError, match=r"hashing \(hashing/256\); given are text:.*reindex=True"):
        Collection.open(tmp_path / "c", encoders=bundled.encoders(), settings=bundled.settings)
    with Collection.open(
        tmp_path / "c", encoders=bundled.encoders(), settings=bundled.settings, reindex=True
    ) as collection:
        assert collection.search("somewhere to sleep outdoors", k=1)[0].chunk.text == "A tent for two people."
        assert collection.verify() == []
    with Collection.open(tmp_path / "c", encoders=bundled.encoders(), settings=bundled.settings) as collection:
        assert len(collection) == 3


def test_a_picture_is_stored_and_reindexed_without_its_file(bundled: Runtime, tmp_path: Path) -> None:
    picture = tmp_path / "map.png"
    picture.write_bytes((DATA / "pictures" / "store-map.png").read_bytes())
    with Collection.open(tmp_path / "c", True, bundled.encoders(), settings=bundled.settings) as collection:
        collection.add(picture)
        picture.unlink()
        first = collection.search(load(DATA / "pictures" / "store-map.png"), k=1)[0]
        assert collection.reindex() == len(collection)
        second = collection.search(load(DATA / "pictures" / "store-map.png"), k=1)[0]
    assert isinstance(second.chunk.content, Image)
    assert max(second.chunk.content.pixels.shape) <= 768
    assert abs(first.score - second.score) < 0.1


def test_a_modality_that_no_encoder_takes_is_an_error(bundled: Runtime, tmp_path: Path) -> None:
    text_only = [encoder for encoder in bundled.encoders() if "text" in encoder.modalities]
    with Collection.open(tmp_path / "c", True, text_only, settings=bundled.settings) as collection:
        collection.add_texts(["one"])
        with pytest.raises(UnsupportedModalityError, match="no encoder of this collection takes image; they take text"):
            collection.search(Image(np.zeros((8, 8, 3), np.uint8)))


def test_a_recording_in_which_nothing_is_said_does_not_stop_the_rest(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "silent.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 3 * 16000))
    (tmp_path / "harbour.txt").write_text("The harbour closes at nine.", "utf-8")
    with Collection.open(tmp_path / "collection", create=True) as harbour:
        report = harbour.add([tmp_path / "silent.wav", tmp_path / "harbour.txt", ""])
        assert [(failure.source, failure.reason) for failure in report.failed] == [("''", "the path is empty")]
        assert [hit.chunk.text for hit in harbour.search("When does it close?")] == ["The harbour closes at nine."]
        assert harbour.add(tmp_path / "silent.wav").documents == 0
        with pytest.raises(ValueError, match="31 bits"):
            harbour.search("When does it close?", 10**30)


def test_every_page_of_a_tiff_is_read(tmp_path: Path) -> None:
    said = ("First page: tulip bulbs", "Second page: daffodil auction", "Third page: orchid greenhouse")
    pages = [PIL.Image.new("RGB", (900, 200), "white") for _ in said]
    for page, text in zip(pages, said, strict=True):
        PIL.ImageDraw.Draw(page).text((20, 60), text, fill="black", font=PIL.ImageFont.load_default(48))
    scan = tmp_path / "scan.tiff"
    pages[0].save(scan, save_all=True, append_images=pages[1:])
    with Collection.open(tmp_path / "collection", create=True) as scans:
        assert scans.add(scan).failed == ()
        for number, text in enumerate(said, 1):
            found = scans.search(text, k=1)[0].chunk
            assert (found.text, found.locator.kind, found.locator.number) == (text, "image", number)
        scan.write_bytes(scan.read_bytes()[: int(scan.stat().st_size * 0.7)])
        assert [failure.source for failure in scans.add(scan).failed] == [f"{scan}#page 3"]
        assert scans.search("daffodil auction", k=1)[0].chunk.text == said[1]
