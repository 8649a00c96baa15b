"""Contract suites and deterministic doubles, for mmsdk's own tests and for those who extend it.

A suite is a class of pytest tests: inherit it, say what to test, and pytest collects the rest. The suites
know only the protocols of ``mmsdk.types``; a double understands nothing and downloads nothing.

    class TestMyEncoder(EncoderContract):
        def encoder(self) -> Encoder:
            return MyEncoder()
"""

import hashlib
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel

from mmsdk.app import RESERVED
from mmsdk.errors import UnsupportedModalityError
from mmsdk.llms import complete
from mmsdk.llms.echo import Echo as ScriptedLLM
from mmsdk.plugin import NAME, Plugin
from mmsdk.protocols import LLM, Encoder
from mmsdk.runtime import Runtime
from mmsdk.stores.contract import StoreContract
from mmsdk.types import Audio, Content, Delta, Image, Message, Modality, Role, Vectors, modality_of

__all__ = ["EncoderContract", "HashingEncoder", "LLMContract", "PluginContract", "ScriptedLLM", "StoreContract"]

_TOKEN = re.compile(r"[\u3040-\u9fff]|\w+")


class HashingEncoder:
    """Encode a text by the words in it, a picture or recording by its digest: equal words, close vectors.

    ``space``, ``dimension`` and ``modalities`` are as given; nothing is learned and nothing is loaded.

    >>> vectors = HashingEncoder().encode(["red boots", "boots, red", "a green tent"])
    >>> (vectors @ vectors[0]).round(1).tolist()
    [1.0, 1.0, 0.0]
    """

    def __init__(
        self,
        space: str = "hashing",
        dimension: int = 256,
        *,
        modalities: frozenset[Modality] = frozenset({"text", "image", "audio"}),
    ) -> None:
        self.space = space
        self.dimension = dimension
        self.modalities = modalities
        self.fingerprint = f"hashing/{dimension}"

    def encode(self, inputs: Sequence[Content], *, role: Role = "document") -> Vectors:
        """Encode ``inputs`` in order; float32 ``[len(inputs), dimension]``, rows of unit L2 norm. Both roles are alike.

        Raises ``UnsupportedModalityError`` for a modality it was not given.
        """
        del role
        if isinstance(inputs, str):
            raise TypeError("encode takes a list of inputs, not one string")
        vectors = np.zeros((len(inputs), self.dimension), np.float32)
        for row, content in zip(vectors, inputs, strict=True):
            modality = modality_of(content)
            if modality not in self.modalities:
                raise UnsupportedModalityError(f"{self.space} encodes {', '.join(self.modalities)}, not {modality}")
            for token in _TOKEN.findall(content.lower()) if isinstance(content, str) else [content.digest]:
                number = int.from_bytes(hashlib.blake2b(token.encode(), digest_size=8).digest())
                row[number % self.dimension] += 1 if number >> 63 else -1
            if not row.any():
                row[0] = 1
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


