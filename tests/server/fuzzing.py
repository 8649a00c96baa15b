"""Hooks of schemathesis: requests meet things that are there, and nothing takes these away.

Half of the made-up names are those of the collection, the document and the chunk that the test made. What would delete
them goes to a second collection, which the hooks do not keep.
"""

import json
import os
import zlib
from typing import Any

import schemathesis

THERE: dict[str, str] = json.loads(os.environ["FUZZ_THERE"])
"""Names in paths by the parameter."""
DOOMED = os.environ["FUZZ_DOOMED"]


@schemathesis.hook
def map_path_parameters(_: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Put what is there in the place of every other made-up name."""
    given = path_parameters or {}
    known = {name: there for name, there in THERE.items() if len(str(given.get(name, ""))) % 2}
    return {**given, **known} if known else path_parameters


@schemathesis.hook
def before_call(_: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Send what would delete to the second collection, also where a link named the first."""
    del kwargs
    deletes = case.method.upper() == "DELETE" or case.path.endswith("/delete")
    if deletes and (case.path_parameters or {}).get("collection") == THERE["collection"]:
        case.path_parameters = {**case.path_parameters, "collection": DOOMED}


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Let every other search and every other new collection be one that works, so that links lead on from them."""
    if not isinstance(body, dict) or len(str(body)) % 2:
        return body
    path, method = context.operation.path, context.operation.method.upper()
    if path.endswith("/search"):
        return {"text": "When does the lighthouse open?", "k": 3}
    if (method, path) == ("POST", "/collections"):
        return {"name": f"made-{zlib.crc32(str(body).encode('utf-8', 'replace')) % 1000}"}
    return body
