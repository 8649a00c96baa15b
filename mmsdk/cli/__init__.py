"""The command line: what ``mmsdk`` does in a shell.

``main`` runs one command and turns every outcome into an exit code: 0 all good, 2 wrong usage, 3 partly
done with every failure listed, 130 interrupted, else the error's own code. The command line knows nothing
that Python callers cannot reach; libraries are imported by the command that needs them, so that help is
quick.
"""

import sys
from collections.abc import Sequence

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code; errors are one line on stderr, with ``--debug`` a traceback."""
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(given: list[str]) -> int:
    from mmsdk.cli.commands import app
    from mmsdk.cli.output import complain, prepare

    words = given[: given.index("--")] if "--" in given else given
    debug, as_json = "--debug" in words, "--json" in words
    given = [word for word in words if word != "--debug"] + given[len(words) :]
    prepare(debug)
    try:
        done = app(given or ["--help"], prog_name="mmsdk", standalone_mode=False)
        return done if isinstance(done, int) else 0
    except Exception as error:
        if debug:
            raise
        return complain(error, as_json)
