"""Fetch http(s) addresses without reaching what lies behind the firewall.

The host is resolved once, every address it has is checked, and the connection goes to a checked
address (so a second, different DNS answer changes nothing); TLS and the Host header keep the name.
Redirects go through the same door. Proxies of the environment are not used: they would resolve the
name themselves. This module knows nothing of loaders.
"""

import http.client
import ipaddress
import mimetypes
import socket
import ssl
import threading
import time
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit, urlunsplit

from mmsdk.errors import FetchError
from mmsdk.settings import Fetch

_REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}
_PIECE = 1 << 16
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
_PUBLIC = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("2000::/3"))
_ASSIGNED = ipaddress.ip_network("192.0.0.0/24")
"""RFC 6890; global to ``ipaddress`` of Python before 3.11.10."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Fetched:
    """Hold a response body, the address it came from in the end, and a file name that fits its type."""

    data: bytes
    url: str
    name: str


def normalised(url: str) -> str:
    """Write an address in one way: lower-case host, no default port, no fragment. Raises ``FetchError``.

    >>> normalised("HTTP://Example.com:80#top")
    'http://example.com/'
    """
    parts = _checked_parts(url)
    host = parts.hostname or ""
    port = "" if parts.port in (None, _PORTS[parts.scheme]) else f":{parts.port}"
    host = f"[{host}]" if ":" in host else host
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    return urlunsplit((parts.scheme, host + port, path, quote(parts.query, safe="/%:@!$&'()*+,;=~-._?[]"), ""))


def _checked_parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna" if not (parts.hostname or "").isascii() else "ascii").decode()
        port = parts.port
    except ValueError as error:
        raise FetchError(f"{url!r} is no address: {error}") from error
    if parts.scheme not in _PORTS:
        raise FetchError(f"{url!r} is refused: only http and https are fetched, not {parts.scheme or 'nothing'!r}")
    if parts.username is not None or parts.password is not None:
        raise FetchError(f"{parts.scheme}://...@{host} is refused: an address must not carry a name or password")
    if not host or any(ord(letter) <= 32 for letter in url):
        raise FetchError(f"{url!r} is no address: it has no host, or white space within")
    place = (f"[{host}]" if ":" in host else host) + (f":{port}" if port is not None else "")
    return parts._replace(netloc=place)


def fetch(url: str, settings: Fetch, *, offline: bool = False) -> Fetched:
    """Fetch an address within the limits of ``settings``. Raises ``FetchError`` saying what stood in the way."""
    if offline:
        raise FetchError(f"{url} was not fetched: offline = true; set it to false or MMSDK_OFFLINE=0")
    deadline = time.monotonic() + settings.seconds
    target = normalised(url)
    for _ in range(settings.redirects + 1):
        answer = _request(target, settings, deadline=deadline)
        if isinstance(answer, Fetched):
            return answer
        target = normalised(urljoin(target, answer))
    raise FetchError(f"{url} was redirected more than fetch.redirects = {settings.redirects} times")


def _request(url: str, settings: Fetch, *, deadline: float) -> Fetched | str:
    """Ask once; give the body, or the place to which the answer redirects."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or _PORTS[parts.scheme])
    late = threading.Event()
    try:
        connection.sock = sock = _connected(parts, settings, deadline=deadline)
        timer = threading.Timer(max(deadline - time.monotonic(), 0.001), _hang_up, (sock, late))
        timer.daemon = True
        timer.start()
        try:
            answer = _answer(connection, url, settings)
        finally:
            timer.cancel()
            timer.join()
        if not late.is_set():
            return answer
    except FetchError:
        if not late.is_set():
            raise
    except (OSError, http.client.HTTPException, ValueError, zlib.error) as error:
        if not late.is_set() and not isinstance(error, TimeoutError):
            raise FetchError(f"{url} was not fetched: {error or type(error).__name__}") from error
    finally:
        connection.close()
    raise FetchError(f"{url} took more than fetch.seconds = {settings.seconds:g}")


