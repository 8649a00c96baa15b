"""The bundled image encoder: an ImageNet classifier whose classes are placed in the text encoder's space.

ConSE, convex combination of semantic embeddings (Norouzi et al. 2014, https://arxiv.org/abs/1312.5650),
with the combination fitted: a picture's vector is the one whose products with the vectors of the
classes come nearest, in ridge regression, to what the classifier says. It knows the 1,000 classes of
ImageNet and what the text encoder knows of them; no faces, no writing, no counts.
"""

import hashlib
import io
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Picture

from mmsdk import weights
from mmsdk.encoders import shared
from mmsdk.encoders.batching import check, needs, packed, shrinking, unit
from mmsdk.errors import ModelLoadError
from mmsdk.protocols import Encoder
from mmsdk.recognizers.devices import torch_device
from mmsdk.settings import Settings
from mmsdk.types import Content, Image, Modality, Role, Vectors
from mmsdk.weights import model_name

if TYPE_CHECKING:
    import torch
    from torch import nn

needs("torch", "timm")
DEFAULT_MODEL = "efficientnet-lite2"
ARCHITECTURE = "tf_efficientnet_lite2"
CLASSES = 1000
SIZE = 260
"""Height and width the classifier sees, in pixels."""
STRONGEST = 100
POWER = 0.5
RIDGE = 5.0
_BATCH = 32


class ImageEncoder:
    """Encode pictures into the space of the text encoder, by what an EfficientNet-Lite2 sees in them.

    With E the class vectors less their mean, one row a class, and w the square roots of the 100 largest
    probabilities (0 elsewhere), the vector is (E'E + 5)^-1 E'w, scaled to unit length. A class's vector is
    that of its WordNet synonyms and gloss ("jersey, T-shirt, tee shirt: a close-fitting pullover shirt",
    as timm lists them). The recipe was chosen on CIFAR-10; docs/LOG.md has the figures. Safe to share
    between threads.

    >>> import numpy as np
    >>> from mmsdk.settings import Settings
    >>> encoder = ImageEncoder(settings=Settings())
    >>> encoder.encode([Image(np.zeros((32, 48, 3), np.uint8))]).shape
    (1, 384)
    """

    modalities: frozenset[Modality] = frozenset({"image"})

    def __init__(self, model: str | None = None, *, settings: Settings) -> None:
        self.model = model or DEFAULT_MODEL
        self.settings = settings
        self._running = threading.Lock()

    @cached_property
    def space(self) -> str:
        """The name of the vector space, that of the text encoder."""
        return self._text.space

    @cached_property
    def dimension(self) -> int:
        """The length of a vector."""
        return self._text.dimension

    @cached_property
    def fingerprint(self) -> str:
        """What vectors depend on."""
        return (
            f"{self._text.fingerprint} seen by {self.model}@{weights.digest(self.model, settings=self.settings)[:16]} 1"
        )

    def encode(self, inputs: Sequence[Content], *, role: Role = "document") -> Vectors:  # noqa: ARG002  one for both
        """Encode pictures in order; float32 ``[len(inputs), dimension]``, rows of unit L2 norm.

        Raises ``UnsupportedModalityError`` for anything but images, ``WeightsError``,
        ``ModelLoadError`` and ``DeviceMemoryError``.
        """
        import torch

        check(inputs, self.modalities, "the image encoder")
        rows = np.zeros((len(inputs), self.dimension), np.float32)
        images = [image for image in inputs if isinstance(image, Image)]

        def run(batch: Sequence[int]) -> Vectors:
            pixels = torch.stack([_prepared(images[position]) for position in batch])
            return self._placed(self._probabilities(pixels))

        with self._running:
            for batch in packed([1] * len(images), _BATCH):
                rows[batch] = shrinking(run, batch, self.model)
        return rows

    def _probabilities(self, pixels: "torch.Tensor") -> "torch.Tensor":
        import torch

        device = next(self._classifier.parameters()).device
        with torch.inference_mode():
            scores = self._classifier(pixels.to(device, memory_format=torch.channels_last))
        probabilities: torch.Tensor = scores.float().softmax(dim=1)
        return probabilities.cpu()

    def _placed(self, probabilities: "torch.Tensor") -> Vectors:
        import torch

        strongest, classes = probabilities.topk(STRONGEST, dim=1)
        return unit(torch.einsum("nk,nkd->nd", strongest**POWER, self._classes[classes]))

    @cached_property
    def _text(self) -> Encoder:
        return shared(model_name("text", self.settings), self.settings)

    @cached_property
    def _classes(self) -> "torch.Tensor":
        """Give E (E'E + 5)^-1, one row a class; float32 ``[1000, dimension]``. Class vectors are kept in the cache."""
        import torch
        from timm.data.imagenet_info import ImageNetInfo

        name = hashlib.sha256(f"{self.fingerprint}".encode()).hexdigest()[:24]
        file = self.settings.cache.expanduser() / "derived" / f"imagenet-{name}.npy"
        vectors = _kept(file)
        if vectors is None or vectors.shape != (CLASSES, self.dimension):
            info = ImageNetInfo("imagenet-1k")
            vectors = self._text.encode([info.index_to_description(index, detailed=True) for index in range(CLASSES)])
            _keep(file, vectors)
        centred = vectors - vectors.mean(axis=0)
        gram = centred.T @ centred + RIDGE * np.eye(self.dimension, dtype=np.float32)
        return torch.from_numpy(np.linalg.solve(gram, centred.T).T.astype(np.float32))

    @cached_property
    def _classifier(self) -> "nn.Module":
        import torch
        from timm import create_model

        file = weights.resolve(self.model, settings=self.settings)
        network: nn.Module = create_model(ARCHITECTURE, pretrained=False)
        try:
            network.load_state_dict(_renamed(torch.load(file, map_location="cpu", weights_only=True), network))
        except (OSError, RuntimeError, ValueError, UnpicklingError) as error:
            raise ModelLoadError(f"{file} does not load as {ARCHITECTURE}: {error}") from error
        device = torch_device(self.settings.device)
        return network.eval().to(device).to(memory_format=torch.channels_last)


def _kept(file: Path) -> Vectors | None:
    """Read an array behind its SHA-256; ``None`` when it is not there or damaged."""
    try:
        data = file.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(data[32:]).digest() != data[:32]:
        return None
    vectors: Vectors = np.load(io.BytesIO(data[32:]), allow_pickle=False)
    return vectors


def _keep(file: Path, vectors: Vectors) -> None:
    """Write what ``_kept`` reads, all or nothing; a cache that cannot be written is done without."""
    buffer = io.BytesIO()
    np.save(buffer, vectors, allow_pickle=False)
    draft = file.with_suffix(f".{os.getpid()}.draft")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())
        draft.replace(file)


def _renamed(found: "dict[str, torch.Tensor]", network: "nn.Module") -> "dict[str, torch.Tensor]":
    """Give the weights timm's names; both list the same layers in the same order."""
    return dict(zip(network.state_dict(), found.values(), strict=True))


def _prepared(image: Image) -> "torch.Tensor":
    """Scale to 260 x 260 pixels with values in [-1, 1]; float32 ``[3, 260, 260]``."""
    import torch

    picture = Picture.fromarray(image.pixels).resize((SIZE, SIZE), Picture.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(picture, np.float32) / 127.5 - 1.0).permute(2, 0, 1)
