"""The check of a model's answer against a JSON schema (pure)."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

from exospherehost import ConfigurationError

FAULT_CHARACTERS = 500


class WrongAnswer(ValueError):
    """An answer is no JSON, or does not match the schema; the message says where."""


class AnswerSchema:
    """A schema, checked once. Raises ConfigurationError where it is no valid one."""

    def __init__(self, schema: Any) -> None:
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            raise ConfigurationError(f"response_format: no valid JSON schema: {error.message}") from None
        # An empty registry: by default a `$ref` to a URL would be fetched, from wherever.
        self._validator = Draft202012Validator(schema, registry=Registry())

    def parse(self, text: str) -> Any:
        """Return the value of an answer; raise WrongAnswer where it does not match."""
        try:
            value = json.loads(text)
            fault = next(self._validator.iter_errors(value), None)
        except Unresolvable:
            raise ConfigurationError("response_format: the schema refers to one that it does not contain") from None
        except (ValueError, RecursionError) as error:
            raise WrongAnswer(f"it is no JSON: {error}"[:FAULT_CHARACTERS]) from None
        if fault is not None:
            raise WrongAnswer(f"{fault.json_path}: {fault.message}"[:FAULT_CHARACTERS])
        return value
