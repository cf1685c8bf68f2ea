"""Alembic's entry: runs the steps on the connection that ``store.schema`` passes in, all in one transaction."""

from alembic import context

from pinwarden_server.store.columns import metadata

connection = context.config.attributes["connection"]
# alembic takes SQLite's DDL for untransactional; with the explicit BEGIN of our engine it is not.
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
