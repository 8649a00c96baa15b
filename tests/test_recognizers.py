"""Reading pictures and hearing recordings, with the real engines; doubles only where failures are arranged."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from mmsdk.errors import WeightsError
from mmsdk.protocols import TextReader, Transcriber
from mmsdk.recognizers import reader, recognize, transcriber
from mmsdk.recognizers.layout import reading_order
from mmsdk.recognizers.ocr import RapidOCR
from mmsdk.settings import Settings
from mmsdk.types import Audio, Document, Image, Locator, Part, Segment, Transcript


def page(*lines: tuple[int, int, str], size: tuple[int, int] = (900, 400), height: int = 28) -> Image:
    """A white picture with black text at (left, top)."""
    picture = Picture.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    for left, top, text in lines:
        draw.text((left, top), text, fill="black", font=ImageFont.load_default(height))
    return Image(np.asarray(picture))


def document(*parts: Part, source: str = "a.png") -> Document:
    return Document(source, parts, source, "")


def picture(content: Image) -> Part:
    height, width = content.pixels.shape[:2]
    return Part(content, Locator("image", box=(0, 0, width, height)), "picture")


NOTICE = page((40, 40, "Returns are free within 30 days."), (40, 120, "Keep the receipt: 12.50 EUR"))


def test_reader_and_transcriber_are_one_object_a_process_and_keep_their_protocols() -> None:
    assert reader(Settings()) is reader(Settings())
    assert isinstance(reader(Settings()), TextReader)
    assert isinstance(transcriber(Settings()), Transcriber)


def test_lines_are_read_with_boxes_in_pixels() -> None:
    (lines,) = reader(Settings()).read([NOTICE])
    assert [line.content for line in lines] == ["Returns are free within 30 days.\n", "Keep the receipt: 12.50 EUR\n"]
    box = lines[0].locator.box
    assert box is not None
    left, top, right, bottom = box
    assert 30 <= left <= 50
    assert 30 <= top <= 50
    assert 350 <= right <= 520
    assert 60 <= bottom <= 85
    assert {line.kind for line in lines} == {"ocr"}


def test_chinese_signs_are_read(shared_data: Path) -> None:
    with Picture.open(shared_data / "img_ocr_easyocr" / "chinese.jpg") as opened:
        (lines,) = reader(Settings()).read([Image(np.asarray(opened.convert("RGB")))])
    assert "愚园路" in "".join(str(line.content) for line in lines)


@pytest.mark.parametrize(
    "pixels", [np.full((1, 1, 3), 255, np.uint8), np.zeros((2000, 1, 3), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_pictures_without_text_have_no_lines(pixels: np.ndarray) -> None:
    assert reader(Settings()).read([Image(pixels)]) == [[]]


def test_no_pictures_need_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmsdk.recognizers.ocr.rapidocr.RapidOCR", None)
    assert RapidOCR(settings=Settings()).read([]) == []


def test_two_columns_are_read_one_after_the_other_and_a_title_first() -> None:
    column = [
        ((x, y, x + 200, y + 10), f"{name} {y}") for name, x in (("left", 0), ("right", 250)) for y in (40, 60, 80)
    ]
    mixed = [column[i] for i in (3, 0, 4, 1, 5, 2)]
    title = ((0, 0, 450, 20), "A title over both")
    assert [text for _, text in reading_order([*mixed, title])] == [
        "A title over both",
        *("left 40", "left 60", "left 80", "right 40", "right 60", "right 80"),
    ]


def test_the_cells_of_a_table_stay_in_their_rows() -> None:
    cells = [((x, y, x + 40, y + 10), f"{name}{y}") for y in (0, 20, 40) for x, name in ((200, "price"), (0, "item"))]
    assert [text for _, text in reading_order(cells)] == ["item0 price0", "item20 price20", "item40 price40"]


def test_cells_with_long_texts_of_all_lengths_stay_in_their_rows() -> None:
    widths = [310, 150, 260, 95, 290, 120]
    cells = [((0, y, width, y + 10), f"item {y}") for y, width in zip(range(0, 120, 20), widths, strict=True)]
    cells += [((350, y, 350 + w, y + 10), f"what {y}") for y, w in zip(range(0, 120, 20), widths[::-1], strict=True)]
    assert [text for _, text in reading_order(cells)] == [f"item {y} what {y}" for y in range(0, 120, 20)]


def test_a_caption_between_columns_does_not_tear_them() -> None:
    lines = [
        ((x, y, x + 200, y + 10), f"{name} {y}") for x, name in ((0, "left"), (250, "right")) for y in range(0, 600, 20)
    ]
    caption = ((190, 300, 260, 310), "caption")
    read = [text for _, text in reading_order([*lines, caption])]
    assert [text for text in read if text != "caption"] == [text for _, text in lines]


def test_a_wide_piece_among_others_stays_in_its_line() -> None:
    sign = [((0, 10, 20, 40), "西"), ((40, 5, 240, 60), "愚园路"), ((260, 10, 280, 40), "东")]
    assert [text for _, text in reading_order(sign)] == ["西 愚园路 东"]


def test_boxes_of_a_scanned_page_are_in_points_and_its_lines_tile_its_text() -> None:
    points = (0.0, 0.0, 450.0, 200.0)
    scan = Part(NOTICE, Locator("page", number=3, box=points), "page")
    (read,), failures = recognize([document(scan)], reader=reader(Settings()), transcriber=transcriber(Settings()))
    assert failures == []
    first, second = read.parts[1:]
    assert first.locator.kind == "page"
    assert first.locator.number == 3
    assert first.locator.box is not None
    assert 15 <= first.locator.box[0] <= 25
    assert first.locator.box[2] <= 260
    text = "".join(str(part.content) for part in (first, second))
    for part in (first, second):
        assert part.locator.start is not None
        assert part.locator.stop is not None
        assert text[int(part.locator.start) : int(part.locator.stop)] == part.content


def test_speech_becomes_parts_with_seconds_and_a_language(shared_data: Path) -> None:
    from mmsdk.loaders import load

    recording = load(shared_data / "speech_clips" / "en" / "jfk.flac")
    assert isinstance(recording, Audio)
    whole = Part(recording, Locator("seconds", 0, recording.seconds), "recording")
    (heard,), failures = recognize([document(whole)], reader=reader(Settings()), transcriber=transcriber(Settings()))
    assert failures == []
    spoken = [part for part in heard.parts if part.kind == "transcript"]
    assert "ask what you can do for your country" in "".join(str(part.content) for part in spoken)
    assert heard.metadata["language"] == "en"
    assert all(part.locator.kind == "seconds" and part.locator.start is not None for part in spoken)


class Said:
    """A transcriber with a fixed transcript, which fails on an empty recording."""

    def transcribe(self, recordings: Sequence[Audio]) -> list[Transcript]:
        if any(not len(recording.samples) for recording in recordings):
            raise ValueError("nothing to hear")
        return [Transcript((Segment(0, 1, " One"), Segment(1, 2, " two.")), "en") for _ in recordings]


class Readings:
    """A reader that counts its calls and fails on dark pictures."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def read(self, images: Sequence[Image]) -> list[list[Part]]:
        self.batches.append(len(images))
        if any(not image.pixels.any() for image in images):
            raise RuntimeError("too dark")
        return [[Part("text\n", Locator("image", box=(0, 0, 1, 1)), "ocr")] for _ in images]


