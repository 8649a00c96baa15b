"""Make the files of examples/data and examples/questions that a script can make.

The hand-written ones (Markdown, text, HTML, CSV) stay as they are. It needs reportlab and matplotlib,
and for the recordings the command ``text2wave`` (Debian packages festival and festvox-us-slt-hts);
mmsdk itself needs none of them.
Run it from the root of the repository: ``python examples/make_data.py``.
"""

import re
import subprocess
import tempfile
import wave
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import docx
import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import FancyBboxPatch, Polygon
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

EXAMPLES = Path(__file__).parent
DATA = EXAMPLES / "data"
QUESTIONS = EXAMPLES / "questions"

HANDBOOK: list[tuple[str, list[str]]] = [
    (
        "Rental handbook",
        [
            "This handbook is for customers who rent equipment from Quillmoor Outfitters. "
            "The rental desk stands on the ground floor of the shop, to the left of the entrance.",
            "Book by telephone or at the desk, at the latest two days before you need the equipment. "
            "A booking can be cancelled free of charge until noon of the day before.",
            "Collect the equipment from 9 o'clock. Bring it back by 18:30 on the last day. "
            "Whoever comes later pays half a day's rate for every started three hours.",
            "Renters must be at least 18 years old and show an identity card.",
        ],
    ),
    ("Rates and deposits", ["All rates are in euros. The seventh day in a row is free."]),
    (
        "Damage and cleaning",
        [
            "Small scratches are part of life and cost nothing. "
            "A lost paddle costs 45 euros, a lost tent peg 1.50 euros.",
            "Tents that come back wet or muddy are dried and cleaned by us for a fee of 18 euros.",
            "The insurance for 6 euros a day covers breakage, but neither theft nor loss.",
        ],
    ),
    (
        "On the river",
        [
            "Canoes may be used on the river Senn between the old mill and the weir at Farrow Bridge, "
            "which is a trip of 11 kilometres. Land on the left bank, at least 200 metres before the weir.",
            "Wear the life jacket at all times. Children under 12 may only paddle together with an adult.",
            "When the gauge at the mill shows more than 160 centimetres, no canoes are handed out.",
            "Our van brings people and canoes back from Farrow Bridge at 15:00 and at 17:30. A seat costs 7 euros.",
        ],
    ),
]
RATES = [
    ["Equipment", "One day", "Weekend", "Deposit"],
    ["Drift canoe with two paddles", "42", "75", "200"],
    ["Alder 2 tent", "16", "28", "100"],
    ["Alder 4 tent", "24", "41", "150"],
    ["Brook 65 backpack", "9", "15", "60"],
    ["Heron sleeping bag", "11", "19", "80"],
    ["Ember gas stove", "5", "8", "20"],
]

CLUB: list[tuple[str, list[str]]] = [
    (
        "Gift cards",
        [
            "Gift cards are sold in amounts from 20 to 500 euros. "
            "They are valid for four years from the day of purchase.",
            "A lost gift card is replaced if the receipt is shown. Gift cards are not paid out in cash.",
        ],
    ),
    (
        "The Fern Club",
        [
            "Membership of the Fern Club costs 15 euros a year. "
            "Members collect one point for each euro; 250 points are worth a voucher of 10 euros.",
            "Points expire after two years without a purchase.",
            "Members may come to the preview evening of the winter sale, on the last Thursday of December.",
        ],
    ),
    (
        "Group orders",
        [
            "Schools and scout groups get 12 percent off orders of ten or more equal items. "
            "Ask Tomas Lindqvist for an offer; he answers within two working days.",
        ],
    ),
]

SAID = {
    DATA / "recordings" / "voicemail-opening-hours.ogg": (
        "Hello, this is the answering machine of the outdoor shop. "
        "From the first of May, we are open from nine in the morning until seven in the evening, Monday to Saturday. "
        "On Sundays, the shop is closed. During the river festival in August, we close at four in the afternoon. "
        "Thank you for calling."
    ),
    DATA / "recordings" / "tip-boots.mp3": (
        "Here is a tip about leather boots. Never dry wet boots next to a heater, because the leather will crack. "
        "Fill them with newspaper, and change the paper every two hours. "
        "Once the boots are dry, rub in some wax with a soft cloth."
    ),
    DATA / "recordings" / "message-about-a-repair.m4a": (
        "Good morning. The zipper of your sleeping bag has been repaired. "
        "The repair costs eleven euros. You can collect it any day after Tuesday."
    ),
    QUESTIONS / "spoken-question.ogg": "What time does the shop close during the river festival?",
}
CODECS = {".ogg": ("libopus", 24_000), ".mp3": ("libmp3lame", 32_000), ".m4a": ("aac", 32_000)}

