"""The names and values of secrets, in a cluster document and in requests of their own. No fault shows a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError, fields

from api.schemas import Pattern
from state_manager.secrets import limits

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = Pattern(
    limits.NAME,
    error="A secret is named by 1 to 128 letters, digits, '_', '-', and begins with a letter or '_'.",
)


class Value(fields.String):
    """The value of a secret: text that is neither empty nor too large."""

    def __init__(self, **options: Any) -> None:
        super().__init__(validate=_check_size, metadata={"writeOnly": True, "minLength": 1}, **options)


class ByName(fields.Dict):
    """Values of secrets by name. The path of a fault ends with the name."""

    def __init__(self, **options: Any) -> None:
        super().__init__(keys=fields.String(), values=Value(), **options)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> dict[str, str]:
        if not isinstance(value, dict):
            raise self.make_error("invalid")
        if len(value) > limits.MOST:
            raise ValidationError(f"{len(value)} secrets; at most {limits.MOST} are allowed")
        faults = {name: messages for name, one in value.items() if (messages := _faults(name, one))}
        if faults:
            raise ValidationError(faults)
        return value


def _faults(name: str, value: object) -> list[str]:
    """List what is wrong with a secret."""
    found: list[str] = []
    checks: tuple[tuple[Callable[[Any], object], object], ...] = ((NAME, name), (_VALUE.deserialize, value))
    for check, checked in checks:
        try:
            check(checked)
        except ValidationError as error:
            found += map(str, error.messages)
    return found


def _check_size(value: str) -> None:
    size = len(value.encode())
    if not 0 < size <= limits.LARGEST_BYTES:
        raise ValidationError(f"A secret has 1 to {limits.LARGEST_BYTES} bytes, not {size}.")


_VALUE = Value()
