"""The page about the signer process, command by command, with a real server and a real client at its end."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pinwarden import PinClient
from pinwarden.documents import Grant, Role, TimestampRole
from pinwarden.strict_json import encode_base64
from pinwarden_keys import read_key_file
from pinwarden_keys.ceremony import Roles, assemble, first_root, keyed, sign_draft
from pinwarden_keys.ceremony_files import RootDraft
from pinwarden_server.installation import Installation, init_production
from tests.docs.pages import REPOSITORY, blocks
from tests.server.http.conftest import Running
from tests.signer.safe import DAY, OWNER

PAGE = REPOSITORY / "docs/signer-process.md"
PINWARDEN = str(Path(sys.executable).with_name("pinwarden"))
PEOPLE = ("alice", "bob", "carol")


def commands(folder: Path) -> list[tuple[list[str], int]]:
    """Return the words of every command of the page with the exit code that it promises, below *folder*."""
    lines = [line.strip() for block in blocks(PAGE, "sh") for line in block.splitlines()]
    return [
        (
            shlex.split(placed(line, folder), comments=True)[1:],
            int((re.findall(r"# exit code (\d)", line) or ["0"])[0]),
        )
        for line in lines
        if line.startswith("pinwarden ")
    ]


def placed(text: str, folder: Path) -> str:
    """Return *text* with the folders of the page below *folder*."""
    return re.sub(r"/(etc|run|var/lib)/pinwarden-signer", rf"{folder}/\1", text)


def run(words: list[str], folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    typed = "1.1\n" if words[:2] == ["change", "sign"] else ""
    environ = {**os.environ, **environment}
    return subprocess.run(
        [PINWARDEN, *words], input=typed, capture_output=True, text=True, cwd=folder, env=environ, timeout=60
    )


def hold_ceremony(folder: Path, now: datetime) -> bytes:
    """Return root 1, which names the keys that the page's commands made."""
    owners = keyed([OWNER.public])
    stamps, pins = (keyed([read_key_file(folder / f"etc/{name}.key").public]) for name in ("timestamp", "pinset"))
    roles = Roles(
        Role(tuple(owners), 1, owners),
        TimestampRole(tuple(stamps), 1, stamps, 1, 7 * DAY),
        (Grant(tuple(pins), 1, pins, 1, 90 * DAY, ("payments*",)),),
    )
    root = first_root("runbook-00c0ffee00c0ffee", roles, now=now, lifetime=timedelta(days=365))
    draft = RootDraft(root.encode(), None, {})
    return assemble(draft, [sign_draft(draft, OWNER)]).to_bytes()


def write_settings(folder: Path, root_json: bytes) -> None:
    """Write the page's settings with the keys of these people."""
    (text,) = blocks(PAGE, "toml")
    text = placed(text, folder).replace('callers = ["pinwarden"]', "callers = []")
    for name in PEOPLE:
        public = encode_base64(read_key_file(folder / f"{name}.key").public)
        text = re.sub(rf'(?m)^{name} = ".*"$', f'{name} = "{public}"', text)
    (folder / "etc/signer.toml").write_text(text)
    (folder / "etc/root.json").write_bytes(root_json)
    for file in ("etc/signer.toml", "etc/root.json"):
        (folder / file).chmod(0o644)


@contextmanager
def started(words: list[str], folder: Path) -> Iterator[None]:
    """Run the command of the process itself, until the block ends."""
    log = folder / "signer.log"
    with log.open("wb") as output, subprocess.Popen([PINWARDEN, *words], stdout=output, stderr=output) as process:
        try:
            deadline = time.monotonic() + 30
            while "listening at" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield
        finally:
            process.terminate()
            assert process.wait(30) == 0


