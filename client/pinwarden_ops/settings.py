"""
Every setting of the operator's commands, as one table.

It may import ``pinwarden.settings_table`` and ``contexts``. The token is never a setting, only the name of its file.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pinwarden.errors import ConfigError
from pinwarden.settings_table import Setting, SettingsTable, path, switch, text
from pinwarden_ops.contexts import Context, contexts_folder, current_context, read_contexts

TABLE = SettingsTable(
    "PINWARDEN_OPS_",
    (
        Setting("url", text, None, "Address of the admin API, https://pins.example.com:8443.", may_be_secret=True),
        Setting("token_file", path, None, "File (0600) with your admin token."),
        Setting("ca_file", path, None, "PEM file with the CAs that may certify the server; default: the system's."),
        Setting("root", path, None, "Your own copy of the authority's root.json, by which changes are judged."),
        Setting("pins_url", text, None, "Where applications fetch, when that is another address.", may_be_secret=True),
        Setting("state_dir", path, None, "Folder that remembers which versions this machine has seen."),
        Setting("context", text, None, "Name of the context that holds all of this; see pinwarden context."),
        Setting("allow_http", switch, False, "Accept an http address beyond this machine; the token travels in clear."),
    ),
    listed_by="pinwarden change --help",
)


def ops_settings(environ: Mapping[str, str] = os.environ, *, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """
    Return every setting; what :class:`AdminClient` needs is there, and ``context`` is a :class:`Context` or None.

    Args:
        environ: ``PINWARDEN_OPS_<NAME>`` each; ``PINWARDEN_OPS_CONFIG`` names a TOML file with the same names.
        given: what the command line says; it wins over the environment, and that over the context.

    Raises:
        ConfigError: a setting is missing, unknown or impossible, or two servers are named at once.
    """
    values = TABLE.read(environ, given=given)
    context = _context(environ, values)
    if context is not None:
        values = TABLE.read({**_as_variables(context, environ), **environ}, given=given)
    missing = [name for name in ("url", "token_file") if values[name] is None]
    if missing:
        names = " and ".join(TABLE.variable(name) for name in missing)
        options = " and ".join({"url": "--server", "token_file": "--token-file"}[name] for name in missing)
        raise ConfigError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set",
            hint=f"Set {names}, or give {options}.",
        )
    return {**values, "context": context}


def context_settings() -> list[str]:
    """Return the names of the settings that a context may have."""
    return [row.name for row in TABLE if row.name != "context"]


def _context(environ: Mapping[str, str], values: Mapping[str, Any]) -> Context | None:
    """
    Return the context that was named, else the one in use unless settings name a server by themselves.

    A token must not reach another server than the one it stands beside, so a context and an address exclude each other.
    """
    named: str | None = values["context"]
    elsewhere = TABLE.config_variable if TABLE.config_variable in environ else values["url"] and "an address"
    if elsewhere and named:
        raise ConfigError(
            f"context {named!r} and {elsewhere} are both given",
            expected="one of the two",
            hint=f"Unset {TABLE.variable('url')} and {TABLE.config_variable}, or leave the context out.",
        )
    if elsewhere:
        return None
    folder = contexts_folder(environ)
    name = named or current_context(folder)
    if name is None:
        return None
    found = read_contexts(folder, known=context_settings())
    if name not in found:
        raise ConfigError(
            f"there is no context {name!r}",
            expected=", ".join(found) or "one that exists",
            hint="`pinwarden context list` shows them; `pinwarden context add` makes one.",
        )
    return found[name]


def _as_variables(context: Context, environ: Mapping[str, str]) -> dict[str, str]:
    """Return *context* as variables; one whose twin the environment has is left to that."""
    twins = {
        name: name.removesuffix("_file") if name.endswith("url_file") else f"{name}_file" for name in context.values
    }
    return {
        TABLE.variable(name): str(value).lower() if isinstance(value, bool) else value
        for name, value in context.values.items()
        if TABLE.variable(twins[name]) not in environ
    }


def read_token(file: Path) -> str:
    """Return the token in *file*; ConfigError when it cannot be read, and when others could read it too."""
    try:
        facts = file.stat()
        content = file.read_text("ascii").strip()
    except OSError as error:
        raise ConfigError(f"token file {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"token file {file} holds no token", expected="pw_<id>_<secret>") from None
    if facts.st_mode & 0o077:
        raise ConfigError(
            f"token file {file} is open to others",
            expected="mode 0600",
            got=f"mode {facts.st_mode & 0o777:04o}",
            hint="Close it by chmod 600, and have the token replaced if others use this machine.",
        )
    return content
