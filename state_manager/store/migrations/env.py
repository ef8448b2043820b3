"""Run the migrations, for Alembic, on the connection that the caller opened."""

from alembic import context

from state_manager.store import data_tables, tables  # noqa: F401  (it adds its tables to theirs)

context.configure(connection=context.config.attributes["connection"], target_metadata=tables.metadata)
context.run_migrations()
