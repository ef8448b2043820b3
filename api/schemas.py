"""What a client may send: the cluster document and the queries, as marshmallow schemas. The definition of both."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

from marshmallow import Schema, ValidationError, fields, post_load, validate

from state_manager import graph
from state_manager.cluster import SLAS, Cluster, Satellite
from state_manager.retry import MAX_ATTEMPTS, NEVER_RETRIED, BackoffStrategy
from state_manager.states import ExecutionStatus, FailurePolicy, RunWhen
from state_manager.store.executions import Filter

if TYPE_CHECKING:
    from collections.abc import Mapping

SUGGESTIONS = 3
"""So many unknown fields of an object get a suggestion: a look costs about 50 µs, and a body may hold a million."""

LONGEST_NAME = 128
LONGEST_S = 366 * 24 * 3600.0
_PART = r"[A-Za-z0-9._-]{1,128}"
_NAME = validate.Length(1, LONGEST_NAME)
_DELAY = validate.Range(0, LONGEST_S)
_SEQ = validate.Range(0, 2**63 - 1)


def _printable(text: str) -> None:
    if not text.isprintable():
        raise ValidationError("Only printable characters are allowed.")


class _Strict(Schema):
    """Refuses unknown fields, and says which known one may have been meant."""

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


class RetryPolicyDocument(_Strict):
    """How often to try, after which kinds of errors, and how long to wait in between, in seconds."""

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

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Give those fields that are there, as a `RetryPolicy` has them."""
        return data | ({"retry_on": frozenset(data["retry_on"])} if "retry_on" in data else {})


class _Retried(_Strict):
    """What clusters and satellites share: when to try again, and how long they may take."""

    retries = fields.Integer(
        strict=True,
        validate=validate.Range(0, MAX_ATTEMPTS - 1),
        metadata={"description": "How often to try again; `retry_policy` wins"},
    )
    retry_policy = fields.Nested(RetryPolicyDocument)
    timeout = fields.Float(
        validate=validate.Range(0, LONGEST_S, min_inclusive=False), metadata={"description": "Seconds"}
    )

    @staticmethod
    def in_the_domain(data: dict[str, Any]) -> dict[str, Any]:
        """Put the shorthand and the policy together, and name the fields as the domain does."""
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
        validate=validate.Regexp(rf"{_PART}\Z", error="A queue is named by 1 to 128 letters, digits, '.', '_', '-'."),
        metadata={"description": "Queue of the workers that may run it; default: the type's own"},
    )
    run_when = fields.Enum(RunWhen, by_value=True)

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Satellite:
        """Give it as a value of the domain."""
        return Satellite(**self.in_the_domain(data) | {"dependencies": tuple(data.get("dependencies", ()))})


class ClusterDocument(_Retried):
    """A submitted cluster. Also accepted inside a top-level `cluster`."""

    identifier = fields.String(
        required=True,
        validate=validate.Regexp(
            rf"{_PART}/{_PART}\Z",
            error="An identifier is project/name, each of 1 to 128 letters, digits, '.', '_', '-'.",
        ),
    )
    sla = fields.String(validate=validate.OneOf(list(SLAS)))
    title = fields.String()
    description = fields.String()
    inputs = fields.Dict()
    failure_policy = fields.Enum(FailurePolicy, by_value=True)
    satellites = fields.List(fields.Nested(SatelliteDocument), required=True, validate=validate.Length(min=1))

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Cluster:
        """Give it as a value of the domain."""
        return Cluster(**self.in_the_domain(data) | {"satellites": tuple(data["satellites"])})


class _Page(_Strict):
    limit = fields.Integer(load_default=50, validate=validate.Range(1, 200))


class ExecutionsQuery(_Page):
    """Which executions to list."""

    project = fields.String(validate=_printable)
    cluster_id = fields.String(validate=_printable)
    status = fields.Enum(ExecutionStatus, by_value=True)
    created_after = fields.AwareDateTime(format="iso", default_timezone=UTC)
    created_before = fields.AwareDateTime(format="iso", default_timezone=UTC)
    cursor = fields.UUID(metadata={"description": "The `next_cursor` of the page before"})

    @post_load
    def make(self, data: Mapping[str, Any], **_: Any) -> Filter:
        """Give it as the store takes it."""
        return Filter(**data)


class EventsQuery(_Page):
    """Which events of an execution to read."""

    after = fields.Integer(load_default=0, validate=_SEQ, metadata={"description": "Events with a greater seq only"})


class LogsQuery(_Page):
    """Which log lines of a satellite to read."""

    cursor = fields.Integer(
        load_default=0, validate=_SEQ, metadata={"description": "The `next_cursor` of the page before"}
    )


class IdempotencyHeader(Schema):
    """The key under which a submission counts once."""

    key = fields.String(data_key="Idempotency-Key", validate=[validate.Length(1, 255), _printable])
