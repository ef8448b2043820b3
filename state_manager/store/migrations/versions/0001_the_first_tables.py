"""the first tables."""

from alembic import op
import sqlalchemy as sa


revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "admission",
        sa.Column("one", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("running", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("one = 1", name=op.f("ck_admission_single_row")),
        sa.CheckConstraint("running >= 0", name=op.f("ck_admission_not_negative")),
        sa.PrimaryKeyConstraint("one", name=op.f("pk_admission")),
    )
    op.create_table(
        "executions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("cluster_id", sa.Text(), nullable=False),
        sa.Column(
            "status",
            sa.Enum("pending", "running", "completed", "failed", "cancelled", name="execution_status"),
            nullable=False,
        ),
        sa.Column("sla", sa.Text(), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=False),
        sa.Column("failure_policy", sa.Enum("continue", "fail_fast", name="failure_policy"), nullable=False),
        sa.Column("timeout_s", sa.Double(), nullable=False),
        sa.Column("times_out_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("definition", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("definition_hash", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("completed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("skipped", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("cancelled", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("seq", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name=op.f("ck_executions_finished_has_end"),
        ),
        sa.CheckConstraint(
            "completed + failed + skipped + cancelled <= total", name=op.f("ck_executions_progress_within_total")
        ),
        sa.CheckConstraint(
            "least(completed, failed, skipped, cancelled) >= 0", name=op.f("ck_executions_progress_not_negative")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_executions")),
        sa.UniqueConstraint("project", "idempotency_key", name=op.f("uq_executions_project_idempotency_key")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index(op.f("ix_executions_cluster_id_id"), "executions", ["cluster_id", "id"], unique=False)
    op.create_index(op.f("ix_executions_project_id"), "executions", ["project", "id"], unique=False)
    op.create_index(op.f("ix_executions_status_id"), "executions", ["status", "id"], unique=False)
    op.create_table(
        "probes",
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("unanswered", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("queue", name=op.f("pk_probes")),
    )
    op.create_table(
        "satellite_types",
        sa.Column("identifier", sa.Text(), nullable=False),
        sa.Column("config_schema", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("timeout_s", sa.Double(), nullable=True),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("identifier", name=op.f("pk_satellite_types")),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("parent", sa.Uuid(), nullable=True),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("queues", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("session_pid", sa.Integer(), nullable=True),
        sa.Column("session_start", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("renewed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "events",
        sa.Column("execution_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("satellite_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("data", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name=op.f("fk_events_execution_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("execution_id", "seq", name=op.f("pk_events")),
    )
    op.create_table(
        "satellites",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("execution_id", sa.Uuid(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("identifier", sa.Text(), nullable=False),
        sa.Column(
            "status",
            sa.Enum("pending", "running", "completed", "failed", "skipped", "cancelled", name="satellite_status"),
            nullable=False,
        ),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("run_when", sa.Enum("all_success", "all_done", name="run_when"), nullable=False),
        sa.Column("config", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("input", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("output", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("output_bytes", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("error_kind", sa.Text(), nullable=True),
        sa.Column("traceback", sa.Text(), nullable=True),
        sa.Column("dependencies", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("dependents", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("unmet", sa.Integer(), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dispatches", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("timeout_s", sa.Double(), nullable=True),
        sa.Column("retry_policy", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("claim", sa.Uuid(), nullable=True),
        sa.Column("worker", sa.Uuid(), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("start_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("duration_ms", sa.Double(), nullable=True),
        sa.Column("resource_usage", sa.JSON(none_as_null=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'running') = (lease_expires_at IS NOT NULL)", name=op.f("ck_satellites_running_has_lease")
        ),
        sa.CheckConstraint(
            "(status = 'skipped') = (reason IS NOT NULL)", name=op.f("ck_satellites_skipped_has_reason")
        ),
        sa.CheckConstraint(
            "(status IN ('completed', 'failed', 'skipped', 'cancelled')) = (end_time IS NOT NULL)",
            name=op.f("ck_satellites_finished_has_end"),
        ),
        sa.CheckConstraint(
            "queued_at IS NULL OR (status = 'pending' AND unmet = 0 AND not_before IS NULL)",
            name=op.f("ck_satellites_queued_is_ready"),
        ),
        sa.CheckConstraint("status <> 'failed' OR error IS NOT NULL", name=op.f("ck_satellites_failed_has_error")),
        sa.CheckConstraint("status <> 'running' OR claim IS NOT NULL", name=op.f("ck_satellites_running_has_claim")),
        sa.CheckConstraint("attempt <= max_attempts", name=op.f("ck_satellites_attempt_within_policy")),
        sa.CheckConstraint(
            "unmet BETWEEN 0 AND cardinality(dependencies)", name=op.f("ck_satellites_unmet_within_dependencies")
        ),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name=op.f("fk_satellites_execution_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_satellites")),
        sa.UniqueConstraint("execution_id", "name", name=op.f("uq_satellites_execution_id_name")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index(
        "ix_satellites_ready",
        "satellites",
        ["queue", "queued_at"],
        unique=False,
        postgresql_where=sa.text("queued_at IS NOT NULL"),
    )
    op.create_index(
        "ix_satellites_running", "satellites", ["worker"], unique=False, postgresql_where=sa.text("status = 'running'")
    )
    op.create_index(
        "ix_satellites_waiting",
        "satellites",
        ["not_before"],
        unique=False,
        postgresql_where=sa.text("not_before IS NOT NULL"),
    )
    op.create_table(
        "logs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("satellite_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["satellite_id"], ["satellites.id"], name=op.f("fk_logs_satellite_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_logs")),
    )
    op.create_index(op.f("ix_logs_satellite_id_id"), "logs", ["satellite_id", "id"], unique=False)
    op.execute("INSERT INTO admission DEFAULT VALUES")


def downgrade() -> None:
    op.drop_index(op.f("ix_logs_satellite_id_id"), table_name="logs")
    op.drop_table("logs")
    op.drop_index("ix_satellites_waiting", table_name="satellites", postgresql_where=sa.text("not_before IS NOT NULL"))
    op.drop_index("ix_satellites_running", table_name="satellites", postgresql_where=sa.text("status = 'running'"))
    op.drop_index("ix_satellites_ready", table_name="satellites", postgresql_where=sa.text("queued_at IS NOT NULL"))
    op.drop_table("satellites")
    op.drop_table("events")
    op.drop_table("workers")
    op.drop_table("satellite_types")
    op.drop_table("probes")
    op.drop_index(op.f("ix_executions_status_id"), table_name="executions")
    op.drop_index(op.f("ix_executions_project_id"), table_name="executions")
    op.drop_index(op.f("ix_executions_cluster_id_id"), table_name="executions")
    op.drop_table("executions")
    op.drop_table("admission")
    for name in ("execution_status", "failure_policy", "satellite_status", "run_when"):
        # The functions that use it go with it.
        op.execute(f"DROP TYPE {name} CASCADE")
