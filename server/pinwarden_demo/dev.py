"""
The workbench of `pinwarden dev`: a pin server, one pinned TLS host, an impostor of it, and lines to paste.

It may import the parts of the demo but neither the stage nor the steps. Everything listens on loopback; what it started
ends with the block, and a temporary folder goes with it.
"""

import fcntl
import json
import os
import shlex
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinwarden.strict_json import encode_base64
from pinwarden.testing.certificates import PrivateCA, new_key, pin_of_key
from pinwarden_demo.environment import closing_undisturbed, temporary_folder
from pinwarden_demo.errors import CannotStart
from pinwarden_demo.names import LOOPBACK
from pinwarden_demo.peers import Service
from pinwarden_demo.pin_server import PinServer
from pinwarden_demo.wire import Wire

PINSET, HOST = "dev", "localhost"


@dataclass(frozen=True, slots=True)
class Workbench:
    """
    What there is.

    Attributes:
        host_url, impostor_url: the pinned host, and one that shows another key under the same name and CA.
        pin: base64 pin of the host's key.
        version: of the pin set that was published.
        is_temporary: the folder goes when this ends.
    """

    folder: Path
    server: PinServer
    host_url: str
    impostor_url: str
    pin: str
    version: str
    is_temporary: bool

    @property
    def ca_file(self) -> Path:
        """The private CA that certifies both TLS hosts."""
        return self.folder / "ca.pem"

    @property
    def python(self) -> list[str]:
        """Three lines that work when pasted into Python."""
        url, root, cache, ca, host = (
            json.dumps(str(one))
            for one in (
                self.server.url,
                self.server.installation.root_json,
                self.folder / "cache",
                self.ca_file,
                self.host_url,
            )
        )
        return [
            "import httpx, pinwarden, ssl",
            f'pins = pinwarden.PinClient({url}, pinset="{PINSET}", root={root}, cache={cache})',
            f"print(httpx.get({host}, verify=pins.ssl_context(ssl.create_default_context(cafile={ca}))).text)",
        ]

    @property
    def curl(self) -> str:
        """A shell line: the same pin, enforced by curl."""
        pin = f"sha256//{self.pin}"
        return shlex.join(["curl", "-sS", "--cacert", str(self.ca_file), "--pinnedpubkey", pin, self.host_url])

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "pin_server": self.server.url,
            "server_pid": self.server.pid,
            "pinset": PINSET,
            "version": self.version,
            "root_json": str(self.server.installation.root_json),
            "admin_token_file": str(self.server.installation.admin_token),
            "host": self.host_url,
            "impostor": self.impostor_url,
            "ca_file": str(self.ca_file),
            "folder": str(self.folder),
            "python": self.python,
            "curl": self.curl,
        }

    def text(self) -> str:
        """Return everything for people; long lines stay whole, so that they can be copied."""
        rows = [
            ("pin server", self.server.url),
            ("root.json", self.server.installation.root_json),
            ("admin token", f"{self.server.installation.admin_token} (a file; mind who reads it)"),
            ("TLS host", f"{self.host_url}  its key is pinned in pin set {PINSET!r}, version {self.version}"),
            ("impostor", f"{self.impostor_url}  same name and CA, another key: refused under pins"),
        ]
        ending = (
            "Ctrl-C ends it and removes the folder." if self.is_temporary else f"Ctrl-C ends it; {self.folder} stays."
        )
        return "\n".join(
            [
                "Pinwarden dev: a pin server with a throw-away authority, on this machine alone.",
                "",
                *(f"  {name:<12} {value}" for name, value in rows),
                "",
                "Paste into Python, then try the impostor's address in the last line:",
                "",
                *self.python,
                "",
                "The same pin in curl:",
                "",
                self.curl,
                "",
                ending,
            ]
        )


@contextmanager
def open_workbench(folder: Path | None, port: int) -> Iterator[Workbench]:
    """
    Start everything in *folder*, or in a temporary one, and stop it when the block ends.

    Args:
        folder: goes on from what an earlier call left there; the TLS host gets new keys, which are published.
        port: of the pin server; 0 for a free one.

    Raises:
        CannotStart: a part did not start; what had started is stopped.
    """
    with closing_undisturbed() as exits:
        _check_free(port)
        place = _place(folder, exits)
        server = PinServer(place / "server")
        exits.callback(server.stop)
        server.start(port=port)
        ca = PrivateCA("Pinwarden dev CA")
        (place / "ca.pem").write_bytes(ca.pem)
        host, impostor = ca.issue(HOST), ca.issue(HOST)
        wires = [Wire(Service(identity)) for identity in (host, impostor)]
        for wire in wires:
            exits.callback(wire.close)
        server.wait()
        yield Workbench(
            folder=place,
            server=server,
            host_url=f"https://{HOST}:{wires[0].port}/",
            impostor_url=f"https://{HOST}:{wires[1].port}/",
            pin=encode_base64(host.pin),
            version=_publish(server, host.pin),
            is_temporary=folder is None,
        )


def _check_free(port: int) -> None:
    """Return when *port* can be bound; gunicorn would try again for seconds before it says so."""
    try:
        socket.create_server((LOOPBACK, port)).close()
    except OSError as error:
        hint = "Choose another one, or leave --port out for a free one."
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise CannotStart(f"port {port} cannot be used: {reason}", hint=hint) from error


def _place(folder: Path | None, exits: ExitStack) -> Path:
    """Return the folder, ready and ours alone until *exits* end."""
    place = temporary_folder("pinwarden-dev-", exits, keep=False) if folder is None else folder.absolute()
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = exits.enter_context((place / "lock").open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        hint = "Stop the other one, or choose another folder."
        raise CannotStart(f"another `pinwarden dev` uses {place}", hint=hint) from error
    except OSError as error:
        raise CannotStart(f"folder {place} cannot be used: {error.strerror}") from error
    return place


def _publish(server: PinServer, pin: bytes) -> str:
    """Pin the host to *pin*, with a backup key that nobody keeps; return the version."""
    backup = pin_of_key(new_key())
    pins, backups = ([{"sha256": encode_base64(one)}] for one in (pin, backup))
    # Each start has new keys, so whoever holds what an earlier one published is locked out until it refreshes.
    anew = {"force": ["PIN009"], "reason": "each start of `pinwarden dev` makes its TLS keys anew"}
    draft = {"hosts": [{"host": HOST, "pins": pins, "backups": backups}], **anew}
    answer = server.put(PINSET, draft, replaces=server.current(PINSET))
    if answer.etag is None:
        raise CannotStart("the pin server refused the pin set", got=f"{answer.status} {answer.body.get('detail', '')}")
    return answer.etag.strip('"')
