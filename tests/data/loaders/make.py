"""Make the small files in this folder, one a format: ``python tests/data/loaders/make.py``.

Every text file says that the lamp "Aurora" costs 19 euros, in English and in Chinese.
"""

import json
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import av
import docx
import numpy as np
import openpyxl
import PIL.Image
import PIL.ImageDraw
import pptx
from pptx.util import Inches
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen import canvas

HERE = Path(__file__).parent
ENGLISH = "The lamp Aurora costs 19 euros."
CHINESE = "台灯“极光”的价格是十九欧元。"
ROWS = [("Name", "Price", "Note"), ("Aurora", "19", "lamp"), ("Borealis", "240", "桌子"), ("Comet", "7", "")]


def picture() -> PIL.Image.Image:
    """A white card with a red left half."""
    image = PIL.Image.new("RGB", (160, 120), "white")
    PIL.ImageDraw.Draw(image).rectangle((0, 0, 79, 119), fill=(200, 30, 30))
    return image


def pictures() -> None:
    image = picture()
    for suffix in ("png", "bmp", "tiff", "gif", "webp"):
        image.save(HERE / f"card.{suffix}")
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees to the right
    image.save(HERE / "card_turned.jpg", exif=exif, quality=90)


def texts() -> None:
    (HERE / "lamp_gb18030.txt").write_bytes(f"{CHINESE}\r\n\r\n第二段。\r\n".encode("gb18030"))
    (HERE / "lamp.md").write_text(
        f"---\ntitle: Lamp\n---\n# Lamp 台灯\n\n{ENGLISH}\n\n- one\n- two\n\n```\ncode\n```\n\n"
        "| Name | Price |\n|---|---|\n| Aurora | 19 |\n",
        "utf-8",
    )
    (HERE / "lamp_big5.html").write_bytes(
        (
            '<html lang="zh-TW"><head><meta charset="big5"><title>檯燈</title><script>evil()</script>'
            "<style>p{}</style></head><body><nav><a href=x>選單</a></nav><h1>檯燈</h1>"
            f"<p>{ENGLISH} <b>價格</b>是十九歐元。</p><p hidden>unseen</p><div>loose<br>text</div>"
            "<ul><li>one<li>two</ul><table><tr><th>Name<th>Price<tr><td>Aurora<td>19</table>"
            "<pre>a\n  b</pre></body></html>"
        ).encode("big5")
    )
    lines = "\n".join(";".join(row) for row in ROWS)
    (HERE / "prices.csv").write_bytes(("\ufeff" + lines + '\n"Multi\nline";1;"a ""quoted"" word"\n').encode("utf-8"))
    records = [{"name": "Aurora", "price": 19, "tags": ["lamp", "台灯"], "size": {"cm": 40}}, {"name": "Borealis"}]
    (HERE / "prices.json").write_text(json.dumps({"shop": "Acme", "items": records}, ensure_ascii=False), "utf-8")
    (HERE / "prices.jsonl").write_text('{"name": "Aurora"}\n{"name": broken\n{"name": "Comet"}\n', "utf-8")
    (HERE / "news.rss").write_text(
        '<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel><title>Shop news</title>'
        f"<item><title>New lamp</title><link>https://shop.example/1</link><description>&lt;p&gt;{ENGLISH}&lt;/p&gt;"
        f"</description><pubDate>Mon, 01 Jan 2024 00:00:00 GMT</pubDate></item><item><title>{CHINESE}</title>"
        "</item></channel></rss>",
        "utf-8",
    )


def office() -> None:
    document = docx.Document()
    document.core_properties.title = "Lamp sheet"
    document.add_heading("台灯 Aurora", 1)
    document.add_paragraph(f"{CHINESE} {ENGLISH}")
    document.add_paragraph("first point", "List Bullet")
    table = document.add_table(0, 3)
    for row in ROWS:
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    document.add_paragraph("After the table.")
    document.add_picture(str(HERE / "card.png"))
    document.save(str(HERE / "lamp.docx"))

    slides = pptx.Presentation()
    slide = slides.slides.add_slide(slides.slide_layouts[1])
    slide.shapes.title.text, slide.placeholders[1].text = "台灯 Aurora", f"{ENGLISH}\n{CHINESE}"
    slide.notes_slide.notes_text_frame.text = "Say it slowly."
    slide = slides.slides.add_slide(slides.slide_layouts[5])
    slide.shapes.title.text = "Prices"
    grid = slide.shapes.add_table(4, 3, Inches(1), Inches(2), Inches(6), Inches(2)).table
    for place, row in enumerate(ROWS):
        for column, text in enumerate(row):
            grid.cell(place, column).text = text
    slide.shapes.add_picture(str(HERE / "card.png"), Inches(1), Inches(5))
    slides.save(str(HERE / "lamp.pptx"))

    book = openpyxl.Workbook()
    sheet: Any = book.active
    sheet.title = "价目表"
    sheet.append(["Prices of 2024"])
    sheet.append([])
    for name, price, note in ROWS:
        sheet.append([name, float(price) + 0.5 if price.isdecimal() else price, note])
    other: Any = book.create_sheet("Stock")
    other.append(["Name", "Share", "Since"])
    other.append(["Aurora", 0.25, __import__("datetime").date(2024, 5, 1)])
    other["B2"].number_format = "0%"
    book.save(str(HERE / "prices.xlsx"))


