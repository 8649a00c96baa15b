"""Start a server over a new folder, upload a file, and ask it by plain HTTP and by the official OpenAI client."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from openai import OpenAI
from openai.types.chat import ChatCompletionUserMessageParam

PORT = int(os.environ.get("PORT", "8765"))
URL = f"http://127.0.0.1:{PORT}"
SCRIPT = "import sys; from mmsdk.cli import main; sys.exit(main(sys.argv[1:]))"


@contextmanager
def served(data: str) -> Iterator[None]:
    """Run `mmsdk serve` until its models are loaded."""
    command = [sys.executable, "-c", SCRIPT, "serve", "--data", data, "--port", str(PORT), "--no-ui"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            while process.poll() is None:
                try:
                    if httpx.get(f"{URL}/ready", trust_env=False).status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.2)
            yield
        finally:
            process.terminate()


with served("served"), httpx.Client(base_url=URL, timeout=120, trust_env=False) as client:
    client.post("/collections", json={"name": "shop"})
    file = Path("examples/data/policies/warranty.txt")
    report = client.post("/collections/shop/files", files={"files": (file.name, file.read_bytes())}).json()
    print(f"{report['documents']} documents, {report['chunks']} chunks, {len(report['failed'])} failures")

    answer = client.post("/collections/shop/ask", json={"question": "How long is the guarantee on a backpack?"}).json()
    print(answer["status"], answer["text"], sep=": ")

    openai = OpenAI(base_url=f"{URL}/v1", api_key="none")
    messages = [ChatCompletionUserMessageParam(role="user", content="How long is the guarantee on a backpack?")]
    for chunk in openai.chat.completions.create(model="shop", messages=messages, stream=True):
        print(chunk.choices[0].delta.content or "", end="")
        if chunk.choices[0].finish_reason:
            citation = (chunk.model_extra or {})["mmsdk"]["citations"][0]
            print(f"\n  {citation['source']}, {citation['locator']}: {citation['quote']!r}")
