"""Word error rate of the bundled transcriber, beside faster-whisper called directly with the same model.

    python benchmarks/speech_wer.py [--data ../shared/data/speech_clips] [--verbose]

Protocol: the English clips that have a transcript; case and punctuation folded on both sides, errors summed
over clips, 95 % intervals by bootstrap over clips (mmsdk.evaluation.wer). faster-whisper runs with its
defaults, int8, on the same files decoded by itself.
"""

import argparse
import csv
import os
import time
from pathlib import Path

from faster_whisper import WhisperModel

import mmsdk
from mmsdk import weights
from mmsdk.evaluation import wer
from mmsdk.recognizers import transcriber
from mmsdk.settings import Settings
from mmsdk.types import Audio

SHARED = os.environ.get("MMSDK_SHARED_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(SHARED) / "speech_clips")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    folder = arguments.data
    with (folder / "transcripts.csv").open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["lang"] == "en" and row["transcript"].strip()]
    settings = Settings.load()
    ours = transcriber(settings)
    direct = WhisperModel(str(weights.resolve("whisper-base", settings=settings)), device="cpu", compute_type="int8")

    def by_us(file: Path) -> str:
        recording = mmsdk.load(file)
        assert isinstance(recording, Audio)
        return ours.transcribe([recording])[0].text

    def by_them(file: Path) -> str:
        return "".join(segment.text for segment in direct.transcribe(str(file))[0])

    references = [row["transcript"] for row in rows]
    for name, engine in (("mmsdk", by_us), ("faster-whisper", by_them)):
        start = time.perf_counter()
        heard = [engine(folder / row["file"]) for row in rows]
        rate = wer(references, heard)
        print(
            f"{name:15} WER {rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}] in {time.perf_counter() - start:.0f} s"
        )
        if arguments.verbose:
            for row, text in zip(rows, heard, strict=True):
                print(f"  {wer([row['transcript']], [text]).value:.2f} {row['file']}: {text.strip()}")


if __name__ == "__main__":
    main()
