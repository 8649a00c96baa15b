"""Headers of requests and answers: what the defence reads and writes. Knows nothing of who asks."""

import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

COOKIE = "mmsdk_session"
POLICIES = {
    "data": "default-src 'none'; frame-ancestors 'none'",
    "view": "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'self'",
    "page": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'self'",
    "ui": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' blob: data:; object-src 'none'; form-action 'self'; "
    "frame-ancestors 'self'",
}
"""The Content-Security-Policy of each kind of page."""


@lru_cache(256)
def hostname(host: str) -> str:
    """Give the name in a Host header, in small letters and without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


def is_address(host: str) -> bool:
    """Say whether a host is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def without_own(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Leave out the headers that every answer gets from the defence."""
    own = (b"content-security-policy", b"x-content-type-options", b"referrer-policy", b"x-request-id")
    return [(name, value) for name, value in headers if name.lower() not in own]


def named(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Give headers by their names, in small letters."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


def cookie(headers: Mapping[str, str]) -> str | None:
    """Give the session token in the headers."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel else None
