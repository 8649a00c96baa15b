"""Built-in LLMs pass the suite that is offered to third parties."""

import pytest

from mmsdk.protocols import LLM
from mmsdk.runtime import Runtime
from mmsdk.testing import LLMContract, ScriptedLLM


class TestScriptedLLM(LLMContract):
    structured = False

    def llm(self) -> LLM:
        return ScriptedLLM()


class TestLlamaCpp(LLMContract):
    runtime: Runtime

    @pytest.fixture(autouse=True)
    def _bundled(self, bundled: Runtime) -> None:
        self.runtime = bundled

    def llm(self) -> LLM:
        return self.runtime.llm("llamacpp")
