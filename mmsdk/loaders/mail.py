"""Letters (RFC 5322): headers, body and attachments, which are parsed like any other file."""

import email
import email.policy
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from typing import cast

from mmsdk.errors import DecodeError, MmsdkError
from mmsdk.loaders.charset import decode_text
from mmsdk.loaders.html import visible_text
from mmsdk.loaders.parsed import Job, Parsed, Problem, Tiles, problem_of
from mmsdk.types import JSON, Part

_HEADERS = ("subject", "from", "to", "cc", "date")
_MOST = 500


@dataclass
class _Letter:
    """Gather what a letter holds; its own text and that of attached text files make one text."""

    tiles: Tiles = field(default_factory=Tiles)
    parts: list[Part] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def load(data: bytes, job: Job) -> Parsed:
    """Read a letter. An attachment that cannot be read is named and left out; five levels are followed."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    headers = {name: text for name in _HEADERS if (text := _header(message, name))}
    if not headers and not message.keys():
        raise DecodeError("this is no letter: it has no headers")
    letter = _Letter()
    letter.tiles.add(f"{headers['subject']}\n" if "subject" in headers else "", "heading")
    shown = "\n".join(f"{name.capitalize()}: {text}" for name, text in headers.items() if name != "subject")
    letter.tiles.add(shown + "\n\n" if shown else "")
    bodies, attachments = _sorted(message)
    letter.tiles.add(_body_text(bodies))
    for name, content in attachments:
        _attach(letter, name, content, job=job)
    metadata: dict[str, JSON] = dict(headers)
    metadata |= {"title": headers["subject"]} if "subject" in headers else {}
    metadata |= {"attachments": list(letter.names)} if letter.names else {}
    return Parsed((*letter.tiles.parts, *letter.parts), metadata, tuple(letter.problems))


def _header(message: EmailMessage, name: str) -> str:
    """Give a header decoded; one that breaks the rules as it stands."""
    try:
        value = str(message.get(name, ""))
    except Exception:  # noqa: BLE001  # the header parser raises many kinds on broken headers
        value = next((str(raw) for key, raw in message.raw_items() if key.lower() == name), "")
    raw = value.encode("utf-8", "surrogateescape") if not value.isascii() else b""
    return " ".join(
        (decode_text(raw).text if any("\udc80" <= letter <= "\udcff" for letter in value) else value).split()
    )


def _sorted(message: EmailMessage) -> tuple[list[EmailMessage], list[tuple[str, bytes]]]:
    """Tell bodies from attachments; a letter within the letter is an attachment."""
    bodies, attachments = [], []
    for place, piece in enumerate(_leaves(message), 1):
        name = piece.get_filename() or ""
        if piece.get_content_type() == "message/rfc822":
            inner = piece.get_payload()
            letter = cast("EmailMessage", inner[0] if isinstance(inner, list) and inner else piece)
            attachments.append((name or f"letter {place}.eml", letter.as_bytes()))
        elif piece.get_content_maintype() == "text" and not name and piece.get_content_disposition() != "attachment":
            bodies.append(piece)
        else:
            attachments.append((name or f"attachment {place}", _bytes(piece)))
    return bodies, attachments[:_MOST]


def _leaves(message: EmailMessage) -> Iterator[EmailMessage]:
    """Give the pieces that are no containers, without opening letters within."""
    waiting = [message]
    while waiting:
        piece = waiting.pop()
        if piece.get_content_maintype() == "multipart" and isinstance(piece.get_payload(), list):
            waiting += reversed(cast("list[EmailMessage]", piece.get_payload()))
        else:
            yield piece


def _bytes(piece: EmailMessage) -> bytes:
    payload = piece.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _body_text(bodies: list[EmailMessage]) -> str:
    """Give the plain bodies, or the HTML ones where there is no plain one."""
    plain: list[str] = []
    marked: list[str] = []
    for body in bodies:
        text = decode_text(_bytes(body), body.get_content_charset()).text
        (marked if body.get_content_type() == "text/html" else plain).append(text)
    said = [text.strip() for text in plain if text.strip()] or [visible_text(text) for text in marked]
    text = "\n\n".join(text for text in said if text)
    return text + "\n\n" if text else ""


def _attach(letter: _Letter, name: str, content: bytes, *, job: Job) -> None:
    name = name if name not in letter.names else f"{len(letter.names) + 1} {name}"
    letter.names.append(name)
    try:
        parsed = job.parse(content, name)
    except MmsdkError as error:
        letter.problems.append(problem_of(name, error))
        return
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # noqa: BLE001  # an attachment's parser raises whatever it likes
        letter.problems.append(problem_of(name, error))
        return
    letter.problems += [replace(problem, where=f"{name}, {problem.where}") for problem in parsed.problems]
    for part in parsed.parts:
        if isinstance(part.content, str) and part.locator.kind == "characters":
            letter.tiles.add(part.content, part.kind)
        else:
            sheet = f"{name}, {part.locator.sheet}" if part.locator.sheet else name
            letter.parts.append(replace(part, locator=replace(part.locator, sheet=sheet)))
