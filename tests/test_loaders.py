"""Every format gives parts with true locators; folders, bytes and documents are read in order."""

import base64
import io
import json
import os
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reportlab.pdfgen import canvas

from mmsdk.errors import DecodeError, FetchError, InputError, UnsupportedMediaError
from mmsdk.loaders import Job, load, read
from mmsdk.loaders.html import blocks, visible_text
from mmsdk.loaders.markdown import load as load_markdown
from mmsdk.loaders.records import readable
from mmsdk.loaders.rows import row_text, split_header
from mmsdk.loaders.table import load_csv
from mmsdk.loaders.text import load as load_text
from mmsdk.types import Audio, Document, Failure, Image, Part

FILES = Path(__file__).parent / "data" / "loaders"
ENGLISH = "The lamp Aurora costs 19 euros."
CHINESE = "台灯“极光”的价格是十九欧元。"


def _read(source: Any, **options: Any) -> Document:
    (document,) = read(source, **options)
    return document


def _texts(document: Document, *kinds: str) -> list[str]:
    return [str(part.content).strip() for part in document.parts if part.kind in kinds]


def _pictures(document: Document) -> list[Part]:
    return [part for part in document.parts if isinstance(part.content, Image)]


def _check_tiles(document: Document) -> None:
    """Texts with one kind, number and sheet of locator lie end to end from 0."""
    reached: dict[Any, float] = {}
    for part in document.parts:
        if isinstance(part.content, str):
            place = (part.locator.kind, part.locator.number, part.locator.sheet)
            assert part.locator.start == reached.get(place, 0), part
            assert part.locator.stop == part.locator.start + len(part.content), part
            reached[place] = part.locator.stop


def test_every_fixture_is_read_and_tiled() -> None:
    failures: list[Failure] = []
    documents = list(read(FILES, on_failure=failures.append))
    assert [Path(document.source).name for document in documents] == sorted(path.name for path in FILES.iterdir())
    assert [failure.source.rpartition("/")[2] for failure in failures] == [
        "offer.eml#odd.bin",
        "prices.jsonl#line 2",
    ]
    assert {failure.code for failure in failures} == {"unsupported_media", "decode"}
    for document in documents:
        _check_tiles(document)


def test_text_keeps_every_character() -> None:
    document = _read(FILES / "lamp_gb18030.txt")
    assert document.text == f"{CHINESE}\r\n\r\n第二段。\r\n"
    assert document.metadata["encoding"] == "gb18030"
    assert _texts(document, "paragraph") == [CHINESE, "第二段。"]


@given(st.text(alphabet="ab \t\r\n#-|`>*1.\u3000台", min_size=1))
def test_text_and_markdown_lose_nothing(text: str) -> None:
    for parse in (load_text, load_markdown):
        parsed = parse(text.encode(), Job())
        assert "".join(str(part.content) for part in parsed.parts) == text


def test_markdown_kinds() -> None:
    document = _read(FILES / "lamp.md")
    assert [part.kind for part in document.parts] == ["code", "heading", "paragraph", "list", "code", "table"]
    assert document.text == (FILES / "lamp.md").read_text("utf-8")
    assert document.metadata["title"] == "Lamp 台灯"


def test_html_shows_what_a_reader_sees() -> None:
    document = _read(FILES / "lamp_big5.html")
    assert document.text == (
        "檯燈\n\nThe lamp Aurora costs 19 euros. 價格是十九歐元。\n\nloose\ntext\n\none\ntwo\n"
        "Name: Aurora; Price: 19\na\n  b\n\n"
    )
    assert (document.metadata["title"], document.metadata["language"]) == ("檯燈", "zh-TW")


def test_html_layout_table_and_inline_words_stay_together() -> None:
    assert visible_text("<table><tr><td><h2>A</h2>b<i>c</i>d</td><td>e</td></tr></table>") == "A\n\nbcd\n\ne"
    assert (
        visible_text("a<script>x</script><!-- no --><p style='display: none'>hid</p><p>b &amp; c&nbsp;d")
        == "a\n\nb & c\xa0d"
    )


def test_docx_in_document_order() -> None:
    document = _read(FILES / "lamp.docx")
    assert [part.kind for part in document.parts] == [
        "heading", "paragraph", "list", "row", "row", "row", "paragraph", "picture",
    ]  # fmt: skip
    assert _texts(document, "row")[1] == "Name: Borealis; Price: 240; Note: 桌子"
    assert _texts(document, "paragraph") == [f"{CHINESE} {ENGLISH}", "After the table."]
    assert document.metadata["title"] == "Lamp sheet"


