"""The master keys of the configuration: from SECRETS_KEY, or from the file that SECRETS_KEY_FILE names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from state_manager.secrets.errors import SecretsUnavailable
from state_manager.secrets.keys import parse_keys

if TYPE_CHECKING:
    from pathlib import Path

    from state_manager.config import Settings
    from state_manager.secrets.keys import MasterKeys


def configured_keys(settings: Settings) -> MasterKeys | None:
    """Return the master keys; None where neither setting is there."""
    if settings.secrets_key_file is not None:
        return read_keys(settings.secrets_key_file)
    return settings.secrets_key


def require_keys(keys: MasterKeys | None) -> MasterKeys:
    """Return the keys. Raises SecretsUnavailable where there are none."""
    if keys is None:
        raise SecretsUnavailable
    return keys


def read_keys(path: Path) -> MasterKeys:
    """Read master keys from a file: separated by commas or lines, newest first. Raises ValueError."""
    try:
        text = path.read_text("ascii")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} holds something else than keys in base64") from None
    try:
        return parse_keys(re.sub(r"[\s,]+", ",", text.strip()))
    except ValueError as fault:
        raise ValueError(f"{path}: {fault}") from None
