"""Text encoders: any sentence-transformers model, by default all-MiniLM-L6-v2.

Knows nothing of where texts come from. A model in a plain transformers folder works too; it is then
pooled by the mean of its tokens, as sentence-transformers does.
"""

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsdk import weights
from mmsdk.encoders.batching import check, needs, packed, shrinking, unit
from mmsdk.errors import ModelLoadError
from mmsdk.recognizers.devices import torch_device, without_bars
from mmsdk.settings import Settings
from mmsdk.types import Content, Modality, Role, Vectors

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

needs("torch", "transformers", "sentence_transformers")
DEFAULT_MODEL = "all-MiniLM-L6-v2"
FAITHFUL = 0.999
"""Least cosine to float32 at which a lower precision is used."""
_BUDGET = {"cuda": 131_072, "mps": 32_768}
_TOKENS_A_CORE = 1_024
_FEW, _LONG = 512, 96
"""OpenVINO runs batches of so few tokens, or of texts so long; many short ones take it up to a quarter longer."""
_MANY = 16_384
"""Tokens from which on finding out what is fastest is worth its cost, that of some 10,000."""
_PROBES = (
    "",
    "Returns are free within 30 days.",
    "退货在三十天内免费，运费由我们承担。",
    "def area(width: float, height: float) -> float: return width * height",
    "The board proposed a dividend of EUR 1.20 per share, 8.3 % more than a year ago. " * 6,
)


@dataclass(frozen=True)
class Way:
    """Name a way to run a model; ``run`` gives the vectors of texts, whose token ids it gets too, and of a prompt."""

    name: str
    run: Callable[[list[str], list[list[int]], str | None], Vectors]


