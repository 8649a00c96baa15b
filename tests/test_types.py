import dataclasses
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmsdk.protocols import Closing
from mmsdk.types import (
    AddReport,
    Answer,
    Audio,
    Chunk,
    Citation,
    Document,
    Failure,
    Hit,
    Image,
    Locator,
    LocatorKind,
    Part,
    Segment,
    Transcript,
    Usage,
    modality_of,
)

NUMBERS = st.floats(0, 1e6)
SPANS = st.tuples(NUMBERS, NUMBERS)


@st.composite
def locators(draw: st.DrawFn) -> Locator:
    kind = draw(st.sampled_from(get_args(LocatorKind)))
    start, stop = draw(st.one_of(st.just((None, None)), SPANS))
    number = draw(st.none() | st.integers(1, 10_000))
    box = draw(st.none() | st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS))
    return Locator(kind, start, stop, number, box, draw(st.none() | st.text(min_size=1)))


@given(locators())
def test_a_locator_survives_json(locator: Locator) -> None:
    assert Locator.from_json(locator.to_json()) == locator


@pytest.mark.parametrize(
    ("locator", "shape", "text"),
    [
        (Locator("characters", 3, 9), {"kind": "characters", "start": 3, "stop": 9}, "characters 3-9"),
        (Locator("seconds", 1.5, 2.25), {"kind": "seconds", "start": 1.5, "stop": 2.25}, "seconds 1.5-2.2"),
        (Locator("image", box=(1, 2, 3, 4)), {"kind": "image", "box": [1, 2, 3, 4]}, "image box (1, 2, 3, 4)"),
        (Locator("row", number=7, sheet="Preise"), {"kind": "row", "row": 7, "sheet": "Preise"}, "Preise, row 7"),
        (Locator("slide", number=2), {"kind": "slide", "slide": 2}, "slide 2"),
    ],
)
def test_a_locator_reads_as_json_and_as_text(locator: Locator, shape: dict[str, object], text: str) -> None:
    assert locator.to_json() == shape
    assert str(locator) == text


def test_narrowing_counts_from_the_start_of_the_locator() -> None:
    assert Locator("page", 100, 200, 4).narrowed(5, 9) == Locator("page", 105, 109, 4)
    assert Locator("seconds", 1.0, 2.0).narrowed(5, 9) == Locator("seconds", 1.0, 2.0)


def test_pictures_and_recordings_compare_by_content() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert Image(pixels) == Image(pixels.copy())
    assert hash(Image(pixels)) == hash(Image(pixels.copy()))
    assert Image(pixels) != Image(pixels.reshape(4, 2, 3))
    samples = np.linspace(-1, 1, 100, dtype=np.float32)
    assert Audio(samples, 16000) == Audio(samples[:], 16000)
    assert Audio(samples, 16000) != Audio(samples, 8000)
    assert len({Image(pixels), Image(pixels.copy()), Audio(samples, 8000)}) == 2


def test_a_strided_picture_has_the_digest_of_its_copy() -> None:
    pixels = np.arange(96, dtype=np.uint8).reshape(4, 8, 3)[:, ::2]
    assert Image(pixels).digest == Image(pixels.copy()).digest


@pytest.mark.parametrize("array", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 4), np.uint8), np.zeros((2, 2, 3))])
def test_a_picture_of_another_shape_is_refused(array: NDArray[np.uint8]) -> None:
    with pytest.raises(TypeError, match=r"uint8 \[height, width, 3\].*mmsdk\.load"):
        Image(array)


def test_a_recording_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match=r"float32 \[time\], not float64"):
        Audio(np.zeros(3), 16000)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Hz"):
        Audio(np.zeros(3, np.float32), 0)


def test_the_modality_is_the_type() -> None:
    assert modality_of("") == "text"
    assert modality_of(Image(np.zeros((1, 1, 3), np.uint8))) == "image"
    assert modality_of(Audio(np.zeros(1, np.float32), 8000)) == "audio"
    with pytest.raises(TypeError, match="not bytes"):
        modality_of(b"x")  # type: ignore[arg-type]


def test_values_are_frozen_and_compare_by_identity_of_content() -> None:
    parts = (Part("One. ", Locator("characters", 0, 5)), Part("Two.", Locator("characters", 5, 9)))
    document = Document("d", parts, "a.txt", "0" * 64)
    assert document.text == "One. Two."
    assert document == Document("d", (), "b.txt", "1" * 64)
    with pytest.raises(dataclasses.FrozenInstanceError):
        document.source = "c.txt"  # type: ignore[misc]


def _hit() -> Hit:
    locator = Locator("page", 0, 11, 3)
    chunk = Chunk("c", "d", "Open daily.", "Open daily.", "text", locator, {"year": 2024}, "hours.pdf")
    return Hit(chunk, 0.1234567, {"rank": 1})


def test_hits_and_answers_have_the_shape_of_the_design() -> None:
    hit = _hit()
    shape = {
        "id": "c",
        "document_id": "d",
        "score": 0.123457,
        "modality": "text",
        "source": "hours.pdf",
        "locator": {"kind": "page", "page": 3, "start": 0, "stop": 11},
        "text": "Open daily.",
        "metadata": {"year": 2024},
    }
    assert hit.to_json() == shape
    cited = Citation(0, 5, hit, "Open daily.", hit.chunk.locator)
    answer = Answer("Daily.", "answered", (cited,), (hit,))
    citation = {"start": 0, "stop": 5, "source": "hours.pdf", "locator": shape["locator"], "quote": "Open daily."}
    assert answer.to_json() == {"text": "Daily.", "status": "answered", "citations": [citation], "hits": [shape]}


def test_a_report_lists_every_failure() -> None:
    report = AddReport(2, 5, 1, (Failure("x.pdf", "decode", "decode", "truncated"),))
    shape = report.to_json()
    assert {key: shape[key] for key in ("documents", "chunks", "skipped")} == {
        "documents": 2,
        "chunks": 5,
        "skipped": 1,
    }
    assert shape["failed"] == [{"source": "x.pdf", "stage": "decode", "code": "decode", "reason": "truncated"}]


def test_transcripts_join_and_usage_adds() -> None:
    assert Transcript((Segment(0, 1, " Hello"), Segment(1, 2, " there."))).text == "Hello there."
    assert Usage(1, 2) + Usage(3, 4) == Usage(4, 6)


def test_leaving_a_with_block_closes() -> None:
    closed = []

    class Door(Closing):
        def close(self) -> None:
            closed.append(True)

    with pytest.raises(KeyError), Door():
        raise KeyError
    assert closed == [True]
