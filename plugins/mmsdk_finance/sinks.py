"""Where alerts go: console, file, webhook, e-mail. A sink sends one alert or raises ``DeliveryError``.

Every alert has an id that stays the same when it is sent again, and every sink uses it, so a delivery that is
repeated after a crash can be told from a new alert. When to try again is the dispatcher's business.
"""

import json
import os
import smtplib
import ssl
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol

from mmsdk import webhook
from mmsdk.errors import MmsdkError
from mmsdk_finance.alerts import Alert

_TAIL = 1 << 20


class DeliveryError(MmsdkError):
    """Say why an alert did not arrive; it will be tried again."""

    status = 502


class Sink(Protocol):
    """Send an alert; ``name`` tells one sink from another in the state."""

    @property
    def name(self) -> str:
        """The same from run to run."""

    def send(self, alert: Alert) -> None:
        """Send it. Raises ``DeliveryError``."""


@dataclass(frozen=True)
class Console:
    """Write alerts to standard error, one line each."""

    name: str = "console"

    def send(self, alert: Alert) -> None:
        """Write it, without control characters that could steer a terminal."""
        sys.stderr.write("".join(c if c.isprintable() else "\ufffd" for c in alert.text) + "\n")


@dataclass(frozen=True)
class File:
    """Append alerts to a file as JSON lines; one that is there already is not written again."""

    path: Path

    @property
    def name(self) -> str:
        """Named by its path."""
        return f"file:{self.path}"

    def send(self, alert: Alert) -> None:
        """Append it and wait until it is on the disk. Raises ``DeliveryError``."""
        line = json.dumps(alert.to_json(), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        try:
            with self.path.open("ab+") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL))
                tail = file.read()
                if f'"id": "{alert.id}"'.encode() in tail:
                    return
                file.write(line if tail.endswith(b"\n") or not tail else b"\n" + line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DeliveryError(f"cannot write {self.path}: {error.strerror or error}") from error


@dataclass(frozen=True)
class Webhook:
    """Post alerts as JSON to an address of yours.

    ``Idempotency-Key`` is the alert's id; with a secret it is signed (``mmsdk.webhook.verified`` checks it). Redirects
    are not followed. Raises ``InputError`` for what is no http(s) address.
    """

    url: str
    secret: str = field(default="", repr=False)
    seconds: float = 10.0

    def __post_init__(self) -> None:
        webhook.checked(self.url)

    @property
    def name(self) -> str:
        """Named by its address."""
        return f"webhook:{self.url}"

    def send(self, alert: Alert) -> None:
        """Post it; any answer of 2xx is a delivery. Raises ``DeliveryError``."""
        body = json.dumps(alert.to_json(), ensure_ascii=False).encode("utf-8", "replace")
        try:
            webhook.post(self.url, body, key=alert.id, secret=self.secret, seconds=self.seconds)
        except OSError as error:
            raise DeliveryError(f"{self.url} did not take alert {alert.id}: {error}") from error


@dataclass(frozen=True)
class Mail:
    """Send alerts by SMTP. ``Message-ID`` is made of the alert's id.

    With ``starttls`` the connection is encrypted, and the server's certificate checked, before anything is sent. The
    password is read from the environment
    variable ``SMTP_PASSWORD`` when there is a ``user``.
    """

    host: str
    to: Sequence[str]
    sender: str
    port: int = 587
    user: str = ""
    starttls: bool = True
    seconds: float = 20.0

    @property
    def name(self) -> str:
        """Named by server and recipients."""
        return f"mail:{self.host}:{','.join(self.to)}"

    def send(self, alert: Alert) -> None:
        """Send it. Raises ``DeliveryError``."""
        message = EmailMessage()
        message["Subject"] = f"[{alert.severity}] {_line(alert.name)} ({alert.ticker}) turned {alert.side}"
        message["From"], message["To"] = self.sender, ", ".join(self.to)
        message["Message-ID"] = f"<{alert.id}@mmsdk-finance>"
        lines = [f"- {reason.at} {reason.source}: {reason.quote} {reason.url}".rstrip() for reason in alert.reasons]
        message.set_content("\n".join([alert.text, "", *lines]))
        try:
            with smtplib.SMTP(self.host, self.port, timeout=self.seconds) as server:
                if self.starttls:
                    server.starttls(context=ssl.create_default_context())
                if self.user:
                    server.login(self.user, os.environ.get("SMTP_PASSWORD", ""))
                server.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            raise DeliveryError(f"{self.host}:{self.port} did not take alert {alert.id}: {error}") from error


def _line(text: str) -> str:
    return " ".join(text.split())
