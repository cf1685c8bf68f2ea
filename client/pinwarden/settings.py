"""
Every setting of an application that is pinned, as one table: ``from_env()``, the commands, their help texts and
docs/settings.md come from it.

It may import ``settings_table`` and errors. It makes no client and judges no value that PinClient judges.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pinwarden.errors import ConfigError
from pinwarden.settings_table import Setting, SettingsTable, choice, number, path, switch, text, texts

REQUIRED = ("url", "pinset", "root")


def _cache(value: Any) -> str | Path:
    """Parse a folder, or the URL of a cache."""
    return text(value) if "://" in text(value) else path(value)


def _servers(value: Any) -> str | tuple[str, ...]:
    """Parse one address, or several of one server: separated by commas in a text, a list in a settings file."""
    listed = texts(value) if type(value) in (list, tuple) or "," in text(value) else (text(value),)
    return listed[0] if len(listed) == 1 else listed


TABLE = SettingsTable(
    "PINWARDEN_",
    (
        Setting(
            "url",
            _servers,
            None,
            "Address of the pin server, https://pins.example.com; or up to four of them, separated by commas, of which "
            "the next is asked when one fails.",
            may_be_secret=True,
        ),
        Setting("pinset", text, None, "Name of the pin set."),
        Setting("root", path, None, "File with the authority's root, root.json, that the application brings along."),
        Setting(
            "cache",
            _cache,
            None,
            "Folder or Redis URL that keeps accepted documents for the next start; default: $XDG_STATE_HOME/pinwarden, "
            "else memory.",
            may_be_secret=True,
        ),
        Setting("bootstrap", path, None, "File with a bundle, so that the first start needs no network."),
        Setting(
            "unpinned",
            choice("allow", "refuse"),
            "allow",
            "What happens to hosts that the pin set does not cover: allow or refuse.",
        ),
        Setting(
            "when_empty",
            choice("refuse", "platform"),
            "refuse",
            "What happens while no pin set is trusted: refuse, or platform, which lets ordinary CA checks decide, so "
            "that whoever blocks the first fetch switches pinning off.",
        ),
        Setting("ca_file", path, None, "PEM file with the CAs that may certify the pin server; default: the system's."),
        Setting("allow_http", switch, False, "Accept an http address of the pin server beyond this machine."),
        Setting("poll_seconds", number(0.1, 86_400), 300, "Mean time between refreshes."),
        Setting(
            "telemetry", switch, True, "Tell the pin server a random number for this process, which counts processes."
        ),
        Setting("reports", switch, True, "Send failure reports where the pin set names an address for them."),
        Setting(
            "report_certificates", switch, False, "Send certificates in them too, with the names of devices and people."
        ),
    ),
    listed_by="pinwarden run --help",
    foreign=("SERVER_", "KEYS_", "OPS_", "FAILPOINT"),
)


def sdk_settings(
    environ: Mapping[str, str] = os.environ, *, config: Path | None = None, given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """
    Return the arguments of PinClient that settings name.

    Args:
        environ: ``PINWARDEN_<NAME>`` each; ``PINWARDEN_CONFIG`` names a TOML file with the same names in lower case.
        config: that file, when the variable should not decide.
        given: values that win over both.

    Raises:
        ConfigError: a setting is missing, unknown or impossible.
    """
    values = TABLE.read(environ, config=config, given=given)
    missing = [name for name in REQUIRED if values[name] is None]
    if missing:
        raise ConfigError(
            f"{_listed(missing)} {'is' if len(missing) == 1 else 'are'} not set",
            hint=f"Set {_listed([TABLE.variable(name) for name in missing])}, or {_listed(missing)} in the file that "
            f"{TABLE.config_variable} names; on the command line, {_listed([f'--{name}' for name in missing])}.",
        )
    if values["ca_file"] is not None:
        values["ca_file"] = str(values["ca_file"])
    return values


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
