"""
``pinwarden server rights`` and ``openapi``: what the HTTP API consists of, as the table says that tests hold it to.

It may import click and the tables. No command here reads a setting or asks a server.
"""

import json
from pathlib import Path

import click

from pinwarden.cli.teaching import examples
from pinwarden.errors import ConfigError


@click.command("rights", epilog=examples("pinwarden server rights"))
def rights() -> None:
    """Print which role may do what, as a table in Markdown."""
    from pinwarden_server.rights_page import rights_table

    click.echo(rights_table(), nl=False)


@click.command(
    "openapi", epilog=examples("pinwarden server openapi > openapi.json", "pinwarden server openapi --html api.html")
)
@click.option("--html", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write it as a page into FILE.")
def openapi(file: Path | None) -> None:
    """Print the description of the HTTP API in OpenAPI 3.1, as GET /openapi.json serves it."""
    if file is not None:
        from pinwarden_server.api_page import page_text

        try:
            file.write_text(page_text(inline=True), "utf-8")
        except OSError as error:
            raise ConfigError(f"{file} cannot be written: {error.strerror}") from None
        return
    from pinwarden_server.openapi import document

    click.echo(json.dumps(document(), indent=2))
