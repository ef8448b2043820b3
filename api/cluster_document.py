"""The cluster document as a client submits it: its marshmallow schemas, and an example."""

from __future__ import annotations

from typing import Any, ClassVar

import yaml
from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from api import secret_schemas
from api.documents import JSON, YAML
from api.schemas import LONGEST_NAME, Pattern, StrictSchema
from state_manager.cluster import MAX_ITEMS, SLAS, Cluster, Satellite
from state_manager.retry import MAX_ATTEMPTS, NEVER_RETRIED, BackoffStrategy
from state_manager.states import FailurePolicy, RunWhen

LONGEST_S = 366 * 24 * 3600.0
_PART = r"[A-Za-z0-9._-]{1,128}"
PROJECT = Pattern(_PART, error="A project is named by 1 to 128 letters, digits, '.', '_', '-'.")
_NAME = validate.Length(1, LONGEST_NAME)
_NOT_OF_GROUPS = {"config", "input", "retries", "retry_policy", "timeout"}
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


class ForEach(fields.Field[str | list[Any]]):
    """A list of items, or an expression whose value is one."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str | list[Any]:
        if not isinstance(value, str | list):
            raise ValidationError("Not a valid list or expression.")
        return value


class SatelliteDocument(_Retried):
    """One satellite of a submitted cluster; either of a type (`uses`), or a group of satellites of its own."""

    class Meta(StrictSchema.Meta):
        """Marshmallow's options."""

        include: ClassVar[dict[str, fields.Field[Any]]] = {  # `if` is a keyword of Python
            "if": fields.String(
                metadata={"description": "An expression; where it does not hold the satellite is skipped"}
            )
        }

    name = fields.String(
        required=True, validate=[_NAME, _printable], metadata={"description": "Unique in its list of satellites"}
    )
    uses = fields.String(
        validate=validate.Length(1, 512),
        metadata={"description": "Identifier of a satellite type that some worker registered"},
    )
    satellites = fields.List(
        fields.Nested("SatelliteDocument"),
        validate=validate.Length(min=1),
        metadata={"description": "A group, instead of `uses`; their names are its own"},
    )
    config = fields.Dict(metadata={"description": "What the satellite's `config_schema` asks for; with expressions"})
    input = fields.Dict(
        metadata={"description": "Wins over the dependencies' outputs of the same name; with expressions"}
    )
    dependencies = fields.List(
        fields.String(validate=_NAME), metadata={"description": "Names of satellites that must complete first"}
    )
    queue = fields.String(
        validate=Pattern(_PART, error="A queue is named by 1 to 128 letters, digits, '.', '_', '-'."),
        metadata={"description": "Queue of the workers that may run it; default: the type's own"},
    )
    run_when = fields.Enum(RunWhen, by_value=True)
    for_each = ForEach(
        metadata={
            "description": "The items of a fan-out: a list, or an expression whose value is one",
            "oneOf": [{"type": "string"}, {"type": "array", "items": {}, "maxItems": MAX_ITEMS}],
        }
    )
    max_parallel = fields.Integer(
        strict=True,
        validate=validate.Range(1, 2**31 - 1),
        metadata={"description": "How many items of `for_each` may run at the same time"},
    )

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def check_kind(self, _: dict[str, Any], original: object, **__: Any) -> None:
        """Refuse what is neither a satellite of a type nor a group, or both, and what has no meaning for it."""
        given = original.keys() if isinstance(original, dict) else {"uses"}
        wrong: dict[str, list[str]] = {}
        if "satellites" in given:
            wrong = {name: [f"A group has no {name}; its satellites have."] for name in _NOT_OF_GROUPS & given}
            if "uses" in given:
                wrong["uses"] = ["A satellite has either uses or satellites, not both."]
        elif "uses" not in given:
            wrong["uses"] = ["Missing data for required field: uses, or the satellites of a group."]
        if "max_parallel" in given and "for_each" not in given:
            wrong["max_parallel"] = ["It limits the items of for_each, which is not there."]
        if wrong:
            raise ValidationError(wrong)

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Satellite:
        """Return it as a value of the domain."""
        lists = {name: tuple(data.get(name, ())) for name in ("dependencies", "satellites")}
        rest = self.in_the_domain(data)
        return Satellite(condition=rest.pop("if", None), **rest | lists)


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
