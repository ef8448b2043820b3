"""Envelope encryption with AES-256-GCM. Pure.

Each secret is encrypted by a fresh data key, and the data key by a master key. Both are bound to the secret's place:
a row that is copied to another project, name or execution cannot be decrypted there. A rotation encrypts the data
keys anew and leaves the ciphertexts as they are.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from state_manager.secrets.errors import Undecryptable

if TYPE_CHECKING:
    from uuid import UUID

    from state_manager.secrets.keys import MasterKeys

NONCE_BYTES = 12
"""Length of a random nonce. NIST SP 800-38D allows 2**32 of them a key: so many secrets under one master key."""

DATA_KEY_BITS = 256


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a secret: its project, its name, and its execution; None for the project's own."""

    project: str
    name: str
    execution_id: UUID | None = None

    def __str__(self) -> str:
        """Write it for a message."""
        of = f"project {self.project}" if self.execution_id is None else f"execution {self.execution_id}"
        return f"secret {self.name!r} of {of}"


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted secret: nonce and ciphertext of the value, nonce and ciphertext of its data key."""

    key_id: str
    """The master key under which the data key is encrypted."""
    wrapped_key: bytes
    ciphertext: bytes


def seal(keys: MasterKeys, place: Place, value: str) -> Sealed:
    """Encrypt a value for its place, under the newest master key."""
    data_key = AESGCM.generate_key(DATA_KEY_BITS)
    return Sealed(
        keys.newest.id,
        _encrypt(keys.newest.secret, data_key, _bound(place, "data key")),
        _encrypt(data_key, value.encode(), _bound(place, "value")),
    )


def unseal(keys: MasterKeys, place: Place, sealed: Sealed) -> str:
    """Decrypt the value of a place. Raises UnknownKey, and Undecryptable if it was altered or comes from elsewhere."""
    data_key = _data_key(keys, place, sealed)
    return _decrypt(data_key, sealed.ciphertext, place, "value").decode()


def rewrap(keys: MasterKeys, place: Place, sealed: Sealed) -> Sealed:
    """Encrypt the data key anew under the newest master key. Raises as `unseal`."""
    data_key = _data_key(keys, place, sealed)
    wrapped_key = _encrypt(keys.newest.secret, data_key, _bound(place, "data key"))
    return Sealed(keys.newest.id, wrapped_key, sealed.ciphertext)


def _data_key(keys: MasterKeys, place: Place, sealed: Sealed) -> bytes:
    return _decrypt(keys.find(sealed.key_id).secret, sealed.wrapped_key, place, "data key")


def _encrypt(key: bytes, plain: bytes, bound_to: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound_to)


def _decrypt(key: bytes, sealed: bytes, place: Place, what: str) -> bytes:
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound(place, what))
    except (InvalidTag, ValueError):  # a ciphertext that is too short to have a tag
        raise Undecryptable(f"{place} cannot be decrypted: its row was altered, or belongs elsewhere") from None


def _bound(place: Place, what: str) -> bytes:
    """Write the associated data: as JSON, so that no two places have the same."""
    execution = None if place.execution_id is None else str(place.execution_id)
    return json.dumps(["exosphere secret, version 1", what, place.project, place.name, execution]).encode()
