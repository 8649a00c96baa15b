"""Collections over HTTP, with the real models."""

import base64
import json
import re
from pathlib import Path

import httpx

from .conftest import DATA, upload
from .running import Running

QUESTION = "How long is the guarantee on a backpack?"


def _encoded(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


def test_a_collection_is_made_listed_described_and_deleted(client: httpx.Client, server: Running) -> None:
    assert client.post("/collections", json={"name": "书店"}).status_code == 201
    assert client.post("/collections", json={"name": "书店"}).status_code == 409
    assert {"name": "书店"} in client.get("/collections").json()["collections"]
    ids = client.post("/collections/书店/texts", json={"texts": ["图书可在三十天内退货。"]}).json()["ids"]
    info = client.get("/collections/书店").json()
    assert (info["documents"], info["chunks"], info["failures"]) == (1, 1, [])
    assert client.get("/collections/书店/documents").json()["documents"][0]["id"] == ids[0]
    assert client.delete("/collections/书店").status_code == 204
    assert client.get("/collections/书店").status_code == 404
    assert not (server.service.folder.path / "书店").exists()


def test_names_that_would_be_paths_are_refused(client: httpx.Client) -> None:
    for name in ("..", "../x", "/etc", "a/b", "a\\b", ".hidden", "a..b", "x" * 65, "a\x00b", "e\u0301"):
        answer = client.post("/collections", json={"name": name})
        assert answer.status_code == 422, name
        assert answer.json()["error"]["code"] == "input"


def test_uploads_that_fail_are_listed_and_remembered_and_the_rest_is_in(client: httpx.Client, tmp_path: Path) -> None:
    client.post("/collections", json={"name": "mixed"})
    (tmp_path / "note.md").write_text("# Hours\n\nWe open at nine.\n")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    report = upload(client, "mixed", tmp_path / "note.md", tmp_path / "broken.pdf")
    assert report["documents"] == 1
    assert [failure["source"] for failure in report["failed"]] == ["broken.pdf"]  # type: ignore[attr-defined]
    assert str(tmp_path) not in json.dumps(report)
    assert [one["source"] for one in client.get("/collections/mixed").json()["failures"]] == ["broken.pdf"]
    (tmp_path / "broken.pdf").write_text("%PDF- is how a PDF begins", "utf-8")
    assert upload(client, "mixed", tmp_path / "note.md")["skipped"] == 1
    (tmp_path / "note.md").write_text("# Hours\n\nWe open at ten.\n")
    assert upload(client, "mixed", tmp_path / "note.md")["documents"] == 1
    hits = client.post("/collections/mixed/search", json={"text": "opening hours"}).json()["hits"]
    assert [hit["text"] for hit in hits if "open at" in hit["text"]] == ["We open at ten."] or "ten" in hits[0]["text"]


def test_files_are_kept_while_a_document_needs_them(client: httpx.Client, server: Running, tmp_path: Path) -> None:
    client.post("/collections", json={"name": "kept"})
    (tmp_path / "a.txt").write_text("Tents are kept dry.")
    upload(client, "kept", tmp_path / "a.txt")
    document = client.get("/collections/kept/documents").json()["documents"][0]
    assert document["original"]
    answer = client.get(f"/collections/kept/documents/{document['id']}/original")
    assert answer.content == b"Tents are kept dry."
    assert answer.headers["content-disposition"].startswith("attachment")
    assert client.delete(f"/collections/kept/documents/{document['id']}").json() == {"chunks": 1}
    assert client.get(f"/collections/kept/documents/{document['id']}/original").status_code == 404
    assert not list((server.service.folder.own / "originals" / "kept").iterdir())
    assert not list((server.service.folder.own / "incoming").iterdir())


def test_search_by_text_picture_recording_and_filter(client: httpx.Client) -> None:
    hits = client.post("/collections/shop/search", json={"text": QUESTION, "k": 3}).json()["hits"]
    assert len(hits) == 3
    assert set(hits[0]) == {"id", "document_id", "score", "modality", "source", "locator", "text", "metadata"}
    picture = _encoded(DATA / "pictures" / "store-map.png")
    found = client.post("/collections/shop/search", json={"image": picture, "k": 3}).json()["hits"]
    assert "store-map.png" in [hit["source"] for hit in found]
    recording = "data:audio/mpeg;base64," + _encoded(DATA / "recordings" / "tip-boots.mp3")
    found = client.post("/collections/shop/search", json={"audio": recording, "k": 3}).json()["hits"]
    assert found[0]["source"] == "tip-boots.mp3"
    only = client.post("/collections/shop/search", json={"text": "boots", "where": {"modality": "audio"}}).json()[
        "hits"
    ]
    assert {hit["modality"] for hit in only} == {"audio"}
    wrong = client.post("/collections/shop/search", json={"text": "boots", "where": {"$no": 1}})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "invalid_filter")


