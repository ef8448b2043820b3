"""The cluster document as a client submits it: its marshmallow schemas, and an example."""

from __future__ import annotations

from typing import Any

import yaml
from marshmallow import ValidationError, fields, post_load, validate

from api import secret_schemas
from api.documents import JSON, YAML
from api.schemas import LONGEST_NAME, Pattern, StrictSchema
from state_manager.cluster import SLAS, Cluster, Satellite
from state_manager.retry import MAX_ATTEMPTS, NEVER_RETRIED, BackoffStrategy
from state_manager.states import FailurePolicy, RunWhen

LONGEST_S = 366 * 24 * 3600.0
_PART = r"[A-Za-z0-9._-]{1,128}"
PROJECT = Pattern(_PART, error="A project is named by 1 to 128 letters, digits, '.', '_', '-'.")
_NAME = validate.Length(1, LONGEST_NAME)
_DELAY = validate.Range(0, LONGEST_S)


def _printable(text: str) -> None:
    if not text.isprintable():
        raise ValidationError("Only printable characters are allowed.")


class RetryPolicyDocument(StrictSchema):
    """A retry policy: the number of attempts, the kinds of errors to retry after, and the delays in seconds."""

    max_attempts = fields.Integer(
        strict=True, validate=validate.Range(1, MAX_ATTEMPTS), metadata={"description": "3 is one run and two more"}
    )
    backoff_strategy = fields.Enum(BackoffStrategy, by_value=True)
    base_delay = fields.Float(validate=_DELAY)
    max_delay = fields.Float(validate=_DELAY)
    jitter = fields.Boolean(truthy={True}, falsy={False})
    retry_on = fields.List(
        fields.String(validate=[_NAME, validate.NoneOf([NEVER_RETRIED], error="A {input} is never retried.")]),
        metadata={"description": "Kinds of errors; the default is every kind but configuration_error"},
    )


class _Retried(StrictSchema):
    """The fields that clusters and satellites share: the retry policy and the timeout."""

    retries = fields.Integer(
        strict=True,
        validate=validate.Range(0, MAX_ATTEMPTS - 1),
        metadata={"description": "How often to try again; `retry_policy` wins"},
    )
    retry_policy = fields.Nested(RetryPolicyDocument)
    timeout = fields.Float(
        validate=validate.Range(0, LONGEST_S, min_inclusive=False),
        # apispec passes over `min_inclusive`.
        metadata={"description": "Seconds", "minimum": 0, "exclusiveMinimum": True},
    )

    @staticmethod
    def in_the_domain(data: dict[str, Any]) -> dict[str, Any]:
        """Merge `retries` into the retry policy, and name the fields as the domain does."""
        rest = {name: data[name] for name in data.keys() - {"retries", "retry_policy", "timeout"}}
        shorthand = {"max_attempts": data["retries"] + 1} if "retries" in data else {}
        return rest | {"retry": shorthand | data.get("retry_policy", {}), "timeout_s": data.get("timeout")}


class SatelliteDocument(_Retried):
    """One satellite of a submitted cluster."""

    name = fields.String(required=True, validate=[_NAME, _printable], metadata={"description": "Unique in its cluster"})
    uses = fields.String(
        required=True,
        validate=validate.Length(1, 512),
        metadata={"description": "Identifier of a satellite type that some worker registered"},
    )
    config = fields.Dict(metadata={"description": "What the satellite's `config_schema` asks for"})
    input = fields.Dict(metadata={"description": "Wins over the dependencies' outputs of the same name"})
    dependencies = fields.List(
        fields.String(validate=_NAME), metadata={"description": "Names of satellites that must complete first"}
    )
    queue = fields.String(
        validate=Pattern(_PART, error="A queue is named by 1 to 128 letters, digits, '.', '_', '-'."),
        metadata={"description": "Queue of the workers that may run it; default: the type's own"},
    )
    run_when = fields.Enum(RunWhen, by_value=True)

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Satellite:
        """Return it as a value of the domain."""
        return Satellite(**self.in_the_domain(data) | {"dependencies": tuple(data.get("dependencies", ()))})


class ClusterDocument(_Retried):
    """A submitted cluster. Also accepted inside a top-level `cluster`."""

    identifier = fields.String(
        required=True,
        validate=Pattern(
            f"{_PART}/{_PART}",
            error="An identifier is project/name, each of 1 to 128 letters, digits, '.', '_', '-'.",
        ),
    )
    sla = fields.String(validate=validate.OneOf(list(SLAS)))
    title = fields.String()
    description = fields.String()
    inputs = fields.Dict()
    secrets = secret_schemas.ByName(
        metadata={"description": "Values of this execution alone, encrypted; they win over the project's of that name"}
    )
    failure_policy = fields.Enum(FailurePolicy, by_value=True)
    satellites = fields.List(fields.Nested(SatelliteDocument), required=True, validate=validate.Length(min=1))

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Cluster:
        """Return it as a value of the domain."""
        return Cluster(**self.in_the_domain(data) | {"satellites": tuple(data["satellites"])})


EXAMPLE: dict[str, Any] = {
    "identifier": "my-project/greeting",
    "sla": "6h",
    "satellites": [
        {"name": "hello", "uses": "satellite/exospherehost/echo", "config": {"text": "hello"}},
        {
            "name": "world",
            "uses": "satellite/exospherehost/echo",
            "config": {"text": "world"},
            "dependencies": ["hello"],
        },
    ],
}

REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "description": "A cluster, also inside a top-level `cluster`; JSON or YAML, the same document.",
    "content": {
        JSON: {"schema": ClusterDocument, "example": EXAMPLE},
        YAML[0]: {"schema": ClusterDocument, "example": yaml.safe_dump(EXAMPLE, sort_keys=False)},
    },
}
