"""satellites that run alone."""

from alembic import op
import sqlalchemy as sa


revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("satellites", sa.Column("alone", sa.Boolean(), server_default=sa.text("false"), nullable=False))


def downgrade() -> None:
    op.execute("DROP FUNCTION IF EXISTS as_attempt(satellites)")  # which depends on the table
    op.drop_column("satellites", "alone")
