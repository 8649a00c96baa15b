"""How commands fail: one line, the right exit code, JSON when asked, a traceback only with --debug."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mmsdk.app import RESERVED
from mmsdk.cli import main
from mmsdk.cli.commands import app, models
from mmsdk.cli.output import clean

MMSDK = str(Path(sys.executable).with_name("mmsdk"))


@pytest.mark.parametrize(
    ("arguments", "code", "name", "said"),
    [
        (["search", "nowhere", "text"], 8, "collection_not_found", "nowhere"),
        (["search", "nowhere"], 6, "input", "there is no question"),
        (["search", "nowhere", "text", "--where", "{year: 1}"], 6, "invalid_filter", "--where is not JSON"),
        (["search", "nowhere", "text", "--where", "[1]"], 6, "invalid_filter", "must be a JSON object"),
        (["search", "nowhere", "text", "-k", "0"], 2, "usage", "greater than or equal to 1"),
        (["search", "nowhere", "text", "-k", "many"], 2, "usage", "-k"),
        (["search", "nowhere", "--image", "absent.png"], 6, None, "absent.png"),
        (["ask", "nowhere", "text"], 8, "collection_not_found", "nowhere"),
        (["add", "nowhere"], 2, "usage", "PATH_OR_URL"),
        (["add", "nowhere", "a.txt", "--metadata", "year"], 6, "input", "--metadata is not JSON"),
        (["info", "nowhere"], 8, "collection_not_found", "nowhere"),
        (["verify", "nowhere"], 8, "collection_not_found", "nowhere"),
        (["transcribe", "absent.wav"], 6, None, "absent.wav"),
        (["models", "path", "nonesuch"], 9, "weights", "nonesuch"),
        (["serach"], 2, "usage", "Did you mean"),
        (["search", "--colour"], 2, "usage", "--colour"),
    ],
)
def test_an_error_is_one_line_and_its_class_is_the_exit_code(
    arguments: list[str], code: int, name: str | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mmsdk: ")
    assert err.count("\n") == 1
    assert said in err
    assert main([*arguments, "--json"]) == code
    out, err = capsys.readouterr()
    error = json.loads(err)["error"]
    assert out == ""
    assert set(error) == {"code", "message"}
    assert name in (None, error["code"])
    assert said in error["message"]
    assert not Path("nowhere").exists()


def test_debug_shows_the_traceback_wherever_it_stands() -> None:
    for arguments in (["--debug", "info", "nowhere"], ["info", "nowhere", "--debug"]):
        with pytest.raises(Exception, match="nowhere") as error:
            main(arguments)
        assert type(error.value).__name__ == "CollectionNotFoundError"


def test_what_follows_two_dashes_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "nowhere", "--", "--debug"]) == 8
    assert capsys.readouterr().err.startswith("mmsdk: ")


def test_wrong_settings_are_an_error_of_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mmsdk.toml").write_text("colour = 1\n")
    assert main(["models", "list"]) == 4
    assert "colour: unknown setting" in capsys.readouterr().err
    assert main(["--help"]) == 0


def test_an_unexpected_error_is_one_line_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> list[object]:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("mmsdk.weights.listing", broken)
    assert main(["models", "list"]) == 1
    assert capsys.readouterr().err == "mmsdk: RuntimeError: two lines (--debug shows where)\n"


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "search" in capsys.readouterr().out
    assert main(["models"]) == 2
    assert capsys.readouterr().err == "mmsdk: Missing command.\n"
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip().count(".") == 2


def test_every_command_takes_json_and_its_name_is_reserved() -> None:
    commands = {info.callback.__name__: info.callback for info in app.registered_commands if info.callback}
    assert set(commands) | {group.name for group in app.registered_groups} <= RESERVED
    assert len(commands) == 14
    servers = {"serve", "mcp"}  # they run until they are stopped
    ending = [callback for name, callback in commands.items() if name not in servers]
    for callback in (*ending, *(info.callback for info in models.registered_commands)):
        assert callback is not None
        assert "json" in callback.__annotations__


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert clean("a\x1b[2Jb\x07c\x9bd\r\n退\t🙂") == "a\ufffd[2Jb\ufffdc\ufffdd\ufffd\n退\t🙂"


def test_markup_in_a_source_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    from mmsdk.cli.output import say

    say("[bold]not bold[/bold] :smile: [/wrong]")
    assert capsys.readouterr().out == "[bold]not bold[/bold] :smile: [/wrong]\n"


def test_a_closed_pipe_is_no_drama() -> None:
    done = subprocess.run(
        f"{MMSDK} --help | true; {MMSDK} models list --json | true", shell=True, capture_output=True, text=True
    )
    assert done.stderr == ""


def test_an_ascii_terminal_gets_valid_json() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    Path("退货.txt").write_text("退货 🙂", "utf-8")
    done = subprocess.run([MMSDK, "info", "退货", "--json"], capture_output=True, text=True, env=environment)
    assert done.returncode == 8
    assert "退货" in json.loads(done.stderr)["error"]["message"]


SLOW = """
import time
from mmsdk import Plugin, task
from pydantic import BaseModel

class Nothing(BaseModel):
    pass

class Slow(Plugin):
    name = "slow"

    @task
    def wait(self, request: Nothing) -> Nothing:
        open("started", "x").close()
        time.sleep(60)
        return request
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_an_interrupt_ends_cleanly(offer: Callable[..., Path]) -> None:
    place = offer("acme-slow", "mmsdk.plugins", "slow = acme_slow:Slow", acme_slow=SLOW)
    with subprocess.Popen(
        [MMSDK, "slow", "wait"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(place)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    ) as process:
        while not Path("started").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30)[1] == ""
    assert process.returncode == 130
