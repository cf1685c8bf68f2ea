"""
Every setting of the operator's commands, as one table.

It may import ``pinwarden.settings_table``. The token is never a setting, only the name of its file.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pinwarden.errors import ConfigError
from pinwarden.settings_table import Setting, SettingsTable, path, switch, text

TABLE = SettingsTable(
    "PINWARDEN_OPS_",
    (
        Setting("url", text, None, "Address of the admin API, https://pins.example.com:8443.", may_be_secret=True),
        Setting("token_file", path, None, "File (0600) with your admin token."),
        Setting("ca_file", path, None, "PEM file with the CAs that may certify the server; default: the system's."),
        Setting("root", path, None, "Your own copy of the authority's root.json, by which changes are judged."),
        Setting("pins_url", text, None, "Where applications fetch, when that is another address.", may_be_secret=True),
        Setting("state_dir", path, None, "Folder that remembers which versions this machine has seen."),
        Setting("allow_http", switch, False, "Accept an http address beyond this machine; the token travels in clear."),
    ),
    listed_by="pinwarden change --help",
)


def ops_settings(environ: Mapping[str, str] = os.environ, *, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """
    Return every setting; those that :class:`AdminClient` needs are there.

    Args:
        environ: ``PINWARDEN_OPS_<NAME>`` each; ``PINWARDEN_OPS_CONFIG`` names a TOML file with the same names.
        given: what the command line says; it wins.

    Raises:
        ConfigError: a setting is missing, unknown or impossible.
    """
    values = TABLE.read(environ, given=given)
    missing = [name for name in ("url", "token_file") if values[name] is None]
    if missing:
        names = " and ".join(TABLE.variable(name) for name in missing)
        options = " and ".join({"url": "--server", "token_file": "--token-file"}[name] for name in missing)
        raise ConfigError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set",
            hint=f"Set {names}, or give {options}.",
        )
    return values


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
