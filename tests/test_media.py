"""What a file is, by its content first; pictures and recordings as arrays; text in any encoding."""

import io
import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsdk.errors import DecodeError, UnsupportedMediaError
from mmsdk.loaders.charset import decode_text
from mmsdk.media import decode_audio, decode_image, page_numbers, sniff

FILES = Path(__file__).parent / "data" / "loaders"


@pytest.mark.parametrize(
    ("name", "loader"),
    [
        ("card.bmp", "image"),
        ("card.gif", "image"),
        ("card.png", "image"),
        ("card.tiff", "image"),
        ("card.webp", "image"),
        ("card_turned.jpg", "image"),
        ("lamp.docx", "docx"),
        ("lamp.pdf", "pdf"),
        ("lamp.pptx", "pptx"),
        ("prices.xlsx", "xlsx"),
        ("tone.flac", "audio"),
        ("tone.m4a", "audio"),
        ("tone.mp3", "audio"),
        ("tone.mp4", "audio"),
        ("tone.ogg", "audio"),
        ("tone.wav", "audio"),
        ("lamp_big5.html", "html"),
        ("news.rss", "feed"),
        ("offer.eml", "eml"),
    ],
)
def test_content_beats_suffix(name: str, loader: str) -> None:
    data = (FILES / name).read_bytes()
    assert sniff(data, name) == loader
    assert sniff(data, "wrong.txt") == loader
    assert sniff(data) == loader


@pytest.mark.parametrize(
    ("name", "loader"),
    [
        ("a.txt", "text"),
        ("a.md", "markdown"),
        ("a.csv", "csv"),
        ("a.JSON", "json"),
        ("a.jsonl", "jsonl"),
        ("a", "text"),
    ],
)
def test_suffix_decides_between_kinds_of_text(name: str, loader: str) -> None:
    assert sniff(b"one, two\nthree, four\n", name) == loader


@pytest.mark.parametrize(
    ("data", "name", "seen"),
    [
        (bytes(range(256)), "a.xyz", r"binary data that starts with b'\\x00"),
        (bytes(range(256)), "a.txt", "binary data"),
        (b"words with one \x00", "a.xyz", "text of an unknown kind.*xyz"),
        (b"<svg><path d='M0 0'/></svg>", "a.svg", "text of an unknown kind.*svg"),
        (b"{\\rtf1 words}", "a.xyz", "an RTF file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old", "before 2007, or an encrypted one"),
        (b"\x1f\x8b\x08" + bytes(60), "a.gz", "gzip"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(60), "", "picture of type 'heic'"),
        (b"PK\x03\x04" + bytes(60), "a.zip", "zip archive"),
    ],
)
def test_unknown_says_what_was_seen(data: bytes, name: str, seen: str) -> None:
    with pytest.raises(UnsupportedMediaError, match=seen):
        sniff(data, name)


@pytest.mark.parametrize(
    "data",
    [
        b"def price():\n\treturn 19\r\n",
        "# 价格\nlamp = 19".encode(),
        "价格：十九欧元".encode("gb18030"),
        "lamp: 19".encode("utf-16-le"),
        "\ufefflamp: 19".encode("utf-16-be"),
    ],
)
@pytest.mark.parametrize("name", ["main.py", "setup.toml", "ci.yaml", "a.ini", "b.JS", "Makefile", "c.unheard-of"])
def test_text_of_an_unknown_suffix_is_text(data: bytes, name: str) -> None:
    assert sniff(data, name) == "text"


@pytest.mark.parametrize("encoding", ["koi8_r", "cp1251"])
def test_a_short_russian_sentence_is_read_as_russian(encoding: str) -> None:
    text = "Лампа стоит девятнадцать евро, возврат возможен в течение тридцати дней."
    assert decode_text(text.encode(encoding)) == (text, encoding, 0)


def test_empty_is_a_decode_error() -> None:
    with pytest.raises(DecodeError, match="0 bytes"):
        sniff(b"", "a.txt")


def test_unknown_suffix_goes_to_the_loader_of_that_name(offer: Callable[..., None]) -> None:
    offer("acme-gpx", "mmsdk.loaders", "gpx = acme_gpx:load")
    assert sniff(b"\x00\x01track", "a.gpx") == "gpx"
    assert sniff((FILES / "card.png").read_bytes(), "a.gpx") == "image"


@given(st.binary(max_size=300), st.sampled_from(["", "a.txt", "a.png", "a.docx", "a.mp3", "a.xml"]))
def test_sniffing_gives_a_name_or_a_typed_error(data: bytes, name: str) -> None:
    try:
        assert sniff(data, name)
    except (DecodeError, UnsupportedMediaError) as error:
        assert str(error)  # noqa: PT017


