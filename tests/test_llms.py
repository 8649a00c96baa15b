"""Every LLM streams, stops, counts, can be cancelled and refuses what it cannot take; SmolLM2 is the real one."""

import json
import threading
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from pydantic import BaseModel

from mmsdk import llms
from mmsdk.errors import GenerationError, ModelLoadError, PluginNotFoundError, UnsupportedModalityError
from mmsdk.llms.echo import Echo
from mmsdk.llms.llamacpp import LlamaCpp
from mmsdk.llms.streams import Emit, cut, pushed
from mmsdk.protocols import LLM
from mmsdk.settings import Settings
from mmsdk.types import Audio, Delta, Image, Message, Usage

FRUIT = Image(np.zeros((8, 8, 3), np.uint8))
HELLO = [Message("user", "Say hello in one sentence.")]


class Fruit(BaseModel):
    name: str
    colour: Literal["red", "green", "yellow"]
    pieces: int


@pytest.fixture(scope="module")
def smol() -> LlamaCpp:
    return LlamaCpp(settings=Settings())


def said(llm: LLM, messages: list[Message], **options: object) -> tuple[str, Usage | None]:
    deltas = list(llm.generate(messages, **options))  # type: ignore[arg-type]
    assert [delta.usage for delta in deltas[:-1]] == [None] * (len(deltas) - 1)
    return "".join(delta.text for delta in deltas), deltas[-1].usage


def test_presets_build_an_llm_without_loading_it() -> None:
    assert isinstance(llms.build(Settings(preset="bundled")), LlamaCpp)
    assert isinstance(llms.build(Settings(llm="echo:hi")), Echo)
    with pytest.raises(PluginNotFoundError, match="llamacpp"):
        llms.build(Settings(llm="lamacpp"))


def test_smollm_streams_counts_and_repeats_itself(smol: LlamaCpp) -> None:
    assert isinstance(smol, LLM)
    text, usage = said(smol, HELLO, max_tokens=12)
    assert text
    assert usage is not None
    assert 0 < usage.output_tokens <= 12
    assert usage.input_tokens > 5
    assert said(smol, HELLO, max_tokens=12) == (text, usage)
    warm = [said(smol, HELLO, max_tokens=12, temperature=1.0, seed=seed)[0] for seed in (1, 1, 2, 3)]
    assert warm[0] == warm[1]
    assert len(set(warm)) > 1


def test_smollm_gives_valid_json_under_a_schema(smol: LlamaCpp) -> None:
    for question in ("Describe an apple. Reply in prose, no JSON!", "描述一个苹果。"):
        text, _ = said(smol, [Message("user", question)], schema=Fruit.model_json_schema(), max_tokens=200)
        assert set(json.loads(text)) == {"name", "colour", "pieces"}
    fruit = llms.complete(smol, [Message("user", "Describe three green apples.")], Fruit)
    assert fruit.colour in ("red", "green", "yellow")


