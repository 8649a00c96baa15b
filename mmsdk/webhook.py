"""Signed webhooks: what is posted to an address of the user's, and how who receives it checks that it is ours.

The signature ``t=<seconds>,v1=<hex>`` is HMAC-SHA256 of ``<seconds>.<body>``. Redirects are not followed: body and
signature are for the address that was given. When to try again is the sender's business.
"""

import hashlib
import hmac
import time
import urllib.request
from http.client import HTTPException
from typing import Any

from mmsdk.errors import InputError

SIGNATURE = "X-Mmsdk-Signature"
TOLERANCE = 300
"""How old a signature may be, in seconds."""


def checked(url: str) -> str:
    """Give an address back. Raises ``InputError`` for what is no http(s) address."""
    if not url.startswith(("http://", "https://")):
        raise InputError(f"a webhook needs an http(s) address, not {url!r}")
    return url


def post(url: str, body: bytes, *, key: str, secret: str = "", seconds: float = 10.0) -> None:
    """Post JSON once, with ``key`` as ``Idempotency-Key``; any answer of 2xx is a delivery. Raises ``OSError``."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": key, "User-Agent": "mmsdk"}
    if secret:
        headers[SIGNATURE] = signature(body, secret, at=int(time.time()))
    request = urllib.request.Request(checked(url), body, headers, method="POST")  # noqa: S310  checked
    try:
        with urllib.request.build_opener(_Straight).open(request, timeout=seconds):
            return
    except (HTTPException, ValueError) as error:
        raise OSError(str(error)) from error


class _Straight(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def signature(body: bytes, secret: str, *, at: int) -> str:
    """Sign a body at a time, in seconds since 1970."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def verified(body: bytes, header: str, *, secret: str, now: float | None = None) -> bool:
    """Tell whether a signature belongs to the body and is not old; for those who receive a webhook.

    >>> verified(b"{}", signature(b"{}", "secret", at=100), secret="secret", now=110)
    True
    """
    stamp = header.partition(",")[0].removeprefix("t=")
    if not (stamp.isascii() and stamp.isdigit()) or len(stamp) > 15:
        return False
    if abs((time.time() if now is None else now) - int(stamp)) > TOLERANCE:
        return False
    return hmac.compare_digest(header.encode("utf-8", "replace"), signature(body, secret, at=int(stamp)).encode())
