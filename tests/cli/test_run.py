"""``run``: real programs in real processes, against a TLS server that counts what reaches it."""

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pinwarden

HOOK = Path(pinwarden.__file__).parent / "run_hook"
WRONG, BACKUP = b"1" * 32, b"2" * 32

# What an application does: it knows nothing of pins.
APPLICATION = """
import http.client, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
connection = http.client.HTTPSConnection(sys.argv[1], context=context)
connection.request("GET", "/secret")
print(connection.getresponse().read().decode())
"""
PARENT = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, *sys.argv[1:]], cwd='/'))"


@pytest.fixture
def application(tmp_path: Path, tls_server: Any) -> list[str]:
    """The words that start the application."""
    path = tmp_path / "app.py"
    path.write_text(APPLICATION)
    return [str(path), tls_server.target, str(tls_server.ca_file)]


@pytest.fixture
def run(command: Any, tmp_path: Path) -> Any:
    """Return a function that runs words under ``pinwarden run`` in a process."""
    return lambda *words, **environ: command.process("run", "--", *words, cwd=tmp_path, **environ)


def test_a_program_with_the_right_pin_runs_as_it_is(
    run: Any, publish: Any, tls_server: Any, application: list[str]
) -> None:
    publish({"localhost": [tls_server.leaf_pin, BACKUP]})
    ended = run(sys.executable, *application)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "hi\n", "")
    assert tls_server.stop()[0].startswith(b"GET /secret HTTP/1.1\r\n")


def test_with_a_wrong_pin_no_byte_leaves_the_program_nor_its_child(
    run: Any, publish: Any, tls_server: Any, application: list[str]
) -> None:
    publish({"localhost": [WRONG, BACKUP]})
    for words in (application, ["-c", PARENT, *application]):
        ended = run(sys.executable, *words)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert "PinMismatchError: no key of localhost is pinned" in ended.stderr
    assert set(tls_server.stop()) <= {b""}


def test_the_first_connection_on_an_event_loop_finds_pins_already(
    run: Any, publish: Any, tls_server: Any, tmp_path: Path
) -> None:
    publish({"localhost": [tls_server.leaf_pin, BACKUP]})
    host, port = tls_server.target.split(":")
    program = (
        "import asyncio, ssl\n"
        "async def main():\n"
        f"    context = ssl.create_default_context(cafile={str(tls_server.ca_file)!r})\n"
        f"    reader, writer = await asyncio.open_connection({host!r}, {port}, ssl=context)\n"
        "    writer.write(b'GET')\n"
        "    print((await reader.read()).decode()[-2:])\n"
        "asyncio.run(main())\n"
    )
    ended = run(sys.executable, "-c", program)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "hi\n", "")


def test_the_settings_mean_the_same_in_a_child_that_runs_elsewhere(
    command: Any, publish: Any, tls_server: Any, application: list[str], tmp_path: Path
) -> None:
    publish({"localhost": [tls_server.leaf_pin, BACKUP]})
    config = tmp_path / "pinwarden.toml"
    config.write_text(f'url = "{command.environ.pop("PINWARDEN_URL")}"\npinset = "app"\n')
    command.environ |= {"PINWARDEN_ROOT": "root.json", "PINWARDEN_CACHE": "cache"}
    words = ["--config", "pinwarden.toml", "--", sys.executable, "-c", PARENT, *application]
    ended = command.process("run", *words, cwd=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "hi\n", "")
    assert len(list((tmp_path / "cache").glob("*.json"))) == 1


def test_while_nothing_is_trusted_every_connection_is_refused(
    run: Any, tls_server: Any, application: list[str]
) -> None:
    ended = run(sys.executable, *application)
    assert ended.returncode == 1
    assert ended.stderr.startswith("warning: pinwarden: no pins could be fetched yet: ")
    assert "PinsUnavailableError: no pin set" in ended.stderr
    assert set(tls_server.stop()) <= {b""}


