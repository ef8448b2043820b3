"""sizes of inputs."""

from alembic import op
import sqlalchemy as sa


revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("satellites", sa.Column("input_bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    # What has ended is not claimed again, unless a retry puts it back: then what it gathers meanwhile counts.
    op.execute("""
        UPDATE satellites s SET input_bytes = (
            SELECT coalesce(sum(d.output_bytes), 0) FROM satellites d WHERE d.id = ANY (s.dependencies)
        ) WHERE s.status <> 'completed' AND s.dependencies <> '{}'
    """)


def downgrade() -> None:
    op.execute("DROP FUNCTION IF EXISTS as_attempt(satellites, bigint)")  # which depends on the table
    op.drop_column("satellites", "input_bytes")