def pdf() -> None:
    """Page 1 has text, page 2 (turned) text in Chinese and a picture, page 3 is a scan."""
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    page = canvas.Canvas(str(HERE / "lamp.pdf"), pagesize=(300, 400), invariant=1)
    page.setTitle("Lamp sheet")
    page.setFont("Helvetica-Bold", 20)
    page.drawString(50, 350, "Aurora")
    page.setFont("Helvetica", 11)
    page.drawString(50, 320, "The lamp Aurora costs")
    page.drawString(50, 306, "19 euros.")
    page.drawString(50, 240, "Another paragraph.")
    page.showPage()
    page.setPageRotation(90)
    page.setFont("STSong-Light", 12)
    page.drawString(50, 250, CHINESE)  # within a sheet of 400 by 300 points, shown turned by 90 degrees
    page.drawImage(str(HERE / "card.png"), 50, 60, 160, 120)
    page.showPage()
    page.setPageRotation(0)
    page.drawImage(str(HERE / "card.png"), 0, 0, 300, 400)
    page.showPage()
    page.save()


def letter() -> None:
    inner = EmailMessage()
    inner["From"], inner["To"], inner["Subject"] = "b@shop.example", "a@shop.example", "Inner"
    inner.set_content("The inner letter.")
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Li <li@shop.example>", "you@shop.example", "台灯报价"
    message["Date"] = "Mon, 01 Jan 2024 08:00:00 +0800"
    message.set_content(CHINESE, charset="gb2312", cte="base64")
    message.add_alternative(f"<p>{CHINESE}</p>", subtype="html")
    message.add_attachment((HERE / "prices.csv").read_bytes(), maintype="text", subtype="csv", filename="prices.csv")
    message.add_attachment((HERE / "card.png").read_bytes(), maintype="image", subtype="png", filename="card.png")
    message.add_attachment(b"\x00\x01\x02" * 9, maintype="application", subtype="x-odd", filename="odd.bin")
    message.add_attachment(inner)
    message.set_boundary("=======boundary=======")
    (HERE / "offer.eml").write_bytes(message.as_bytes())


def recordings() -> None:
    """Half a second of a 440 Hz tone in every container; the film has a picture track too."""
    tone = (np.sin(np.arange(22050) * 2 * np.pi * 440 / 44100) * 12000).astype(np.int16)
    codecs = {"wav": "pcm_s16le", "flac": "flac", "mp3": "libmp3lame", "ogg": "libopus", "m4a": "aac", "mp4": "aac"}
    for suffix, codec in codecs.items():
        with av.open(str(HERE / f"tone.{suffix}"), "w") as container:
            film = container.add_stream("mpeg4", rate=10) if suffix == "mp4" else None
            sound: Any = container.add_stream(codec, rate=48000 if suffix == "ogg" else 44100, layout="stereo")
            if film is not None:
                film.width, film.height, film.pix_fmt = 160, 120, "yuv420p"
                for _ in range(5):
                    container.mux(film.encode(av.VideoFrame.from_ndarray(np.asarray(picture()), "rgb24")))
                container.mux(film.encode(None))
            frame = av.AudioFrame.from_ndarray(np.repeat(tone, 2)[None, :], format="s16", layout="stereo")
            frame.rate = 44100
            fitted = av.AudioResampler(sound.format, sound.layout, sound.rate, sound.frame_size or None)
            for piece in [*fitted.resample(frame), *fitted.resample(None)]:
                container.mux(sound.encode(piece))
            container.mux(sound.encode(None))


if __name__ == "__main__":
    pictures()
    texts()
    office()
    pdf()
    letter()
    recordings()
