"""The whole OpenAPI description against made-up requests, by schemathesis: no server error, nothing undocumented.

All its phases (examples, coverage, fuzzing, stateful), all operations, plugin tasks included, over HTTP against a
server of its own with the bundled models.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmsdk.runtime import Runtime
from mmsdk.settings import Serving

from .running import Running, running

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
"""Examples of an operation; without it 50."""
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
THERE, DOOMED, DOCUMENT = "shop", "doomed", "lighthouse"
HERE = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory, bundled: Runtime) -> Iterator[Running]:
    settings = bundled.settings.model_copy(update={"server": Serving(queue=100), "offline": True})
    folder = tmp_path_factory.mktemp("data")
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("elsewhere"))  # tasks of plugins take paths
    try:
        with running(folder, settings) as made:
            for name in (THERE, DOOMED):
                made.service.folder.create(name).add_texts(["The lighthouse opens at six."], ids=[DOCUMENT])
            yield made
    finally:
        os.chdir(before)


def _told(server: Running, examples: int, place: Path) -> str:
    """Run schemathesis over all operations and give what it said."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"]
    command += ["--phases", "examples,coverage,fuzzing,stateful", "--checks", CHECKS, "-n", str(examples), "-w", "1"]
    command += ["--generation-deterministic", "--no-shrink", "--continue-on-failure", "--request-timeout", "120"]
    command += ["--suppress-health-check", "all", "--warnings", "off", "--no-color"]
    paths = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
    (chunk,) = server.service.folder.open(THERE).store.chunks(DOCUMENT)
    there = json.dumps({"collection": THERE, "document": DOCUMENT, "chunk": chunk.id})
    variables = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.server.fuzzing", "PYTHONPATH": paths}
    variables |= {"FUZZ_THERE": there, "FUZZ_DOOMED": DOOMED}
    done = subprocess.run(command, cwd=place, env=variables, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    if os.environ.get("FUZZ_REPORT"):
        Path(os.environ["FUZZ_REPORT"]).write_text(told, "utf-8")
    assert done.returncode == 0, told[-8000:]
    return told


def test_made_up_requests_get_documented_answers(fuzzed: Running, tmp_path: Path) -> None:
    told = _told(fuzzed, EXAMPLES or 50, tmp_path)
    described = fuzzed.app.app.state.openapi["paths"]
    operations = sum(len(methods) for methods in described.values())
    assert re.search(rf"Tested:\s+{operations}\b", told), told[-2000:]
    assert "Stateful" in told


def test_the_description_is_json_and_names_every_route_once(fuzzed: Running) -> None:
    with fuzzed.client() as client:
        described = client.get("/openapi.json").json()
    ids = [operation["operationId"] for path in described["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))
    assert json.dumps(described)
