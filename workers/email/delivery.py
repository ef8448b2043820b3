"""Delivery of a message to an SMTP server, whose address is checked; the errors show neither login nor message."""

from __future__ import annotations

import smtplib
import socket
import ssl
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from exospherehost import ConfigurationError, TransientError
from workers.http.client import tls
from workers.http.network import check_addresses

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from email.message import EmailMessage
    from ipaddress import IPv4Network, IPv6Network

    from exospherehost import SatelliteError

PERMANENT = 500


class Security(StrEnum):
    """The protection of the connection."""

    STARTTLS = "starttls"
    """TLS from the first command after the greeting on; a server that does not offer it is refused."""
    TLS = "tls"
    """TLS from the first byte on."""
    NONE = "none"


PORTS = {Security.STARTTLS: 587, Security.TLS: 465, Security.NONE: 25}


@dataclass(frozen=True, slots=True)
class Server:
    """An SMTP server, and how to log in."""

    host: str
    port: int
    security: Security
    username: str | None
    password: str | None = field(repr=False)
    timeout_s: float
    networks: Sequence[IPv4Network | IPv6Network]


class _Connection(smtplib.SMTP):
    """A connection to an address that was checked; certificates are checked for the name."""

    def __init__(self, server: Server) -> None:
        self._server = server
        super().__init__(server.host, server.port, timeout=server.timeout_s)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError:
            raise ConfigurationError(f"{host!r} is not the name of a host") from None
        addresses = list(dict.fromkeys(str(one[0]) for *_, one in found))
        check_addresses(host, addresses, self._server.networks)
        connected = _connect(addresses, port, timeout)
        if self._server.security is Security.TLS:
            return tls().wrap_socket(connected, server_hostname=host)
        return connected


def deliver(server: Server, message: EmailMessage, sender: str, recipients: Sequence[str]) -> dict[str, int]:
    """Send a message; return the recipients that the server refused, with the codes, where it took any.

    Raises ConfigurationError where the server refuses for good (5xx), TransientError where another attempt may succeed.
    """
    with _errors(f"{server.host}:{server.port}"), _Connection(server) as smtp:
        if server.security is Security.STARTTLS:
            smtp.starttls(context=tls())
        if server.username is not None:
            smtp.login(server.username, server.password or "")
        refused = smtp.send_message(message, sender, recipients)
    return {address: code for address, (code, _) in refused.items()}


def _connect(addresses: Sequence[str], port: int, timeout: float) -> socket.socket:
    for address in addresses[:-1]:
        try:
            return socket.create_connection((address, port), timeout)
        except OSError:
            continue  # the next address may accept; the last one's error is raised
    return socket.create_connection((addresses[-1], port), timeout)


@contextmanager
def _errors(where: str) -> Iterator[None]:
    """Raise the errors of smtplib as a satellite's, without the original: it may show what was sent."""
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        raise _refusal(where, "refuses every recipient", min(codes)) from None
    except smtplib.SMTPAuthenticationError as error:
        raise _refusal(where, "refuses the login", error.smtp_code) from None
    except smtplib.SMTPResponseException as error:
        raise _refusal(where, "refuses the message", error.smtp_code) from None
    except smtplib.SMTPNotSupportedError:
        raise ConfigurationError(f"{where}: the server lacks what is needed: STARTTLS, AUTH or SMTPUTF8") from None
    except ssl.SSLCertVerificationError as error:
        raise ConfigurationError(f"{where}: the certificate is refused: {error.verify_message}") from None
    except (smtplib.SMTPException, OSError) as error:
        raise TransientError(f"{where}: the connection failed ({type(error).__name__})") from None


def _refusal(where: str, what: str, code: int) -> SatelliteError:
    """One recipient that is refused for now is enough to try again."""
    kind = ConfigurationError if code >= PERMANENT else TransientError
    return kind(f"{where}: the server {what} ({code})")
