"""The way to schema 0001 and back: nothing of it moves, and what waited is all that is lost."""

from typing import TYPE_CHECKING

from alembic import command
from sqlalchemy import inspect

from pinwarden_server.store import check_schema, migrate, schema_head
from pinwarden_server.store.engines import open_engine
from pinwarden_server.store.schema import _config

if TYPE_CHECKING:
    from conftest import Office, Town

NEW = {"changes", "change_signatures", "change_approvals", "change_reviews", "history"}
LATER = {"unsettled", "checkpoints", "sessions", "one_time_links", "accounts", "used_id_tokens"}


def step(town: "Town", revision: str) -> set[str]:
    """Bring the town's database to *revision*, and return the names of its tables."""
    engine = open_engine(town.installation.settings().database_url, mode="rw")
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        (command.downgrade if revision == "0001" else command.upgrade)(config, revision)
    names = set(inspect(engine).get_table_names())
    engine.dispose()
    return names


def test_down_drops_what_waits_and_nothing_else_and_up_brings_the_tables_back(office: "Office") -> None:
    office.publish("live", "spare")
    office.sign(office.propose("next", "spare", base="1.1")["id"], office.town.people[0])
    kept = {table: office.rows(f"SELECT * FROM {table}") for table in ("versions", "audit", "reservations")}
    kept["pinsets"] = [row[:-1] for row in office.rows("SELECT * FROM pinsets")]  # which require approvals since
    before, history = step(office.town, schema_head()), office.rows("SELECT * FROM history")
    assert step(office.town, "0001") == before - NEW - LATER
    assert {table: office.rows(f"SELECT * FROM {table}") for table in kept} == kept
    assert migrate(office.installation.settings().database_url) == schema_head()
    assert step(office.town, schema_head()) == before
    # Made again from the versions, to the byte: observers remember its hashes.
    assert office.rows("SELECT * FROM history") == history != []
    check_schema(office.node.site.store)
    assert office.ask("GET", "/admin/v1/changes").json["changes"] == []
    # The numbers that were given out to the lost change stay given out.
    assert office.propose("again", "spare", base="1.1")["version"] == "1.3"
