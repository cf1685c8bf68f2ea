"""
``pinwarden install-hook``: every Python process of one environment pinned, also those whose variables are cleaned.

It may import click, ``hook_file``, ``settings`` and PinClient. It leaves a file behind only after a process with an
empty environment has pinned itself by it.
"""

import stat
import sys
from pathlib import Path

import click

from pinwarden import hook_file
from pinwarden.arguments import open_cache
from pinwarden.cache import MemoryCache
from pinwarden.cli.printing import print_facts
from pinwarden.cli.refusals import say
from pinwarden.cli.session import FILE
from pinwarden.client import PinClient
from pinwarden.errors import ConfigError
from pinwarden.settings import TABLE, sdk_settings

_HELD = "The hook was taken back; what stood there before stands there again."


@click.command(
    "install-hook",
    epilog="""\b
Examples:
  pinwarden install-hook --config /etc/pinwarden.toml
  pinwarden install-hook --config /etc/pinwarden.toml --dry-run
  pinwarden install-hook --remove
""",
)
@click.option(
    "--config",
    type=FILE,
    envvar=TABLE.config_variable,
    show_envvar=True,
    help="Settings file (TOML) by which the processes pin themselves.",
)
@click.option("--remove", is_flag=True, help="Take the hook away.")
@click.option("--dry-run", is_flag=True, help="Print what would be written or removed, and do nothing.")
def install_hook(config: Path | None, remove: bool, dry_run: bool) -> None:
    """
    Pin every process of the Python (or virtual environment) that this command belongs to.

    Writes a .pth file among its packages. Each process then pins itself before its program, by the settings file,
    whatever its variables are and with -I and -E too, or ends with code 3. The command pinwarden itself is left alone.

    Not covered: -S, other Pythons and other environments, what `pinwarden run` does not cover either.
    """
    path = hook_file.default_path()
    before = hook_file.read(path)
    if remove:
        _remove(path, before, dry_run=dry_run)
        return
    if config is None:
        raise click.UsageError(f"the settings must stand in a file: give --config or set {TABLE.config_variable}")
    config = config.absolute()
    _check_settings(config)
    content = hook_file.spell(path, config, hook_file.own_command())
    if dry_run:
        say("note", f"nothing was changed; {path} would be{' unchanged' if content == before else ''}:")
        click.echo(content, nl=False)
        return
    _write_proven(path, content, before)
    print_facts([("hook", path), ("settings", config), ("pins", f"every process of {sys.executable}")])


def _check_settings(config: Path) -> None:
    """Refuse now what would end every process of this Python later."""
    try:
        mode = config.stat().st_mode
    except OSError as error:
        raise ConfigError(f"settings file {config} cannot be read: {error.strerror}") from None
    if mode & stat.S_IWOTH:
        raise ConfigError(
            f"settings file {config} may be written by everybody, who could choose other pins",
            hint=f"chmod o-w {config}",
        )
    arguments = sdk_settings({}, config=config)
    open_cache(arguments["cache"], authority="any", name=arguments["pinset"])  # which writes nothing yet
    # Whoever makes the folder of a cache owns it, and that must not be whoever installs the hook.
    PinClient(**{**arguments, "cache": MemoryCache()}).close()


def _remove(path: Path, before: bytes | None, *, dry_run: bool) -> None:
    if before is None:
        say("note", f"there is no hook at {path}")
    elif dry_run:
        say("note", f"nothing was changed; {path} would be removed")
    else:
        hook_file.remove(path)
        print_facts([("removed", path)])


def _write_proven(path: Path, content: bytes, before: bytes | None) -> None:
    """Write the hook; put back what stood there *before* when the proof fails, or is interrupted."""
    hook_file.write(path, content)
    try:
        hook_file.prove(path)
    except BaseException as error:
        if before is None:
            hook_file.remove(path)
        else:
            hook_file.write(path, before)
        if not isinstance(error, ConfigError):
            raise
        raise ConfigError(error.what, expected=error.expected, got=error.got, holds=_HELD, hint=error.hint) from None
