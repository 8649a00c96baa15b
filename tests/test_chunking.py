import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsdk.chunking import chunks, sentences
from mmsdk.statements import split
from mmsdk.types import Audio, Chunk, Document, Hit, Image, Locator, Part

MARKDOWN = """# Returns

You can return any item within 30 days. Opened tea cannot be returned.

## Refunds

Refunds take 5 working days. 退款需要五个工作日。请保留收据！

- Cash
- Card
"""


def width(text: str) -> int:
    return sum(3 if re.match(r"[\u3400-\u9fff]", letter) else 1 for letter in text)


def tiled(blocks: list[tuple[str, str]], kind: str = "characters", number: int | None = None) -> tuple[Part, ...]:
    """Lay text blocks end to end, as a loader does."""
    parts, start = [], 0
    for block, part_kind in blocks:
        parts.append(Part(block, Locator(kind, start, start + len(block), number), part_kind))  # type: ignore[arg-type]
        start += len(block)
    return tuple(parts)


def document(parts: tuple[Part, ...], **metadata: str) -> Document:
    return Document("doc", parts, "file.md", "digest", metadata)


def markdown_parts() -> tuple[Part, ...]:
    blocks = re.findall(r"[^\n]+(?:\n[^\n]+)*\n*", MARKDOWN)
    return tiled([(block, "heading" if block.startswith("#") else "paragraph") for block in blocks])


def test_a_heading_starts_a_chunk_and_names_it() -> None:
    found = list(chunks(document(markdown_parts())))
    assert [chunk.text.splitlines()[0] for chunk in found] == ["# Returns", "## Refunds"]
    assert found[0].content == found[0].text
    assert found[1].content == "Returns\n\n" + found[1].text


