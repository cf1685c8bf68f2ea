"""
Bring a database to the schema of this version, and refuse to work on another.

It may import alembic. It never changes documents.
"""

import os
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from pinwarden_server.errors import StoreUnavailable
from pinwarden_server.store.engines import Store, open_engine, sqlite_path
from pinwarden_server.store.failures import store_failures

_SCRIPTS = Path(__file__).parent / "migrations"


def migrate(url: str) -> str:
    """
    Create the database's tables, or bring them to this version, in one transaction; return the revision.

    A missing SQLite file is made with mode 0600, and its folder with 0700: token digests are in it.

    Raises:
        StoreUnavailable: the database cannot be reached, or has the schema of a newer version; it is as it was.
    """
    with store_failures():
        path = sqlite_path(url)
        if path is not None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        engine = open_engine(url, mode="rwc")
        try:
            with engine.begin() as connection:
                _refuse_a_newer(MigrationContext.configure(connection).get_current_revision())
                config = _config()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        finally:
            engine.dispose()
    return schema_head()


def schema_of(store: Store) -> str | None:
    """Return the revision of the database's schema, None when it has none yet; StoreUnavailable."""
    path = sqlite_path(store.url)
    if path is not None and not path.exists():
        return None
    with store_failures(), store.reader.engine.begin() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def check_schema(store: Store) -> None:
    """
    Return when the database has exactly this version's schema.

    Raises:
        StoreUnavailable: it has not, or cannot be reached.
    """
    with store_failures(), store.reader.engine.begin() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found != schema_head():
        raise StoreUnavailable(
            "the database has the schema of another version",
            expected=schema_head(),
            got=found or "no schema",
            hint=hint_for_schema(found),
        )


def hint_for_schema(found: str | None) -> str:
    """Return what to do about a database of revision *found*, None for one without a schema."""
    if _is_known(found):
        return "Run `pinwarden server migrate`."
    return "A newer version of the server made it: install that one again, or restore a backup of this version's time."


def _is_known(revision: str | None) -> bool:
    scripts = ScriptDirectory.from_config(_config()).walk_revisions()
    return revision is None or revision in {script.revision for script in scripts}


def _refuse_a_newer(found: str | None) -> None:
    if not _is_known(found):
        raise StoreUnavailable(
            "the database has a schema that this version does not know",
            expected=f"{schema_head()} or older",
            got=found,
            hint=hint_for_schema(found),
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config


def schema_head() -> str:
    """Return the revision that this version of the server works with."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""
