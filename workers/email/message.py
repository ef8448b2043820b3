"""The message of an e-mail, made from a configuration (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from exospherehost import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from email.headerregistry import Address


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes along; `media_type` like application/pdf."""

    name: str
    media_type: str
    data: bytes


def compose(config: Mapping[str, Any], key: str, attachments: Sequence[Attachment]) -> EmailMessage:
    """Make the message. Its Message-ID comes from the key, so that a repeated delivery can be recognised.

    Raises ConfigurationError for an address that is none, and for a line break in a header.
    """
    message = EmailMessage(policy=policy.SMTP)
    sender = address("from", config["from"])
    message["From"] = sender
    for header, field in (("To", "to"), ("Cc", "cc")):
        if config.get(field):
            message[header] = [address(field, text) for text in config[field]]
    message["Subject"] = _one_line("subject", config["subject"])
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{key}@{sender.domain}>"
    if "text" in config:
        message.set_content(config["text"])
        if "html" in config:
            message.add_alternative(config["html"], subtype="html")
    else:
        message.set_content(config["html"], subtype="html")
    for one in attachments:
        main, _, sub = one.media_type.partition("/")
        name = _one_line("attachments", one.name)
        message.add_attachment(one.data, maintype=main, subtype=sub or "octet-stream", filename=name)
    return message


def recipients(config: Mapping[str, Any]) -> list[str]:
    """Return the addresses that the server delivers to, each once; those of `bcc` stand in no header."""
    fields = ("to", "cc", "bcc")
    return list(dict.fromkeys(address(field, text).addr_spec for field in fields for text in config.get(field, ())))


def address(field: str, text: str) -> Address:
    """Parse one address, `ada@example.com` or `Ada <ada@example.com>`; ConfigurationError where it is not one."""
    header = policy.SMTP.header_factory(field if field != "bcc" else "to", _one_line(field, text))
    if len(header.addresses) != 1 or header.defects or not header.addresses[0].domain:
        raise ConfigurationError(f"{field}: {text!r} is not one e-mail address")
    found: Address = header.addresses[0]
    return found


def _one_line(field: str, text: str) -> str:
    if not text.isprintable():
        raise ConfigurationError(f"{field}: line breaks and control characters are not allowed")
    return text