def test_a_program_of_a_founded_folder_takes_nothing_else_from_the_environment(
    command: Any, publish: Any, tls_server: Any, application: list[str], tmp_path: Path
) -> None:
    publish({"localhost": [tls_server.leaf_pin, BACKUP]})
    assert command("--state-dir", tmp_path / "client", "init", tmp_path / "root.json").exit_code == 0
    elsewhere = {"PINWARDEN_URL": "http://127.0.0.1:1", "PINWARDEN_ROOT": "missing.json"}
    words = ["--state-dir", "client", "run", "--", sys.executable, *application]
    ended = command.process(*words, cwd=tmp_path, **elsewhere)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "hi\n", "")


def test_a_broken_root_ends_the_process_with_three_before_its_first_line(
    run: Any, tls_server: Any, application: list[str], tmp_path: Path
) -> None:
    (tmp_path / "root.json").write_bytes(b"garbage")
    (tmp_path / "app.py").write_text("print('ran')\n" + APPLICATION)
    ended = run(sys.executable, *application)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.startswith(
        f"error: pinwarden run: {sys.executable} cannot be pinned, so it ends: the root that"
    )
    assert tls_server.stop() == []


@pytest.mark.parametrize(
    ("sdk", "told"),
    [
        ("raise KeyboardInterrupt", "it ends: KeyboardInterrupt"),
        ("raise SystemExit(0)", "it ends: 0"),
        ("raise ImportError('no nacl')", "it ends: no nacl; is pinwarden installed for this Python?"),
        ("class startup: pass", "it ends: type object 'startup' has no attribute 'pin_this_process'"),
        ("raise RecursionError", "it ends: RecursionError"),
    ],
)
def test_whatever_goes_wrong_in_the_hook_ends_the_process(command: Any, tmp_path: Path, sdk: str, told: str) -> None:
    (tmp_path / "pinwarden.py").write_text(sdk)
    environ = {**os.environ, "PYTHONPATH": f"{HOOK}{os.pathsep}{tmp_path}"}
    ended = subprocess.run([sys.executable, "-c", "print('ran')"], env=environ, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert told in ended.stderr


def test_no_python_passes_the_hook_by_a_syntax_error() -> None:
    """Site ignores a sitecustomize that it cannot read, so the hook must be readable for Python 2 as well."""
    newer = (ast.JoinedStr, ast.AnnAssign, ast.FunctionDef, ast.NamedExpr, ast.Match, ast.Starred)
    tree = ast.parse((HOOK / "sitecustomize.py").read_text("ascii"))
    assert [node for node in ast.walk(tree) if isinstance(node, newer)] == []
    assert [path.name for path in HOOK.iterdir() if path.name != "__pycache__"] == ["sitecustomize.py"]


def test_the_next_sitecustomize_still_runs_and_finds_itself_pinned(run: Any, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "sitecustomize.py").write_text(
        "import ssl; print(ssl.create_default_context().sslsocket_class.__name__, flush=True)"
    )
    ended = run(sys.executable, "-c", "import sitecustomize; print(sitecustomize.__file__)", PYTHONPATH=str(other))
    # The command itself is Python too: its own start prints the first line.
    assert ended.stdout.splitlines() == ["SSLSocket", "PinnedSSLSocket", str(other / "sitecustomize.py")]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((sys.executable, "-c", "raise SystemExit(7)"), 7),
        ((sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), 128 + signal.SIGKILL),
        # -I behind -c belongs to the program; -W and -X take a word.
        ((sys.executable, "-W", "ignore", "-X", "dev", "-c", "import sys; sys.exit(sys.argv[1] != '-I')", "-I"), 0),
    ],
)
def test_the_exit_code_is_the_programs(run: Any, words: tuple[str, ...], code: int) -> None:
    assert run(*words).returncode == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_reaches_the_program_and_its_exit_code_comes_back(
    command: Any, tmp_path: Path, number: signal.Signals
) -> None:
    program = (
        "import signal, sys, time\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(23))\n"
        "print('ready', flush=True)\n"
        "time.sleep(30)\n"
    )
    started = command.words("run", "--", sys.executable, "-c", program)
    with subprocess.Popen(
        **started, cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.wait(20) == 23


def test_a_program_that_is_not_python_runs_and_its_python_children_are_pinned(run: Any, tmp_path: Path) -> None:
    ended = run("sh", "-c", f'"{sys.executable}" -c "import ssl; print(ssl.SSLContext(16).sslsocket_class.__name__)"')
    assert (ended.returncode, ended.stdout) == (0, "PinnedSSLSocket\n")
    note = "note: sh is not a Python program: only Python processes that it starts are pinned"
    assert ended.stderr.splitlines()[0] == note


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["-I"], "isolated (-I)"),
        (["-E"], "ignoring PYTHONPATH (-E)"),
        (["-S"], "without site (-S)"),
        (["-sE"], "ignoring PYTHONPATH (-E)"),
        (["-B", "-W", "ignore", "-I"], "isolated (-I)"),
        (["-Xdev", "-uI"], "isolated (-I)"),
        (["--check-hash-based-pycs", "never", "-S"], "without site (-S)"),
    ],
)
def test_a_python_that_would_ignore_the_hook_is_not_started(
    command: Any, tmp_path: Path, options: list[str], told: str
) -> None:
    script = tmp_path / "tool"
    script.write_text(f"#!{sys.executable} {' '.join(options)}\nopen('ran', 'w')\n")
    script.chmod(0o755)
    for words in ([sys.executable, *options, "-c", "open('ran', 'w')"], [str(script)]):
        ended = command("run", "--", *words)
        assert (ended.exit_code, ended.stdout) == (2, "")
        assert ended.stderr.startswith(f"error: {words[0]} would run Python {told}, and so without pins\n")


