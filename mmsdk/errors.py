"""Every error mmsdk raises on purpose.

    MmsdkError
    ├── SettingsError
    ├── PluginError
    │   ├── PluginNotFoundError
    │   ├── PluginConflictError
    │   └── PluginLoadError
    ├── InputError
    │   ├── UnsupportedMediaError
    │   ├── DecodeError
    │   ├── UnsupportedModalityError
    │   ├── InvalidFilterError
    │   ├── DeadlineError
    │   └── FetchError
    ├── MissingDependencyError          (also an ImportError)
    ├── CollectionError
    │   ├── CollectionNotFoundError
    │   ├── EncoderMismatchError
    │   ├── CorruptionError
    │   └── LockedError
    └── ModelError
        ├── WeightsError
        ├── ModelLoadError
        ├── DeviceMemoryError
        └── GenerationError

A message says what happened, with the values, and what to do next. Each class carries the HTTP
``status`` the server answers with and the ``exit_code`` the command line ends with. Programming
mistakes (a wrong type, a negative ``k``) stay ``TypeError`` and ``ValueError``.
"""

from typing import ClassVar


class MmsdkError(Exception):
    """Stand above every deliberate error of mmsdk."""

    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    @property
    def code(self) -> str:
        """The class name without ``Error`` in snake case, as reports and JSON print it."""
        name = type(self).__name__.removesuffix("Error")
        return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).lstrip("_")


class SettingsError(MmsdkError):
    """Say which setting is wrong, where it was read, and what is allowed."""

    exit_code = 4


class PluginError(MmsdkError):
    """Say that a plugin cannot be used."""

    exit_code = 5


class PluginNotFoundError(PluginError):
    """Say that no installed distribution offers this name."""

    status = 404


class PluginConflictError(PluginError):
    """Say that several distributions offer one name and none is pinned."""

    status = 409


class PluginLoadError(PluginError):
    """Say that a plugin was found but failed to import or start."""


class InputError(MmsdkError):
    """Say that the caller's data cannot be used."""

    status = 422
    exit_code = 6


class UnsupportedMediaError(InputError):
    """Say that no loader reads this kind of file."""

    status = 415


class DecodeError(InputError):
    """Say that a file of a known kind is damaged, too large or takes too long to read."""


class UnsupportedModalityError(InputError):
    """Say that no encoder or model at hand takes this modality."""


class InvalidFilterError(InputError):
    """Say which part of a ``where`` filter is not allowed."""


class DeadlineError(InputError):
    """Say that a query took longer than allowed and was stopped."""

    status = 504


class FetchError(InputError):
    """Say why an address was not fetched."""

    status = 502


class MissingDependencyError(MmsdkError, ImportError):
    """Say which extra is not installed; carries the ``pip`` line.

    >>> print(MissingDependencyError("faiss", "faiss-cpu"))
    'faiss' is not installed. Install it with: pip install 'mmsdk[faiss-cpu]'
    """

    status = 501
    exit_code = 7

    def __init__(self, module: str, extra: str) -> None:
        self.pip = f"pip install 'mmsdk[{extra}]'"
        super().__init__(f"{module!r} is not installed. Install it with: {self.pip}")


class CollectionError(MmsdkError):
    """Say that a collection cannot do what was asked."""

    exit_code = 8


class CollectionNotFoundError(CollectionError):
    """Say that there is no collection at this place."""

    status = 404


class EncoderMismatchError(CollectionError):
    """Say that a collection was made with other encoders than those given."""

    status = 409


class CorruptionError(CollectionError):
    """Say what is damaged in a collection and whether ``repair`` can mend it."""


class LockedError(CollectionError):
    """Say that another process is writing to the collection."""

    status = 423


class ModelError(MmsdkError):
    """Say that a model cannot be used."""

    status = 503
    exit_code = 9


class WeightsError(ModelError):
    """Say that a model file is missing, cannot be fetched or does not match its digest."""


class ModelLoadError(ModelError):
    """Say that model files are there but do not load."""


class DeviceMemoryError(ModelError):
    """Say that a device has too little memory for what was asked."""


class GenerationError(ModelError):
    """Say that an LLM failed or kept breaking the asked-for structure."""

    status = 502
