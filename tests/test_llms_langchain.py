"""Any LangChain chat model is an LLM."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import BaseModel, Field

from mmsdk import llms, registry
from mmsdk.errors import GenerationError, SettingsError, UnsupportedModalityError
from mmsdk.llms.langchain import LangChainLLM
from mmsdk.protocols import LLM
from mmsdk.settings import Settings
from mmsdk.types import Audio, Image, Message, Usage

HELLO = [Message("system", "Be kind."), Message("assistant", "Yes?"), Message("user", "Hello")]


class Counting(BaseChatModel):
    """Count words for ever, keep what was asked, and report usage."""

    seed: int = -1
    asked: list[Any] = Field(default_factory=list)
    said: list[int] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "counting"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **options: Any,
    ) -> ChatResult:
        if not messages[-1].text.strip():
            raise RuntimeError("nothing to say")
        usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
        reply = AIMessage(content='{"n": 1}', usage_metadata=usage)
        return ChatResult(generations=[ChatGeneration(message=reply)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **options: Any,
    ) -> Iterator[ChatGenerationChunk]:
        self.asked.append((messages, stop, options))
        if not messages[-1].text.strip():
            raise RuntimeError("nothing to say")
        for number in range(1000):
            self.said.append(number)
            usage = {"input_tokens": 5 if number == 0 else 0, "output_tokens": 1, "total_tokens": 1}
            yield ChatGenerationChunk(message=AIMessageChunk(content=f"{number} ", usage_metadata=usage))
            if number == 9 and "short" in messages[-1].text:
                return


class Structured(Counting):
    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **options: Any) -> Runnable[Any, Any]:
        assert include_raw
        assert schema["title"]
        return RunnableLambda(lambda _: {"raw": AIMessage(content="raw"), "parsed": {"n": 2}})


def test_it_streams_counts_and_passes_known_options_on() -> None:
    model = Counting()
    llm: LLM = LangChainLLM(model)
    deltas = list(llm.generate([*HELLO[:2], Message("user", "short")], seed=7, stop=["z"]))
    assert "".join(delta.text for delta in deltas) == "0 1 2 3 4 5 6 7 8 9 "
    assert deltas[-1].usage == Usage(5, 10)
    messages, stop, options = model.asked[0]
    assert [message.type for message in messages] == ["system", "ai", "human"]
    assert (stop, options) == (["z"], {"seed": 7})


def test_closing_and_stop_strings_stop_the_model() -> None:
    model = Counting()
    stream = LangChainLLM(model).generate(HELLO)
    next(stream)
    next(stream)
    stream.close()
    assert len(model.said) < 10
    model.said.clear()
    assert "".join(delta.text for delta in LangChainLLM(model).generate(HELLO, stop=["12"])).endswith("11 ")
    assert len(model.said) < 20


def test_structured_output_by_the_model_or_by_asking() -> None:
    class Number(BaseModel):
        n: int

    assert llms.complete(LangChainLLM(Structured()), HELLO, Number).n == 2
    assert llms.complete(LangChainLLM(FakeListChatModel(responses=['{"n": 3}'])), HELLO, Number).n == 3


def test_pictures_are_content_parts_and_recordings_are_refused() -> None:
    model = Counting()
    list(LangChainLLM(model).generate([Message("user", ["short", Image(np.zeros((2, 2, 3), np.uint8))])]))
    parts = model.asked[0][0][0].content
    assert parts[0] == {"type": "text", "text": "short"}
    assert parts[1]["image_url"]["url"].startswith("data:image/png;base64,")
    with pytest.raises(UnsupportedModalityError, match="not audio"):
        LangChainLLM(model).generate([Message("user", [Audio(np.zeros(4, np.float32), 8000)])])


def test_failures_are_typed() -> None:
    with pytest.raises(GenerationError, match="RuntimeError: nothing to say"):
        list(LangChainLLM(Counting()).generate([Message("user", " ")]))
    with pytest.raises(SettingsError, match="langchain:PROVIDER:MODEL"):
        registry.create("llms", "langchain", settings=Settings())
    named = registry.create("llms", "langchain:nobody:nothing", settings=Settings())
    with pytest.raises(GenerationError, match="langchain:nobody:nothing failed"):
        list(named.generate(HELLO))
