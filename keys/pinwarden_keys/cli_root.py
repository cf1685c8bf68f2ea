"""
The group ``pinwarden root``: files in, files out, nothing else.

It may import click and the commands of this package; commands of other parts (`publish`) are entry points, imported
when they are called. No command of this package opens a network connection.
"""

from collections.abc import Mapping
from typing import ClassVar

import click

from pinwarden.cli.elsewhere import EntryPointGroup
from pinwarden.cli.refusals import ExitCodes
from pinwarden_keys.cli_root_draft import draft_root, show_root
from pinwarden_keys.cli_root_rehearse import rehearse_root
from pinwarden_keys.cli_root_sign import assemble_root, sign_root
from pinwarden_keys.cli_root_verify import verify_files
from pinwarden_keys.refusals import RefusingGroup


class RootGroup(EntryPointGroup):
    """The ceremony's commands, and those that other parts add to them."""

    entry_group: ClassVar[str] = "pinwarden.commands.root"
    spoken: ClassVar[str] = "pinwarden root"
    lines: ClassVar[Mapping[str, str]] = {"publish": "Bring a signed root to the server."}
    exit_codes: ClassVar[ExitCodes] = RefusingGroup.exit_codes


@click.group(cls=RootGroup)
def root() -> None:
    """Draft, sign and assemble the root: who may sign what."""


for _command in (draft_root, show_root, sign_root, assemble_root, verify_files, rehearse_root):
    root.add_command(_command)
