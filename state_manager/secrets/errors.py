"""The errors of encryption: none of them shows a key or a value."""

from __future__ import annotations

from state_manager.errors import Conflict, StateManagerError


class SecretsUnavailable(Conflict):
    """There is no master key: set SECRETS_KEY or SECRETS_KEY_FILE for the API and the workers, and start them again."""


class Undecryptable(StateManagerError):
    """A secret cannot be decrypted."""


class UnknownKey(Undecryptable):
    """A secret is encrypted under a master key that this process does not have."""
