"""Commands of the server: run it, run its tools over standard input, and manage its keys."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsdk.cli import output

if TYPE_CHECKING:
    from mmsdk.server.keys import Keys

keys = typer.Typer(help="API keys of the server: make, list, revoke.")
Data = Annotated[Path, typer.Option("--data", metavar="DIR", help="The folder that holds the collections.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def serve(
    *,
    data: Data,
    host: Annotated[
        str, typer.Option(help="The address to listen on; beyond this machine only with keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port.")] = 8000,
    no_ui: Annotated[bool, typer.Option("--no-ui", help="Serve the API only.")] = False,
) -> None:
    """Serve the collections of a folder: an HTTP API that OpenAI's clients understand, MCP, and a web UI.

    Without any key it listens on this machine only. Limits and queues are settings, see docs/server.md.
    """
    _needs_server()
    from mmsdk.server.serving import serve as run

    run(data, host=host, port=port, ui=not no_ui)


def mcp(*, data: Data) -> None:
    """Offer search, ask, add and every plugin task to an agent, by MCP over standard input and output."""
    _needs_server()
    from mmsdk.server.serving import serve_tools

    serve_tools(data)


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="Who gets the key, for the list.")],
    *,
    data: Data,
    scope: Annotated[
        str, typer.Option(help="read, write (add and delete, plugin tasks) or admin (collections).")
    ] = "read",
    collection: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Bind it to a collection; may stand several times.")
    ] = None,
    expires: Annotated[str | None, typer.Option(metavar="TIME", help="Such as 12h, 30d or 4w; else never.")] = None,
    json: Json = False,
) -> None:
    """Make a key and print it; it is shown once and kept only as a digest."""
    with _opened(data) as opened:
        key, secret = opened.create(name, scope, collections=collection or None, expires=expires)
    output.show({**key.to_json(), "key": secret}, json, lambda: output.say(secret))


@keys.command("list")
def list_keys(*, data: Data, json: Json = False) -> None:
    """List all keys ever made, without their secrets."""
    with _opened(data) as opened:
        found = [key.to_json() for key in opened.list()]
    columns = ("id", "name", "scope", "collections", "created", "expires", "revoked")
    rows = [[_cell(key[column]) for column in columns] for key in found]
    output.show(found, json, lambda: output.table(columns, rows))


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The id, as list shows it.")],
    *,
    data: Data,
    json: Json = False,
) -> None:
    """Make a key useless, at once and for good."""
    with _opened(data) as opened:
        key = opened.revoke(key_id)
    output.show(key.to_json(), json, lambda: output.say(f"{key.id} ({key.name}) is revoked"))


def _opened(data: Path) -> "Keys":
    from mmsdk.server.keys import Keys

    folder = data.resolve() / ".mmsdk"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Keys(folder / "keys.sqlite")


def _needs_server() -> None:
    """Raise ``MissingDependencyError`` when the libraries of the server are not installed."""
    from importlib.util import find_spec

    from mmsdk.errors import MissingDependencyError

    for module in ("fastapi", "uvicorn", "multipart", "prometheus_client", "mcp"):
        if find_spec(module) is None:
            raise MissingDependencyError(module, "server")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
