"""The page about signing by people, command by command, against a real server: every exit code is the one it says."""

import json
import os
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from pinwarden.bundle import Bundle
from pinwarden.documents import PinSet, Root
from pinwarden.envelope import ROOT_TYPE, Envelope
from pinwarden.strict_json import encode_base64
from pinwarden_keys import file_uri, open_signer, passphrase_file
from pinwarden_keys.root_plan import EXAMPLE, parse_plan
from pinwarden_server.auth import RIGHTS, Right
from tests.changes.conftest import PEOPLE, Person, found_town
from tests.server.http.conftest import Running

PAGE = (Path(__file__).parents[2] / "docs/signing-by-people.md").read_text("utf-8")
PINWARDEN = str(Path(sys.executable).with_name("pinwarden"))
# What each change would publish, as people type it.
VERSIONS = {"4": "1.1", "9": "1.3"}


def commands() -> list[tuple[list[str], int]]:
    """Return the words of every command of the page with the exit code that it promises, in order."""
    lines = [line.strip() for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    return [
        (shlex.split(line, comments=True), int((re.findall(r"# exit code (\d)", line) or ["0"])[0]))
        for line in lines
        if line.startswith("pinwarden ")
    ]


def run(words: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    typed = f"{VERSIONS.get(words[3], '')}\n" if words[1:3] == ["change", "sign"] else ""
    return subprocess.run(
        [PINWARDEN, *words[1:]],
        input=typed,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        cwd=folder,
        timeout=60,
    )


def test_the_page_can_be_followed_from_the_first_key_to_a_renewal(tmp_path: Path) -> None:
    every = commands()
    making = [words for words, _ in every if words[1] == "keys"]
    assert len(making) == 2
    for name in PEOPLE:
        for words in making:
            done = run([word.replace("alice", name) for word in words], tmp_path)
            assert done.returncode == 0, done.stderr
    people = tuple(person(tmp_path, name) for name in PEOPLE)
    town = found_town(tmp_path, now=datetime.now(UTC).replace(microsecond=0), people=people)
    running = Running(town.installation)
    try:
        environment = settle(running, town.root_json, tmp_path)
        steps = [(words, code) for words, code in every if words[1] == "change"]
        assert [code for _, code in steps] == [5, 0, 0, 5, 0, 5, 0, 5, 5, 0, 5]
        for words, code in steps:
            done = run([filled(word, people) for word in words], tmp_path, **environment)
            assert done.returncode == code, f"{words}: {done.stdout}{done.stderr}"
        pinset = PinSet.parse(Bundle.parse(running.fetch("/v1/bundles/payments/1").data).pinset.payload)
    finally:
        running.stop()
    assert (pinset.version, pinset.hosts[0].host) == (3, "api.example.com")


def filled(word: str, people: tuple[Person, ...]) -> str:
    """Return *word*, or the id of the key that it stands for."""
    return {f"KEYID-OF-{who.name.upper()}": who.keyid for who in people}.get(word, word)


def person(folder: Path, name: str) -> Person:
    """Return the person whose key the page's commands made."""
    key, secret = folder / f"{name}.key", folder / f"{name}.pass"
    signer = open_signer(file_uri(key), passphrase=passphrase_file(secret))
    return Person(name, signer, key, secret)  # type: ignore[arg-type]


def settle(running: Running, root_json: bytes, folder: Path) -> dict[str, str]:
    """Write what each person brings along, and return the variables that the page exports."""
    (folder / "root.json").write_bytes(root_json)
    (draft,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    (folder / "payments.json").write_text(draft)
    body = {"role": "editor", "names": ["payments*"], "lifetime_seconds": 3600}
    token = folder / "pinwarden.token"
    token.touch(mode=0o600)
    token.write_text(json.loads(running.ask("POST", "/admin/v1/tokens", body=body).data)["token"])
    exported = dict(re.findall(r"(?m)^export (PINWARDEN_OPS_\w+)=(\S+)", PAGE))
    assert sorted(exported) == [f"PINWARDEN_OPS_{name}" for name in ("PINS_URL", "ROOT", "TOKEN_FILE", "URL")]
    filled = {name: re.sub(r"https://[\w.:]+", running.url, value) for name, value in exported.items()}
    return {
        "XDG_STATE_HOME": str(folder / "state"),
        **{name: value.replace("$HOME", str(folder)) for name, value in filled.items()},
    }


def test_the_grant_of_the_page_is_the_one_that_these_tests_live_under(tmp_path: Path) -> None:
    town = found_town(tmp_path, now=datetime.now(UTC).replace(microsecond=0))
    (grant,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    plan = EXAMPLE[: EXAMPLE.index("[[pinset]]")] + grant
    for who in town.people:
        plan = re.sub(rf'(?m)^{who.name} = ".*"$', f'{who.name} = "{encode_base64(who.signer.public)}"', plan)
    [planned] = parse_plan(plan.encode(), where="page").roles(None).pinset
    assert planned == Root.parse(Envelope.parse(town.root_json, expect=ROOT_TYPE).payload).pinset[0]


def test_the_right_to_sign_is_documented_as_it_is() -> None:
    (roles,) = re.findall(r"The right `sign` \(([a-z, ]+);", PAGE)
    assert roles.split(", ") == [role.value for role, rights in RIGHTS.items() if Right.SIGN in rights]
