"""The units for systemd: understood by this systemd, and closed to what server and signer process do not need."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "deploy/systemd"
# `systemd-analyze security` rates exposure from 0 to 10: the server has 1.4, for its network alone, and the signer
# process 0.5, for seeing which user asks.
MOST_EXPOSURE = {"pinwarden.service": 1.5, "pinwarden-signer.service": 0.6}
PROGRAMS = {"pinwarden.service": "gunicorn", "pinwarden-signer.service": "pinwarden"}


@pytest.fixture(params=MOST_EXPOSURE)
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Each shipped unit with the program of this environment: systemd looks whether it is there."""
    text, program = (UNITS / request.param).read_text(), PROGRAMS[request.param]
    shipped = f"ExecStart=/opt/pinwarden/bin/{program} "
    assert text.count(shipped) == 1
    here = tmp_path / request.param
    here.write_text(text.replace(shipped, f"ExecStart={Path(sys.executable).parent / program} "))
    return here


@pytest.fixture
def analyze(program: Callable[[str], Path]) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run systemd-analyze, which needs no running systemd for this."""
    found = program("systemd-analyze")
    return lambda *words: subprocess.run([str(found), *words], capture_output=True, text=True, timeout=60)


def test_systemd_understands_every_line(analyze, unit: Path):
    verified = analyze("verify", "--man=no", str(unit))
    assert (verified.returncode, [line for line in verified.stderr.splitlines() if unit.name in line]) == (0, [])


def test_every_unit_is_here():
    assert {path.name for path in UNITS.iterdir()} == MOST_EXPOSURE.keys()


def test_each_is_shut_off_from_what_it_does_not_need(analyze, unit: Path):
    most = MOST_EXPOSURE[unit.name]
    command = ("security", "--offline=yes", "--no-pager", f"--threshold={round(most * 10)}")
    rated = analyze(*command, str(unit))
    assert rated.returncode == 0, rated.stdout
    (exposure,) = re.findall(rf"Overall exposure level for {unit.name}: ([0-9.]+)", rated.stdout)
    assert float(exposure) <= most
    assert analyze(*command[:-1], "--threshold=1", str(unit)).returncode != 0  # the threshold is really looked at


def test_the_signer_process_has_no_network_and_sees_which_user_asks():
    lines = (UNITS / "pinwarden-signer.service").read_text().splitlines()
    assert {"PrivateNetwork=yes", "RestrictAddressFamilies=AF_UNIX", "User=pinwarden-signer"} <= set(lines)
    assert [line for line in lines if line.startswith("PrivateUsers=")] == []  # users would all look like one
