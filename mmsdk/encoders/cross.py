"""Score pairs of texts by reading both together, such as how well a sentence answers a question.

Any sentence-transformers cross-encoder works. The bundled one is all-MiniLM-L6-v2 with low-rank adapters (Hu et al.
2021) that lie beside this module; data, protocol, figures and limits are in docs/cross-encoder.md. It knows English
questions and single sentences; it was not made for long passages.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib.resources import as_file, files

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from sentence_transformers import CrossEncoder as Model

from mmsdk import weights
from mmsdk.encoders.text import native_half
from mmsdk.errors import ModelLoadError
from mmsdk.recognizers.devices import torch_device, without_bars
from mmsdk.settings import Settings

BODY = "all-MiniLM-L6-v2"
"""The pinned model that the bundled adapters belong to."""
LENGTH = 128
"""How many tokens the bundled model reads of a pair."""


class CrossEncoder:
    """Score pairs of texts with a sentence-transformers cross-encoder.

    ``model`` is a folder or a hub repository with one output; without one, the bundled adapters on all-MiniLM-L6-v2
    are used. What is longer than the model takes is cut at the end. Safe to share between threads.

    >>> from mmsdk.settings import Settings
    >>> scorer = CrossEncoder(settings=Settings())
    >>> question = "How much is the tent?"
    >>> price, weight = scorer.score([(question, "The tent costs 90 euros."), (question, "The tent weighs 2 kg.")])
    >>> bool(price > weight)
    True
    """

    def __init__(self, model: str | None = None, *, settings: Settings) -> None:
        self.model = model
        self.settings = settings
        self._running = threading.Lock()

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Score pairs in order; float32 ``[len(pairs)]``, logits: any real number, higher for a better match.

        Raises ``WeightsError`` and ``ModelLoadError``.
        """
        if not pairs:
            return np.zeros(0, np.float32)
        with self._running:
            model, half = self._loaded, self._half
            with torch.autocast(model.device.type, dtype=half, enabled=half is not None):
                scores = model.predict(list(pairs), activation_fn=torch.nn.Identity(), show_progress_bar=False)
        return np.asarray(scores, np.float32)

    @cached_property
    def _half(self) -> torch.dtype | None:
        """Give the 16-bit type to run in: the bundled adapters were trained in it, of others nobody knows."""
        return None if self.model else native_half(self._loaded.device)

    @cached_property
    def _loaded(self) -> Model:
        folder = str(weights.resolve(self.model or BODY, settings=self.settings))
        device = str(torch_device(self.settings.device))
        length = None if self.model else LENGTH
        try:
            with without_bars(), _quiet():
                model: Model = Model(folder, num_labels=1, max_length=length, device=device, local_files_only=True)
            if self.model is None:
                with as_file(files("mmsdk.encoders").joinpath("cross.safetensors")) as file:
                    adapt(model.get_submodule("0.model"), load_file(file))
            model.eval()
            return model
        except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
            raise ModelLoadError(f"{folder} does not load as a cross-encoder with one output: {error}") from error


def adapt(model: torch.nn.Module, changes: dict[str, torch.Tensor]) -> None:
    """Put trained changes into a model: ``x.A`` and ``x.B`` add ``B @ A`` to ``x.weight``, others replace ``x``."""
    with torch.no_grad():
        for name, value in changes.items():
            layer, _, kind = name.rpartition(".")
            if kind == "B":
                weight = model.get_parameter(f"{layer}.weight")
                weight.add_((value.float() @ changes[f"{layer}.A"].float()).to(weight.device))
            elif kind != "A":
                model.get_parameter(name).copy_(value)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries from reporting that the body gets a new head: it is replaced right after."""
    loggers = [logging.getLogger(name) for name in ("transformers", "sentence_transformers")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
