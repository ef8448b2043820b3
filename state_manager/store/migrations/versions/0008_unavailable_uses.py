"""uses of a satellite type that lack an optional package."""

from alembic import op
import sqlalchemy as sa


revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "satellite_types",
        sa.Column("unavailable", sa.JSON(none_as_null=True), server_default=sa.text("'[]'"), nullable=False),
    )


def downgrade() -> None:
    op.drop_column("satellite_types", "unavailable")
