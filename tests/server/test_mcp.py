"""Tools by the official MCP client, over HTTP and over standard input and output."""

import json
import os
import sys
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from .running import Running

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def _shape(result: Any) -> Any:
    assert not result.is_error, result.content
    return json.loads(result.content[0].text)


@pytest.mark.parametrize("way", ["http", "stdio"])
async def test_an_agent_searches_asks_adds_and_calls_tasks(server: Running, way: str, tmp_path: Any) -> None:
    target: Any = f"{server.url}/mcp"
    name = "shop"
    if way == "stdio":
        from mmsdk.collection import Collection

        Collection.open(tmp_path / "shop", create=True, encoders=server.service.runtime.encoders()).close()
        kept = {name: os.environ[name] for name in ("MMSDK_CACHE", "PYTHONPATH", "HOME") if name in os.environ}
        script = "from mmsdk.cli import main; import sys; sys.exit(main(sys.argv[1:]))"
        target = StdioServerParameters(
            command=sys.executable,
            args=["-c", script, "mcp", "--data", str(tmp_path)],
            env={**kept, "HF_HUB_OFFLINE": "1"},
        )
    async with Client(target) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert {"search", "ask", "add"} <= set(tools)
        assert {task.replace(".", "_") for task in server.service.app.tasks} <= set(tools)
        report = _shape(await client.call_tool("add", {"collection": name, "texts": ["The lighthouse opens at six."]}))
        assert report["documents"] == 1
        hits = _shape(await client.call_tool("search", {"collection": name, "text": "lighthouse", "k": 1}))["hits"]
        assert hits[0]["text"] == "The lighthouse opens at six."
        answer = _shape(
            await client.call_tool("ask", {"collection": name, "question": "When does the lighthouse open?"})
        )
        assert answer["status"] == "answered"
        missing = await client.call_tool("search", {"collection": "none", "text": "x"})
        assert missing.is_error
        wrong = await client.call_tool("search", {"collection": name, "text": 3})
        assert wrong.is_error
