"""moto's server with a bucket of thousands of files: `python -m tests.files.serve_s3 PORT`.

Putting them over HTTP would take a minute; in the process of the server it takes less than a second.
"""

from __future__ import annotations

import sys

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import main as serve

THOUSANDS = "thousands"
COUNT = 2_345


def fill() -> None:
    """Create the bucket, with files called `many/00000.pdf` and so on."""
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    backend.create_bucket(THOUSANDS, "us-east-1")
    for at in range(COUNT):
        backend.put_object(THOUSANDS, f"many/{at:05}.pdf", b"x")


if __name__ == "__main__":
    fill()
    serve(["-H", "127.0.0.1", "-p", sys.argv[1]])