def test_pptx_numbers_its_slides() -> None:
    document = _read(FILES / "lamp.pptx")
    first = [str(part.content) for part in document.parts if part.locator.number == 1]
    assert first == ["台灯 Aurora\n", ENGLISH + "\n", CHINESE + "\n", "Say it slowly.\n"]
    second = [part for part in document.parts if part.locator.number == 2]
    assert [part.kind for part in second] == ["heading", "row", "row", "row", "picture"]
    assert {part.locator.kind for part in document.parts} == {"slide"}


def test_xlsx_rows_by_sheet() -> None:
    document = _read(FILES / "prices.xlsx")
    rows = [part for part in document.parts if part.kind == "row"]
    assert [(part.locator.sheet, part.locator.number, part.content) for part in rows] == [
        ("价目表", 1, "Name: Aurora; Price: 19.5; Note: lamp"),
        ("价目表", 2, "Name: Borealis; Price: 240.5; Note: 桌子"),
        ("价目表", 3, "Name: Comet; Price: 7.5"),
        ("Stock", 1, "Name: Aurora; Share: 25%; Since: 2024-05-01"),
    ]
    assert document.text == "价目表: Prices of 2024\n"


def test_csv_with_mark_semicolons_and_line_breaks() -> None:
    document = _read(FILES / "prices.csv")
    assert [part.content for part in document.parts] == [
        "Name: Aurora; Price: 19; Note: lamp",
        "Name: Borealis; Price: 240; Note: 桌子",
        "Name: Comet; Price: 7",
        'Name: Multi\nline; Price: 1; Note: a "quoted" word',
    ]
    assert document.parts[3].locator.to_json() == {"kind": "row", "row": 4, "start": 0, "stop": 49}


@pytest.mark.parametrize(
    ("text", "delimiter", "rows"),
    [
        ("a\tb\n1\t2,5\n", "\t", ["a: 1; b: 2,5"]),
        ("a|b\n1|x, y\n2|z, w\n", "|", ["a: 1; b: x, y", "a: 2; b: z, w"]),
        ("1,2\n3,4\n", ",", ["1; 2", "3; 4"]),
        ("only words here\nand here\n", ",", ["only words here: and here"]),
        ("Paris,France\nLyon,France\nNice,France\n", ",", ["Paris; France", "Lyon; France", "Nice; France"]),
        ("a,b\n1\n1,2,3\n", ",", ["a: 1", "a: 1; b: 2; 3"]),
        ('a,b\n1,2\n"x,3\n4,5\n', ",", ["a: 1; b: 2", 'a: "x; b: 3', "a: 4; b: 5"]),
    ],
)
def test_csv_dialects(text: str, delimiter: str, rows: list[str]) -> None:
    parsed = load_csv(text.encode(), Job())
    assert parsed.metadata["delimiter"] == delimiter
    assert [part.content for part in parsed.parts] == rows


def test_open_quote_is_named() -> None:
    (problem,) = load_csv(b'a,b\n1,2\n"x,3\n4,5\n', Job()).problems
    assert problem.where == "line 3"
    assert "quote is not closed" in problem.reason


def test_json_records_are_readable() -> None:
    document = _read(FILES / "prices.json")
    assert [(part.locator.sheet, part.locator.number, part.content) for part in document.parts] == [
        (None, 1, "shop: Acme"),
        ("items", 1, "name: Aurora; price: 19; tags: lamp, 台灯; size.cm: 40"),
        ("items", 2, "name: Borealis"),
    ]
    assert readable([{"a": [1, {"b": None}]}, True]) == "1.a.1: 1; 2: yes"


def test_one_bad_line_of_jsonl_is_named_and_the_rest_kept() -> None:
    failures: list[Failure] = []
    document = _read(FILES / "prices.jsonl", on_failure=failures.append)
    assert [(part.locator.number, part.content) for part in document.parts] == [(1, "name: Aurora"), (3, "name: Comet")]
    assert failures[0].source.endswith("prices.jsonl#line 2")
    assert "line 2" in str(document.metadata["left_out"])


def test_lone_surrogate_in_json_becomes_a_mark() -> None:
    document = _read(b'{"a": "x\\ud800y\\u0000z"}', on_failure=lambda failure: pytest.fail(str(failure)))
    assert "ud800" in document.parts[0].content or "\ufffd" in document.parts[0].content  # type: ignore[operator]
    (path := Path("a.json")).write_bytes(b'{"a": "x\\ud800y\\u0000z"}')
    assert _read(path).parts[0].content == "a: x\ufffdy\ufffdz"


