"""signals."""

from alembic import op
import sqlalchemy as sa


revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "signals",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("execution_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("payload", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("satellite_id", sa.Uuid(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name=op.f("fk_signals_execution_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["satellite_id"], ["satellites.id"], name=op.f("fk_signals_satellite_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signals")),
        sa.UniqueConstraint("execution_id", "idempotency_key", name=op.f("uq_signals_execution_id_idempotency_key")),
        sa.UniqueConstraint("satellite_id", name=op.f("uq_signals_satellite_id")),
    )
    op.create_table(
        "signal_waits",
        sa.Column("satellite_id", sa.Uuid(), nullable=False),
        sa.Column("execution_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name=op.f("fk_signal_waits_execution_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["satellite_id"], ["satellites.id"], name=op.f("fk_signal_waits_satellite_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("satellite_id", name=op.f("pk_signal_waits")),
    )
    op.create_index(
        op.f("ix_signal_waits_execution_id_name"), "signal_waits", ["execution_id", "name"], unique=False
    )
    op.create_index(op.f("ix_signals_execution_id_name_id"), "signals", ["execution_id", "name", "id"], unique=False)


def downgrade() -> None:
    op.drop_table("signal_waits")
    op.drop_table("signals")
