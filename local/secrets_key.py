"""The master key of the secrets that `run.py` makes where the configuration has none."""

from __future__ import annotations

import base64
import os
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from local.errors import CannotStart
from state_manager.secrets.configured import read_keys
from state_manager.secrets.keys import KEY_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from state_manager.config import Settings

KEY_FILE = "secrets.key"


def with_secrets_key(settings: Settings) -> Settings:
    """Return the settings with a master key: their own, else that of the home, which is made where it is missing.

    In production none is made: one that nobody keeps would be lost with this machine. Raises `CannotStart`.
    """
    if settings.secrets_key or settings.secrets_key_file or settings.environment == "production":
        return settings
    path = settings.home / KEY_FILE
    try:
        make_key(path)
        read_keys(path)
    except OSError as error:
        raise CannotStart(f"{path} cannot be made: {error.strerror}") from None
    except ValueError as fault:
        raise CannotStart(str(fault)) from None
    return replace(settings, secrets_key_file=path)


def make_key(path: Path) -> None:
    """Make a file with a key that its owner alone may read, unless it is there.

    It appears complete, and of several starts at the same time one makes it: a link is never put over a file.
    """
    if path.exists():
        return
    written = path.with_name(f"{path.name}.{uuid4().hex}")
    try:
        descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(written, path)
    finally:
        written.unlink(missing_ok=True)
