"""A server whose keys lie in a signer process: a real installation, whose settings name the socket and nothing else."""

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinwarden.envelope import PINSET_TYPE, pae
from pinwarden_keys.signer_file import SoftwareSigner
from pinwarden_server.installation import Installation, init_production
from tests.server.http.conftest import Clock, Service, serving
from tests.signer.safe import PINS, STAMP, Safe


def found_house(folder: Path, safe: Safe, *, now: Any) -> Installation:
    """Make a server as ``init`` makes it, point it at the running process of *safe*, and found it."""
    made = init_production(folder, bind="127.0.0.1:0", root_json=None, now=now)
    signers = ", ".join(f'"{safe.uri(key)}"' for key in (STAMP, PINS))
    text = re.sub(r"(?m)^signers = .*$", f"signers = [{signers}]", made.config.read_text())
    made.config.write_text(re.sub(r"(?m)^passphrase_file = .*\n", "", text))
    for name in ("timestamp", "pinset"):
        made.key(name).unlink()
    # The keys and their passphrase are gone; what is left of `init` only founds.
    return _founded(folder, safe, now)


def _founded(folder: Path, safe: Safe, now: Any) -> Installation:
    for path in (folder / "keys").iterdir():
        path.unlink()
    made = init_production(folder, bind=None, root_json=safe.root, now=now)
    for name in ("timestamp", "pinset"):
        made.key(name).unlink()
    return made


@dataclass
class House(Service):
    """The application on that installation, with what tests of approvals do most."""

    def propose(self, *words: str, name: str = "payments", base: str | None = None, **fields: Any) -> int:
        """PUT a draft that people have to approve, and return the number of the change."""
        conditions = {"If_Match": f'"{base}"'} if base else {"If_None_Match": "*"}
        answer = self.ask("PUT", f"/admin/v1/pinsets/{name}", body=self.draft(*words, **fields), **conditions)
        assert answer.status_code == 202, answer.text
        return int(answer.json["id"])

    def change(self, number: int) -> dict[str, Any]:
        answer = self.ask("GET", f"/admin/v1/changes/{number}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json)

    def payload(self, number: int) -> bytes:
        return base64.b64decode(self.change(number)["payload"])

    def approve(self, number: int, *people: SoftwareSigner, payload: bytes | None = None) -> Any:
        """Let *people* sign what the server shows, one after the other, and return the last answer."""
        answer = None
        for person in people:
            sig = person.sign(pae(PINSET_TYPE, payload or self.payload(number)))
            body = {"keyid": person.keyid, "sig": base64.b64encode(sig).decode()}
            answer = self.ask("POST", f"/admin/v1/changes/{number}/signatures", body=body)
        return answer


@contextmanager
def house_of(installation: Installation, clock: Clock) -> Iterator[House]:
    """Yield the application on *installation* under *clock*."""
    with serving(installation, now=clock()) as service:
        service.node.clock = clock
        service.node.renewer._clock = clock
        yield House(service.installation, service.app, clock, service.admin)
