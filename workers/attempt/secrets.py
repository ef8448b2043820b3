"""The secrets that a satellite sees: read and decrypted when it asks, in the process that runs it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from exospherehost import ConfigurationError
from state_manager import graph
from state_manager.secrets.configured import require_keys
from state_manager.secrets.envelope import unseal
from state_manager.secrets.errors import SecretsUnavailable, Undecryptable
from state_manager.secrets.limits import NAME
from state_manager.store import secrets
from workers import process
from workers.attempt.database import ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from workers.attempt.redaction import Redactor

_NAME = re.compile(NAME)


class MissingSecret(ConfigurationError, KeyError):
    """There is no such secret."""

    __str__ = Exception.__str__  # KeyError's shows the representation of the message


class AttemptSecrets(Mapping[str, str]):
    """The secrets of one attempt, by name: those of its execution, and those of its project.

    Whatever is read is told to the redactor first. Raises MissingSecret, which is both a ConfigurationError and a
    KeyError, ConfigurationError where a secret cannot be decrypted, and TransientError while the database is away.
    """

    def __init__(self, execution_id: UUID, redactor: Redactor) -> None:
        self._execution_id = execution_id
        self.redactor = redactor
        """The redactor that removes these secrets from the output, errors and log lines of the attempt."""
        self._read: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        """Return the value of a secret; the same throughout the attempt."""
        if name not in self._read:
            value = self._decrypt(name)
            self.redactor.add(value)
            self._read[name] = value
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._names())

    def __len__(self) -> int:
        """Count the names."""
        return len(self._names())

    def __repr__(self) -> str:
        """Show no value."""
        return f"<secrets of execution {self._execution_id}>"

    def _decrypt(self, name: str) -> str:
        found = ask(lambda engine: secrets.find(engine, self._execution_id, name)) if _NAME.fullmatch(name) else None
        if found is None:
            near = graph.suggestion(name, self._names())
            raise MissingSecret(f"neither this execution nor its project has a secret {name!r}{near}")
        try:
            return unseal(require_keys(process.current_process().keys), found.place, found.sealed)
        except (SecretsUnavailable, Undecryptable) as error:
            raise ConfigurationError(f"secret {name!r} cannot be read: {error}") from None

    def _names(self) -> list[str]:
        return ask(lambda engine: secrets.names(engine, self._execution_id))
