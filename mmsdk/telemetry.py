"""What is done, told to OpenTelemetry as spans and counted for ``Collection.info``.

Nothing is imported: a program that traces has imported ``opentelemetry.trace`` itself, and without it a span costs
one look-up. Attributes are those of the GenAI conventions where there are such, else ``mmsdk.*``. No text, picture,
question or answer is ever recorded.
"""

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

from mmsdk.protocols import LLM, Encoder
from mmsdk.types import Content, Delta, Message, Role, Vectors

T = TypeVar("T")


class Span:
    """Hold an OpenTelemetry span, or none; setting attributes of none does nothing."""

    def __init__(self, span: Any = None) -> None:
        self._span = span

    def set(self, **attributes: Any) -> None:
        """Set attributes; in names, two underscores stand for a dot. ``None`` is left out."""
        if self._span is not None:
            self._span.set_attributes(
                {key.replace("__", "."): value for key, value in attributes.items() if value is not None}
            )


_NONE = Span()


@contextmanager
def span(operation: str, subject: str, **attributes: Any) -> Iterator[Span]:
    """Span what is done within, a child of the current one; an exception that leaves it is noted."""
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        yield _NONE
        return
    with trace.get_tracer("mmsdk").start_as_current_span(f"{operation} {subject}") as started:
        told = Span(started)
        told.set(gen_ai__operation__name=operation, **attributes)
        try:
            yield told
        except Exception as error:
            told.set(error__type=type(error).__qualname__)
            raise


def encode(encoder: Encoder, inputs: Sequence[Content], *, role: Role = "document") -> Vectors:
    """Encode, within a span ``embeddings``."""
    with span(
        "embeddings",
        encoder.space,
        gen_ai__provider__name=_provider(encoder),
        gen_ai__request__model=encoder.space,
        gen_ai__embeddings__dimension__count=encoder.dimension,
        mmsdk__inputs=len(inputs),
        mmsdk__role=role,
    ):
        return encoder.encode(inputs, role=role)


def generate(llm: LLM, messages: Sequence[Message], **options: Any) -> Generator[Delta]:
    """Generate, within a span ``chat`` that ends with the iterator; ``options`` are those of ``LLM.generate``."""
    model = str(getattr(llm, "model", None) or type(llm).__name__)
    asked = {f"gen_ai__request__{name}": options.get(name) for name in ("max_tokens", "seed", "temperature")}

    def tell(span: Span, delta: Delta) -> None:
        if delta.usage is not None:
            used = delta.usage
            span.set(gen_ai__usage__input_tokens=used.input_tokens, gen_ai__usage__output_tokens=used.output_tokens)

    deltas = llm.generate(messages, **options)
    about = {"gen_ai__provider__name": _provider(llm), "gen_ai__request__model": model, **asked}
    return stream("chat", model, deltas, tell=tell, about=about)


def stream(
    operation: str, subject: str, steps: Iterator[T], *, tell: Callable[[Span, T], None], about: Mapping[str, Any]
) -> Generator[T]:
    """Give ``steps``, each made within one span that ends with them; between them the caller's span is current.

    ``tell`` sets attributes for a step. Closing the result closes ``steps``.
    """
    trace: Any = sys.modules.get("opentelemetry.trace")
    started = trace.get_tracer("mmsdk").start_span(f"{operation} {subject}") if trace else None
    told = Span(started)
    told.set(gen_ai__operation__name=operation, **about)

    def current() -> AbstractContextManager[Any]:
        return trace.use_span(started) if trace else nullcontext()

    try:
        while True:
            with current():
                step = next(steps, None)
            if step is None:
                return
            tell(told, step)
            yield step
    except Exception as error:
        told.set(error__type=type(error).__qualname__)
        raise
    finally:
        with current():
            close = getattr(steps, "close", None)
            if close is not None:
                close()
        if started is not None:
            started.end()


class Activity:
    """Count what an object did in this process, and the seconds its steps took. Safe to share between threads.

    >>> activity = Activity("searches", "added")
    >>> activity.count(searches=2)
    >>> activity.took({"encode": 0.25})
    >>> activity.to_json()
    {'searches': 2, 'added': 0, 'seconds': {'encode': 0.25}}
    """

    def __init__(self, *names: str) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(names, 0)
        self._seconds: dict[str, float] = defaultdict(float)

    def count(self, **counts: int) -> None:
        """Count up."""
        with self._lock:
            for name, more in counts.items():
                self._counts[name] += more

    def took(self, seconds: Mapping[str, float]) -> None:
        """Add the seconds of steps."""
        with self._lock:
            for step, more in seconds.items():
                self._seconds[step] += more

    def to_json(self) -> dict[str, Any]:
        """Give the counts, and ``seconds`` by step."""
        with self._lock:
            return {**self._counts, "seconds": {step: round(took, 6) for step, took in self._seconds.items()}}


@contextmanager
def timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    """Add the time spent within to ``seconds[step]``."""
    begin = time.perf_counter()
    try:
        yield
    finally:
        seconds[step] = seconds.get(step, 0.0) + time.perf_counter() - begin


def _provider(model: object) -> str:
    """Name who runs a model: the backend of an LLM of ours, else the package of its class."""
    place = type(model).__module__
    return place.removeprefix("mmsdk.llms.").partition(".")[0]
