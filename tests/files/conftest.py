"""Fixtures of the satellites that handle files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.files.s3 import S3Server, s3_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """Yield a server of the S3 protocol, which takes any credentials; each test has buckets of its own."""
    with s3_server() as server:
        yield server
