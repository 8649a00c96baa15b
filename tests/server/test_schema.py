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
    settings = bundled.settings.model_copy(update={"server": Serving(queue=100, seconds=3600), "offline": True})
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


def _told(server: Running, place: Path, phases: str, *, examples: int, how: str) -> str:
    """Run phases of schemathesis over all operations and give what it said."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"]
    command += ["--phases", phases, "--checks", CHECKS, "-n", str(examples), "-w", "1", *how.split()]
    command += ["--no-shrink", "--continue-on-failure", "--request-timeout", "3600"]
    command += ["--suppress-health-check", "all", "--warnings", "off", "--no-color"]
    paths = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
    (chunk,) = server.service.folder.open(THERE).store.chunks(DOCUMENT)
    there = json.dumps({"collection": THERE, "document": DOCUMENT, "chunk": chunk.id})
    variables = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.server.fuzzing", "PYTHONPATH": paths}
    variables |= {"FUZZ_THERE": there, "FUZZ_DOOMED": DOOMED}
    done = subprocess.run(command, cwd=place, env=variables, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    if os.environ.get("FUZZ_REPORT"):
        with Path(os.environ["FUZZ_REPORT"]).open("a", encoding="utf-8") as report:
            report.write(told)
    assert done.returncode == 0, told[-8000:]
    return told


def test_made_up_requests_get_documented_answers(fuzzed: Running, tmp_path: Path) -> None:
    phases = "examples,coverage,fuzzing"
    told = _told(fuzzed, tmp_path, phases, examples=EXAMPLES or 50, how="--generation-deterministic")
    described = fuzzed.app.app.state.openapi["paths"]
    operations = sum(len(methods) for methods in described.values())
    assert re.search(rf"Tested:\s+{operations}\b", told), told[-2000:]


@pytest.mark.parametrize("seed", range(1, 11 if EXAMPLES else 2))
def test_sequences_of_requests_get_documented_answers(fuzzed: Running, tmp_path: Path, seed: int) -> None:
    """Several seeds: schemathesis ends early when a repeated sequence goes another way, and here they do."""
    told = _told(fuzzed, tmp_path, "stateful", examples=EXAMPLES or 50, how=f"--seed {seed}")
    found = re.search(r"API Links:\s+(\d+) covered / (\d+) selected", told)
    assert found, told[-2000:]
    assert int(found[1]) > 3, found[0]


def test_the_description_is_json_and_names_every_route_once(fuzzed: Running) -> None:
    with fuzzed.client() as client:
        described = client.get("/openapi.json").json()
    ids = [operation["operationId"] for path in described["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))
    assert json.dumps(described)
