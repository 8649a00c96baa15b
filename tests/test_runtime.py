import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import mmsdk
from mmsdk import Audio, Image, Runtime, Settings
from mmsdk.errors import CollectionNotFoundError, PluginNotFoundError, UnsupportedModalityError

ROOT = Path(__file__).parents[1]
DATA = ROOT / "examples" / "data"


def test_threads_get_one_object_and_do_not_wait_for_other_things() -> None:
    runtime, built, gate = Runtime(Settings()), [], threading.Event()

    def slow() -> object:
        built.append(object())
        gate.wait(10)
        return built[-1]

    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(runtime._once, "slow", slow) for _ in range(7)]
        while not built:
            time.sleep(0.001)
        assert runtime._once("quick", lambda: "quick") == "quick"
        gate.set()
        assert {id(future.result(10)) for future in waiting} == {id(built[0])}
    assert len(built) == 1


def test_a_failure_is_not_kept() -> None:
    runtime, attempts = Runtime(Settings()), []

    def make() -> str:
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError("busy")
        return "made"

    with pytest.raises(OSError, match="busy"):
        runtime._once("thing", make)
    assert runtime._once("thing", make) == "made"


def test_the_llm_is_that_of_the_settings_or_the_named_one() -> None:
    with Runtime(Settings(llm="echo:settings")) as runtime:
        assert runtime.llm() is runtime.llm("echo:settings")
        assert runtime.llm("echo:other").replies == ["other"]  # type: ignore[attr-defined]
        with pytest.raises(PluginNotFoundError, match="'lamacpp'; there are: llamacpp"):
            runtime.llm("lamacpp")


def test_one_collection_a_folder(bundled: Runtime, tmp_path: Path) -> None:
    with Runtime(bundled.settings) as runtime:
        with pytest.raises(CollectionNotFoundError, match="shop"):
            runtime.collection(tmp_path / "shop")
        collection = runtime.collection(tmp_path / "shop", create=True)
        collection.add_texts(["Boots are kept dry."])
        assert runtime.collection(f"{tmp_path}/./shop") is collection
        assert len(collection) == 1
        runtime.close()
        again = runtime.collection(tmp_path / "shop")
        assert again is not collection
        assert len(again) == 1


def test_closing_closes_what_was_built_and_nothing_twice() -> None:
    closed = []

    class Model:
        def close(self) -> None:
            closed.append(self)

    runtime = Runtime(Settings())
    runtime._once("first", Model)
    second = runtime._once("second", Model)
    runtime.close()
    runtime.close()
    assert len(closed) == 2
    assert closed[0] is second


@pytest.mark.usefixtures("bundled")
def test_the_parts_alone() -> None:
    vectors = mmsdk.encoder("text:all-MiniLM-L6-v2").encode(["a red tent", "une tente rouge", "tax law"])
    assert vectors.shape == (3, 384)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    assert mmsdk.llm() is mmsdk.llm()
    assert mmsdk.llm("echo").context > 0


@pytest.mark.usefixtures("bundled")
def test_a_recording_is_transcribed_and_a_picture_read() -> None:
    recording = DATA / "recordings" / "tip-boots.mp3"
    transcript = mmsdk.transcribe(recording)
    assert "boot" in transcript.text.lower()
    assert transcript.language == "en"
    assert mmsdk.transcribe(mmsdk.load(recording)) == transcript  # type: ignore[arg-type]
    picture = next(path for path in sorted(DATA.rglob("*.png")))
    parts = mmsdk.read_text(picture)
    assert parts == mmsdk.read_text(str(picture))
    assert all(part.kind == "ocr" and part.locator.kind == "image" and part.locator.box for part in parts)


@pytest.mark.usefixtures("bundled")
def test_the_wrong_modality_is_refused() -> None:
    picture = next(path for path in sorted(DATA.rglob("*.png")))
    with pytest.raises(UnsupportedModalityError, match="is a picture"):
        mmsdk.transcribe(picture)
    with pytest.raises(UnsupportedModalityError, match="is a recording"):
        mmsdk.read_text(DATA / "recordings" / "tip-boots.mp3")
    assert mmsdk.read_text(Image(np.full((64, 64, 3), 255, np.uint8))) == []
    assert mmsdk.transcribe(Audio(np.zeros(16000, np.float32), 16000)).text == ""


def test_the_default_runtime_reads_the_settings_once(tmp_path: Path) -> None:
    (tmp_path / "mmsdk.toml").write_text('llm = "echo:from the file"\n')
    assert mmsdk.llm() is mmsdk.llm()
    assert mmsdk.llm().replies == ["from the file"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("given", "wanted"), [(None, "10000"), ("7", "7")])
def test_threads_that_wait_sleep_unless_the_environment_says_otherwise(given: str | None, wanted: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    environment |= {"GOMP_SPINCOUNT": given} if given else {}
    program = "import mmsdk, os; print(os.environ['GOMP_SPINCOUNT'])"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == [wanted]
