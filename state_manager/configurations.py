"""The checks of configurations against the JSON schemas of their satellite types. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for

from state_manager.errors import Fault
from state_manager.expressions.text import mentions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jsonschema.exceptions import ValidationError

    from state_manager.cluster import Satellite
    from state_manager.store.satellite_types import SatelliteType

ABOUT_KEYS_AND_LENGTHS = frozenset(
    {
        "type", "required", "additionalProperties", "propertyNames", "dependentRequired",
        "minProperties", "maxProperties", "minItems", "maxItems",
    }
)  # fmt: skip
"""Keywords that tell of an object or a list the same, whatever the values in it turn out to be."""

SHOWN = 200
"""Characters that are shown of what a schema asks for."""

CONDITIONAL = frozenset({"then", "else", "dependentSchemas"})
"""Keywords whose schema holds depending on other values."""


def check_schema(schema: dict[str, Any]) -> None:
    """Raise ValueError where this is no JSON schema."""
    try:
        validator_for(schema).check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"not a JSON schema: {error.message}") from error


def configuration_faults(
    satellites: Iterable[tuple[str, Satellite]], types: Mapping[str, SatelliteType]
) -> Iterator[Fault]:
    """Name what the types' schemas refuse, whatever the values of the expressions will be; by the satellites' paths."""
    schemas = {name: one.config_schema for name, one in types.items() if one.config_schema is not None}
    validators = {name: validator_for(schema)(schema) for name, schema in schemas.items()}
    for path, satellite in satellites:
        if validator := validators.get(satellite.uses or ""):
            for error in validator.iter_errors(satellite.config):
                if _is_certain(error, satellite.config):
                    yield Fault(f"{path}.config{error.json_path[1:]}", error.message)


def mismatches(schema: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """Say where a configuration whose expressions have got their values does not match its schema.

    The values are left out: one may be a secret.
    """
    return [
        f"config{error.json_path[1:]} does not match {error.validator}: {json.dumps(error.validator_value)[:SHOWN]}"
        for error in validator_for(schema)(schema).iter_errors(config)
    ]


def _is_certain(error: ValidationError, config: dict[str, Any]) -> bool:
    """Tell whether a value is refused whatever the values of its expressions are."""
    if not CONDITIONAL.isdisjoint(error.absolute_schema_path):
        return not mentions(config)
    if isinstance(error.instance, dict | list) and error.validator in ABOUT_KEYS_AND_LENGTHS:
        return True
    return not mentions(error.instance)