def test_ask_answers_with_citations_that_open_at_the_place(client: httpx.Client) -> None:
    answer = client.post("/collections/shop/ask", json={"question": QUESTION}).json()
    assert answer["status"] == "answered"
    citation = answer["citations"][0]
    hit = next(hit for hit in answer["hits"] if hit["source"] == citation["source"])
    at = {name: citation["locator"][name] for name in ("start", "stop")}
    page = client.get(f"/collections/shop/chunks/{hit['id']}/view", params=at)
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert citation["quote"] in re.sub(r"<[^>]+>", "", page.text).replace("&#x27;", "'").replace("&quot;", '"')
    assert "<mark>" in page.text


def test_ask_streams_events(client: httpx.Client) -> None:
    events = []
    with client.stream("POST", "/collections/shop/ask", json={"question": QUESTION, "stream": True}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for block in "".join(answer.iter_text()).split("\n\n"):
            match = re.fullmatch(r"event: (\w+)\ndata: (.*)", block)
            if match:
                events.append((match[1], json.loads(match[2])))
    kinds = [kind for kind, _ in events]
    assert (kinds[0], kinds[-1]) == ("sources", "done")
    assert {"token", "citation"} <= set(kinds)
    assert "".join(shape["text"] for kind, shape in events if kind == "token") == events[-1][1]["text"]


def test_what_fails_in_a_stream_is_its_last_event(client: httpx.Client) -> None:
    picture = _encoded(DATA / "pictures" / "store-map.png")
    with client.stream("POST", "/collections/shop/ask", json={"image": picture, "stream": True}) as answer:
        text = "".join(answer.iter_text())
    assert text.startswith("event: error\n")
    assert '"code": "unsupported_modality"' in text


def test_a_recording_opens_at_its_second_and_a_page_with_its_box(client: httpx.Client, shop_pdf: Path) -> None:
    hits = client.post("/collections/shop/search", json={"text": "boots", "where": {"modality": "audio"}}).json()[
        "hits"
    ]
    page = client.get(f"/collections/shop/chunks/{hits[0]['id']}/view").text
    source = re.search(r'<audio [^>]*src="([^"#]+)#t=[\d.]+"', page)
    assert source
    heard = client.get(source[1], headers={"Range": "bytes=0-99"})
    assert (heard.status_code, heard.headers["content-type"]) == (206, "audio/mpeg")
    client.post("/collections", json={"name": "pages"})
    upload(client, "pages", shop_pdf)
    hit = client.post("/collections/pages/search", json={"text": "voltage of the lamp"}).json()["hits"][0]
    assert hit["locator"]["kind"] == "page"
    picture = client.get(f"/collections/pages/chunks/{hit['id']}/picture")
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG")


def test_addresses_that_are_none_or_lead_inside_are_not_fetched(client: httpx.Client) -> None:
    for url in ("/etc/passwd", "file:///etc/passwd", "ftp://example.com/x", "shop", "../shop"):
        assert client.post("/collections/shop/urls", json={"urls": [url]}).status_code == 422, url
    for url in ("http://127.0.0.1:9/x", "http://localhost:9/x", "http://[::1]:9/x", "http://169.254.169.254/latest"):
        report = client.post("/collections/shop/urls", json={"urls": [url]}).json()
        assert [failure["code"] for failure in report["failed"]] == ["fetch"], url


def test_an_error_that_quotes_a_lone_surrogate_is_written(client: httpx.Client) -> None:
    sent = {"Content-Type": "application/json"}
    body = r'{"text": "x", "where": {"a\udc80": {"$x": 1}}}'
    answer = client.post("/collections/shop/search", content=body, headers=sent)
    assert answer.status_code == 422
    assert r"\udc80" in answer.json()["error"]["message"]


def test_one_id_for_two_texts_is_refused(client: httpx.Client) -> None:
    assert client.post("/collections", json={"name": "twice"}).status_code == 201
    answer = client.post("/collections/twice/texts", json={"texts": ["A tent.", "A lamp."], "ids": ["a", "a"]})
    assert (answer.status_code, "ids[0] and ids[1]" in answer.text) == (422, True)
    assert client.get("/collections/twice").json()["documents"] == 0
