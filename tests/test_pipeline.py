"""Steps that work at the same time keep order, errors and ends."""

import threading
from collections.abc import Generator
from contextlib import closing

import pytest

from mmsdk.pipeline import ahead


def test_steps_overlap_and_order_stays() -> None:
    both = threading.Barrier(2, timeout=30)

    def first(number: int) -> int:
        if number == 1:
            both.wait()  # passes only while the second step is at work
        return number

    def second(number: int) -> int:
        if number == 0:
            both.wait()
        return 10 * number

    assert list(ahead(_numbers(4), first, second)) == [0, 10, 20, 30]


@pytest.mark.parametrize("where", ["items", "first", "second"])
def test_an_error_comes_behind_the_results_before_it(where: str) -> None:
    def step(name: str, number: int) -> int:
        if name == where and number == 2:
            raise KeyboardInterrupt(name)
        return number

    items = (step("items", number) for number in range(5))
    seen: list[int] = []
    with pytest.raises(KeyboardInterrupt, match=where):
        seen.extend(ahead(items, lambda n: step("first", n), lambda n: step("second", n)))
    assert seen == [0, 1]


def test_closing_ends_the_threads_and_the_items() -> None:
    ended = []

    def endless() -> Generator[int]:
        try:
            yield from iter(int, 1)
        finally:
            ended.append(True)

    with closing(ahead(endless(), str, str)) as results:
        assert next(results) == "0"
    assert ended == [True]
    assert not [
        thread.name for thread in threading.enumerate() if thread.name.startswith(("mmsdk-first", "mmsdk-second"))
    ]


def _numbers(count: int) -> Generator[int]:
    yield from range(count)
