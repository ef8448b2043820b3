"""The signature of a request (pure): HMAC-SHA256 over the time and the body, which the receiver can check."""

from __future__ import annotations

import hashlib
import hmac

HEADER = "X-Exosphere-Signature"


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """Return the value of the header, `t=TIMESTAMP,v1=HEX`; the timestamp is in seconds since 1970.

    The digest is over `TIMESTAMP.BODY`, so that a captured request cannot be sent again later with a new time.
    """
    digest = hmac.new(secret.encode(), b"%d.%b" % (timestamp, body), hashlib.sha256)
    return f"t={timestamp},v1={digest.hexdigest()}"
