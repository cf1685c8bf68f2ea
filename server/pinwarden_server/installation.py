"""
What ``server init`` puts on the disk: settings, keys, database, first token, and the root when there is one.

It may import the keys' package and the use cases. It never overwrites a file, never makes a root key except for
development, and can be repeated: what is there already stays as it is.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pinwarden.errors import ConfigError, PinwardenError
from pinwarden.strict_json import encode_base64
from pinwarden_keys import (
    LIGHT_KDF,
    file_uri,
    found_authority,
    generate_passphrase,
    passphrase_file,
    read_key_file,
    write_key_file,
    write_passphrase_file,
)
from pinwarden_keys.files import write_new
from pinwarden_server.auth import Role, issue_token
from pinwarden_server.checkpoints import make_checkpoint
from pinwarden_server.errors import InstallationRefused, SignerUnavailable, SigningRefused
from pinwarden_server.founding import found
from pinwarden_server.node import open_site
from pinwarden_server.settings import Settings, load_settings
from pinwarden_server.site import Act
from pinwarden_server.store import migrate
from pinwarden_server.token_drafts import TokenDraft

ACTOR = "system:init"
FIRST_TOKEN_LIFETIME = timedelta(days=90)
OWN_KEYS = ("timestamp", "pinset")


@dataclass(frozen=True, slots=True)
class Installation:
    """
    The files of one server, all below *folder*.

    Attributes:
        folder: mode 0700 when it is made here.
    """

    folder: Path

    @property
    def config(self) -> Path:
        """The settings, mode 0600."""
        return self.folder / "server.toml"

    @property
    def keys(self) -> Path:
        """Folder of the key files and of their passphrase."""
        return self.folder / "keys"

    @property
    def passphrase(self) -> Path:
        """The file that unseals every key here."""
        return self.keys / "passphrase"

    @property
    def admin_token(self) -> Path:
        """The first token, mode 0600; to be deleted once others exist."""
        return self.folder / "admin.token"

    @property
    def root_json(self) -> Path:
        """The root that applications embed."""
        return self.folder / "root.json"

    def key(self, name: str) -> Path:
        """Return the key file of *name*."""
        return self.keys / f"{name}.key"

    def settings(self) -> Settings:
        """Return the settings of this installation alone; the environment does not change where init writes."""
        return load_settings({}, config=self.config)


def init_production(
    folder: Path, *, bind: str | None, root_json: bytes | None, now: datetime, database_url_file: Path | None = None
) -> Installation:
    """
    Make what a production server needs, or what of it is missing; found it when *root_json* is given.

    The root itself comes from a ceremony: whoever holds this machine must not hold the authority.

    Args:
        database_url_file: absolute name of the file with the address of a PostgreSQL; None: SQLite in *folder*.

    Raises:
        ConfigError, KeysError, InstallationRefused: what was made so far stays and is taken up at the next call.
    """
    installation = _laid_out(folder, bind, database_url_file)
    passphrase = _passphrase(installation)
    for name in OWN_KEYS:
        if not installation.key(name).exists():
            write_key_file(installation.key(name), os.urandom(32), passphrase, label=name, kdf=LIGHT_KDF)
    _finish(installation, root_json, now)
    return installation


def init_development(
    folder: Path,
    *,
    bind: str | None,
    label: str,
    now: datetime,
    entropy: Callable[[int], bytes] = os.urandom,
    database_url_file: Path | None = None,
) -> Installation:
    """
    Found a throw-away authority whose root key lies beside the others, and everything that serves it.

    Raises:
        InstallationRefused: there is an installation already: keys of two authorities would be mixed.
        CeremonyError: an impossible *label*.
    """
    if Installation(folder).config.exists():
        raise InstallationRefused(
            f"{folder} holds an installation already",
            holds="It was not touched.",
            hint="Choose another folder, or delete this one yourself.",
        )
    founding = found_authority(label, now=now, entropy=entropy)
    installation = _laid_out(folder, bind, database_url_file)
    passphrase = _passphrase(installation)
    seeds = {"root": founding.root_seeds[0], "timestamp": founding.timestamp_seed, "pinset": founding.pinset_seed}
    for name, seed in seeds.items():
        write_key_file(installation.key(name), seed, passphrase, label=name, kdf=LIGHT_KDF)
    _finish(installation, founding.root_json, now)
    return installation


def plan_lines(installation: Installation) -> list[str]:
    """Return the lines of a root plan that name this server's own keys, for the ceremony."""
    lines = ["[keys]"]
    for name in OWN_KEYS:
        lines.append(f'{name} = "{encode_base64(read_key_file(installation.key(name)).public)}"')
    return lines


