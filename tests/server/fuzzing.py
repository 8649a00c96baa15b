"""A hook of schemathesis: half of the made-up collections are the one that is there, so that requests get further."""

from typing import Any

import schemathesis


@schemathesis.hook
def map_path_parameters(_: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Put the collection that is there in the place of every other made-up one."""
    if path_parameters and len(str(path_parameters.get("collection", ""))) % 2:
        return {**path_parameters, "collection": "shop"}
    return path_parameters
