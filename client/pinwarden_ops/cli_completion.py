"""
``pinwarden completion``: a script that completes commands and options in a shell, without starting Python at each TAB.

It may import click and ``shell_words``. It asks no server and reads no file of yours.
"""

import click

from pinwarden_ops.shell_words import SHELLS, script_for, words_of

EXAMPLES = """\b
Examples:
  pinwarden completion bash > pinwarden.bash
"""


@click.command(epilog=EXAMPLES)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """
    Print the script that completes this command in SHELL.

    bash: source the file from ~/.bashrc. zsh: put it as _pinwarden into a folder of fpath. fish: put it into
    ~/.config/fish/completions. Print it again after an update.
    """
    click.echo(script_for(shell, words_of(ctx.find_root().command)), nl=False)
