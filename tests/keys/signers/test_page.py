"""``docs/signers.md`` against the program: its set-up runs, its rights suffice and are needed, its tables are whole."""

import json
import os
import pty
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from pinwarden_keys import signer_aws, signer_vault, signer_worker
from pinwarden_keys.signer import EXTRAS, SCHEMES, open_signer
from pinwarden_keys.signer_pkcs11_uri import KEY_ATTRIBUTES, QUERY_ATTRIBUTES, TOKEN_ATTRIBUTES, parse
from tests.docs.pages import REPOSITORY, blocks
from tests.keys.signers.kms import REGION
from tests.keys.signers.softhsm import PIN, SO_PIN

PAGE = REPOSITORY / "docs/signers.md"
TEXT = PAGE.read_text("utf-8")
EXAMPLES = re.findall(r"^    ([a-z0-9]+:\S+)$", TEXT, re.MULTILINE)


def section(scheme):
    return re.search(rf"^## {scheme}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)[1]


def type_into(command, answers, environment):
    """Run *command* on a terminal of its own and type one line for each prompt."""
    here, there = pty.openpty()
    with subprocess.Popen(
        command, shell=True, stdin=there, stdout=there, stderr=there, env=environment, start_new_session=True
    ) as process:
        os.close(there)
        said = b""
        for answer in answers:
            while not said.rstrip().endswith(b":"):
                said += os.read(here, 1024)
            os.write(here, answer.encode() + b"\n")
            said = b""
        assert process.wait(60) == 0
    os.close(here)


def test_the_set_up_of_softhsm_runs_as_it_stands_and_ends_with_a_key_that_is_shown(softhsm, tmp_path):
    for folder in softhsm.tokens.iterdir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    places = {"/usr/lib/softhsm/libsofthsm2.so": softhsm.module, "/etc/pinwarden/pin": str(softhsm.pin_file)}

    def local(code):
        for there, here in places.items():
            code = code.replace(there, here)
        return code

    make_token, show = blocks(PAGE, "sh")[:2]
    (make_pair,) = blocks(PAGE, "python")
    type_into(make_token, [SO_PIN, SO_PIN, PIN, PIN], softhsm.environment())
    done = subprocess.run(
        [sys.executable, "-c", local(make_pair)], env=softhsm.environment(), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    softhsm.restart()
    environment = {**softhsm.environment(), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    shown = subprocess.run(local(show), shell=True, env=environment, capture_output=True, text=True, timeout=60)
    assert (shown.returncode, shown.stderr) == (0, "")
    example = next(uri for uri in EXAMPLES if uri.startswith("pkcs11:"))
    assert example in show
    with closing(open_signer(local(example))) as signer:
        assert f"keyid   {signer.keyid}\n" in shown.stdout
        assert f"uri     {local(example)}\n" in shown.stdout


def test_the_rights_for_kms_are_those_that_a_signer_uses(kms):
    (policy,) = blocks(PAGE, "json")
    (statement,) = json.loads(policy)["Statement"]
    with closing(open_signer(f"awskms:alias/timestamp?region={REGION}")) as signer:
        signer.sign(b"m")
    assert sorted(statement["Action"]) == sorted({f"kms:{operation}" for operation in kms.operations})
    assert f"awskms:{statement['Resource']}" in EXAMPLES


def test_the_rights_in_vault_are_those_that_a_signer_uses(vault):
    (policy,) = blocks(PAGE, "hcl")
    granted = dict(re.findall(r'path "([^"]+)" \{\s*capabilities = \["([a-z]+)"\]\s*\}', policy))
    with closing(open_signer(vault.uri())) as signer:
        signer.sign(b"m")
    verbs = {"GET": "read", "POST": "update"}
    used = {request.path.removeprefix("/v1/"): verbs[request.method] for request in vault.web.requests}
    assert granted == used


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_has_its_section_an_example_its_extra_and_what_a_theft_means(scheme):
    assert any(uri.startswith(f"{scheme}:") for uri in EXAMPLES)
    assert "*Stolen with*" in section(scheme)
    row = next(line for line in TEXT.splitlines() if line.startswith(f"| [`{scheme}:`](#{scheme}) |"))
    extra = EXTRAS.get(scheme)
    assert (f"| `{extra}` |" if extra else "| none |") in row
    assert (f"'.[{extra}]'" in section(scheme)) == (extra is not None)


@pytest.mark.parametrize(
    ("scheme", "parameters"),
    [
        ("pkcs11", (*TOKEN_ATTRIBUTES, *KEY_ATTRIBUTES, *QUERY_ATTRIBUTES)),
        ("vault", signer_vault.PARAMETERS),
    ],
)
def test_every_parameter_of_a_uri_is_in_the_table_of_its_scheme_and_no_other(scheme, parameters):
    cells = re.findall(r"^\| (`[^|]+) \|", section(scheme), re.MULTILINE)
    named = re.findall(r"`([a-z-]+)`", " ".join(cells))
    assert sorted(named) == sorted(parameters)


def test_the_limits_are_those_of_the_program():
    assert f"{signer_aws.MAX_MESSAGE_BYTES:,} bytes a message" in section("awskms")
    assert f"everything up to {signer_vault.MAX_MESSAGE_BYTES // 1024**2} MiB" in TEXT
    assert f"A keeper gets {signer_worker.ANSWER_SECONDS:g} seconds" in TEXT


def test_the_example_of_a_pkcs11_uri_means_what_the_page_says():
    address = parse(next(uri for uri in EXAMPLES if uri.startswith("pkcs11:")))
    assert (dict(address.token), address.label) == ({"token": "pinwarden"}, "timestamp")
    assert str(address.pin_file) == "/etc/pinwarden/pin"
