import inspect
import pickle

import pytest

from mmsdk import errors
from mmsdk.errors import MissingDependencyError, MmsdkError

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, MmsdkError)]


def _drawn() -> dict[str, str]:
    """Read the tree in the docstring: class name to the name of its parent."""
    parents: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        name = line.strip("│├└─ ").split(" ")[0]
        if not name.endswith("Error"):
            continue
        depth = line.index(name)
        path = [step for step in path if step[0] < depth]
        if path:
            parents[name] = path[-1][1]
        path.append((depth, name))
    return parents


def test_the_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    assert _drawn() == {kind.__name__: kind.__bases__[0].__name__ for kind in CLASSES if kind is not MmsdkError}


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_has_a_status_an_exit_code_and_a_code(kind: type[MmsdkError]) -> None:
    assert 400 <= kind.status < 600
    assert kind.exit_code not in (0, 2, 3)
    assert kind.__doc__
    error = MissingDependencyError("faiss", "faiss-cpu") if kind is MissingDependencyError else kind("why")
    assert error.code == error.code.lower()
    assert not error.code.endswith("_error")


def test_codes_are_the_class_names_in_snake_case() -> None:
    assert errors.CollectionNotFoundError("").code == "collection_not_found"
    assert errors.DecodeError("").code == "decode"


def test_a_missing_dependency_is_an_import_error_with_the_pip_line() -> None:
    error = MissingDependencyError("faiss", "faiss-cpu")
    assert isinstance(error, ImportError)
    assert error.pip == "pip install 'mmsdk[faiss-cpu]'"
    assert error.pip in str(error)


def test_errors_cross_processes() -> None:
    error = pickle.loads(pickle.dumps(errors.DecodeError("page 3 is damaged")))
    assert isinstance(error, errors.DecodeError)
    assert str(error) == "page 3 is damaged"