DARK = Image(np.zeros((8, 8, 3), np.uint8))
LIGHT = Image(np.full((8, 8, 3), 255, np.uint8))


def test_all_documents_are_one_batch() -> None:
    readings = Readings()
    texts = document(Part("words", Locator("characters", 0, 5)), source="b.txt")
    documents = [document(picture(LIGHT), picture(LIGHT)), texts, document(picture(LIGHT))]
    read, failures = recognize(documents, reader=readings, transcriber=Said())
    assert readings.batches == [3]
    assert failures == []
    assert [len(document.parts) for document in read] == [4, 1, 2]
    assert read[1] is texts
    assert [part.kind for part in read[0].parts] == ["picture", "ocr", "picture", "ocr"]


def test_an_item_that_fails_fails_alone_and_is_named() -> None:
    silent = Part(Audio(np.zeros(0, np.float32), 8000), Locator("seconds", 0, 0), "recording")
    spoken = Part(Audio(np.ones(8, np.float32), 8000), Locator("seconds", 0, 1), "recording")
    documents = [document(picture(DARK), picture(LIGHT)), document(silent, spoken, source="b.wav")]
    read, failures = recognize(documents, reader=Readings(), transcriber=Said())
    assert [(failure.source, failure.stage) for failure in failures] == [("a.png", "recognize"), ("b.wav", "recognize")]
    assert "too dark" in failures[0].reason
    assert [part.kind for part in read[0].parts] == ["picture", "picture", "ocr"]
    assert [part.content for part in read[1].parts if part.kind == "transcript"] == ["One ", "two."]


def test_missing_weights_are_raised_since_every_item_would_fail(tmp_path: Path) -> None:
    settings = Settings(offline=True, cache=tmp_path)
    recording = Part(Audio(np.ones(8, np.float32), 16000), Locator("seconds", 0, 1), "recording")
    with pytest.raises(WeightsError, match="mmsdk models fetch whisper-base"):
        recognize([document(recording)], reader=Readings(), transcriber=transcriber(settings))
