"""The tables of what satellites keep, share and receive while they run."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

from state_manager.store.tables import metadata

_json = JSON(none_as_null=True)
_moment = DateTime(timezone=True)

# What satellites share with `context.store`.
shared_values = Table(
    "shared_values",
    metadata,
    Column("execution_id", ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", _json, nullable=False),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("execution_id", ForeignKey("executions.id", ondelete="CASCADE"), nullable=False),
    Column("satellite_id", ForeignKey("satellites.id", ondelete="CASCADE"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    # Where its bytes were written: who does not find them there says so.
    Column("location", Text, nullable=False),
    Column("created_at", _moment, nullable=False),
    UniqueConstraint("satellite_id", "name"),
    Index(None, "execution_id", "id"),
)

# Values sent from outside, each for one satellite: null while nobody has been given it.
signals = Table(
    "signals",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("execution_id", ForeignKey("executions.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("payload", _json, nullable=False),
    Column("sent_at", _moment, nullable=False),
    Column("satellite_id", ForeignKey("satellites.id", ondelete="CASCADE"), unique=True),
    Column("idempotency_key", Text),
    UniqueConstraint("execution_id", "idempotency_key"),
    Index(None, "execution_id", "name", "id"),
)

# Satellites that wait for a signal; since the first look for it.
signal_waits = Table(
    "signal_waits",
    metadata,
    Column("satellite_id", ForeignKey("satellites.id", ondelete="CASCADE"), primary_key=True),
    Column("execution_id", ForeignKey("executions.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("since", _moment, nullable=False),
    Index(None, "execution_id", "name"),
)
