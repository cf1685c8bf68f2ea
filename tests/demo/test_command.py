"""The demo as a command: what it prints, how it ends, what it leaves behind."""

import os
import pty
import re
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from pinwarden_demo import pin_server
from pinwarden_demo.cli import demo as demo_command
from pinwarden_demo.sabotage import SABOTAGES
from pinwarden_demo.steps import STEPS

ESCAPE = "\x1b"


def test_the_story_is_plain_text_within_100_columns_when_piped(demo):
    done = demo("--only", "interceptor")
    assert (done.code, done.err) == (0, "")
    assert ESCAPE not in done.out
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 100
    assert [line for line in lines if line != line.rstrip()] == []
    assert re.search(
        r"^  - Without pins: 4 of 4 calls passed through it unnoticed; it read \d{3} bytes\.$", done.out, re.MULTILINE
    )
    rows = [line.split() for line in lines if line.startswith(("publish ", "interceptor "))]
    assert [(row[0], row[1], row[4:6]) for row in rows] == [
        ("publish", "held", ["0", "B"]),
        ("interceptor", "held", ["0", "B"]),
    ]
    assert re.fullmatch(r"2 of 2 steps held in \d+\.\d s\. Everything was stopped and removed\.", lines[-1])


def test_every_row_of_the_table_fits_a_line():
    assert max(len(step.promise) for step in STEPS) <= 57


def test_a_sabotaged_step_is_announced_and_its_contradictions_are_named(demo):
    done = demo("--sabotage", "publish")
    assert done.code == 1
    assert f"! Sabotaged on purpose: {SABOTAGES['publish']}." in done.out
    assert "  ! Expected, and not so: the stranger's publication was refused.\n" in done.out
    assert re.search(r"^  DID NOT HOLD \(sabotaged\), \d+\.\d\d s$", done.out, re.MULTILINE)
    assert "Not played, because publish did not hold: libraries, interceptor, tampered," in done.out
    assert "\n0 of 9 steps held in " in done.out


def test_a_terminal_gets_colours(tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    ours, theirs = pty.openpty()
    environ = {**os.environ, "TMPDIR": str(folder), "TERM": "xterm-256color", "NO_COLOR": ""}
    command = [sys.executable, "-P", "-m", "pinwarden_demo", "demo", "--only", "publish"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # how Linux says that the other end is closed
        pass
    finally:
        os.close(ours)
    assert process.wait() == 0
    assert b"\x1b[32mheld\x1b[0m" in shown
    assert b"\x1b[1;32m1 of 1 steps held\x1b[0m" in shown


def test_keep_leaves_the_folder_and_says_where_it_is(demo):
    done = demo("--only", "publish", "--keep", "--json")
    assert done.code == 0
    (kept,) = done.folder.iterdir()
    assert done.report["folder"] == str(kept)
    assert {"server", "cache", "client.log", "trusted-cas.pem"} <= {file.name for file in kept.iterdir()}
    private = [kept, kept / "server", *kept.glob("*.pem"), kept / "server" / "admin.token"]
    public = kept / "trusted-cas.pem"
    assert {file.name: oct(file.stat().st_mode & 0o077) for file in private if file != public} == {
        file.name: "0o0" for file in private if file != public
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupted_demo_stops_everything_and_removes_it(start, number):
    begun = start("demo", "--only", "rotation")
    begun.line_with("2 rotation")
    begun.interrupt(number)
    done = begun.finish()
    assert (done.code, done.err.strip()) == (130, "Interrupted; everything was stopped.")
    assert begun.remains() == []


def test_an_interruption_while_parts_start_leaves_nothing_either(start):
    begun = start("demo")
    begun.line_with("Pinwarden demo")
    begun.interrupt()
    assert begun.finish().code == 130
    assert begun.remains() == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sabotage", "everything"], "Invalid value for '--sabotage'"),
        (["--only", "nothing"], "Invalid value for '--only'"),
        (["--sabotage", "outage", "--only", "restart"], "--sabotage outage is not among the steps that --only names"),
        (["--sabotage"], "requires an argument"),
    ],
)
def test_wrong_usage_ends_with_2_before_anything_starts(demo, arguments, said):
    done = demo(*arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_a_missing_package_is_named_with_the_extra_that_brings_it(start):
    program = "import sys; sys.modules['aiohttp'] = None; from pinwarden_demo.cli import demo; demo()"
    begun = start(command=[sys.executable, "-P", "-c", program])
    done = begun.finish()
    assert (done.code, done.out) == (3, "")
    assert done.err.splitlines() == [
        "error: the demo needs packages that are not installed: aiohttp.",
        "hint: pip install 'pinwarden[demo]' brings them.",
    ]


def test_a_server_that_ends_at_once_is_reported_with_its_last_words(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(pin_server, "_COMMAND", (sys.executable, "-c", "raise SystemExit('the disk is on fire')"))
    done = CliRunner().invoke(demo_command, ["--only", "publish"])
    assert done.exit_code == 3
    assert "error: the pin server ended at once: the disk is on fire." in done.stderr
    assert "hint: To read its whole log, give `demo` the option --keep" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_needs_nothing_that_the_extra_brings():
    program = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({['rich', 'requests', 'httpx', 'aiohttp', 'flask', 'sqlalchemy']!r}))\n"
        "from pinwarden_demo.cli import demo\n"
        "demo(['--help'])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Steps: publish, libraries, interceptor, tampered," in done.stdout
