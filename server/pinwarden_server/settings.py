"""
Every setting of the server, as one table: parsing, ``server settings`` and docs/server.md come from it.

It may import ``pinwarden.settings_table`` and ``oidc_rules``, which parse, and errors. No secret is a setting, only the
name of its file.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pinwarden.address import check_address
from pinwarden.errors import ConfigError
from pinwarden.settings_table import Setting, SettingsTable, absolute_path, choice, integer, switch, text, texts
from pinwarden_server.oidc_rules import OidcRule, oidc_rules

DAY = 24 * 3600
MAX_APPROVALS = 9


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one server, all present; see :data:`TABLE` for their meaning."""

    data_dir: Path
    database_url: str
    tree_dir: Path
    run_dir: Path
    bind: tuple[str, ...]
    tls_terminated_in_front: bool
    workers: int
    threads: int
    signers: tuple[str, ...]
    passphrase_file: Path | None
    metrics_token_file: Path | None
    admin_url: str | None
    wrong_attempts_per_minute: int
    session_lifetime_seconds: int
    step_up_seconds: int
    oidc: tuple[OidcRule, ...]
    oidc_ca_file: Path | None
    own_hosts: tuple[str, ...]
    pinset_lifetime_seconds: int
    timestamp_lifetime_seconds: int
    approvals_required_default: int
    renewal_interval_seconds: int
    checkpoint_interval_seconds: int
    shutdown_seconds: int
    log_level: str


def load_settings(
    environ: Mapping[str, str] = os.environ, *, config: Path | None = None, checked: bool = True
) -> Settings:
    """
    Return the settings of *environ* over those of the TOML file *config* over the defaults.

    Args:
        environ: ``PINWARDEN_SERVER_<NAME>`` each; ``PINWARDEN_SERVER_CONFIG`` names the file when *config* does not.
        checked: refuse settings with which no server may start; the doctor looks at those too.

    Raises:
        ConfigError: an unknown name, an impossible value, a file that cannot be read; the first one found.
    """
    values = TABLE.read(environ, config=config)
    values["database_url"] = values["database_url"] or f"sqlite:///{values['data_dir'] / 'pinwarden.db'}"
    for name, below in (("tree_dir", "published"), ("run_dir", "run")):
        values[name] = values[name] or values["data_dir"] / below
    settings = Settings(**values)
    return _checked(settings) if checked else settings


def is_loopback(address: str) -> bool:
    """Tell whether a bind address can only be reached from this machine; a Unix socket is."""
    host = address.rpartition(":")[0].strip("[]")
    return address.startswith("unix:") or host in ("127.0.0.1", "localhost", "::1")


def shown(settings: Settings) -> dict[str, object]:
    """Return the settings in effect as JSON values; the password inside a database URL is left out."""
    values = {field.name: _as_json(getattr(settings, field.name)) for field in fields(settings)}
    values["database_url"] = re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", settings.database_url)
    return values