VOICE = "cmu_us_slt_arctic_hts"

SOLD = [18, 21, 34, 47, 66, 92, 118, 104, 59, 31, 15, 40]
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def main() -> None:
    """Make every file anew."""
    mpl.use("Agg")
    for folder in (DATA / "pictures", DATA / "recordings", QUESTIONS):
        folder.mkdir(parents=True, exist_ok=True)
    write_handbook(DATA / "rental-handbook.pdf")
    write_club(DATA / "gift-cards-and-club.docx")
    draw_sales(DATA / "pictures" / "sleeping-bags-sold-2025.png")
    draw_map(DATA / "pictures" / "store-map.png")
    draw_dimensions(DATA / "pictures" / "alder-2-dimensions.png")
    paint_tent(QUESTIONS / "picture-question.png")
    for path, text in SAID.items():
        speak(text, path)


def write_handbook(path: Path) -> None:
    styles = getSampleStyleSheet()
    story: list[Any] = []
    for number, (title, paragraphs) in enumerate(HANDBOOK):
        story += [PageBreak()] if number else []
        story += [Paragraph(title, styles["Heading1"]), Spacer(1, 8)]
        for paragraph in paragraphs:
            story += [Paragraph(paragraph, styles["BodyText"]), Spacer(1, 6)]
        if title == "Rates and deposits":
            story.append(_rates())
    SimpleDocTemplate(
        str(path), pagesize=A4, title="Rental handbook", author="Quillmoor Outfitters", invariant=1
    ).build(story)


def _rates() -> Table:
    ruled = [("GRID", (0, 0), (-1, -1), 0.5, colors.grey), ("FONTNAME", (0, 0), (-1, 0), "Helvetica-Bold")]
    return Table(RATES, colWidths=[200, 70, 70, 70], style=TableStyle(ruled))


def write_club(path: Path) -> None:
    document = docx.Document()
    document.core_properties.author = "Quillmoor Outfitters"
    document.core_properties.created = document.core_properties.modified = datetime(2026, 1, 5, tzinfo=UTC)
    document.add_heading("Gift cards and the Fern Club", level=0)
    for title, paragraphs in CLUB:
        document.add_heading(title, level=1)
        for paragraph in paragraphs:
            document.add_paragraph(paragraph)
    document.save(str(path))


def draw_sales(path: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=110)
    axes.bar(MONTHS, SOLD, color="#4b7f52")
    for month, sold in enumerate(SOLD):
        axes.text(month, sold + 2, str(sold), ha="center", fontsize=13)
    axes.set_title("Sleeping bags sold in 2025", fontsize=18)
    axes.text(0, 105, "Best month: July with 118", fontsize=15)
    axes.tick_params(labelsize=13)
    axes.set_ylim(0, 132)
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def draw_map(path: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 5), dpi=110)
    rooms = [
        (0, 0, 3, 2, "Ground floor\nRental desk", "#f3e3c3"),
        (3.2, 0, 4.8, 2, "Ground floor\nShoes and climbing wall", "#dbe7d5"),
        (0, 2.2, 3, 2, "First floor\nTents", "#cfe0ea"),
        (3.2, 2.2, 4.8, 2, "First floor\nCold room and sleeping bags", "#e4dcec"),
        (0, 4.4, 8, 1, "Second floor: repair workshop", "#f0d4cc"),
    ]
    for left, bottom, width, height, label, color in rooms:
        axes.add_patch(FancyBboxPatch((left, bottom), width, height, "round,pad=0,rounding_size=.1", fc=color, ec="k"))
        axes.text(left + width / 2, bottom + height / 2, label, ha="center", va="center", fontsize=15)
    axes.set_title("Quillmoor Outfitters: where to find what", fontsize=17)
    axes.set(xlim=(-0.1, 8.1), ylim=(-0.1, 5.5))
    axes.axis("off")
    _save(figure, path)


def draw_dimensions(path: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=110)
    x = np.linspace(-110, 110, 200)
    axes.fill_between(x, 105 * np.sqrt(np.clip(1 - (x / 110) ** 2, 0, 1)), color="#6c8f5a")
    axes.add_patch(Polygon([(-28, 0), (0, 70), (28, 0)], fc="#2f3f2b"))
    arrow = {"arrowstyle": "<->", "lw": 1.5}
    axes.annotate("", (-110, -12), (110, -12), arrowprops=arrow)
    axes.text(0, -30, "Floor length 220 cm", ha="center", fontsize=15)
    axes.annotate("", (128, 0), (128, 105), arrowprops=arrow)
    axes.text(134, 50, "Inner height\n105 cm", fontsize=15, va="center")
    axes.text(-205, 50, "Porch depth\n70 cm", fontsize=15, va="center")
    axes.set_title("Alder 2: dimensions, seen from the side", fontsize=17)
    axes.set(xlim=(-210, 215), ylim=(-42, 130), aspect="equal")
    axes.axis("off")
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)
    Image.open(path).convert("RGB").quantize(64).save(path, optimize=True)


