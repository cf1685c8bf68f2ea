"""
The stage: one folder with a pin server, two services, their interceptors and the clients, and the end of all of them.

It may import every part of the demo but the steps. Whatever it starts it also stops, in reverse order, however the
demo ends.
"""

import logging
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pinwarden import PinClient
from pinwarden.spki import pin_of
from pinwarden.strict_json import encode_base64
from pinwarden.testing.certificates import Identity, PrivateCA
from pinwarden_demo.client_process import Application, ClientProcess
from pinwarden_demo.environment import closing_undisturbed, temporary_folder
from pinwarden_demo.names import ZONE, names_on_loopback
from pinwarden_demo.peers import Interceptor, Service
from pinwarden_demo.pin_server import Answer, PinServer
from pinwarden_demo.wire import Wire

PINSET = "shop"
HOSTS = ("payments", "orders")


@dataclass
class Host:
    """
    One service under its name, with the wire that leads to it and the interceptor that may be put in its place.

    Attributes:
        backup: a key in reserve, with the certificate that it will have.
        pins, backups: what the next publication says about this host.
    """

    name: str
    service: Service
    wire: Wire
    interceptor: Interceptor
    backup: Identity
    pins: list[bytes] = field(default_factory=list)
    backups: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where applications call it."""
        return f"https://{self.name}:{self.wire.port}/"

    def entry(self) -> dict[str, Any]:
        """Return the host as a PUT says it."""
        pins, backups = ([{"sha256": encode_base64(pin)} for pin in some] for some in (self.pins, self.backups))
        return {"host": self.name, "pins": pins, "backups": backups}


class Stage:
    """
    Everything that the steps play with.

    Attributes:
        etag: of the pin set's version in force, None before the first publication.
        pins: the client that lives as long as the demo, with a disk cache.
    """

    def __init__(self, folder: Path, exits: ExitStack) -> None:
        self.folder = folder
        self._exits = exits
        self.server = PinServer(folder / "server")
        exits.callback(self.server.kill)  # its folder goes too, so nothing in it is worth a graceful end
        self.server.start()
        self.ca = PrivateCA("Demo company CA")
        self.proxy_ca = PrivateCA("Interception proxy CA")
        self.trusted = folder / "trusted-cas.pem"
        self.trusted.write_bytes(self.ca.pem + self.proxy_ca.pem)
        self.payments, self.orders = (self._host(f"{name}{ZONE}") for name in HOSTS)
        self.hosts = (self.payments, self.orders)
        self.etag: str | None = None
        self.server.wait()
        self.application = Application(
            url=self.server.url,
            pinset=PINSET,
            root=str(self.server.installation.root_json),
            cache=str(folder / "cache"),
            trusted=str(self.trusted),
        )
        self.pins = self.client()

    @property
    def authority(self) -> str:
        """The id of the throw-away authority."""
        return self.pins.status().authority

    @property
    def version(self) -> str:
        """The version of the pin set in force on the server, "1.3"; empty before the first publication."""
        return (self.etag or "").strip('"')

    def client(self, **changes: Any) -> PinClient:
        """Return a client of the application's set-up, with *changes*; it is closed with the stage."""
        pins = self.application.client(**changes)
        self._exits.callback(pins.close)
        return pins

    def context(self) -> ssl.SSLContext:
        """Return a client context that trusts both CAs, as the machine of a company would; it knows no pins."""
        return ssl.create_default_context(cafile=str(self.trusted))

    def process(self, application: Application | None = None) -> ClientProcess:
        """Start a client process; it ends with the block that it is used in."""
        return ClientProcess(application or self.application, self.folder / "clients.log")

    def publish(self, *, token: str | None = None, hosts: list[dict[str, Any]] | None = None) -> Answer:
        """Publish *hosts*, or what the hosts say about themselves; the answer may be a refusal."""
        draft = {"hosts": hosts if hosts is not None else [host.entry() for host in self.hosts]}
        answer = self.server.put(PINSET, draft, replaces=self.etag, token=token)
        self.etag = answer.etag or self.etag
        return answer

    def probe(self, host: Host) -> bytes:
        """Return the pin of the key that *host* presents now, after an ordinary validation of its chain and name."""
        with host.wire.connected() as line, self.context().wrap_socket(line, server_hostname=host.name) as secured:
            certificate = secured.getpeercert(binary_form=True)
        return pin_of(certificate or b"")

    def _host(self, name: str) -> Host:
        trust = ssl.create_default_context(cadata=self.ca.pem.decode())
        service = Service(self.ca.issue(name))
        interceptor = Interceptor(self.proxy_ca.issue(name), name, service, trust)
        wire = Wire(service)
        self._exits.callback(wire.close)
        return Host(name, service, wire, interceptor, self.ca.issue(name))


@contextmanager
def open_stage(*, keep: bool) -> Iterator[Stage]:
    """
    Set everything up in a new temporary folder, and take it down when the block ends.

    Args:
        keep: leave the folder, for whoever wants to look at it; the processes end all the same.

    Raises:
        CannotStart: a part did not start; what had started is stopped.
    """
    with closing_undisturbed() as exits:
        folder = temporary_folder("pinwarden-demo-", exits, keep=keep)
        exits.enter_context(_log_into(folder / "client.log"))
        exits.enter_context(names_on_loopback())
        yield Stage(folder, exits)


@contextmanager
def _log_into(file: Path) -> Iterator[None]:
    """Send what the SDK logs here to *file*: every refusal is logged, and the story tells them in its own order."""
    log = logging.getLogger("pinwarden")
    target, propagated = logging.FileHandler(file), log.propagate
    log.addHandler(target)
    log.propagate = False
    try:
        yield
    finally:
        log.propagate = propagated
        log.removeHandler(target)
        target.close()