def found_server(folder: Path, uris: list[str], root_json: bytes, now: datetime) -> Installation:
    """Make a server with *uris* in the place of its own key files, which are destroyed, and found it."""
    made = init_production(folder / "server", bind="127.0.0.1:0", root_json=None, now=now)
    text = re.sub(r"(?m)^signers = .*$", f"signers = {json.dumps(uris)}", made.config.read_text())
    made.config.write_text(text)
    init_production(folder / "server", bind=None, root_json=root_json, now=now)
    for name in ("timestamp", "pinset"):
        made.key(name).unlink()
    return made


def test_the_page_can_be_followed_from_the_keys_to_a_renewal_without_people(tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    for name in ("etc", "run", "var/lib"):
        (tmp_path / name).mkdir(parents=True, mode=0o750)
    steps = commands(tmp_path)
    assert [code for words, code in steps if words[0] == "change"] == [5, 5, 0]
    for words, code in steps[:4]:
        for name in PEOPLE if words[2].startswith("alice") else ["alice"]:
            done = run([word.replace("alice", name) for word in words], tmp_path)
            assert done.returncode == code, done.stderr
    root_json = hold_ceremony(tmp_path, now)
    write_settings(tmp_path, root_json)
    (init, show, serve), changes = steps[4:7], steps[7:]
    assert [words[:2] for words, _ in (init, show, serve)] == [["signer", word] for word in ("init", "show", "run")]
    assert run(init[0], tmp_path).returncode == 0
    shown = run(show[0], tmp_path)
    uris = re.findall(r"(?m)^key +(\S+)$", shown.stdout)
    assert len(uris) == 2, shown.stderr
    with started(serve[0], tmp_path):
        server = Running(found_server(tmp_path, uris, root_json, now))
        try:
            environment = settle(server, root_json, tmp_path)
            for words, code in changes:
                done = run(words, tmp_path, **environment)
                assert done.returncode == code, f"{words}: {done.stdout}{done.stderr}"
            check_clients_and_renewal(server, root_json, tmp_path)
        finally:
            server.stop()
        status = run(["signer", "status", "--config", str(tmp_path / "etc/signer.toml")], tmp_path)
        assert json.loads(status.stdout)["refusals"] == {}
    assert server.log.count("Traceback") == 0


def settle(server: Running, root_json: bytes, folder: Path) -> dict[str, str]:
    """Write what each person brings along, and return the variables that name it."""
    (folder / "root.json").write_bytes(root_json)
    body = server.draft("live", "spare", reason="first pins")
    (folder / "payments.json").write_text(json.dumps(body))
    token = folder / "token"
    token.touch(mode=0o600)
    wanted = {"role": "editor", "names": ["payments*"], "lifetime_seconds": 3600}
    token.write_text(json.loads(server.ask("POST", "/admin/v1/tokens", body=wanted).data)["token"])
    return {
        "PINWARDEN_OPS_URL": server.url,
        "PINWARDEN_OPS_TOKEN_FILE": str(token),
        "PINWARDEN_OPS_ROOT": str(folder / "root.json"),
        "PINWARDEN_OPS_STATE_DIR": str(folder / "seen"),
    }


def check_clients_and_renewal(server: Running, root_json: bytes, folder: Path) -> None:
    """Let a client fetch, have the pin set renewed by the server alone, and see that a rollback waits for people."""
    client = PinClient(server.url, pinset="payments", root=root_json, cache=folder / "cache")
    try:
        first = client.refresh()
        assert (first.version, str(first.state)) == (1, "fresh")
        renewed = server.ask("POST", "/admin/v1/pinsets/payments/renewal", body={"reason": "monthly"}, If_Match='"1.1"')
        assert renewed.status == 200, renewed.data
        assert client.refresh().version == 2
        back = {"to": 1, "reason": "try it"}
        rollback = server.ask("POST", "/admin/v1/pinsets/payments/rollback", body=back, If_Match='"1.2"')
        # Whatever it brings back: a rollback is for people to decide.
        assert rollback.status == 202, rollback.data
        assert client.refresh().version == 2
    finally:
        client.close()
