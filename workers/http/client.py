"""An HTTP client for satellites: each connection goes to a checked address, and each answer is bounded.

It is httpcore, which httpx is made of, because that lets us decide where a connection goes. It reads no proxy from the
environment, keeps no cookies and follows no redirect by itself.
"""

from __future__ import annotations

import logging
import ssl
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import httpcore
import httpx

from exospherehost import ConfigurationError, TransientError
from workers.http.network import CONNECT_S, CheckedNetwork

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
    from ipaddress import IPv4Network, IPv6Network

# At `debug` it logs every header, and what is logged while a satellite runs is kept for its users to read.
logging.getLogger("httpcore").setLevel(logging.INFO)

MAX_URL_CHARACTERS = 8192


@dataclass(frozen=True, slots=True)
class Request:
    """A request. None of its parts is shown in errors but the origin: any other may hold a secret."""

    method: str
    url: httpx.URL = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """A response whose body has been read. The names of headers are in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Client:
    """Sends requests over a pool of connections to allowed addresses."""

    def __init__(self, pool: httpcore.AsyncConnectionPool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[httpcore.Response]:
        """Send a request, and yield its response before the body is read.

        Raises TransientError where the network or the server fails, also while the body is read in the block.
        """
        url = request.url
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        with transport_errors(origin(url)):
            async with self._pool.stream(
                request.method,
                target,
                headers=[("Host", netloc(url)), ("Accept-Encoding", "identity"), *request.headers.items()],
                content=request.body,
                extensions={"timeout": {"connect": CONNECT_S}},
            ) as response:
                yield response

    async def send(self, request: Request, max_bytes: int, *, unread: Sequence[int] = ()) -> Response:
        """Send a request, and read the response; its body is left unread for the statuses given.

        Raises ConfigurationError where the body has more than `max_bytes`; with 0 it is never read.
        """
        async with self.stream(request) as response:
            headers = header_texts(response)
            left = not max_bytes or response.status in unread
            body = b"" if left else await read_body(response, max_bytes, origin(request.url))
            return Response(response.status, headers, body)


@asynccontextmanager
async def open_client(networks: Sequence[IPv4Network | IPv6Network]) -> AsyncIterator[Client]:
    """Yield a client that reaches public addresses and these networks; close its connections at the end."""
    async with httpcore.AsyncConnectionPool(tls(), network_backend=CheckedNetwork(networks)) as pool:
        yield Client(pool)


def parse_url(text: str) -> httpx.URL:
    """Parse a URL that requests may go to; ConfigurationError where it is none. The message leaves out the URL."""
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, TypeError):
        raise ConfigurationError("url is not a URL of http or https") from None
    return checked_url(url)


def checked_url(url: httpx.URL) -> httpx.URL:
    """Raise ConfigurationError where requests cannot go to a URL."""
    if url.scheme not in {"http", "https"} or not url.host or url.port == 0:
        raise ConfigurationError("url is not a URL of http or https with a host")
    if url.userinfo:
        raise ConfigurationError("url may not hold a user or a password: send an Authorization header instead")
    if len(str(url)) > MAX_URL_CHARACTERS:
        raise ConfigurationError(f"url has more than {MAX_URL_CHARACTERS} characters")
    return url


def origin(url: httpx.URL) -> str:
    """Return scheme, host and port of a URL: what errors may show, since a path or a query may be a secret."""
    return f"{url.scheme}://{netloc(url)}"


def netloc(url: httpx.URL) -> str:
    """Return the host of a URL, in brackets where it is an IPv6 address, and its port where it names one."""
    return url.netloc.decode("ascii")


def header_texts(response: httpcore.Response) -> dict[str, str]:
    """Return the headers of a response by name in lower case; of repeated ones the last."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}


async def read_body(response: httpcore.Response, max_bytes: int, where: str) -> bytes:
    """Read a body of at most `max_bytes`; ConfigurationError where it has more."""
    body = bytearray()
    async for part in response.aiter_stream():
        body += part
        if len(body) > max_bytes:
            raise ConfigurationError(f"{where}: the response has more than {max_bytes} bytes")
    return bytes(body)


@contextmanager
def transport_errors(where: str) -> Iterator[None]:
    """Raise what httpcore raises in this block as a satellite's error, without the original: it may show headers."""
    try:
        yield
    except httpcore.LocalProtocolError:
        raise ConfigurationError(f"{where}: the request is malformed: is a header or the path illegal?") from None
    except httpcore.TimeoutException as error:
        raise TransientError(f"{where}: no answer in time ({type(error).__name__})") from None
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        if reason := _refused_certificate(error):
            raise ConfigurationError(f"{where}: the certificate is refused: {reason}") from None
        raise TransientError(f"{where}: the connection failed ({type(error).__name__})") from None


def _refused_certificate(error: BaseException | None) -> str | None:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        error = error.__cause__ or error.__context__
    return None


@cache
def tls() -> ssl.SSLContext:
    """Return the context of TLS: certifi's authorities, or those of SSL_CERT_FILE or SSL_CERT_DIR."""
    return httpx.create_ssl_context()