def test_a_script_found_through_env_is_looked_at_too(command: Any, tmp_path: Path) -> None:
    script = tmp_path / "tool"
    script.write_text("#!/usr/bin/env -S python3 -I\n")
    script.chmod(0o755)
    ended = command("run", "--", script)
    assert (ended.exit_code, "would run Python isolated (-I)" in ended.stderr) == (2, True)


def test_a_script_that_stands_in_for_python_hides_no_option(command: Any, tmp_path: Path) -> None:
    shim = tmp_path / "python3"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    shim.chmod(0o755)
    ended = command("run", "--", shim, "-B", "-I", "-c", "pass")
    assert (ended.exit_code, "would run Python isolated (-I)" in ended.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "error: Missing argument 'CMD [ARGS]...'."),
        (["--"], "error: Missing argument 'CMD [ARGS]...'."),
        (["--", "no-such-program"], "error: 'no-such-program' is no program that can be run"),
        (["--", "."], "error: '.' is no program that can be run"),
    ],
)
def test_no_program_is_two(command: Any, words: list[str], sentence: str) -> None:
    ended = command("run", *words)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.startswith(sentence)


def test_a_sub_interpreter_is_pinned_or_ends_the_program(run: Any, publish: Any) -> None:
    publish({"localhost": [WRONG, BACKUP]})
    module = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
    program = (
        f"import {module} as interpreters\n"
        "one = interpreters.create()\n"
        "interpreters.run_string(one, 'import ssl; print(ssl.SSLContext(16).sslsocket_class.__name__, flush=True)')\n"
    )
    ended = run(sys.executable, "-c", program)
    if sys.version_info < (3, 12):
        assert (ended.returncode, ended.stdout) == (0, "PinnedSSLSocket\n")
    else:
        assert (ended.returncode, ended.stdout) == (3, "")
        assert "a program that makes sub-interpreters cannot be pinned as a whole" in ended.stderr
