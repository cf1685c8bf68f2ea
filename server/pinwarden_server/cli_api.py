"""
``pinwarden server rights``: what the HTTP API consists of, said by the table that its tests hold it to.

It may import click and the tables. No command here reads a setting or asks a server.
"""

import click


@click.command("rights")
def rights() -> None:
    """Print which role may do what, as a table in Markdown."""
    from pinwarden_server.rights_page import rights_table

    click.echo(rights_table(), nl=False)
