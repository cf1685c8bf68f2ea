"""What a command promises by its kind: `--json` if it reads, `--dry-run` if it publishes, signs or hands out."""

from collections.abc import Iterator

import click
import pytest

from pinwarden.cli import pinwarden

READS = """
audit history, audit show, audit verify, change list, change show, change wait, check, context list, context
show, keys show, pin, refresh, root show, root verify, server account list, server doctor, server settings,
server verify-audit, session links, session list, set diff, set history, set list, set policy, set preview,
set show, signer show, status, token list, verify
"""
# With an admin API, where a person can look first; `root publish` comes from the same part.
PUBLISHES_SIGNS_OR_HANDS_OUT = """
change approve, change propose, change renew, change sign, install-hook, root publish, session end, session
withdraw, set apply, set policy, set put, set rollback, token create, token revoke
"""
# What is left: what begins, ends or runs something, writes a file that it was told to, or prints a fixed text.
NEITHER = """
audit export, change reject, change review, completion, context add, context use, demo, dev, init, keys new,
login, logout, root assemble, root draft, root rehearse, root sign, run, server account add, server account
password, server account remove, server backup, server init, server migrate, server one-time-url, server
openapi, server publish-tree, server renew, server restore, server revoke, server rights, server run, server
token, signer init, signer run, signer status
"""


def words(text: str) -> list[str]:
    return [" ".join(name.split()) for name in text.split(",")]


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


ALL = dict(leaves(pinwarden))


def options(name: str) -> set[str]:
    return {option for parameter in ALL[name].params for option in parameter.opts}


def test_every_command_is_of_a_kind() -> None:
    named = {*words(READS), *words(PUBLISHES_SIGNS_OR_HANDS_OUT), *words(NEITHER)}
    assert named == set(ALL)


@pytest.mark.parametrize("name", words(READS))
def test_what_reads_prints_json(name: str) -> None:
    assert "--json" in options(name)


@pytest.mark.parametrize("name", words(PUBLISHES_SIGNS_OR_HANDS_OUT))
def test_what_publishes_signs_or_hands_out_shows_first_what_it_would_do(name: str) -> None:
    assert "--dry-run" in options(name)
