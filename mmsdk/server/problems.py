"""Errors as the server tells them: one JSON shape, also for OpenAI's clients.

``{"error": {"code", "message", "type", "param", "request_id"}}``. What was not meant to happen is told
without its message, which could hold what is nobody's business.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from mmsdk.errors import MmsdkError
from mmsdk.server.batching import FullError
from mmsdk.server.work import StoppedError

_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media",
}
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class Problem(BaseModel):
    """Say what is wrong."""

    code: str
    message: str
    type: str
    param: str | None = None
    request_id: str | None = None


class Problems(BaseModel):
    """Hold an error as every route answers it."""

    error: Problem


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problems, "description": text}
    for status, text in {
        400: "The body or a header cannot be read",
        401: "No valid key",
        403: "The key does not allow it",
        404: "Not there, or not for this key",
        405: "Another method is meant",
        409: "It is there already, or made with other encoders",
        411: "The length of the body is not given",
        413: "Larger than allowed",
        415: "Another kind of file or body is meant",
        421: "The host is not one of this server",
        422: "The request is wrong; the message names the fields",
        423: "Another process writes to the collection",
        429: "Too much to do; Retry-After says when to come again",
        431: "The headers are longer than allowed",
        500: "An error of the server",
        501: "A library that this needs is not installed",
        502: "An address or a model server could not be used",
        503: "A model cannot be used, or the server is shutting down",
        504: "It took longer than allowed",
    }.items()
}
"""What every route may answer, for its OpenAPI description."""


class RefusalError(Exception):
    """Say that a request is refused, with its status."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.param = status, code, message, param
        self.headers = dict(headers or {})


def body(
    status: int, code: str, message: str, *, param: str | None = None, request: str | None = None
) -> dict[str, Any]:
    """Give the JSON of an error. What it quotes may hold lone surrogates, which cannot be written as UTF-8."""
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    message, param = _written(message), None if param is None else _written(param)
    return {"error": {"code": code, "message": message, "type": kind, "param": param, "request_id": request}}


def _written(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def told(error: Exception, request: str | None = None) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Give status, JSON and headers for an error."""
    if isinstance(error, RefusalError):
        return (
            error.status,
            body(error.status, error.code, error.message, param=error.param, request=request),
            error.headers,
        )
    if isinstance(error, MmsdkError):
        return error.status, body(error.status, error.code, str(error), request=request), {}
    if isinstance(error, FullError):
        return 429, body(429, "overloaded", str(error), request=request), {"Retry-After": "1"}
    if isinstance(error, StoppedError):
        return 504, body(504, "deadline", "the request took longer than allowed", request=request), {}
    if isinstance(error, RequestValidationError | ValidationError):
        message, param = explained(error.errors())
        return 422, body(422, "input", message, param=param, request=request), {}
    if isinstance(error, HTTPException):
        code = _CODES.get(error.status_code, "error")
        return (
            error.status_code,
            body(error.status_code, code, str(error.detail), request=request),
            dict(error.headers or {}),
        )
    return (
        500,
        body(500, "unexpected", "an error of the server; its log has more under this request_id", request=request),
        {},
    )


def explained(found: Sequence[Any]) -> tuple[str, str | None]:
    """Say what pydantic found wrong, and name the first field."""
    said = []
    for problem in found:
        field = ".".join(str(step) for step in problem["loc"] if step not in ("body", "query", "path"))
        what = "unknown field" if problem["type"] == "extra_forbidden" else problem["msg"]
        said.append((field, f"{field}: {what}" if field else what))
    return "the request is wrong: " + "; ".join(text for _, text in said[:20]), (said[0][0] or None) if said else None


def install(app: FastAPI) -> None:
    """Let an application answer all its errors in the one shape."""

    async def answer(request: Request, error: Exception) -> Response:
        work = request.scope.get("state", {}).get("work")
        status, shape, headers = told(error, work.id if work else None)
        return JSONResponse(shape, status, headers=headers)

    for kind in (RefusalError, MmsdkError, FullError, StoppedError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)


def described(schema: dict[str, Any]) -> dict[str, Any]:
    """Say in an OpenAPI description that errors are JSON, whatever a route gives otherwise."""
    shape = {"schema": {"$ref": "#/components/schemas/Problems"}}
    for path in schema["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    kept = response.get("content", {}) if operation["operationId"].startswith("login") else {}
                    response["content"] = {**kept, "application/json": shape}
    return schema
