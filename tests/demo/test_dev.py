"""The workbench: what it prints works as printed, and Ctrl-C ends it cleanly."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any


def run_python(lines: list[str]) -> subprocess.CompletedProcess[str]:
    """Run *lines* as someone who pasted them would."""
    return subprocess.run([sys.executable, "-P", "-c", "\n".join(lines)], capture_output=True, text=True, timeout=60)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def begin(start: Any, *arguments: str) -> tuple[Any, dict[str, Any]]:
    """Start the workbench and return it with what it printed."""
    begun = start("dev", "--json", *arguments)
    return begun, json.loads(begun.line_with("{"))


def test_the_pasted_lines_reach_the_host_and_refuse_its_impostor(start, program):
    begun, shown = begin(start)
    curl = str(program("curl"))
    paragraph = (Path(__file__).parents[2] / "docs" / "demo.md").read_text("utf-8").rpartition("The JSON has ")[2]
    assert re.findall(r"`([a-z_]+)`", paragraph.partition("\n\n")[0]) == list(shown)
    assert len(shown["python"]) == 3
    modes = {name: Path(shown[name]).stat().st_mode & 0o077 for name in ("admin_token_file", "root_json", "ca_file")}
    assert modes == {"admin_token_file": 0, "root_json": 0o044, "ca_file": 0o044}
    right = run_python(shown["python"])
    assert (right.returncode, right.stderr) == (0, "")
    assert right.stdout.startswith("hello from localhost")
    turned = [line.replace(shown["host"], shown["impostor"]) for line in shown["python"]]
    wrong = run_python(turned)
    assert wrong.returncode == 1
    assert "httpx.ConnectError: no key of localhost is pinned: expected one of " in wrong.stderr
    line = [curl, *shlex.split(shown["curl"])[1:]]
    answers = [
        subprocess.run([*line[:-1], url], capture_output=True, text=True, timeout=60)
        for url in (shown["host"], shown["impostor"])
    ]
    assert [answer.returncode for answer in answers] == [0, 90]  # 90: the key is not the pinned one
    assert answers[0].stdout.startswith("hello from localhost")
    begun.interrupt()
    done = begun.finish()
    assert (done.code, done.err.strip()) == (0, "Stopped.")
    assert begun.remains() == []


def test_the_text_holds_the_same_lines_whole(start):
    begun = start("dev")
    first = begun.line_with("import ")
    lines = [first, *(begun.process.stdout.readline() for _ in range(2))]
    assert begun.process.stdout.readline() == "\n"
    assert run_python([line.rstrip("\n") for line in lines]).stdout.startswith("hello from localhost")
    ending = begun.line_with("Ctrl-C")
    assert ending == "Ctrl-C ends it and removes the folder.\n"
    begun.interrupt(signal.SIGTERM)
    assert begun.finish().code == 0
    assert begun.remains() == []


def test_a_kept_folder_goes_on_at_a_chosen_port_with_the_same_authority_and_the_next_version(start, tmp_path):
    folder = tmp_path / "kept"
    seen = []
    for arguments in ([], ["--port", str(free_port())]):
        begun, shown = begin(start, "--folder", str(folder), *arguments)
        seen.append((Path(shown["root_json"]).read_bytes(), shown["version"]))
        assert run_python(shown["python"]).stdout.startswith("hello from localhost")
        if arguments:
            assert shown["pin_server"] == f"http://127.0.0.1:{arguments[1]}"
        begun.interrupt()
        assert begun.finish().code == 0
        assert begun.remains() == []
    assert [version for _, version in seen] == ["1.1", "1.2"]
    assert seen[0][0] == seen[1][0]


def test_a_port_that_is_taken_is_refused_at_once(start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = start("dev", "--port", str(port)).finish()
    assert (refused.code, refused.out) == (3, "")
    assert refused.err.startswith(f"error: port {port} cannot be used: Address already in use.")


def test_a_folder_that_cannot_be_made_is_refused(start, tmp_path):
    (tmp_path / "file").write_text("")
    done = start("dev", "--folder", str(tmp_path / "file" / "below")).finish()
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith(f"error: folder {tmp_path / 'file' / 'below'} cannot be used: Not a directory.")


def test_a_folder_that_another_workbench_uses_is_refused_and_left_alone(start, tmp_path):
    folder = tmp_path / "kept"
    begun, shown = begin(start, "--folder", str(folder))
    second = start("dev", "--folder", str(folder)).finish()
    assert (second.code, second.out) == (3, "")
    assert second.err.startswith(f"error: another `pinwarden dev` uses {folder}.\nhint: ")
    assert run_python(shown["python"]).stdout.startswith("hello from localhost")
    begun.interrupt()
    assert begun.finish().code == 0


def test_a_server_that_dies_ends_the_workbench(start):
    begun, shown = begin(start)
    os.kill(shown["server_pid"], signal.SIGTERM)
    done = begun.finish()
    assert done.code == 3
    assert done.err.startswith("error: the pin server ended by itself: ")
    assert begun.remains() == []
