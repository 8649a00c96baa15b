"""One server for all tests of a module, with the bundled models and a few of the example documents."""

import gc
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mmsdk.runtime import Runtime

from .running import Running, running

DATA = Path(__file__).parents[2] / "examples" / "data"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, bundled: Runtime) -> Iterator[Running]:
    """A server without keys over one collection, ``shop``, that was uploaded to it."""
    with running(tmp_path_factory.mktemp("data"), bundled.settings) as made:
        with made.client() as client:
            assert client.post("/collections", json={"name": "shop"}).status_code == 201
            files = [*sorted((DATA / "policies").glob("*.txt")), DATA / "pictures" / "store-map.png"]
            report = upload(client, "shop", *files, DATA / "recordings" / "tip-boots.mp3")
            assert not report["failed"], report
        yield made


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    with server.client() as made:
        yield made


def upload(client: httpx.Client, collection: str, *files: Path) -> dict[str, object]:
    """Upload files and give the report."""
    given = [("files", (file.name, file.read_bytes())) for file in files]
    answer = client.post(f"/collections/{collection}/files", files=given)
    assert answer.status_code == 200, answer.text
    report: dict[str, object] = answer.json()
    return report


@pytest.fixture(scope="session")
def shop_pdf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PDF of two pages."""
    from reportlab.pdfgen.canvas import Canvas

    file = tmp_path_factory.mktemp("pdf") / "lamp.pdf"
    canvas = Canvas(str(file))
    canvas.drawString(72, 720, "The Quillmoor lamp is sold in two colours, red and green.")
    canvas.showPage()
    canvas.drawString(72, 700, "The voltage of the Quillmoor lamp is 12 volts.")
    canvas.drawString(72, 680, "Its guarantee lasts five years.")
    canvas.save()
    return file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let clients of other libraries leave sockets and loops to the collector: it is not the server that is tested."""
    quiet = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(quiet)


@pytest.fixture(autouse=True, scope="module")
def _collected() -> Iterator[None]:
    """Collect what a module left before the next one starts."""
    yield
    gc.collect()
