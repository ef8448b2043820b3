"""artifacts."""

from alembic import op
import sqlalchemy as sa


revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "artifacts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("execution_id", sa.Uuid(), nullable=False),
        sa.Column("satellite_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name=op.f("fk_artifacts_execution_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["satellite_id"], ["satellites.id"], name=op.f("fk_artifacts_satellite_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_artifacts")),
        sa.UniqueConstraint("satellite_id", "name", name=op.f("uq_artifacts_satellite_id_name")),
    )
    op.create_index(op.f("ix_artifacts_execution_id_id"), "artifacts", ["execution_id", "id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_artifacts_execution_id_id"), table_name="artifacts")
    op.drop_table("artifacts")