class EncoderContract:
    """Test that an encoder keeps the protocol: inherit it and give the encoder in ``encoder``.

    >>> class TestHashing(EncoderContract):
    ...     def encoder(self) -> Encoder:
    ...         return HashingEncoder()
    >>> TestHashing().test_rows_are_float32_of_unit_length()
    """

    def encoder(self) -> Encoder:
        """Give the encoder; the same one every time when building it is slow."""
        raise NotImplementedError

    def samples(self, modality: Modality) -> list[Content]:
        """Give at least three different inputs of a modality."""
        return _samples(modality)

    def test_it_describes_itself(self) -> None:
        encoder = self.encoder()
        assert isinstance(encoder, Encoder)
        assert encoder.space
        assert encoder.dimension > 0
        assert encoder.modalities
        assert encoder.modalities <= {"text", "image", "audio"}
        assert encoder.fingerprint == self.encoder().fingerprint

    def test_rows_are_float32_of_unit_length(self) -> None:
        encoder = self.encoder()
        for modality in encoder.modalities:
            inputs = self.samples(modality)
            for role in ("query", "document"):
                vectors = encoder.encode(inputs, role=role)
                assert vectors.dtype == np.float32
                assert vectors.shape == (len(inputs), encoder.dimension)
                assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)

    def test_no_inputs_give_no_rows(self) -> None:
        encoder = self.encoder()
        vectors = encoder.encode([])
        assert vectors.shape == (0, encoder.dimension)
        assert vectors.dtype == np.float32

    def test_the_batch_does_not_change_a_row(self) -> None:
        encoder = self.encoder()
        inputs = [content for modality in sorted(encoder.modalities) for content in self.samples(modality)]
        together = encoder.encode(inputs)
        alone = np.concatenate([encoder.encode([content]) for content in reversed(inputs)])[::-1]
        assert (np.einsum("nd,nd->n", together, alone) > 0.999).all()

    def test_other_modalities_are_refused(self) -> None:
        encoder = self.encoder()
        others: tuple[Modality, ...] = ("text", "image", "audio")
        for modality in set(others) - encoder.modalities:
            _raises(UnsupportedModalityError, lambda content: encoder.encode([content]), _samples(modality)[0])

    def test_one_string_is_not_a_list(self) -> None:
        _raises(TypeError, self.encoder().encode, "text")

    def test_strange_texts_are_encoded(self) -> None:
        encoder = self.encoder()
        if "text" in encoder.modalities:
            vectors = encoder.encode(["", " \n", "\x00", "退货政策是什么？", "🙂" * 50, "word " * 5000])
            assert np.isfinite(vectors).all()
            assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)

    def test_threads_do_not_disturb_each_other(self) -> None:
        encoder = self.encoder()
        inputs = self.samples(max(encoder.modalities))
        found: list[Vectors] = []
        threads = [threading.Thread(target=lambda: found.append(encoder.encode(inputs))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == len(threads)
        assert all(np.allclose(vectors, found[0], atol=1e-3) for vectors in found)


class LLMContract:
    """Test that an LLM keeps the protocol: inherit it and give the LLM in ``llm``.

    Set ``structured`` to False for one that does not follow a JSON Schema.

    >>> class TestScripted(LLMContract):
    ...     structured = False
    ...     def llm(self) -> LLM:
    ...         return ScriptedLLM()
    >>> TestScripted().test_the_last_delta_counts_tokens()
    """

    structured: ClassVar[bool] = True
    question: ClassVar[str] = "Name the seven days of the week, separated by commas."

    def llm(self) -> LLM:
        """Give the LLM; the same one every time when building it is slow."""
        raise NotImplementedError

    def generate(self, **options: Any) -> list[Delta]:
        """Ask the question and give all deltas."""
        return list(self.llm().generate([Message("user", self.question)], **{"max_tokens": 24, **options}))

    def test_it_describes_itself(self) -> None:
        llm = self.llm()
        assert isinstance(llm, LLM)
        assert llm.context > 0
        assert "text" in llm.modalities

    def test_the_last_delta_counts_tokens(self) -> None:
        deltas = self.generate()
        usage = deltas[-1].usage
        assert "".join(delta.text for delta in deltas).strip()
        assert usage is not None
        assert usage.input_tokens > 0
        assert usage.output_tokens > 0
        assert all(delta.usage is None for delta in deltas[:-1])

    def test_max_tokens_is_kept(self) -> None:
        usage = self.generate(max_tokens=3)[-1].usage
        assert usage is not None
        assert usage.output_tokens <= 3

    def test_the_same_seed_gives_the_same_text(self) -> None:
        first, second = (_text(self.generate(seed=7)) for _ in range(2))
        assert first == second

    def test_stop_ends_the_text_before_it(self) -> None:
        whole = _text(self.generate())
        stop = whole[len(whole) // 2 :][:3]
        assert _text(self.generate(stop=[stop])) == whole[: whole.index(stop)]

    def test_closing_the_stream_cancels_it(self) -> None:
        llm = self.llm()
        stream = llm.generate([Message("user", self.question)], max_tokens=200)
        next(stream)
        stream.close()  # type: ignore[attr-defined]
        assert list(stream) == []
        assert self.generate()

    def test_no_messages_are_refused(self) -> None:
        _raises(ValueError, lambda messages: list(self.llm().generate(messages)), [])

    def test_a_schema_is_followed(self) -> None:
        class Town(BaseModel):
            name: str
            inhabitants: int

        if self.structured:
            question = "Describe the town of Bern as JSON with its name and its number of inhabitants."
            assert complete(self.llm(), [Message("user", question)], Town, max_tokens=100).name


class PluginContract:
    """Test that a plugin keeps the contract: inherit it, name its class, and give example requests for its tasks.

    ``settings`` is its table ``[plugins.<name>]``; ``requests`` maps each task to requests that must succeed.
    """

    plugin: ClassVar[type[Plugin]]
    settings: ClassVar[Mapping[str, Any]] = {}
    requests: ClassVar[Mapping[str, Sequence[Mapping[str, Any]]]] = {}

    def build(self) -> Plugin:
        """Build the plugin over a runtime with the caller's settings."""
        return self.plugin(Runtime(), self.plugin.Config.model_validate(dict(self.settings)))

    def test_its_name_can_be_a_command(self) -> None:
        assert NAME.fullmatch(self.plugin.name)
        assert self.plugin.name not in RESERVED

    def test_unknown_settings_are_refused(self) -> None:
        _raises(ValueError, self.plugin.Config.model_validate, {**self.settings, "no_such_setting": 1})

    def test_every_task_is_described(self) -> None:
        tasks = self.build().tasks()
        assert tasks
        for task in tasks.values():
            assert task.help, f"{task.name} has no docstring"
            assert task.request.model_json_schema()["type"] == "object"
            assert task.response.model_json_schema(mode="serialization")

    def test_names_do_not_clash(self) -> None:
        plugin = self.build()
        commands, pages = plugin.commands(), plugin.pages()
        assert not {name.replace("_", "-") for name in plugin.tasks()} & {name.replace("_", "-") for name in commands}
        assert all(NAME.fullmatch(name) for name in (*commands, *pages))

    def test_examples_give_responses_that_survive_json(self) -> None:
        tasks = self.build().tasks()
        assert set(self.requests) <= set(tasks)
        for name, requests in self.requests.items():
            for request in requests:
                response = tasks[name](tasks[name].request.model_validate(dict(request)))
                assert tasks[name].response.model_validate_json(response.model_dump_json()) == response


def _samples(modality: Modality) -> list[Content]:
    if modality == "text":
        return ["A red tent for two.", "How do I return boots?", "退货政策"]
    if modality == "image":
        ramp = np.linspace(0, 255, 64, dtype=np.uint8)
        square = np.repeat(np.broadcast_to(ramp, (64, 64))[..., None], 3, axis=2)
        return [Image(square), Image(square[:48].copy()), Image(255 - square)]
    time = np.arange(16000, dtype=np.float32) / 16000
    return [Audio(np.sin(2 * np.pi * pitch * time).astype(np.float32), 16000) for pitch in (220, 440, 880)]


def _text(deltas: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def _raises(kind: type[Exception], call: Any, argument: Any) -> None:
    try:
        call(argument)
    except kind:
        return
    raise AssertionError(f"{argument!r} must raise {kind.__name__}")
