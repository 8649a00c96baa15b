"""Settings: ``mmsdk.toml`` and ``MMSDK_*`` variables become one frozen object.

Order of precedence: environment, then the file named by ``MMSDK_CONFIG`` or ``mmsdk.toml`` in the
working directory, then the defaults below. Nested keys are joined by two underscores in the
environment: ``MMSDK_LIMITS__SECONDS=60``. Unknown keys are errors. Secrets are not settings: API
keys are read from the environment by the LLM that needs them.
"""

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_cache_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmsdk.errors import SettingsError

PREFIX = "MMSDK_"
FILE_VARIABLE = "MMSDK_CONFIG"
DATA_VARIABLE = "MMSDK_SHARED_DATA"
"""Names the folder of evaluation data for tests and benchmarks; it is no setting."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Limits(_Table):
    """What one source may cost; beyond it the source fails with ``DecodeError`` and the rest goes on."""

    seconds: float = Field(60.0, gt=0, description="time to parse one file")
    memory_mb: int = Field(2048, gt=0, description="memory of the parsing process")
    file_mb: int = Field(200, gt=0, description="size of one file")
    text_mb: int = Field(64, gt=0, description="decoded text of one file")
    pixels: int = Field(100_000_000, gt=0, description="pixels of one picture, and of all pages rendered from one file")
    audio_seconds: float = Field(4 * 3600.0, gt=0, description="length of one recording")
    pages: int = Field(2000, gt=0, description="pages, slides or sheets of one file")


class Fetch(_Table):
    """How addresses are fetched."""

    allow_private: bool = Field(False, description="fetch from private, loopback and link-local addresses")
    seconds: float = Field(30.0, gt=0, description="time for one address, redirects included")
    mb: int = Field(100, gt=0, description="size of one response body")
    redirects: int = Field(5, ge=0, description="redirects followed")


class Chunking(_Table):
    """How documents are cut into chunks."""

    size: int = Field(1000, gt=0, description="most characters in a chunk (CJK characters count three)")
    overlap: int = Field(0, ge=0, description="characters repeated from the chunk before, at a sentence")


class Indexing(_Table):
    """How vectors are indexed, and what that may cost; see docs/retrieval.md."""

    index: str = Field("auto", description="auto, exact, or any FAISS factory string: IVF,SQ8, IVF4096,PQ32, HNSW32")
    memory_mb: int = Field(0, ge=0, description="memory for one index; 0 is a quarter of the machine's")
    recall: float = Field(0.98, gt=0, le=1, description="share of the 10 nearest to be found on held-out rows")
    device: str | None = Field(None, description="auto, cpu, all, cuda or cuda:N instead of the general device")
    gpu_layout: Literal["replicate", "shard"] = Field("replicate", description="each GPU has the index, or a part")
    gpu_float16: bool = Field(False, description="half the memory of a GPU; cosines stay exact")
    gpu_memory_mb: int = Field(0, ge=0, description="memory of one GPU for one index; 0 is no limit")

    @property
    def memory(self) -> int:
        """The bytes that one index may take."""
        if self.memory_mb:
            return self.memory_mb << 20
        try:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
        except (AttributeError, OSError, ValueError):  # no such figure on this system
            return 2 << 30


class Retrieval(_Table):
    """How results of several lists become one."""

    fusion: Literal["scores", "ranks"] = Field(
        "scores", description="fuse calibrated scores, or reciprocal ranks; docs/retrieval.md compares them"
    )


class Serving(_Table):
    """What ``mmsdk serve`` allows; see docs/server.md. Beyond it a request is refused, with what is allowed."""

    hosts: tuple[str, ...] = Field((), description="names in the Host header besides localhost and IP addresses")
    origins: tuple[str, ...] = Field((), description="web pages of other origins that may call (CORS), as https://host")
    seconds: float = Field(120.0, gt=0, description="time for one request, waiting included")
    adding_seconds: float = Field(3600.0, gt=0, description="time for one request that adds documents")
    body_mb: int = Field(32, gt=0, description="size of a request, pictures and recordings in it included")
    upload_mb: int = Field(256, gt=0, description="size of an upload, all files together")
    files: int = Field(100, gt=0, description="files of one upload, and addresses of one request")
    inputs: int = Field(512, gt=0, description="inputs of one embedding request")
    k: int = Field(100, gt=0, description="hits of one search")
    encoding: int = Field(64, gt=0, description="embedding requests at the same time; they share batches")
    searching: int = Field(4, gt=0, description="searches at the same time")
    answering: int = Field(2, gt=0, description="answers, transcriptions and plugin tasks at the same time")
    generating: int = Field(1, gt=0, description="replies that the LLM writes at the same time")
    adding: int = Field(1, gt=0, description="requests that add documents at the same time")
    queue: float = Field(1.5, ge=0, description="requests that may wait, for each that runs; beyond it 429")
    queue_tokens: int = Field(200_000, gt=0, description="tokens of the requests that wait (bytes of text / 4)")
    batch_items: int = Field(64, gt=0, description="inputs that are encoded in one batch; 1 turns batching off")
    batch_tokens: int = Field(8192, gt=0, description="tokens that are encoded in one batch")
    precision: Literal["float32", "auto"] = Field("float32", description="auto: encode much text in half precision")
    session_hours: float = Field(12.0, gt=0, description="how long a browser stays logged in")


class Settings(_Table):
    """Everything that can be set. Build it with ``Settings.load``.

    >>> Settings(preset="bundled").limits.seconds
    60.0
    """

    preset: str = Field("bundled", description="bundled, standard or server: which models are used")
    text: str | None = Field(None, description="text encoder instead of the preset's, for example text:BAAI/bge-m3")
    image: str | None = Field(None, description="image encoder instead of the preset's")
    speech: str | None = Field(None, description="transcriber instead of the preset's")
    ocr: str | None = Field(None, description="text reader instead of the preset's")
    llm: str | None = Field(None, description="LLM instead of the preset's")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps")
    cache: Path = Field(default_factory=lambda: user_cache_path("mmsdk"), description="where model files are kept")
    precision: Literal["auto", "float32"] = Field("auto", description="auto: much text in half precision if faithful")
    offline: bool = Field(False, description="turn every network attempt into an error")
    limits: Limits = Limits()
    fetch: Fetch = Fetch()
    chunking: Chunking = Chunking()
    store: Indexing = Indexing()
    retrieval: Retrieval = Retrieval()
    server: Serving = Serving()
    pins: Mapping[str, str] = Field(default_factory=dict, description="name to the distribution that provides it")
    plugins: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict, description="one table a plugin")

    @classmethod
    def load(cls, path: str | Path | None = None, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read the file and the environment. Raises ``SettingsError`` naming the key and where it stood."""
        variables = os.environ if environment is None else environment
        named = path or variables.get(FILE_VARIABLE)
        file = Path(named or "mmsdk.toml")
        values: dict[str, Any] = {}
        if named or file.is_file():
            values = _read(file)
        try:
            return cls.model_validate(_merged(values, variables))
        except ValidationError as error:
            raise SettingsError(_explained(error, file if values else None)) from error


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"cannot read the settings file {file}: {error}") from error


def _merged(values: dict[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    for variable, text in variables.items():
        if not variable.startswith(PREFIX) or variable in (FILE_VARIABLE, DATA_VARIABLE):
            continue
        table = values
        *parents, key = variable.removeprefix(PREFIX).lower().split("__")
        for parent in parents:
            table = table.setdefault(parent, {})
            if not isinstance(table, dict):
                raise SettingsError(f"{variable} names a table inside {parent!r}, which is a value")
        table[key] = _value(text)
    return values


def _value(text: str) -> Any:
    if text.startswith(("{", "[")):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _explained(error: ValidationError, file: Path | None) -> str:
    wrong = []
    for problem in error.errors():
        key = ".".join(str(step) for step in problem["loc"])
        said = "unknown setting" if problem["type"] == "extra_forbidden" else problem["msg"]
        wrong.append(f"{key}: {said}")
    read = f"{file} and {PREFIX}* variables" if file else f"{PREFIX}* variables"
    return (
        f"settings read from {read} are wrong: " + "; ".join(wrong) + ". All settings are listed in docs/settings.md."
    )
