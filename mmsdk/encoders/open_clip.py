"""Encoders of the CLIP family through open_clip: texts and pictures in one space of their own.

Knows nothing of training. Weights are safetensors, or a checkpoint that loads without unpickling code.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import open_clip
import torch
from PIL import Image as Picture

from mmsdk import weights
from mmsdk.encoders.batching import check, packed, shrinking, unit
from mmsdk.errors import ModelLoadError, WeightsError
from mmsdk.recognizers.devices import torch_device
from mmsdk.settings import Settings
from mmsdk.types import Content, Image, Modality, Role, Vectors

DEFAULT_MODEL = "ViT-B-32"
_PREFERRED = ("webli", "datacomp_xl_s13b_b90k", "laion2b_s34b_b79k")
_BATCH = {"cpu": 16, "cuda": 256, "mps": 64}


@dataclass(frozen=True)
class _Origin:
    """What to ask open_clip for: ``name`` as it takes it, ``file`` of weights (or none), ``place`` to digest."""

    name: str
    file: Path | None
    place: str


class OpenClipEncoder:
    """Encode texts and pictures with an open_clip model; the space is ``open_clip:<model>``.

    ``model`` is ``ARCHITECTURE``, ``ARCHITECTURE@TAG`` (a ``pretrained`` tag), ``ARCHITECTURE@FILE`` (a
    checkpoint), or a folder or hub repository with an ``open_clip_config.json``. Without a tag it is
    webli, DataComp-XL or LAION-2B, the first of these that the architecture has. ``truncated`` counts texts
    that were longer than the model takes. Runs in float32. Safe to share between threads.

    >>> from mmsdk.settings import Settings
    >>> encoder = OpenClipEncoder("ViT-B-32@laion2b_s34b_b79k", settings=Settings())
    >>> encoder.space, sorted(encoder.modalities)
    ('open_clip:ViT-B-32@laion2b_s34b_b79k', ['image', 'text'])
    """

    modalities: frozenset[Modality] = frozenset({"text", "image"})

    def __init__(self, model: str | None = None, *, settings: Settings) -> None:
        self.model = model or DEFAULT_MODEL
        self.settings = settings
        self.truncated = 0
        self._running = threading.Lock()

    @cached_property
    def space(self) -> str:
        """The name of the vector space."""
        name, at, weight = self.model.partition("@")
        name = Path(name).name if Path(name).expanduser().exists() else name
        return f"open_clip:{name}{at}{Path(weight).name if at else ''}"

    @cached_property
    def dimension(self) -> int:
        """The length of a vector."""
        config = open_clip.get_model_config(self._origin.name)
        return int((config or {}).get("embed_dim", 0)) or int(self._loaded[0].visual.output_dim)

    @cached_property
    def fingerprint(self) -> str:
        """What vectors depend on."""
        files = weights.digest(self._origin.place, settings=self.settings)
        return f"{self.space}@{files[:16]} {self.dimension} unit 1"

    def encode(self, inputs: Sequence[Content], *, role: Role = "document") -> Vectors:  # noqa: ARG002  one for both
        """Encode texts and pictures, mixed as they come; float32 ``[len(inputs), dimension]``, unit rows.

        Raises ``UnsupportedModalityError`` for audio, ``WeightsError``, ``ModelLoadError`` and
        ``DeviceMemoryError``.
        """
        check(inputs, self.modalities, self.space)
        rows = np.zeros((len(inputs), self.dimension), np.float32)
        texts = [position for position, content in enumerate(inputs) if isinstance(content, str)]
        images = [position for position, content in enumerate(inputs) if isinstance(content, Image)]
        for positions, encode in ((texts, self._encode_texts), (images, self._encode_images)):
            if positions:
                rows[positions] = encode([inputs[position] for position in positions])
        return rows

    def _encode_texts(self, inputs: list[Content]) -> Vectors:
        texts = [str(text).encode("utf-8", "replace").decode() for text in inputs]
        with self._running:
            model, _, tokenize = self._loaded
            tokens = tokenize(texts)
            self.truncated += sum(self._length(text) > tokens.shape[1] for text in texts)

            def run(batch: Sequence[int]) -> Vectors:
                with torch.inference_mode():
                    return unit(model.encode_text(tokens[list(batch)].to(self._device)))

            return self._batched(run, len(texts))

    def _encode_images(self, inputs: list[Content]) -> Vectors:
        images = [image for image in inputs if isinstance(image, Image)]
        with self._running:
            model, prepare, _ = self._loaded

            def run(batch: Sequence[int]) -> Vectors:
                pixels = torch.stack([prepare(Picture.fromarray(images[position].pixels)) for position in batch])
                with torch.inference_mode():
                    return unit(model.encode_image(pixels.to(self._device)))

            return self._batched(run, len(images))

    def _batched(self, run: Callable[[Sequence[int]], Vectors], count: int) -> Vectors:
        rows = np.zeros((count, self.dimension), np.float32)
        for batch in packed([1] * count, _BATCH[self._device.type]):
            rows[batch] = shrinking(run, batch, self.space)
        return rows

    def _length(self, text: str) -> int:
        tokenizer = self._loaded[2]
        if isinstance(tokenizer, open_clip.tokenizer.SimpleTokenizer):
            return len(tokenizer.encode(text)) + 2
        inner = getattr(tokenizer, "tokenizer", None)
        return len(inner.encode(text)) if inner is not None else 0

    @cached_property
    def _device(self) -> torch.device:
        return torch_device(self.settings.device)

    @cached_property
    def _origin(self) -> _Origin:
        """Find the weights; what is to come from a hub comes through ``mmsdk.weights``."""
        name, at, weight = self.model.partition("@")
        if not at and ("/" in name or Path(name).expanduser().exists()):
            folder = weights.resolve(name, settings=self.settings)
            return _Origin(f"local-dir:{folder}", None, name)
        if name not in open_clip.list_models():
            raise ModelLoadError(f"open_clip has no architecture {name!r}; open_clip.list_models() names all")
        if Path(weight).suffix in (".safetensors", ".pt", ".pth", ".bin"):
            return _Origin(name, weights.resolve(weight, settings=self.settings), weight)
        repository = _repository(name, weight)
        return _Origin(f"local-dir:{weights.resolve(repository, settings=self.settings)}", None, repository)

    @cached_property
    def _loaded(
        self,
    ) -> tuple[open_clip.CLIP, Callable[[Picture.Image], torch.Tensor], Callable[[list[str]], torch.Tensor]]:
        origin = self._origin
        try:
            model, prepare = open_clip.create_model_from_pretrained(
                origin.name, pretrained=str(origin.file) if origin.file else None, device=self._device
            )
            return model.eval(), prepare, open_clip.get_tokenizer(self._tokenizer_name(origin.name))
        except (OSError, RuntimeError, ValueError, KeyError, AssertionError, UnpicklingError) as error:
            raise ModelLoadError(f"{self.model} does not load in open_clip: {error}") from error

    def _tokenizer_name(self, name: str) -> str:
        """Give the name itself, or a folder when the architecture's tokenizer would come from a hub."""
        config = open_clip.get_model_config(name) or {}
        repository = config.get("text_cfg", {}).get("hf_tokenizer_name")
        if name.startswith("local-dir:") or not repository:
            return name
        return f"local-dir:{weights.resolve(repository, settings=self.settings)}"


def _repository(architecture: str, tag: str) -> str:
    """Name the hub repository of a ``pretrained`` tag."""
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    chosen = tag or next((known for known in _PREFERRED if known in tags), tags[-1] if tags else "")
    hub = (open_clip.get_pretrained_cfg(architecture, chosen) or {}).get("hf_hub", "") if chosen else ""
    if not hub:
        raise WeightsError(
            f"{architecture} has no weights {chosen!r} on Hugging Face; it has: {', '.join(tags) or 'none'}. "
            f"A file of your own is written {architecture}@FILE."
        )
    return "/".join(hub.split("/")[:2])