def test_letter_with_attachments() -> None:
    failures: list[Failure] = []
    document = _read(FILES / "offer.eml", on_failure=failures.append)
    assert document.metadata["subject"] == "台灯报价"
    assert document.metadata["attachments"] == ["prices.csv", "card.png", "odd.bin", "letter 6.eml"]
    assert CHINESE in document.text
    assert "The inner letter." in document.text
    assert document.text.count(CHINESE) == 1  # the HTML alternative says it again
    rows = [part for part in document.parts if part.locator.sheet == "prices.csv"]
    assert str(rows[0].content) == "Name: Aurora; Price: 19; Note: lamp"
    assert [part.locator.sheet for part in _pictures(document)] == ["card.png"]
    assert [failure.source.rpartition("#")[2] for failure in failures] == ["odd.bin"]


def test_letters_within_letters_stop_at_a_depth() -> None:
    data = b"From: a@b.c\nTo: a@b.c\nSubject: innermost\n\nx"
    for level in range(9):
        data = b"From: a@b.c\nTo: a@b.c\nSubject: s%d\nContent-Type: message/rfc822\n\n" % level + data
    failures: list[Failure] = []
    document = _read(data, on_failure=failures.append)
    assert "s8" in document.text
    assert "innermost" not in document.text
    assert "levels deep" in failures[0].reason


@pytest.mark.parametrize("charset", ["gb2312", "gb18030", "big5", "utf-8", "no-such-charset"])
def test_letter_in_chinese(charset: str) -> None:
    text = "檯燈的價格" if charset == "big5" else "台灯的价格"
    raw = text.encode(charset if charset != "no-such-charset" else "gb18030")
    subject = base64.b64encode(text.encode("utf-8")).decode()
    data = f"From: a@b.c\nTo: x@y.z\nSubject: =?utf-8?B?{subject}?=\nContent-Type: text/plain; charset={charset}\n\n"
    document = _read(data.encode() + raw)
    assert document.metadata["subject"] == text
    assert document.parts[-1].content == text + "\n\n"


def test_html_letter() -> None:
    message = EmailMessage()
    message["From"], message["Subject"], message["To"] = "a@b.c", "Hi", "x@y.z"
    message.set_content(f"<h1>Offer</h1><p>{CHINESE}</p><script>x()</script>", subtype="html")
    assert _read(message.as_bytes()).text.endswith(f"Offer\n\n{CHINESE}\n\n")


def test_feed_entries() -> None:
    document = _read(FILES / "news.rss")
    assert [part.content for part in document.parts] == [
        f"New lamp\nMon, 01 Jan 2024 00:00:00 GMT\nhttps://shop.example/1\n{ENGLISH}",
        CHINESE,
    ]
    atom = (
        b'<feed xmlns="http://www.w3.org/2005/Atom"><title>T</title><entry><title>One</title><link href="http://x/1"/>'
        b"<updated>2024-01-01T00:00:00Z</updated><content type='html'>&lt;b&gt;Body&lt;/b&gt;</content></entry></feed>"
    )
    chinese = f'<?xml version="1.0" encoding="gb2312"?><rss version="2.0"><channel><item><title>{CHINESE}</title>'
    assert _read(f"{chinese}</item></channel></rss>".encode("gb18030")).parts[0].content == CHINESE
    broken = b"<rss version='2.0'><channel><item><title>\xff\xfe words</title></item></channel></rss>"
    assert "words" in str(_read(broken).parts[0].content)
    assert _read(atom).parts[0].content == "One\n2024-01-01T00:00:00Z\nhttp://x/1\nBody"


def test_pdf_pages_boxes_and_scans() -> None:
    document = _read(FILES / "lamp.pdf")
    heading, paragraph, other = (part for part in document.parts if part.locator.number == 1)
    assert (heading.kind, heading.content) == ("heading", "Aurora\n\n")
    assert paragraph.content == "The lamp Aurora costs\n19 euros.\n\n"
    assert other.content == "Another paragraph."
    assert heading.locator.box == pytest.approx((50, 36, 115, 50), abs=2)  # drawn at 350 from the bottom of 400
    assert paragraph.locator.box == pytest.approx((50, 72, 160, 96), abs=3)
    turned = next(part for part in document.parts if part.locator.number == 2)
    assert turned.content == CHINESE
    assert turned.locator.box is not None
    assert turned.locator.box[1] == pytest.approx(50, abs=1)  # turned to the right, it runs downwards
    embedded, scan = _pictures(document)
    assert embedded.kind == "picture"
    assert embedded.locator.box == pytest.approx((60, 50, 180, 210), abs=0.1)
    assert (scan.kind, scan.locator.number, scan.locator.box) == ("page", 3, (0, 0, 300, 400))
    assert isinstance(scan.content, Image)
    assert scan.content.pixels.shape == (1112, 834, 3)  # 200 dpi
    assert scan.content.pixels[500, 100, 1] < 80