def test_later_chunks_of_a_section_carry_all_headings_and_the_title() -> None:
    found = list(chunks(document(markdown_parts(), title="Shop"), size=50))
    last = found[-1]
    assert "Card" in last.text
    assert last.content == f"Shop > Returns > Refunds\n\n{last.text}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Dr. Wu pays $3.50 e.g. in cash. Fine.", ["Dr. Wu pays $3.50 e.g. in cash.", "Fine."]),
        ("他说：“好的。”然后走了。可以退货吗？可以！", ["他说：“好的。”", "然后走了。", "可以退货吗？", "可以！"]),
        ("# Title\nText one. Text two.", ["# Title", "Text one.", "Text two."]),
        ("- green tea\n- black tea\n1. first\n2. second", ["- green tea", "- black tea", "1. first", "2. second"]),
        ("Name: Oolong; Price: 12\nName: Assam; Price: 9\n", ["Name: Oolong; Price: 12", "Name: Assam; Price: 9"]),
        ("A line that\nwraps here. Next.", ["A line that\nwraps here.", "Next."]),
        ("😀 Emoji first. 𠀀𠀁。Second plane.", ["😀 Emoji first.", "𠀀𠀁。", "Second plane."]),
        ("", []),
        (" \n\n ", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert [text[start:stop] for start, stop in sentences(text)] == expected


BLOCK = st.tuples(
    st.text(st.sampled_from("abc. 。好！\n#-，é😀𠀀"), min_size=1, max_size=120),
    st.sampled_from(["heading", "paragraph", "table"]),
)


@given(
    st.lists(BLOCK, max_size=8),
    st.integers(5, 80),
    st.sampled_from([0.0, 0.3, 0.9]),
    st.sampled_from([("characters", None), ("page", 2)]),
)
def test_chunks_are_exact_slices_and_cover_the_text(
    blocks: list[tuple[str, str]], size: int, share: float, place: tuple[str, int | None]
) -> None:
    parts = tiled(blocks, *place)
    text = "".join(block for block, _ in blocks)
    found = list(chunks(document(parts), size=size, overlap=int(size * share)))
    covered: set[int] = set()
    for chunk in found:
        assert chunk.locator.start is not None
        assert chunk.locator.stop is not None
        start, stop = int(chunk.locator.start), int(chunk.locator.stop)
        assert text[start:stop] == chunk.text
        assert chunk.locator.kind == place[0]
        assert chunk.locator.number == place[1]
        assert width(chunk.text) <= max(size, 3)
        covered.update(range(start, stop))
    assert all(text[position].isspace() for position in range(len(text)) if position not in covered)
    assert len({chunk.id for chunk in found}) == len(found)
    if share == 0.0:
        assert sum(len(chunk.text) for chunk in found) == len(covered)


def test_overlap_repeats_whole_sentences() -> None:
    text = "First sentence here. Second one here. Third one here. Fourth one here."
    found = list(chunks(document(tiled([(text, "paragraph")])), size=45, overlap=20))
    assert [chunk.text for chunk in found] == [
        "First sentence here. Second one here.",
        "Second one here. Third one here.",
        "Third one here. Fourth one here.",
    ]


def test_rows_are_chunks_of_their_own() -> None:
    rows = tuple(
        Part(f"Name: tea {n}; Price: {n}", Locator("row", 0, 19, number=n, sheet="Prices"), "row") for n in (1, 2)
    )
    found = list(chunks(document(rows)))
    assert [chunk.locator.number for chunk in found] == [1, 2]
    assert found[0].text == "Name: tea 1; Price: 1"


def test_transcripts_are_joined_with_their_seconds_and_modality() -> None:
    audio = Part(Audio(np.zeros(16000, np.float32), 16000), Locator("seconds", 0.0, 9.0), "recording")
    said = [(" We open at nine.", 0.0, 2.5), (" We close at six.", 2.5, 5.0), (" Goodbye.", 7.0, 8.0)]
    parts = (audio, *(Part(text, Locator("seconds", start, stop), "transcript") for text, start, stop in said))
    found = list(chunks(document(parts), size=40))
    assert [(chunk.text, chunk.locator.start, chunk.locator.stop) for chunk in found] == [
        ("We open at nine. We close at six.", 0.0, 5.0),
        ("Goodbye.", 7.0, 8.0),
    ]
    assert {chunk.modality for chunk in found} == {"audio"}


def test_speech_is_cut_at_sentences_so_that_its_seconds_are_narrow() -> None:
    said = [f" This is sentence number {n} of a rather long recording." for n in range(6)]
    parts = tuple(Part(text, Locator("seconds", 4.0 * n, 4.0 * n + 4), "transcript") for n, text in enumerate(said))
    found = list(chunks(document(parts)))
    assert [(chunk.locator.start, chunk.locator.stop) for chunk in found] == [(0.0, 8.0), (8.0, 16.0), (16.0, 24.0)]


def test_a_picture_gives_itself_and_its_text_with_the_box_around() -> None:
    picture = Part(Image(np.zeros((40, 60, 3), np.uint8)), Locator("image", box=(0, 0, 60, 40)), "picture")
    lines = (
        Part("SALE\n", Locator("image", box=(5, 6, 30, 12)), "ocr"),
        Part("-20 %\n", Locator("image", box=(8, 14, 40, 20)), "ocr"),
    )
    image, text = chunks(document((picture, *lines)))
    assert (image.content, image.text, image.modality) == (picture.content, "", "image")
    assert (text.text, text.modality, text.locator.box) == ("SALE\n-20 %", "image", (5, 6, 40, 20))


def test_text_after_a_picture_keeps_its_place() -> None:
    picture = Part(Image(np.zeros((4, 6, 3), np.uint8)), Locator("image", box=(0, 0, 6, 4)), "picture")
    before, after = tiled([("Before it.\n\n", "paragraph"), ("After it.", "paragraph")])
    whole = document((before, picture, after))
    found = [chunk for chunk in chunks(whole) if chunk.modality == "text"]
    assert [whole.text[int(c.locator.start or 0) : int(c.locator.stop or 0)] for c in found] == [
        "Before it.",
        "After it.",
    ]


def test_a_scanned_page_is_kept_as_a_picture_only_when_nothing_was_read() -> None:
    scan = Part(Image(np.zeros((4, 6, 3), np.uint8)), Locator("page", number=1, box=(0, 0, 6, 4)), "page")
    line = Part("Text\n", Locator("page", 0, 5, number=1, box=(1, 1, 3, 2)), "ocr")
    assert [chunk.text for chunk in chunks(document((scan, line)))] == ["Text"]
    assert [chunk.modality for chunk in chunks(document((scan,)))] == ["image"]


def test_ids_are_stable_and_follow_content() -> None:
    def ids(text: str) -> set[str]:
        return {chunk.id for chunk in chunks(document(tiled([(text, "paragraph")])), size=20)}

    before = ids("The first sentence. The second one.")
    assert ids("The first sentence. The second one.") == before
    assert len(before & ids("The first sentence. A changed one.")) == 1


def test_wrong_sizes_are_refused() -> None:
    def cut(size: int, overlap: int) -> list[Chunk]:
        return list(chunks(document(()), size=size, overlap=overlap))

    for size, overlap in ((0, 0), (10, 10), (10, -1)):
        with pytest.raises(ValueError, match="size"):
            cut(size, overlap)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("**What may I burn?**\nWood only.", ["**What may I burn?**", "Wood only."]),
        ("**No chimney. Can we have one?**\nYes.", ["**No chimney. Can we have one?**", "Yes."]),
        ("Wood only.\n**No chimney. Can we have one?**", ["Wood only.", "**No chimney. Can we have one?**"]),
        ("__Can I?__ No. It is *good.* So.", ["__Can I?__", "No.", "It is *good.*", "So."]),
        ("**Note:** we close. On **Monday.**\nYes.", ["**Note:** we close.", "On **Monday.**", "Yes."]),
        ("# A. B. c\nOne. Two.", ["# A. B. c", "One.", "Two."]),
    ],
)
def test_marks_of_emphasis_stay_with_their_sentence_and_a_bold_line_is_one(text: str, wanted: list[str]) -> None:
    assert [text[start:stop] for start, stop in sentences(text)] == wanted


@pytest.mark.parametrize(
    ("text", "lead", "answer"),
    [
        ("**No chimney. Can we have one?**\nYes, with a flue.", "No chimney. Can we have one?", "Yes, with a flue."),
        ("## Is there a course in C#\nYes, on Fridays.", "Is there a course in C#", "Yes, on Fridays."),
    ],
)
def test_a_bold_question_or_a_heading_leads_its_answer(text: str, lead: str, answer: str) -> None:
    part = Part(text, Locator("characters", 0, len(text)))
    (found,) = split([Hit(chunk, 1.0) for chunk in chunks(Document("d", (part,), "faq.md", ""))])
    assert (found.lead, found.text) == (lead, answer)
