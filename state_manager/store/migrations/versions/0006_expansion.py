"""expansion."""

from alembic import op
import sqlalchemy as sa


revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

UNMET = "ck_satellites_unmet_within_dependencies"
QUEUED = "ck_satellites_queued_is_ready"
HELD = "ck_satellites_held_is_unended"


def upgrade() -> None:
    op.add_column("satellites", sa.Column("dynamic", sa.JSON()))
    op.add_column("satellites", sa.Column("children", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("satellites", sa.Column("parent", sa.Uuid()))
    op.add_column("satellites", sa.Column("index", sa.Integer()))
    op.add_column("satellites", sa.Column("item", sa.JSON()))
    op.add_column("satellites", sa.Column("held", sa.Boolean()))
    op.drop_constraint(op.f(UNMET), "satellites")
    op.create_check_constraint(op.f(UNMET), "satellites", "unmet BETWEEN 0 AND cardinality(dependencies) + children")
    op.drop_constraint(op.f(QUEUED), "satellites")
    op.create_check_constraint(
        op.f(QUEUED),
        "satellites",
        "queued_at IS NULL OR (status = 'pending' AND unmet = 0 AND not_before IS NULL AND held IS NOT TRUE)",
    )
    op.create_check_constraint(
        op.f(HELD), "satellites", "held IS NULL OR (parent IS NOT NULL AND status IN ('pending', 'running'))"
    )
    op.create_index(
        "ix_satellites_children", "satellites", ["parent", "index"], postgresql_where=sa.text("parent IS NOT NULL")
    )
    op.create_index(
        "ix_satellites_held", "satellites", ["parent", "held", "index"], postgresql_where=sa.text("held IS NOT NULL")
    )


def downgrade() -> None:
    """Fails where satellites wait for children: the tables of before cannot hold them."""
    # Those that depend on the table.
    op.execute("DROP FUNCTION IF EXISTS as_attempt(satellites, bigint), unsatisfied_by(satellites)")
    op.drop_index("ix_satellites_held", "satellites")
    op.drop_index("ix_satellites_children", "satellites")
    op.drop_constraint(op.f(HELD), "satellites")
    op.drop_constraint(op.f(UNMET), "satellites")
    op.create_check_constraint(op.f(UNMET), "satellites", "unmet BETWEEN 0 AND cardinality(dependencies)")
    op.drop_constraint(op.f(QUEUED), "satellites")
    op.create_check_constraint(
        op.f(QUEUED), "satellites", "queued_at IS NULL OR (status = 'pending' AND unmet = 0 AND not_before IS NULL)"
    )
    for name in ("held", "item", "index", "parent", "children", "dynamic"):
        op.drop_column("satellites", name)
