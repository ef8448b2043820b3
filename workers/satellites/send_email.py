"""`satellite/exospherehost/send-email`: sends an e-mail by an SMTP server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exospherehost import ConfigurationError, satellite
from state_manager.config import settings
from workers.email.delivery import PORTS, Security, Server, deliver
from workers.email.message import Attachment, address, compose, recipients

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exospherehost import Context

_ADDRESS = {"type": "string", "minLength": 3, "maxLength": 500}
_ADDRESSES = {"type": "array", "items": _ADDRESS, "maxItems": 100}

SCHEMA = {
    "type": "object",
    "properties": {
        "host": {"type": "string", "minLength": 1, "maxLength": 255},
        "port": {"type": "integer", "minimum": 1, "maximum": 65535},
        "security": {"enum": list(Security)},
        "username": {"type": "string", "minLength": 1},
        "password": {"type": "string", "minLength": 1},
        "timeout": {"type": "number", "exclusiveMinimum": 0, "maximum": 600},
        "from": _ADDRESS,
        "to": {**_ADDRESSES, "minItems": 1},
        "cc": _ADDRESSES,
        "bcc": _ADDRESSES,
        "subject": {"type": "string", "maxLength": 1000},
        "text": {"type": "string"},
        "html": {"type": "string"},
        "attachments": {"type": "array", "items": {"type": "object", "required": ["id", "name"]}, "maxItems": 50},
    },
    "required": ["host", "from", "to", "subject"],
    "anyOf": [{"required": ["text"]}, {"required": ["html"]}],
    "dependentRequired": {"username": ["password"], "password": ["username"]},
    "additionalProperties": False,
}

TIMEOUT_S = 30
MAX_ATTACHED_BYTES = 25 * 2**20


@satellite("satellite/exospherehost/send-email", config_schema=SCHEMA)
def send_email(context: Context) -> dict[str, Any]:
    """Send an e-mail; return its `message_id`, the `recipients` that the server took, and those that it `refused`."""
    config = context.config
    server = _server(config)
    message = compose(config, context.idempotency_key, _attachments(context))
    to = recipients(config)
    refused = deliver(server, message, address("from", config["from"]).addr_spec, to)
    taken = [one for one in to if one not in refused]
    context.log.info("%s took the message for %d of %d recipients", server.host, len(taken), len(to))
    return {"message_id": str(message["Message-ID"]), "recipients": taken, "refused": refused}


def _server(config: Mapping[str, Any]) -> Server:
    security = Security(config.get("security", Security.STARTTLS))
    if security is Security.NONE and "password" in config:
        raise ConfigurationError("a password is not sent without TLS: set security to starttls or tls")
    return Server(
        host=config["host"],
        port=config.get("port", PORTS[security]),
        security=security,
        username=config.get("username"),
        password=config.get("password"),
        timeout_s=config.get("timeout", TIMEOUT_S),
        networks=settings().allow_private_addresses,
    )


def _attachments(context: Context) -> list[Attachment]:
    references = context.config.get("attachments", [])
    if sum(one.get("size", 0) for one in references) > MAX_ATTACHED_BYTES:
        raise ConfigurationError(f"the attachments have more than {MAX_ATTACHED_BYTES} bytes together")
    return [
        Attachment(one["name"], one.get("media_type") or "application/octet-stream", context.get_artifact(one))
        for one in references
    ]