def test_smollm_stops_at_a_stop_string(smol: LlamaCpp) -> None:
    count = [Message("user", "Count from one to nine in words, separated by commas.")]
    whole, _ = said(smol, count, max_tokens=40, temperature=0.0)
    mark = whole[len(whole) // 2 :][:3]
    cut_short, usage = said(smol, count, max_tokens=40, stop=[mark])
    assert whole.startswith(cut_short)
    assert mark not in cut_short
    assert usage is not None


def test_closing_cancels_llamacpp(smol: LlamaCpp) -> None:
    running = [thread.name for thread in threading.enumerate()].count("mmsdk-llm")
    stream = smol.generate([Message("user", "Tell a very long story about the sea.")], max_tokens=4000)
    for _ in range(3):
        next(stream)
    stream.close()
    assert [thread.name for thread in threading.enumerate()].count("mmsdk-llm") == running
    assert said(smol, HELLO, max_tokens=4)[1] is not None


def test_threads_share_one_llamacpp(smol: LlamaCpp) -> None:
    alone = said(smol, HELLO, max_tokens=8)
    results: list[tuple[str, Usage | None]] = []
    threads = [threading.Thread(target=lambda: results.append(said(smol, HELLO, max_tokens=8))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [alone] * 4


def test_llamacpp_refuses_what_it_cannot_take(smol: LlamaCpp, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModalityError, match="takes text, not image"):
        smol.generate([Message("user", ["What is this?", FRUIT])])
    with pytest.raises(UnsupportedModalityError, match="not audio"):
        smol.generate([Message("user", [Audio(np.zeros(10, np.float32), 16000)])])
    with pytest.raises(GenerationError, match="context 4096 tokens"):
        list(smol.generate([Message("user", "word " * 6000)]))
    with pytest.raises(ValueError, match="messages are empty"):
        smol.generate([])
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(ModelLoadError, match=r"broken\.gguf"):
        list(LlamaCpp(str(broken), settings=Settings()).generate(HELLO))
    broken.unlink()
    with pytest.raises(ModelLoadError, match=r"no \.gguf"):
        list(LlamaCpp(str(tmp_path), settings=Settings()).generate(HELLO))


def test_complete_retries_once_with_the_error_and_then_gives_up() -> None:
    good = '{"name": "banana", "colour": "yellow", "pieces": 2}'
    echo = Echo(replies=['{"name": "banana", "colour": "blue", "pieces": 2}', good])
    assert llms.complete(echo, HELLO, Fruit) == Fruit(name="banana", colour="yellow", pieces=2)
    retry = echo.asked[1]
    assert retry[0] == HELLO[0]
    assert "colour" in str(retry[-1].content)
    with pytest.raises(GenerationError, match="valid Fruit in 2 attempts"):
        llms.complete(Echo(replies=["no", "never", good]), HELLO, Fruit)


def test_echo_repeats_scripts_stops_and_counts() -> None:
    assert said(Echo(), [Message("system", "x y"), Message("user", "a b  c")]) == ("a b  c", Usage(5, 3))
    assert said(Echo(), [Message("user", ["look", FRUIT, "here"])])[0] == "look\nhere"
    scripted = Echo(replies=["one", "two"])
    assert [said(scripted, HELLO)[0] for _ in range(3)] == ["one", "two", "two"]
    assert said(Echo(), [Message("user", "one. two. three")], stop=[" tw"])[0] == "one."
    assert said(Echo(), [Message("user", "a b c d")], max_tokens=2)[0] == "a b"
    echo = Echo()
    stream = echo.generate([Message("user", "a b c d")])
    next(stream)
    stream.close()
    assert echo.spoken == 1


@pytest.mark.parametrize(
    ("pieces", "stop", "wanted"),
    [
        (["ab", "cd"], ["bc"], "a"),
        (["a", "b", "c"], ["abd"], "abc"),
        (["aab"], ["ab", "b"], "a"),
        (["好的", "。谢", "谢"], ["。谢谢"], "好的"),
        (["x"], [""], "x"),
    ],
)
def test_stop_strings_are_found_across_pieces(pieces: list[str], stop: list[str], wanted: str) -> None:
    deltas = [Delta(piece) for piece in pieces] + [Delta("", Usage(1, 1))]
    assert "".join(delta.text for delta in cut(iter(deltas), stop)) == wanted


def test_pushed_raises_what_the_producer_raises_and_waits_for_it() -> None:
    def failing(emit: Emit) -> None:
        emit(Delta("a"))
        raise GenerationError("broke")

    stream = pushed(failing)
    assert next(stream).text == "a"
    with pytest.raises(GenerationError, match="broke"):
        next(stream)

    ended = []

    def endless(emit: Emit) -> None:
        while emit(Delta("a")):
            pass
        ended.append(True)

    stream = pushed(endless)
    next(stream)
    stream.close()
    assert ended == [True]
    begun: list[Emit] = []
    pushed(begun.append).close()
    assert begun == []
