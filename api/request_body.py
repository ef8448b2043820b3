"""The body of a request, up to MAX_BODY_BYTES."""

from __future__ import annotations

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge


def read(allowed_bytes: int) -> bytes:
    """Read the body; raises RequestEntityTooLarge."""
    # Werkzeug cuts a body without Content-Length off at its limit and says nothing: so look one byte further.
    request.max_content_length = allowed_bytes + 1
    body = request.get_data()
    if len(body) > allowed_bytes:
        raise RequestEntityTooLarge(f"a body has at most {allowed_bytes} bytes (MAX_BODY_BYTES)")
    return body
