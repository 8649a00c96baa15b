"""Text encoders: any sentence-transformers model, by default all-MiniLM-L6-v2.

Knows nothing of where texts come from. A model in a plain transformers folder works too; it is then
pooled by the mean of its tokens, as sentence-transformers does.
"""

import json
import threading
import time
from collections.abc import Sequence
from functools import cached_property
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
_MANY = 16_384
"""Tokens from which on finding out whether a lower precision pays is worth its cost, that of some 10,000."""
_PROBES = (
    "",
    "Returns are free within 30 days.",
    "退货在三十天内免费，运费由我们承担。",
    "def area(width: float, height: float) -> float: return width * height",
    "The board proposed a dividend of EUR 1.20 per share, 8.3 % more than a year ago. " * 6,
)


class TextEncoder:
    """Encode texts with a sentence-transformers model; the space is ``text:<model>``.

    ``model`` is a folder, a pinned model or a hub repository. Batches are packed by tokens, and run in
    lower precision where there are many, the hardware has it and a check finds every cosine to float32 at
    least 0.999. ``truncated`` counts, over the life of the encoder, the inputs that were longer than
    the model takes; what is too long is cut at the end. The empty string has a vector like any other.
    The fingerprint covers the digest of all model files, and with it maximum length and prompts.
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
            model, prompt = self._loaded, self._prompt(role)
            lengths = self._lengths(texts, prompt)
            half = self._precision if sum(lengths) >= _MANY else None

            def run(batch: Sequence[int]) -> Vectors:
                return _forward(model, [texts[position] for position in batch], prompt, half)

            for batch in packed(lengths, _budget(model.device)):
                rows[batch] = shrinking(run, batch, self.space)
        return rows

    def _prompt(self, role: Role) -> str | None:
        prompts: dict[str, str | None] = self._loaded.prompts
        names = {"query": ("query",), "document": ("document", "passage")}[role]
        return next((prompts[name] for name in names if prompts.get(name)), None)

    def _lengths(self, texts: list[str], prompt: str | None) -> list[int]:
        """Count tokens, cut to what the model takes, and note how many texts are longer than that."""
        from transformers import PreTrainedTokenizerBase

        tokenizer = self._loaded.tokenizer
        if not isinstance(tokenizer, PreTrainedTokenizerBase):
            return [len(text) // 4 + 1 for text in texts]
        whole = tokenizer([(prompt or "") + text for text in texts], verbose=False, return_attention_mask=False)
        lengths = [len(ids) for ids in whole["input_ids"]]
        most = self._loaded.max_seq_length or max(lengths)
        self.truncated += sum(length > most for length in lengths)
        return [min(length, most) for length in lengths]

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

    @cached_property
    def _precision(self) -> "torch.dtype | None":
        """Give the lower precision to run in, if the hardware has one, vectors stay the same, and it is faster."""
        half = native_half(self._loaded.device)
        if half is None:
            return None
        exact = _forward(self._loaded, list(_PROBES), None, None)
        quick = _forward(self._loaded, list(_PROBES), None, half)
        faithful = float((exact * quick).sum(axis=1).min()) >= FAITHFUL
        return half if faithful and self._seconds(half) < self._seconds(None) else None

    def _seconds(self, precision: "torch.dtype | None") -> float:
        """Time a passage-sized batch: processors that list bfloat16 but have no unit for it are slower in it."""
        times = []
        for _ in range(3):
            start = time.perf_counter()
            _forward(self._loaded, [_PROBES[-1]] * 8, None, precision)
            times.append(time.perf_counter() - start)
        return min(times)


def _forward(model: "SentenceTransformer", texts: list[str], prompt: str | None, half: "torch.dtype | None") -> Vectors:
    import torch

    features = model.preprocess(texts, prompt=prompt)
    moved = {
        name: value.to(model.device) if isinstance(value, torch.Tensor) else value for name, value in features.items()
    }
    with torch.inference_mode(), torch.autocast(model.device.type, dtype=half, enabled=half is not None):
        return unit(model(moved)["sentence_embedding"])


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
