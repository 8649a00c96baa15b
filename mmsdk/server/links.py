"""Links of the OpenAPI description: which answer names what another route asks for.

Clients that follow links (and schemathesis, which tests sequences of requests by them) get from a collection that was
made to its texts, documents and hits. Knows nothing of what routes do.
"""

from collections.abc import Mapping
from typing import Any

_ONE = "/collections/{collection}"
_MADE = {"collection": "$response.body#/name"}
_SAME = {"collection": "$request.path.collection"}
_CHUNK = {**_SAME, "chunk": "$response.body#/hits/0/id"}
_HIT = {**_SAME, "document": "$response.body#/hits/0/document_id"}
_DOCUMENT = {**_SAME, "document": "$response.body#/documents/0/id"}
_LINKS: Mapping[tuple[str, str, str], Mapping[tuple[str, str], Mapping[str, str]]] = {
    ("post", "/collections", "201"): {
        ("post", _ONE + "/texts"): _MADE,
        ("post", _ONE + "/search"): _MADE,
        ("post", _ONE + "/ask"): _MADE,
        ("get", _ONE + "/documents"): _MADE,
        ("get", _ONE): _MADE,
        ("delete", _ONE): _MADE,
    },
    ("post", _ONE + "/texts", "200"): {
        ("post", _ONE + "/search"): _SAME,
        ("get", _ONE + "/documents"): _SAME,
        ("delete", _ONE + "/documents/{document}"): {**_SAME, "document": "$response.body#/ids/0"},
    },
    ("post", _ONE + "/search", "200"): {
        ("get", _ONE + "/chunks/{chunk}"): _CHUNK,
        ("get", _ONE + "/chunks/{chunk}/view"): _CHUNK,
        ("get", _ONE + "/chunks/{chunk}/picture"): _CHUNK,
        ("get", _ONE + "/documents/{document}/original"): _HIT,
    },
    ("get", _ONE + "/documents", "200"): {
        ("get", _ONE + "/documents/{document}/original"): _DOCUMENT,
        ("delete", _ONE + "/documents/{document}"): _DOCUMENT,
    },
}


def linked(schema: dict[str, Any]) -> dict[str, Any]:
    """Write the links into an OpenAPI description."""
    for (method, path, status), targets in _LINKS.items():
        links = schema["paths"][path][method]["responses"][status].setdefault("links", {})
        for (verb, place), parameters in targets.items():
            target = schema["paths"][place][verb]
            name = target["summary"].replace(" ", "")
            links[name] = {"operationId": target["operationId"], "parameters": dict(parameters)}
    return schema