def _pdf(draw: Callable[[Any], None], **options: Any) -> bytes:
    page = canvas.Canvas(file := io.BytesIO(), **options)
    draw(page)
    page.save()
    return file.getvalue()


def test_encrypted_pdf_is_a_decode_error() -> None:
    with pytest.raises(DecodeError, match="encrypted"):
        list(read(_pdf(lambda page: page.drawString(9, 9, "x"), encrypt="secret")))


def test_scanned_pages_share_the_pixels() -> None:
    def scans(page: Any) -> None:
        for _ in range(6):
            page.drawImage(str(FILES / "card.png"), 0, 0, 300, 300)
            page.showPage()

    settings = _settings(limits={"pixels": 2_000_000})
    failures: list[Failure] = []
    document = _read(_pdf(scans, pagesize=(300, 300)), settings=settings, on_failure=failures.append)
    assert len(document.parts) == 6
    assert sum(part.content.pixels.size // 3 for part in document.parts if isinstance(part.content, Image)) <= 2_000_000
    settings = _settings(limits={"pixels": 600_000})
    document = _read(_pdf(scans, pagesize=(300, 300)), settings=settings, on_failure=failures.append)
    assert [part.locator.number for part in document.parts] == [1, 2, 3]
    assert [failure.source.rpartition("#")[2] for failure in failures] == ["page 4", "page 5", "page 6"]


def test_two_columns_are_read_one_after_the_other() -> None:
    def columns(page: Any) -> None:
        for left, word in ((50, "left"), (320, "right")):
            for line in range(4):
                page.drawString(left, 700 - 14 * line, f"{word} column, line number {line}")

    texts = [str(part.content) for part in _read(_pdf(columns)).parts]
    assert [text.split()[0] for text in texts] == ["left", "right"]
    assert [text.count("line number") for text in texts] == [4, 4]


def _settings(**changes: Any) -> Any:
    from mmsdk.settings import Settings

    return Settings.model_validate(changes)


# Sources


def test_ids_sources_and_digests() -> None:
    Path("a.txt").write_text("same words")
    by_path, by_name = _read(Path("a.txt")), _read(str(Path("a.txt").resolve()))
    by_bytes = _read(b"same words")
    assert by_path.id == by_name.id != by_bytes.id
    assert len(by_path.id) == 32
    assert by_path.digest == by_bytes.digest
    assert by_path.source == str(Path("a.txt").resolve())
    assert by_bytes.source == f"bytes:{by_bytes.digest[:12]}"
    assert by_path.metadata["name"] == "a.txt"


def test_known_sources_are_skipped_unparsed() -> None:
    Path("a.txt").write_text("first")
    Path("b.txt").write_text("second")
    known = {document.id: document.digest for document in read(["a.txt", "b.txt"])}
    skipped: list[str] = []
    assert list(read(["a.txt", "b.txt", "a.txt"], known=known, on_skip=skipped.append)) == []
    Path("b.txt").write_text("changed")
    assert [document.text for document in read(["a.txt", "b.txt"], known=known)] == ["changed"]
    assert set(skipped) == set(known)


def test_documents_pass_through_and_other_types_are_refused() -> None:
    document = Document("x", (), "here", "d")
    assert next(iter(read([document, b"words"]))) is document
    assert list(read(document, known={"x": "d"})) == []
    with pytest.raises(TypeError, match="not int"):
        list(read([3]))  # type: ignore[list-item]


def test_failures_are_reported_or_raised_and_the_order_is_kept() -> None:
    Path("good.txt").write_text("good")
    Path("bad.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    failures: list[Failure] = []
    sources: list[str | bytes] = ["bad.png", "good.txt", "missing.txt", b"", "ftp://host/x", "http://", b"more"]
    assert [document.text for document in read(sources, on_failure=failures.append)] == ["good", "more"]
    assert [(failure.stage, failure.code) for failure in failures] == [
        ("decode", "decode"), ("decode", "decode"), ("decode", "decode"), ("fetch", "fetch"), ("fetch", "fetch"),
    ]  # fmt: skip
    assert "no such file" in failures[1].reason
    for source, kind in (("bad.png", DecodeError), ("missing.txt", DecodeError), ("ftp://host/x", FetchError)):
        with pytest.raises(kind, match=str(source).partition(":")[0]):
            list(read(source))


def test_folder_rules() -> None:
    for name in ("b.txt", "a.txt", "sub/c.txt", ".hidden.txt", ".git/d.txt", "sub/skip.log", "drafts/e.txt", "~$a.txt"):
        Path("in", name).parent.mkdir(parents=True, exist_ok=True)
        Path("in", name).write_text(name)
    Path("in/.mmsdkignore").write_text("# not these\n*.log\ndrafts/\n")
    Path("in/sub/.mmsdkignore").write_text("/d*.txt\n")
    Path("in/sub/dropped.txt").write_text("x")
    Path("in/odd.xyz").write_bytes(bytes(range(256)))
    Path("in/loop").symlink_to(Path("in").resolve())
    Path("in/sub/again.txt").symlink_to(Path("in/a.txt").resolve())
    Path("in/dangling.txt").symlink_to("nowhere")
    os.mkfifo("in/pipe.txt")
    failures: list[Failure] = []
    assert [document.text for document in read("in", on_failure=failures.append)] == ["a.txt", "b.txt", "sub/c.txt"]
    assert [Path(failure.source).name for failure in failures] == ["dangling.txt", "odd.xyz", "pipe.txt"]
    assert [failure.code for failure in failures] == ["decode", "unsupported_media", "unsupported_media"]


def test_odd_file_names() -> None:
    Path("名前.txt").write_text("named")
    with open(os.fsencode("bad\udcff.txt"), "w") as file:  # noqa: PTH123
        file.write("bytes in its name")
    documents = list(read("."))
    assert {document.text for document in documents} == {"named", "bytes in its name"}
    for document in documents:
        json.dumps(document.source).encode("utf-8")


def test_too_large_a_file_is_not_read() -> None:
    with Path("big.txt").open("wb") as file:
        file.truncate(3 << 20)
    with pytest.raises(DecodeError, match="3145728 bytes, more than limits"):
        list(read("big.txt", settings=_settings(limits={"file_mb": 2})))


# One picture or recording


def test_load_gives_a_picture_or_a_recording() -> None:
    image, audio = load(FILES / "card.png"), load(str(FILES / "tone.mp4"))
    assert isinstance(image, Image)
    assert isinstance(audio, Audio)
    assert image.pixels.shape == (120, 160, 3)
    assert np.abs(audio.samples).max() > 0.3
    assert load((FILES / "card.png").read_bytes()) == image


@pytest.mark.parametrize(
    ("source", "kind", "says"),
    [
        (FILES / "lamp.pdf", UnsupportedMediaError, "this is pdf, not image or audio"),
        ("nowhere.png", DecodeError, "nowhere.png: there is no such file"),
        (FILES, UnsupportedMediaError, "a folder"),
        ("ftp://host/a.png", FetchError, "only http and https"),
        ("a\x00b", DecodeError, "no such file"),
    ],
)
def test_load_says_why_not(source: Any, kind: type[InputError], says: str) -> None:
    with pytest.raises(kind, match=says):
        load(source)


def test_rows_of_tables() -> None:
    assert split_header([["a", "b"]]) == ([], [["a", "b"]])
    assert split_header([["", "2023"], ["x", "1"]])[0] == []
    assert row_text(["a"], ["1", " ", "z"]) == "a: 1; z"


def test_cells_of_a_workbook_that_lies_about_its_size() -> None:
    book = openpyxl.Workbook()
    sheet: Any = book.active
    for row in (["Name", "Price"], ["Aurora", 19], [None, None], ["Comet", True]):
        sheet.append(row)
    book.save(file := io.BytesIO())
    assert [part.content for part in _read(file.getvalue()).parts] == [
        "Name: Aurora; Price: 19",
        "Name: Comet; Price: yes",
    ]


def test_html_blocks_of_deep_nesting() -> None:
    from selectolax.lexbor import LexborHTMLParser

    assert list(blocks(LexborHTMLParser("<b><i>" * 3000 + "x"))) == [("paragraph", "x\n\n")]


def test_pdf_table_keeps_its_rows() -> None:
    from reportlab.platypus import SimpleDocTemplate, Table

    rows = [["Equipment", "One day", "Deposit"], ["Drift canoe with two paddles", "42", "200"], ["Tent", "16", "100"]]
    SimpleDocTemplate(file := io.BytesIO()).build([Table(rows)])
    document = _read(file.getvalue())
    assert [(part.kind, part.content) for part in document.parts] == [
        ("row", "Equipment: Drift canoe with two paddles; One day: 42; Deposit: 200\n"),
        ("row", "Equipment: Tent; One day: 16; Deposit: 100"),
    ]
    _check_tiles(document)
    first, second = (part.locator.box for part in document.parts)
    assert first is not None
    assert second is not None
    assert first[3] < second[1] + 2
