"""Two of three people, three key files, the installed command in processes of its own, and a real server."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pinwarden import PinClient
from tests.server.http.conftest import Running

if TYPE_CHECKING:
    from conftest import Person, Town


def test_a_change_goes_from_an_editor_over_two_people_to_a_client(
    town: "Town", start: Callable[[], Running], tmp_path: Path
) -> None:
    running = start()
    root = tmp_path / "root.json"
    root.write_bytes(town.root_json)
    draft = running.draft("live", "spare", reason="first pins")
    proposed = running.ask("PUT", "/admin/v1/pinsets/payments", body=draft, If_None_Match="*")
    number = json.loads(proposed.data)["id"]
    assert proposed.status == 202
    approver = {"role": "approver", "names": ["payments*"], "lifetime_seconds": 3600, "label": "people"}
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(json.loads(running.ask("POST", "/admin/v1/tokens", body=approver).data)["token"])

    def sign(person: "Person") -> subprocess.CompletedProcess[str]:
        environ = {
            **os.environ,
            "PINWARDEN_OPS_URL": running.url,
            "PINWARDEN_OPS_TOKEN_FILE": str(token),
            "PINWARDEN_OPS_ROOT": str(root),
            "PINWARDEN_OPS_STATE_DIR": str(person.key_file.parent / "seen"),
        }
        own = ["--key", person.uri, "--passphrase-file", str(person.passphrase_file)]
        command = [str(Path(sys.executable).with_name("pinwarden")), "change", "sign", str(number), *own]
        return subprocess.run(command, input="1.1\n", capture_output=True, text=True, env=environ, timeout=60)

    client = PinClient(running.url, pinset="payments", root=root, cache=tmp_path / "cache")
    first = sign(town.people[2])
    assert first.returncode == 5, first.stderr
    assert running.fetch("/v1/bundles/payments/1").status == 404
    second = sign(town.people[0])
    assert (second.returncode, second.stdout) == (0, f"change {number}, payments 1.1: published, 2 of 2\n")
    status = client.refresh()
    client.close()
    assert (status.epoch, status.version, str(status.state)) == (1, 1, "fresh")
    for person in town.people:
        assert person.key_file.read_text() not in second.stderr + running.log
    assert running.log.count("Traceback") == 0