def _hang_up(sock: socket.socket, late: threading.Event) -> None:
    late.set()
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _connected(parts: SplitResult, settings: Fetch, *, deadline: float) -> socket.socket:
    """Connect to the first reachable of the checked addresses."""
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    failed: OSError = OSError("no address")
    for family, place in _addresses(host, port, allow_private=settings.allow_private):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(max(deadline - time.monotonic(), 0.001))
            sock.connect(place)
            if parts.scheme == "https":
                return ssl.create_default_context().wrap_socket(sock, server_hostname=host)
            return sock
        except OSError as error:
            sock.close()
            failed = error
    raise failed


def _addresses(host: str, port: int, *, allow_private: bool) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    """Resolve once; refuse the host when any of its addresses is not public."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FetchError(f"{host!r} cannot be resolved: {error}") from error
    places: list[tuple[socket.AddressFamily, tuple[str, int]]] = []
    for family, _, _, _, place in found:
        reason = None if allow_private else refused(str(place[0]))
        if reason:
            raise FetchError(f"{host!r} is refused: {place[0]} is {reason}; set fetch.allow_private = true to fetch it")
        places.append((family, (str(place[0]), port)))
    return places


def refused(text: str) -> str | None:
    """Say why an IP address is not fetched from, or None for a public one.

    >>> refused("169.254.169.254"), refused("::ffff:10.0.0.1"), refused("93.184.215.14")
    ('a link-local address', 'a private address', None)
    """
    address = _embedded(ipaddress.ip_address(text.partition("%")[0]))
    kinds = {
        "a loopback address": address.is_loopback,
        "a link-local address": address.is_link_local,
        "a multicast address": address.is_multicast,
        "an unspecified address": address.is_unspecified,
        "a private address": address.is_private,
        "a reserved address": address.is_reserved
        or not address.is_global
        or not any(address in net for net in _PUBLIC)
        or address in _ASSIGNED,
    }
    return next((kind for kind, holds in kinds.items() if holds), None)


def _embedded(address: Address) -> Address:
    """Give the IPv4 address within a mapped, translated (NAT64), 6to4 or Teredo one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _TRANSLATED or (int(address) >> 32 == 0 and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.sixtofour is not None:
        return address.sixtofour
    return address.teredo[1] if address.teredo is not None else address


def _answer(connection: http.client.HTTPConnection, url: str, settings: Fetch) -> Fetched | str:
    parts = urlsplit(url)
    headers = {"User-Agent": "mmsdk", "Accept": "*/*", "Accept-Encoding": "gzip, deflate", "Connection": "close"}
    connection.request("GET", urlunsplit(("", "", parts.path, parts.query, "")), headers=headers)
    response = connection.getresponse()
    place = response.getheader("Location")
    if response.status in _REDIRECTS and place:
        return place
    if response.status != 200:
        raise FetchError(f"{url} answered {response.status} {response.reason}")
    data = _body(response, url, settings.mb)
    return Fetched(data, url, _name(parts.path, response.headers.get_content_type()))


def _body(response: http.client.HTTPResponse, url: str, megabytes: int) -> bytes:
    """Read and decompress, both at most ``megabytes``."""
    coding = response.getheader("Content-Encoding", "identity").strip().lower()
    if coding not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise FetchError(f"{url} answered in the content encoding {coding!r}, which was not asked for")
    most = megabytes << 20
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 32) if coding not in ("identity", "") else None
    data, received = bytearray(), 0
    while piece := response.read1(_PIECE):
        received += len(piece)
        data += inflate.decompress(piece, most + 1 - len(data)) if inflate else piece
        if len(data) > most or received > most:
            raise FetchError(f"{url} has more than fetch.mb = {megabytes} megabytes")
    if response.length:
        raise FetchError(f"{url} broke off: {response.length} bytes are missing")
    return bytes(data)


def _name(path: str, media_type: str) -> str:
    """Give the last step of the path, with the suffix of the media type where it has none."""
    name = PurePosixPath(unquote(path)).name
    if PurePosixPath(name).suffix.lower() in (*mimetypes.types_map, ".md", ".jsonl", ".rss", ".atom"):
        return name
    return (name or "index") + (mimetypes.guess_extension(media_type) or "")
