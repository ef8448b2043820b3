"""The master keys, under which the data keys of all secrets are encrypted. Pure."""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from functools import cached_property

from state_manager.secrets.errors import UnknownKey

KEY_BYTES = 32
ID_BYTES = 8


@dataclass(frozen=True)
class MasterKey:
    """One master key of 32 random bytes. What is derived from it tells nothing about it."""

    secret: bytes

    def __repr__(self) -> str:
        """Show the id alone, so that no message and no traceback holds the key."""
        return f"MasterKey({self.id})"

    @cached_property
    def id(self) -> str:
        """The name of the key in the rows that it encrypts."""
        return self._derived(b"id")[:ID_BYTES].hex()

    @cached_property
    def hash_key(self) -> bytes:
        """The key of `definition_hash`: of its own, as no key should serve two algorithms."""
        return self._derived(b"definition hash")

    def _derived(self, purpose: bytes) -> bytes:
        return hmac.digest(self.secret, b"exosphere master key, version 1: " + purpose, "sha256")


@dataclass(frozen=True)
class MasterKeys:
    """The master keys that are in use: the newest encrypts, every one decrypts."""

    keys: tuple[MasterKey, ...]

    @property
    def newest(self) -> MasterKey:
        """The key for everything that is encrypted from now on."""
        return self.keys[0]

    def find(self, key_id: str) -> MasterKey:
        """Return the key of this id. Raises UnknownKey."""
        for key in self.keys:
            if key.id == key_id:
                return key
        known = ", ".join(key.id for key in self.keys)
        raise UnknownKey(f"master key {key_id} is not in SECRETS_KEY, which has {known}")


def parse_keys(text: str) -> MasterKeys:
    """Parse master keys in base64, separated by commas, newest first. Raises ValueError, which shows none of them."""
    keys = [_parse_key(part.strip(), nth) for nth, part in enumerate(text.split(","), start=1)]
    if len(set(keys)) < len(keys):
        raise ValueError("the same key is listed twice")
    return MasterKeys(tuple(keys))


def write_keys(keys: MasterKeys) -> str:
    """Write master keys as `parse_keys` reads them."""
    return ",".join(base64.b64encode(key.secret).decode() for key in keys.keys)


def _parse_key(text: str, nth: int) -> MasterKey:
    needed = f"{KEY_BYTES} random bytes in base64 are needed: openssl rand -base64 {KEY_BYTES}"
    try:
        secret = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"key {nth} is not base64; {needed}") from None
    if len(secret) != KEY_BYTES:
        raise ValueError(f"key {nth} has {len(secret)} bytes; {needed}")
    return MasterKey(secret)