# Text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030"])
def test_chinese_text_in_every_encoding(encoding: str) -> None:
    text = "台灯“极光”的价格是十九欧元。\nThe lamp Aurora costs 19 euros, tax included.\n"
    assert decode_text(text.encode(encoding)).text == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("檯燈的價格是十九歐元。", "big5"),
        ("この電気スタンドの値段は十九ユーロです。とても安いと思います。", "shift_jis"),
        ("램프의 가격은 십구 유로입니다. 매우 저렴합니다.", "euc_kr"),
        ("Лампа стоит девятнадцать евро. Это очень дёшево, поверьте мне.", "cp1251"),
        ("Лампа стоит девятнадцать евро. Это очень дёшево, поверьте мне. Мы доставляем заказы по стране.", "koi8_r"),
        ("Die Bürolampe kostet überraschend wenig, schöne Grüße aus Köln.", "cp1252"),
    ],
)
def test_legacy_encodings_are_detected(text: str, encoding: str) -> None:
    assert decode_text(text.encode(encoding)).text == text


@pytest.mark.parametrize("length", [8, 20, 60, 200])
@pytest.mark.parametrize("encoding", ["gb18030", "big5"])
def test_short_chinese_is_told_apart(shared_data: Path, encoding: str, length: int) -> None:
    place = {"gb18030": "zh_cmrc2018/cmrc2018_dev.json", "big5": "zh_bank_intents_trad/nlu.md"}[encoding]
    source = "".join(re.findall(r"[一-鿿，。！？]+", (shared_data / place).read_text("utf-8")))
    chance, right = random.Random(0), 0
    for _ in range(100):
        start = chance.randrange(len(source) - length)
        data = source[start : start + length].encode(encoding, "ignore")
        right += decode_text(data).text == data.decode(encoding)
    assert right >= 99


def test_nul_surrogate_and_cut_character_become_one_mark() -> None:
    assert decode_text(b"a\x00b and more words") == ("a\ufffdb and more words", "utf-8", 1)
    assert decode_text(b"a \xed\xa0\x80 b") == ("a \ufffd b", "utf-8", 1)
    assert decode_text("价格很高，非常高。".encode()[:-1]).text == "价格很高，非常高\ufffd"


@given(st.text(min_size=1))
def test_utf8_is_kept_but_for_nul(text: str) -> None:
    data = text.encode("utf-8")
    if not data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")) and "\x00" not in text:
        assert decode_text(data) == (text, "utf-8", text.count("\ufffd"))


@given(st.binary(max_size=400))
def test_any_bytes_become_text_without_surrogates(data: bytes) -> None:
    text = decode_text(data).text
    assert "\x00" not in text
    assert not re.search("[\ud800-\udfff]", text)


# Pictures


def _file(image: PIL.Image.Image, kind: str = "PNG", **options: object) -> bytes:
    image.save(file := io.BytesIO(), kind, **options)
    return file.getvalue()


def test_card_is_red_left_and_white_right() -> None:
    for name in ("card.png", "card.bmp", "card.gif", "card.tiff", "card.webp"):
        pixels = decode_image((FILES / name).read_bytes()).pixels
        assert pixels.shape == (120, 160, 3)
        assert np.abs(pixels[60, 20].astype(int) - (200, 30, 30)).max() < 12, name
        assert pixels[60, 140].min() > 245, name


def test_exif_turns_the_picture() -> None:
    pixels = decode_image((FILES / "card_turned.jpg").read_bytes()).pixels
    assert pixels.shape == (160, 120, 3)
    assert pixels[20, 60, 1] < 80  # the red half is on top now
    assert pixels[140, 60].min() > 245


def test_transparency_lies_over_white() -> None:
    image = PIL.Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 128))
    pixels = decode_image(_file(image)).pixels
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert abs(int(pixels[0, 1, 0]) - 127) <= 1


def test_deep_cmyk_palette_and_grey_pictures() -> None:
    deep = PIL.Image.fromarray(np.array([[0, 32768, 65535]], np.uint16))
    assert decode_image(_file(deep)).pixels[0, :, 0].tolist() == [0, 128, 255]
    cmyk = PIL.Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert decode_image(_file(cmyk, "TIFF")).pixels[0, 0].tolist() == [255, 0, 0]
    palette = PIL.Image.new("RGB", (4, 4), (10, 200, 30)).quantize(4)
    assert decode_image(_file(palette, "GIF")).pixels[0, 0].tolist() == [10, 200, 30]
    for mode in ("1", "L", "LA", "PA"):
        assert decode_image(_file(PIL.Image.new(mode, (3, 2)), "TIFF" if mode == "PA" else "PNG")).pixels.shape == (
            2,
            3,
            3,
        )


