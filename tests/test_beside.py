"""Work beside the thread that asked for it."""

import multiprocessing
import os
import threading
import time
from contextvars import ContextVar

import pytest

from mmsdk.beside import beside

said: ContextVar[str] = ContextVar("said", default="")


def test_work_is_done_in_another_thread_with_the_context_of_who_asked() -> None:
    said.set("hello")
    with beside(lambda: (threading.get_ident(), said.get())) as result:
        thread, heard = result()
    assert thread != threading.get_ident()
    assert heard == "hello"


def test_who_finds_the_thread_busy_works_alone_when_the_result_is_asked_for() -> None:
    go = threading.Event()
    with beside(lambda: go.wait(30)) as first, beside(threading.get_ident) as second:
        assert second() == threading.get_ident()
        go.set()
        assert first()
    with beside(threading.get_ident) as third:
        assert third() != threading.get_ident()


def test_an_error_is_that_of_who_asks_and_the_work_has_ended_with_the_block() -> None:
    done: list[str] = []

    def work() -> None:
        time.sleep(0.1)
        done.append("work")
        raise ValueError("no")

    def ask() -> None:
        with beside(work) as result:
            result()

    def fail() -> None:
        with beside(work):
            raise KeyError("mine")

    with pytest.raises(ValueError, match="no"):
        ask()
    with pytest.raises(KeyError):
        fail()
    assert done == ["work", "work"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_forked_process_has_a_thread_of_its_own() -> None:
    with beside(os.getpid) as result:
        assert result() == os.getpid()
    with beside(lambda: multiprocessing.get_context("fork").Process(target=_child)) as made:
        child = made()
        child.start()  # while the thread is taken
        child.join(60)
    assert child.exitcode == 0


def _child() -> None:
    with beside(os.getpid) as result:
        assert result() == os.getpid()
