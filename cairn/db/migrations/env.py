"""How alembic runs here: on the connection and in the transaction of the one who asked (`cairn.db.migrate`)."""

from alembic import context

from cairn.db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite's schema changes can be rolled back too
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
