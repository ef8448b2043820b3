"""The tables, with the invariants that the database can enforce as constraints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    Enum,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from state_manager.states import ExecutionStatus, FailurePolicy, RunWhen, SatelliteStatus

if TYPE_CHECKING:
    from enum import StrEnum

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Documents and outputs are `json`, not `jsonb`: they come back as they were sent, with the order of
# their keys and the type of their numbers (jsonb turns 1e300 into an integer of 301 digits).
_json = JSON(none_as_null=True)
_moment = DateTime(timezone=True)


def _enum(values: type[StrEnum], name: str) -> Enum:
    return Enum(values, name=name, values_callable=lambda kind: [member.value for member in kind])


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=text("0"))


executions = Table(
    "executions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("project", Text, nullable=False),
    Column("cluster_id", Text, nullable=False),
    Column("status", _enum(ExecutionStatus, "execution_status"), nullable=False),
    Column("sla", Text, nullable=False),
    Column("deadline", _moment, nullable=False),
    Column("failure_policy", _enum(FailurePolicy, "failure_policy"), nullable=False),
    Column("timeout_s", Double, nullable=False),
    Column("times_out_at", _moment),
    Column("error", Text),
    Column("definition", _json, nullable=False),
    Column("definition_hash", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("total", Integer, nullable=False),
    _count("completed"),
    _count("failed"),
    _count("skipped"),
    _count("cancelled"),
    Column("seq", BigInteger, nullable=False, server_default=text("0")),
    Column("created_at", _moment, nullable=False),
    Column("updated_at", _moment, nullable=False),
    Column("started_at", _moment),
    Column("finished_at", _moment),
    UniqueConstraint("project", "idempotency_key"),
    CheckConstraint("completed + failed + skipped + cancelled <= total", "progress_within_total"),
    CheckConstraint("least(completed, failed, skipped, cancelled) >= 0", "progress_not_negative"),
    CheckConstraint(
        "(status IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
        "finished_has_end",
    ),
    Index(None, "status", "id"),
    Index(None, "project", "id"),
    Index(None, "cluster_id", "id"),
    # Each settle updates the row's counts: room on the page keeps those updates out of the indexes.
    postgresql_with={"fillfactor": "50"},
)

satellites = Table(
    "satellites",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("execution_id", ForeignKey("executions.id", ondelete="CASCADE"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("identifier", Text, nullable=False),
    Column("status", _enum(SatelliteStatus, "satellite_status"), nullable=False),
    Column("reason", Text),
    Column("queue", Text, nullable=False),
    Column("run_when", _enum(RunWhen, "run_when"), nullable=False),
    Column("config", _json, nullable=False),
    Column("input", _json, nullable=False),
    Column("output", _json),
    _count("output_bytes"),
    # The sum of the outputs of its completed dependencies: known before they are put together, which may not be done.
    Column("input_bytes", BigInteger, nullable=False, server_default=text("0")),
    Column("error", Text),
    Column("error_kind", Text),
    Column("traceback", Text),
    Column("dependencies", ARRAY(Uuid), nullable=False),
    Column("dependents", ARRAY(Uuid), nullable=False),
    Column("unmet", Integer, nullable=False),
    # Set exactly while it is ready: since when a message for it should lie in its queue.
    Column("queued_at", _moment),
    Column("not_before", _moment),
    _count("dispatches"),
    Column("timeout_s", Double),
    Column("retry_policy", _json, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    _count("attempt"),
    # A worker was lost while it held this and others: which of them did it is known when each has run alone.
    Column("alone", Boolean, nullable=False, server_default=text("false")),
    Column("claim", Uuid),
    Column("worker", Uuid),
    Column("lease_expires_at", _moment),
    Column("start_time", _moment),
    Column("end_time", _moment),
    Column("duration_ms", Double),
    Column("resource_usage", _json),
    # What is resolved when it runs (expressions, `if`, `for_each`, a group's satellites); null for most satellites.
    Column("dynamic", _json),
    # The number of satellites that its expansion has made. Those have the three columns below.
    _count("children"),
    Column("parent", Uuid),
    Column("index", Integer),
    Column("item", _json),
    # Under `max_parallel`, until it ends: whether its item has to wait for others.
    Column("held", Boolean),
    UniqueConstraint("execution_id", "name"),
    CheckConstraint(
        "(status IN ('completed', 'failed', 'skipped', 'cancelled')) = (end_time IS NOT NULL)",
        "finished_has_end",
    ),
    CheckConstraint("(status = 'running') = (lease_expires_at IS NOT NULL)", "running_has_lease"),
    CheckConstraint("status <> 'running' OR claim IS NOT NULL", "running_has_claim"),
    CheckConstraint("(status = 'skipped') = (reason IS NOT NULL)", "skipped_has_reason"),
    CheckConstraint("status <> 'failed' OR error IS NOT NULL", "failed_has_error"),
    CheckConstraint("unmet BETWEEN 0 AND cardinality(dependencies) + children", "unmet_within_dependencies"),
    CheckConstraint(
        "queued_at IS NULL OR (status = 'pending' AND unmet = 0 AND not_before IS NULL AND held IS NOT TRUE)",
        "queued_is_ready",
    ),
    CheckConstraint("held IS NULL OR (parent IS NOT NULL AND status IN ('pending', 'running'))", "held_is_unended"),
    CheckConstraint("attempt <= max_attempts", "attempt_within_policy"),
    Index("ix_satellites_ready", "queue", "queued_at", postgresql_where=text("queued_at IS NOT NULL")),
    Index("ix_satellites_waiting", "not_before", postgresql_where=text("not_before IS NOT NULL")),
    Index("ix_satellites_running", "worker", postgresql_where=text("status = 'running'")),
    Index("ix_satellites_children", "parent", "index", postgresql_where=text("parent IS NOT NULL")),
    Index("ix_satellites_held", "parent", "held", "index", postgresql_where=text("held IS NOT NULL")),
    postgresql_with={"fillfactor": "70"},
)

events = Table(
    "events",
    metadata,
    Column("execution_id", ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("satellite_id", Uuid),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("at", _moment, nullable=False),
    Column("data", _json),
)

logs = Table(
    "logs",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("satellite_id", ForeignKey("satellites.id", ondelete="CASCADE"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("at", _moment, nullable=False),
    Column("level", Text, nullable=False),
    Column("message", Text, nullable=False),
    Index(None, "satellite_id", "id"),
)

# Encrypted by state_manager/secrets/envelope.py; the master keys are not in the database.
secrets = Table(
    "secrets",
    metadata,
    Column("id", Uuid, primary_key=True),
    # Null for the project's own secrets.
    Column("execution_id", ForeignKey("executions.id", ondelete="CASCADE")),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("wrapped_key", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("created_at", _moment, nullable=False),
    Column("updated_at", _moment, nullable=False),
    UniqueConstraint("execution_id", "project", "name", postgresql_nulls_not_distinct=True),
)

satellite_types = Table(
    "satellite_types",
    metadata,
    Column("identifier", Text, primary_key=True),
    Column("config_schema", _json),
    Column("timeout_s", Double),
    Column("queue", Text, nullable=False),
    # The kinds of errors of its own that it may raise, for `retry_on`.
    Column("kinds", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    # The uses that its latest worker cannot serve, as its optional packages are not installed.
    Column("unavailable", _json, nullable=False, server_default=text("'[]'")),
    Column("last_seen", _moment, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("parent", Uuid),
    Column("pid", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("queues", ARRAY(Text), nullable=False),
    Column("session_pid", Integer),
    Column("session_start", _moment),
    Column("started_at", _moment, nullable=False),
    Column("renewed_at", _moment, nullable=False),
)

admission = Table(
    "admission",
    metadata,
    Column("one", Integer, primary_key=True, server_default=text("1")),
    Column("running", Integer, nullable=False, server_default=text("0")),
    CheckConstraint("one = 1", "single_row"),
    CheckConstraint("running >= 0", "not_negative"),
)

probes = Table(
    "probes",
    metadata,
    Column("queue", Text, primary_key=True),
    Column("sent_at", _moment, nullable=False),
    _count("unanswered"),
)
