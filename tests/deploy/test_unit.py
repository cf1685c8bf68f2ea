"""The unit for systemd: understood by this systemd, and closed to what the server does not need."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "deploy/systemd/pinwarden.service"
# `systemd-analyze security` rates exposure from 0 to 10; the server has 1.4, for its network alone.
MOST_EXPOSURE = 1.5


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The shipped unit with the program of this environment: systemd looks whether it is there."""
    text = UNIT.read_text()
    shipped = "ExecStart=/opt/pinwarden/bin/gunicorn "
    assert text.count(shipped) == 1
    here = tmp_path / UNIT.name
    here.write_text(text.replace(shipped, f"ExecStart={Path(sys.executable).parent / 'gunicorn'} "))
    return here


@pytest.fixture
def analyze(program: Callable[[str], Path]) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run systemd-analyze, which needs no running systemd for this."""
    found = program("systemd-analyze")
    return lambda *words: subprocess.run([str(found), *words], capture_output=True, text=True, timeout=60)


def test_systemd_understands_every_line(analyze, unit: Path):
    verified = analyze("verify", "--man=no", str(unit))
    assert (verified.returncode, [line for line in verified.stderr.splitlines() if UNIT.name in line]) == (0, [])


def test_the_server_is_shut_off_from_what_it_does_not_need(analyze, unit: Path):
    command = ("security", "--offline=yes", "--no-pager", f"--threshold={round(MOST_EXPOSURE * 10)}")
    rated = analyze(*command, str(unit))
    assert rated.returncode == 0, rated.stdout
    (exposure,) = re.findall(r"Overall exposure level for pinwarden.service: ([0-9.]+)", rated.stdout)
    assert float(exposure) <= MOST_EXPOSURE
    assert analyze(*command[:-1], "--threshold=1", str(unit)).returncode != 0  # the threshold is really looked at