def paint_tent(path: Path, size: int = 384, seed: int = 0) -> None:
    """Paint a dome tent on a meadow before mountains, at twice the size, then shrink it."""
    noise = np.random.default_rng(seed)
    canvas = _meadow(size * 2, noise)
    draw = ImageDraw.Draw(canvas)
    _dome(draw, size * 2)
    canvas = canvas.filter(ImageFilter.GaussianBlur(1.5)).resize((size, size), Image.Resampling.LANCZOS)
    canvas.save(path.with_suffix(".png"), optimize=True)


def _meadow(side: int, noise: np.random.Generator) -> Image.Image:
    y = np.linspace(0, 1, side)[:, None, None]
    pixels = np.broadcast_to((1 - y) * [95, 150, 215] + y * [225, 235, 245], (side, side, 3)).copy()
    x = np.linspace(0, 1, side)
    for base, height, color in ((0.52, 0.22, (120, 135, 160)), (0.58, 0.13, (80, 105, 95))):
        ridge = base - height * sum(np.abs(np.sin((3 + 4 * n) * x + n * base * 9)) / (n + 1.6) for n in range(4))
        pixels[y[..., 0] > ridge] = color
    ground = (y[..., 0] > 0.6) * np.ones(side, bool)
    grass = np.array([88, 128, 52]) * (0.75 + 0.5 * y) + noise.normal(0, 16, (side, side, 1))
    pixels[ground] = grass[ground]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _dome(draw: ImageDraw.ImageDraw, side: int) -> None:
    def at(x: float, y: float) -> tuple[float, float]:
        return (x * side, y * side)

    angles = np.linspace(np.pi, 0, 60)
    draw.ellipse([*at(0.1, 0.78), *at(0.95, 0.9)], fill=(50, 78, 34))
    for step in range(40):
        share = step / 40
        left, right = 0.12 + 0.40 * share, 0.90
        outline = [
            at((left + right) / 2 + (right - left) / 2 * np.cos(a), 0.83 - 0.47 * np.sin(a) ** 0.8) for a in angles
        ]
        shade = 1 - 0.25 * share
        draw.polygon(outline, fill=tuple(int(c * shade) for c in (70, 130, 60)))
    apex = at(0.51, 0.36)
    draw.polygon([at(0.22, 0.83), at(0.40, 0.47), apex, at(0.56, 0.83)], fill=(92, 168, 78))
    draw.polygon([at(0.30, 0.83), at(0.42, 0.53), at(0.49, 0.83)], fill=(52, 40, 36))
    draw.polygon([at(0.30, 0.83), at(0.42, 0.53), at(0.36, 0.83)], fill=(225, 190, 140))
    for x in (0.12, 0.22, 0.56, 0.90):
        draw.line([apex, at(x, 0.83)], fill=(36, 66, 30), width=4)
    for x, end in ((0.14, 0.03), (0.88, 0.98)):
        draw.line([at(x, 0.68), at(end, 0.88)], fill=(240, 240, 230), width=3)


def speak(text: str, path: Path) -> None:
    """Synthesise ``text`` sentence by sentence with festival, 0.6 s of silence after each, and store it at 16 kHz."""
    spoken = [_spoken(sentence) for sentence in re.split(r"(?<=[.?]) ", text)]
    rate = spoken[0][1]
    pause = np.zeros(int(0.6 * rate), np.int16)
    samples = np.concatenate([piece for samples, _ in spoken for piece in (samples, pause)])
    codec, bit_rate = CODECS[path.suffix]
    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate = rate
    with av.open(path, "w") as target:
        stream: Any = target.add_stream(codec, rate=16_000)
        stream.layout = "mono"
        stream.bit_rate = bit_rate
        target.mux(stream.encode(frame))
        target.mux(stream.encode(None))


def _spoken(sentence: str) -> tuple[NDArray[np.int16], int]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        command = ["text2wave", "-eval", f"(voice_{VOICE})", "-o", str(path)]
        subprocess.run(command, input=sentence.encode(), check=True)
        with wave.open(str(path)) as file:
            return np.frombuffer(file.readframes(file.getnframes()), np.int16), file.getframerate()


if __name__ == "__main__":
    main()