def _as_json(value: Any) -> object:
    if isinstance(value, OidcRule):
        return value.to_json()
    if isinstance(value, tuple):
        return [_as_json(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def _checked(settings: Settings) -> Settings:
    open_to_others = [address for address in settings.bind if not is_loopback(address)]
    if open_to_others and not settings.tls_terminated_in_front:
        raise ConfigError(
            "the server would listen beyond this machine without TLS: admin tokens would travel in the clear",
            expected="a loopback address or a Unix socket",
            got=", ".join(open_to_others),
            hint="Put a TLS proxy in front and set tls_terminated_in_front = true, or bind to 127.0.0.1.",
        )
    if settings.oidc and find_spec("joserfc") is None:
        raise ConfigError(
            "the setting oidc needs the Python module joserfc, which is not installed",
            hint="pip install 'pinwarden[oidc]'",
        )
    return settings


def _admin_url(value: Any) -> str:
    try:
        check_address(text(value), allow_http=False)
    except ConfigError as error:
        raise ValueError(error.expected or "https://HOST") from None
    return text(value).rstrip("/")


def _addresses(value: Any) -> tuple[str, ...]:
    addresses = texts(value)
    if not addresses or not all(re.fullmatch(r"unix:/.+|.+:[0-9]{1,5}", address) for address in addresses):
        raise ValueError("HOST:NUMBER or unix:/PATH, one or more")
    return addresses


TABLE = SettingsTable(
    "PINWARDEN_SERVER_",
    (
        Setting("data_dir", absolute_path, "/var/lib/pinwarden", "Folder of everything the server keeps."),
        Setting("database_url", text, None, "Database; default: SQLite, pinwarden.db in data_dir.", may_be_secret=True),
        Setting("tree_dir", absolute_path, None, "Folder of the published files; default: published in data_dir."),
        Setting(
            "run_dir",
            absolute_path,
            None,
            "Folder of what ends with the process, on a local disk; default: run in data_dir.",
        ),
        Setting("bind", _addresses, "127.0.0.1:8750", "Addresses to listen on: HOST:NUMBER or unix:/PATH."),
        Setting(
            "tls_terminated_in_front",
            switch,
            False,
            "Promises that a TLS proxy stands in front; without it, only loopback and Unix sockets are bound.",
        ),
        Setting("workers", integer(1, 64), 2, "Worker processes."),
        Setting("threads", integer(1, 64), 4, "Threads of each worker; more than 4 slow the slowest answers."),
        Setting("signers", texts, (), "URIs of timestamp and pin-set keys: file:, pkcs11:, awskms:, vault: or unix:."),
        Setting("passphrase_file", absolute_path, None, "File (0600) with the passphrase of the key files."),
        Setting(
            "metrics_token_file",
            absolute_path,
            None,
            "File (0600) with a token for /metrics and /statusz alone, which works while the database is away.",
        ),
        Setting(
            "admin_url", _admin_url, None, "Address that people reach the admin side by, for one-time links; see bind."
        ),
        Setting(
            "wrong_attempts_per_minute",
            integer(1, 100_000),
            10,
            "Wrong tokens, links and passwords from one address, before they are answered with 429.",
        ),
        Setting("session_lifetime_seconds", integer(300, 7 * DAY), 8 * 3600, "Lifetime of what a person logs in to."),
        Setting(
            "step_up_seconds",
            integer(0, DAY),
            900,
            "How recent a person's login must be to publish, or to hand out rights; 0: as old as it may be.",
        ),
        Setting("oidc", oidc_rules, (), "Which jobs may exchange an ID token for a session; see docs/rights.md."),
        Setting(
            "oidc_ca_file",
            absolute_path,
            None,
            "PEM file with the CAs that may certify OIDC issuers; default: the system's.",
        ),
        Setting(
            "own_hosts", texts, (), "Public names of this pin server; pin sets that pin them are refused (PIN008)."
        ),
        Setting("pinset_lifetime_seconds", integer(3600, 90 * DAY), 30 * DAY, "Lifetime of pin sets that name none."),
        Setting("timestamp_lifetime_seconds", integer(600, 7 * DAY), 3 * DAY, "Lifetime of timestamps."),
        Setting(
            "approvals_required_default",
            integer(0, MAX_APPROVALS),
            0,
            "Approvals that a new pin set requires from its first version on; afterwards each has a number of its own.",
        ),
        Setting("renewal_interval_seconds", integer(1, 3600), 60, "How often a worker looks for what is due."),
        Setting(
            "checkpoint_interval_seconds",
            integer(60, 7 * DAY),
            3600,
            "How often the end of the audit log is signed, when rows were added; after a new root at once.",
        ),
        Setting("shutdown_seconds", integer(1, 600), 30, "How long requests under way may take after SIGTERM."),
        Setting("log_level", choice("debug", "info", "warning", "error"), "info", "Least severity that is logged."),
    ),
    listed_by="pinwarden server settings --table",
)
CONFIG_VARIABLE = TABLE.config_variable