def test_first_frame_of_an_animation() -> None:
    frames = [PIL.Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    pixels = decode_image(_file(frames[0], "GIF", save_all=True, append_images=frames[1:])).pixels
    assert pixels[0, 0].tolist() == [255, 0, 0]


def test_too_many_pixels_and_truncation_are_decode_errors() -> None:
    data = (FILES / "card.png").read_bytes()
    with pytest.raises(DecodeError, match="19200 pixels, more than limits"):
        decode_image(data, pixels=1000)
    with pytest.raises(DecodeError):
        decode_image(data[: len(data) // 2])
    with pytest.raises(UnsupportedMediaError, match="no picture but text"):
        decode_image(b"hello")


def test_malformed_pictures_decode_or_raise(shared_data: Path) -> None:
    for path in sorted((shared_data / "sec_malformed_images").rglob("*.png")):
        try:
            assert decode_image(path.read_bytes()).pixels.size > 0
        except DecodeError as error:
            assert "PNG picture" in str(error)  # noqa: PT017


# Recordings


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "m4a", "mp4"])
def test_tone_is_440_hz_at_16_khz(suffix: str) -> None:
    audio, damaged = decode_audio((FILES / f"tone.{suffix}").read_bytes())
    assert (audio.rate, str(audio.samples.dtype), damaged) == (16000, "float32", 0)
    assert 0.49 < audio.seconds < 0.55
    spectrum = np.abs(np.fft.rfft(audio.samples[2000:6000]))
    assert abs(int(spectrum.argmax()) * 16000 / 4000 - 440) <= 4
    assert 0.3 < np.abs(audio.samples).max() <= 1


def _wave(samples: bytes, *, form: int, bits: int, rate: int = 16000, channels: int = 1) -> bytes:
    align = channels * bits // 8
    head = form.to_bytes(2, "little") + channels.to_bytes(2, "little") + rate.to_bytes(4, "little")
    head += (rate * align).to_bytes(4, "little") + align.to_bytes(2, "little") + bits.to_bytes(2, "little")
    body = b"WAVEfmt " + len(head).to_bytes(4, "little") + head + b"data" + len(samples).to_bytes(4, "little") + samples
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def test_odd_wave_files() -> None:
    wild = np.tile(np.array([np.nan, np.inf, -3.0, 0.25], "<f4"), 400)
    samples = decode_audio(_wave(wild.tobytes(), form=3, bits=32)).audio.samples
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() <= 1
    for bits in (8, 16, 24, 32):
        assert decode_audio(_wave(bytes(bits * 200), form=1, bits=bits)).audio.seconds == pytest.approx(0.1, abs=0.01)
    cut = decode_audio(_wave(bytes(3200), form=1, bits=16)[:-1600]).audio
    assert cut.seconds == pytest.approx(0.05, abs=0.01)
    with pytest.raises(DecodeError, match="holds no sound"):
        decode_audio(_wave(b"", form=1, bits=16))


def test_formats_of_recordings(shared_data: Path) -> None:
    for path in sorted((shared_data / "speech_clips" / "formats").glob("*.wav")):
        assert decode_audio(path.read_bytes()).audio.seconds == pytest.approx(2.745, abs=0.01)


def test_too_long_silent_film_and_garbage() -> None:
    data = (FILES / "tone.wav").read_bytes()
    with pytest.raises(DecodeError, match="longer than limits"):
        decode_audio(data, seconds=0.1)
    with pytest.raises(DecodeError):
        decode_audio(b"\x00\x00\x00\x18ftypmp42" + bytes(500))
    with pytest.raises(UnsupportedMediaError, match="no recording"):
        decode_audio(b"hello")


def test_playlists_that_name_other_files_are_not_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes((FILES / "tone.wav").read_bytes())
    for text in (f"#EXTM3U\n#EXTINF:1,\n{secret}\n", f"ffconcat version 1.0\nfile '{secret}'\n"):
        with pytest.raises(UnsupportedMediaError):
            decode_audio(text.encode())


def test_smaller_copies_in_a_tiff_are_no_pages(tmp_path: Path) -> None:
    page, copy = PIL.Image.new("L", (40, 30)), PIL.Image.new("L", (20, 15))
    copy.encoderinfo = {"tiffinfo": {254: 1}}
    page.save(tmp_path / "pyramid.tiff", save_all=True, append_images=[copy, page])
    data = (tmp_path / "pyramid.tiff").read_bytes()
    assert page_numbers(data) == [0, 2]
    assert decode_image(data, frame=2).pixels.shape == (30, 40, 3)
