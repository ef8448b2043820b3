"""Rotation: every data key is encrypted anew under the newest master key. Values are not decrypted for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from state_manager.secrets.envelope import rewrap
from state_manager.secrets.errors import Undecryptable
from state_manager.store import secrets

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from state_manager.secrets.keys import MasterKeys

BATCH = 500


@dataclass(frozen=True, slots=True)
class Rotated:
    """The result of a rotation: how many secrets were encrypted anew, and the faults of those that could not be."""

    count: int
    faults: tuple[str, ...]


def rotate(engine: Engine, keys: MasterKeys) -> Rotated:
    """Encrypt the data keys of all secrets under the newest master key, one row a transaction.

    A row that was changed since it was read is left to whoever changed it. So a rotation may run beside another one
    and beside whatever reads and sets secrets, and may be killed and run again.
    """
    count, faults, after = 0, list[str](), UUID(int=0)
    while found := secrets.under_other_keys(engine, keys.newest.id, after=after, limit=BATCH):
        for one in found:
            try:
                count += secrets.replace_wrapped_key(engine, one, rewrap(keys, one.place, one.sealed))
            except Undecryptable as error:
                faults.append(f"{one.place}: {error}")
        after = found[-1].id
    return Rotated(count, tuple(faults))