class TextEncoder:
    """Encode texts with a sentence-transformers model; the space is ``text:<model>``.

    ``model`` is a folder, a pinned model or a hub repository. Batches are packed by tokens. BERT models run
    without padding on a CPU; once there was much to encode, a trial takes the fastest way to run the model,
    in lower precision too, that keeps every cosine to float32 at least 0.999. ``truncated`` counts, over the
    life of the encoder, the inputs that were longer than the model takes; what is too long is cut at the end.
    The empty string has a vector like any other. The fingerprint covers the digest of all model files, and
    with it maximum length and prompts.
    Safe to share between threads.

    >>> from mmsdk.settings import Settings
    >>> encoder = TextEncoder(settings=Settings())
    >>> encoder.space, encoder.dimension
    ('text:all-MiniLM-L6-v2', 384)
    >>> tent, shelter, tax = encoder.encode(["a tent", "a shelter for camping", "income tax"])
    >>> bool(tent @ shelter > tent @ tax)
    True
    """

    modalities: frozenset[Modality] = frozenset({"text"})

    def __init__(self, model: str | None = None, *, settings: Settings) -> None:
        self.model = model or DEFAULT_MODEL
        self.settings = settings
        self.truncated = 0
        self._tokens = 0
        self._running = threading.Lock()

    @cached_property
    def space(self) -> str:
        """The name of the vector space."""
        path = Path(self.model).expanduser()
        return f"text:{path.resolve().name if path.exists() else self.model}"

    @cached_property
    def dimension(self) -> int:
        """The length of a vector, read from the model's configuration."""
        return _dimension(self._folder) or int(self._loaded.get_embedding_dimension() or 0)

    @cached_property
    def fingerprint(self) -> str:
        """What vectors depend on; vectors of different fingerprints must not be compared."""
        return f"{self.space}@{weights.digest(self.model, settings=self.settings)[:16]} {self.dimension} unit 1"

    def encode(self, inputs: Sequence[Content], *, role: Role = "document") -> Vectors:
        """Encode texts in order; float32 ``[len(inputs), dimension]``, rows of unit L2 norm.

        ``role`` selects the model's own prompt for queries or documents when it has one. Raises
        ``UnsupportedModalityError`` for anything but text, ``WeightsError``, ``ModelLoadError`` and
        ``DeviceMemoryError``.
        """
        check(inputs, self.modalities, self.space)
        rows = np.zeros((len(inputs), self.dimension), np.float32)
        if not inputs:
            return rows
        texts = [str(text).encode("utf-8", "replace").decode() for text in inputs]
        with self._running:
            prompt = self._prompt(role)
            ids, lengths = self._tokenized(texts, prompt)
            self._tokens += sum(lengths)
            way = self.way

            def run(batch: Sequence[int]) -> Vectors:
                return way.run([texts[place] for place in batch], [ids[place] for place in batch], prompt)

            for batch in packed(lengths, _budget(self._loaded.device)):
                rows[batch] = shrinking(run, batch, self.space)
        return rows

    def _prompt(self, role: Role) -> str | None:
        prompts: dict[str, str | None] = self._loaded.prompts
        names = {"query": ("query",), "document": ("document", "passage")}[role]
        return next((prompts[name] for name in names if prompts.get(name)), None)

    def _tokenized(self, texts: list[str], prompt: str | None) -> tuple[list[list[int]], list[int]]:
        """Give token ids and their counts, cut to what the model takes; note how many texts are longer than that."""
        from transformers import PreTrainedTokenizerBase

        tokenizer = self._loaded.tokenizer
        if not isinstance(tokenizer, PreTrainedTokenizerBase):
            return [[]] * len(texts), [len(text) // 4 + 1 for text in texts]
        given = [prompt + text for text in texts] if prompt else texts
        whole = tokenizer(given, verbose=False, return_attention_mask=False, return_token_type_ids=False)["input_ids"]
        most = self._loaded.max_seq_length or max(map(len, whole))
        self.truncated += sum(len(ids) > most for ids in whole)
        cut = [ids if len(ids) <= most else ids[: most - 1] + ids[-1:] for ids in whole]
        return cut, [len(ids) for ids in cut]

    @cached_property
    def _folder(self) -> Path:
        return weights.resolve(self.model, settings=self.settings)

    @cached_property
    def _loaded(self) -> "SentenceTransformer":
        import torch
        from sentence_transformers import SentenceTransformer

        device = torch_device(self.settings.device)
        options = {"use_safetensors": True, "dtype": torch.float32}
        try:
            with without_bars():
                return SentenceTransformer(
                    str(self._folder), device=str(device), local_files_only=True, model_kwargs=options
                ).eval()
        except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
            raise ModelLoadError(
                f"{self._folder} does not load as a sentence-transformers model with safetensors weights: {error}"
            ) from error

    @property
    def way(self) -> Way:
        """How the model is run: in float32 until there was much to encode, then, if allowed, the fastest of a trial."""
        much = self.settings.precision == "auto" and self._tokens >= _MANY
        return self._fastest if much else self._exact

    @cached_property
    def _library(self) -> Way:
        return _by_library(self._loaded, None)

    @cached_property
    def _exact(self) -> Way:
        """Run in float32: without padding if that gives what the library gives."""
        return self._own(None) or self._library

    @cached_property
    def _fastest(self) -> Way:
        half = native_half(self._loaded.device)
        ways = list({self._exact.name: self._exact, self._library.name: self._library}.values())
        if half is not None:
            quick = self._own(half) if self._pooling else _by_library(self._loaded, half)
            ways += [quick] if quick and self._faithful(quick) else []
        if len(ways) == 1:
            return ways[0]
        ids, _ = self._tokenized([_PROBES[-1]], None)
        return min(ways, key=lambda way: _seconds(way, [_PROBES[-1]] * 8, ids * 8))

    def _own(self, half: "torch.dtype | None") -> Way | None:
        """Run without padding, or by OpenVINO where that is faster; ``None`` if it is not what the library gives."""
        if self._pooling is None:
            return None
        many, *others = _unpadded(self._loaded, self._pooling, half)
        if not self._faithful(many):
            return None
        other = next(filter(self._faithful, others), many)

        def run(texts: list[str], ids: list[list[int]], prompt: str | None) -> Vectors:
            lengths = list(map(len, ids))
            way = other if sum(lengths) <= _FEW or min(lengths) >= _LONG else many
            return way.run(texts, ids, prompt)

        return Way(many.name, run)

    @property
    def _pooling(self) -> str | None:
        """How ``Bert`` must pool to compute what the model does; ``None`` where it cannot."""
        from mmsdk.encoders.bert import pooling_of

        return pooling_of(list(self._loaded)) if self._loaded.device.type == "cpu" else None

    def _faithful(self, way: Way) -> bool:
        probes = list(_PROBES)
        ids, _ = self._tokenized(probes, None)
        cosines = (self._library.run(probes, ids, None) * way.run(probes, ids, None)).sum(axis=1)
        return float(cosines.min()) >= FAITHFUL


def _unpadded(model: "SentenceTransformer", pooling: str, half: "torch.dtype | None") -> list[Way]:
    """Give the way for many short texts and, where OpenVINO is installed, the one for the rest."""
    import torch

    from mmsdk.encoders import bert, openvino

    name, given = f"{half or torch.float32} without padding", model[0].auto_model
    many = bert.Bert(given, pooling, half or torch.float32)
    ways = [Way(name, lambda _, ids, __: unit(many(ids)))]
    if find_spec("openvino") is not None:
        other = openvino.Bert(given, pooling, half=half is not None)
        ways.append(Way(f"{name}, by OpenVINO", lambda _, ids, __: unit(other(ids))))
    return ways


def _by_library(model: "SentenceTransformer", half: "torch.dtype | None") -> Way:
    import torch

    def run(texts: list[str], _: list[list[int]], prompt: str | None) -> Vectors:
        given = model.preprocess(texts, prompt=prompt)
        moved = {
            name: value.to(model.device) if isinstance(value, torch.Tensor) else value for name, value in given.items()
        }
        with torch.inference_mode(), torch.autocast(model.device.type, dtype=half, enabled=half is not None):
            return unit(model(moved)["sentence_embedding"])

    return Way(f"{half or torch.float32}", run)


def _seconds(way: Way, texts: list[str], ids: list[list[int]]) -> float:
    """Time a passage-sized batch: processors that list bfloat16 but have no unit for it are slower in it."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        way.run(texts, ids, None)
        times.append(time.perf_counter() - start)
    return min(times)


def _budget(device: "torch.device") -> int:
    """Give the tokens of a batch. On a CPU, batches that outgrow the cache of its cores are slower."""
    import torch

    return _BUDGET.get(device.type, _TOKENS_A_CORE * torch.get_num_threads())


def native_half(device: "torch.device") -> "torch.dtype | None":
    """Name the 16-bit type that the device has instructions for."""
    import torch

    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "cpu":
        has: dict[str, Any] = dict(getattr(torch.cpu, "get_capabilities", dict)())
        return torch.bfloat16 if has.get("avx512_bf16") or has.get("amx_bf16") else None
    return None


def _dimension(folder: Path) -> int | None:
    """Read the dimension from the configuration files of a model folder; ``None`` where they do not say."""
    modules = _read(folder / "modules.json") or []
    for module in reversed(modules):
        config = _read(folder / module["path"] / "config.json") or {}
        for key in ("out_features", "word_embedding_dimension", "embedding_dimension"):
            if module["path"] and key in config:
                modes = sum(bool(config[name]) for name in config if name.startswith("pooling_mode_"))
                return int(config[key]) * (modes if key == "word_embedding_dimension" and modes else 1)
    size = (_read(folder / "config.json") or {}).get("hidden_size")
    return int(size) if size else None


def _read(file: Path) -> Any:
    return json.loads(file.read_text("utf-8")) if file.is_file() else None
