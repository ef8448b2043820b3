"""Run the migrations, for Alembic, on the connection that the caller opened."""

from alembic import context

from state_manager.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
