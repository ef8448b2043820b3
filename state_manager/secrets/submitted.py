"""The secrets that a cluster document brings: out of the stored definition, and into rows of their own. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

from uuid_utils.compat import uuid7

from state_manager.secrets.envelope import Place, seal
from state_manager.secrets.errors import SecretsUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from state_manager.secrets.keys import MasterKey, MasterKeys

HIDDEN = "***"


def without_values(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the document as it is stored: `"***"` in place of each secret."""
    if not document.get("secrets"):
        return document
    return {**document, "secrets": dict.fromkeys(document["secrets"], HIDDEN)}


def sealed_rows(
    keys: MasterKeys | None, project: str, execution_id: UUID, values: Mapping[str, str]
) -> list[dict[str, Any]] | None:
    """Encrypt the secrets of a submission for `submit`; None where there are none. Raises SecretsUnavailable."""
    if not values:
        return None
    if keys is None:
        raise SecretsUnavailable
    rows = []
    for name, value in values.items():
        sealed = seal(keys, Place(project, name, execution_id), value)
        rows.append(
            {
                "id": uuid7(),
                "name": name,
                "key_id": sealed.key_id,
                "wrapped_key": base64.b64encode(sealed.wrapped_key).decode(),
                "ciphertext": base64.b64encode(sealed.ciphertext).decode(),
            }
        )
    return rows


def definition_hash(document: Mapping[str, Any], keys: MasterKeys | None) -> str:
    """Hash a document, to tell whether an idempotency key came with the same one before.

    One with secrets is hashed under a master key, which the hash names: nobody without the key can try values
    until the hash fits. Raises SecretsUnavailable.
    """
    if not document.get("secrets"):
        return hashlib.sha256(_canonical(document)).hexdigest()
    if keys is None:
        raise SecretsUnavailable
    return _keyed_hash(document, keys.newest)


def is_hash_of(stored: str, document: Mapping[str, Any], keys: MasterKeys | None) -> bool:
    """Tell whether a stored hash is this document's, also when it was made under an older master key.

    Raises UnknownKey where that key is no longer listed.
    """
    key_id, is_keyed, _ = stored.partition(":")
    if is_keyed and keys is not None and document.get("secrets"):
        return hmac.compare_digest(stored, _keyed_hash(document, keys.find(key_id)))
    return stored == definition_hash(document, keys)


def _keyed_hash(document: Mapping[str, Any], key: MasterKey) -> str:
    return f"{key.id}:{hmac.digest(key.hash_key, _canonical(document), 'sha256').hex()}"


def _canonical(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
