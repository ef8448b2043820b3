"""The schemas and validators that several resources share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from marshmallow import Schema, ValidationError, fields, validate

from state_manager import graph

if TYPE_CHECKING:
    from collections.abc import Iterable

SUGGESTIONS = 3
"""Unknown fields of an object that get a suggestion: each costs about 50 µs, and a body may hold a million."""

LONGEST_NAME = 128
SEQ = validate.Range(0, 2**63 - 1)


class StrictSchema(Schema):
    """Refuses unknown fields, and suggests the known one that may have been meant."""

    class Meta:
        """Marshmallow's options."""

        unknown = "raise"

    def handle_error(self, error: ValidationError, data: Any, **_: Any) -> None:  # noqa: ARG002
        """Add the suggestion where marshmallow only says that a field is unknown."""
        messages = error.messages_dict
        strange = messages.keys() - self.load_fields.keys() - {"_schema"}
        for at, name in enumerate(sorted(strange)):
            near = graph.suggestion(name, self.load_fields) if at < SUGGESTIONS and len(name) <= LONGEST_NAME else ""
            messages[name] = [f"unknown field{near}"]


class Pattern(validate.Regexp):
    """A regular expression for the whole text, written so that OpenAPI's readers understand it too."""

    def __init__(self, regex: str, *, error: str) -> None:
        super().__init__(f"^{regex}$", error=error)
        self._whole = re.compile(regex)

    def __call__(self, value: str) -> str:  # type: ignore[override]
        """Return the text; ValidationError where the expression does not match all of it."""
        # Python's `$` also matches before a last line feed, ECMAScript's does not.
        if self._whole.fullmatch(value) is None:
            raise ValidationError(str(self.error))
        return value


NO_CONTROL_CHARACTERS = Pattern(r"[^\x00-\x1f\x7f]*", error="Control characters are not allowed.")


def one_of(values: Iterable[object], *, nullable: bool = False) -> fields.String:
    """Declare a text of which OpenAPI lists the values."""
    return fields.String(metadata={"enum": [str(one) for one in values]}, allow_none=nullable)