def _laid_out(folder: Path, bind: str | None, database_url_file: Path | None) -> Installation:
    installation = Installation(folder.absolute())
    for made in (installation.folder, installation.keys):
        try:
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"folder {made} cannot be made: {error.strerror}") from None
    if not installation.config.exists():
        text = _config_text(installation, bind, database_url_file).encode("utf-8")
        write_new(installation.config, text, what="settings file")
    elif database_url_file is not None and _quoted(str(database_url_file)) not in installation.config.read_text():
        raise InstallationRefused(f"{installation.config} names another database", hint="Change the file instead.")
    elif bind is not None and bind not in installation.settings().bind:
        raise InstallationRefused(
            f"{installation.config} names another address", hint="Change the file instead.", got=bind
        )
    return installation


def _config_text(installation: Installation, bind: str | None, database_url_file: Path | None) -> str:
    signers = ", ".join(_quoted(file_uri(installation.key(name))) for name in OWN_KEYS)
    lines = [
        "# Settings of a Pinwarden server; `pinwarden server settings --table` explains each.",
        f"data_dir = {_quoted(str(installation.folder))}",
        *([f"database_url_file = {_quoted(str(database_url_file))}"] if database_url_file else []),
        *([f"bind = [{_quoted(bind)}]"] if bind else []),
        f"signers = [{signers}]",
        f"passphrase_file = {_quoted(str(installation.passphrase))}",
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    if not escaped.isprintable():
        raise ConfigError("a path in server.toml has unprintable characters", got=repr(text))
    return f'"{escaped}"'


def _passphrase(installation: Installation) -> bytes:
    if not installation.passphrase.exists():
        if any(installation.keys.glob("*.key")):
            raise InstallationRefused(
                f"{installation.passphrase} is missing, and the keys beside it are sealed",
                holds="Nothing was written.",
                hint="Put the passphrase back for this call: a new one would open none of these keys.",
            )
        write_passphrase_file(installation.passphrase, generate_passphrase(os.urandom))
    return passphrase_file(installation.passphrase)()


def _finish(installation: Installation, root_json: bytes | None, now: datetime) -> None:
    settings = installation.settings()
    migrate(settings.database_url)
    settings.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    site = open_site(settings, with_signers=root_json is not None)
    try:
        if root_json is not None:
            found(site, root_json, Act(ACTOR, now))
            if not installation.root_json.exists():
                write_new(installation.root_json, root_json, mode=0o644, what="root")
        if not installation.admin_token.exists():
            draft = TokenDraft(Role.ADMIN, int(FIRST_TOKEN_LIFETIME.total_seconds()), label="first token, made by init")
            issued = issue_token(site.store, draft, Act(ACTOR, now))
            if issued.token is None:
                raise PinwardenError("the first token was made before and cannot be shown again")
            write_new(installation.admin_token, issued.token.encode() + b"\n", what="token file")
        # The log can be held against its beginning from the first day on. Where a key is away, the renewer tries again,
        # and says why it cannot.
        with suppress(SignerUnavailable, SigningRefused):
            make_checkpoint(site, now)
    finally:
        site.signers.close()
        site.store.close()
