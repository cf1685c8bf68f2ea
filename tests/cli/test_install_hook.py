"""
``install-hook`` in virtual environments: every process pinned whatever its variables are, and nothing foreign touched.
"""

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pinwarden import hook_file

WRONG, BACKUP = b"1" * 32, b"2" * 32
CALL = """
import http.client, ssl, sys
connection = http.client.HTTPSConnection(sys.argv[1], context=ssl.create_default_context(cafile=sys.argv[2]))
try:
    connection.request("GET", "/secret")
    print(connection.getresponse().read().decode())
except ssl.SSLError as error:
    print(type(error).__name__)
"""


@dataclass
class Environment:
    """A virtual environment that has the packages of this one, and its command."""

    folder: Path
    hook: Path
    config: Path

    def run(self, *words: object, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run one of its programs with no variables but *environ*."""
        name, *rest = words
        program = [str(self.folder / "bin" / str(name)), *map(str, rest)]
        return subprocess.run(program, env=environ, cwd=self.folder, capture_output=True, text=True, timeout=60)

    def install(self, *options: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Install the hook by the settings file."""
        return self.run("pinwarden", "install-hook", "--config", self.config, *options, **environ)


@pytest.fixture
def environment(tmp_path: Path, command: Any) -> Environment:
    folder = tmp_path / "venv"
    venv.create(folder, symlinks=True)
    packages = folder / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    (packages / "dependencies.pth").write_text("".join(f"{entry}\n" for entry in sys.path if os.path.isdir(entry)))
    script = folder / "bin" / "pinwarden"
    script.write_text(f"#!{folder}/bin/python\nfrom pinwarden.cli import main\nmain()\n")
    script.chmod(0o755)
    config = tmp_path / "pinwarden.toml"
    names = ("url", "pinset", "root", "cache")
    config.write_text("".join(f'{name} = "{command.environ[f"PINWARDEN_{name.upper()}"]}"\n' for name in names))
    return Environment(folder, packages / hook_file.NAME, config)


@pytest.fixture
def call(environment: Environment, tls_server: Any) -> Any:
    """Return a function that runs the application with options of Python, and returns what it says."""

    def run(*options: str, **environ: str) -> str:
        ended = environment.run("python", *options, "-c", CALL, tls_server.target, tls_server.ca_file, **environ)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    return run


def test_a_process_with_no_variables_at_all_is_pinned(
    environment: Environment, publish: Any, tls_server: Any, call: Any
) -> None:
    publish({"localhost": [WRONG, BACKUP]})
    installed = environment.install()
    assert (installed.returncode, installed.stderr) == (0, "")
    assert installed.stdout.splitlines()[0] == f"hook      {environment.hook}"
    assert not (environment.config.parent / "cache").exists()  # the first process that needs it will own it
    for options in ([], ["-I"], ["-E"], ["-s"]):
        assert call(*options) == "PinMismatchError\n"
    publish({"localhost": [tls_server.leaf_pin, BACKUP]})
    assert environment.run("pinwarden", "refresh", "--config", environment.config).returncode == 0
    assert call() == "hi\n"
    received = tls_server.stop()
    assert [bool(one) for one in received if one] == [True]


def test_removing_it_ends_pinning_and_doing_so_twice_says_so(
    environment: Environment, publish: Any, tls_server: Any, call: Any
) -> None:
    publish({"localhost": [WRONG, BACKUP]})
    environment.install()
    removed = environment.run("pinwarden", "install-hook", "--remove")
    assert (removed.returncode, removed.stdout) == (0, f"removed  {environment.hook}\n")
    assert call() == "hi\n"
    again = environment.run("pinwarden", "install-hook", "--remove")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", f"note: there is no hook at {environment.hook}\n")


def test_a_dry_run_shows_what_it_would_do_and_does_nothing(environment: Environment, publish: Any) -> None:
    publish({"localhost": [WRONG, BACKUP]})
    shown = environment.install("--dry-run")
    assert (shown.returncode, shown.stderr) == (0, f"note: nothing was changed; {environment.hook} would be:\n")
    assert not environment.hook.exists()
    environment.install()
    content = environment.hook.read_text()
    assert shown.stdout == content
    shown = environment.run("pinwarden", "install-hook", "--remove", "--dry-run")
    assert shown.stderr == f"note: nothing was changed; {environment.hook} would be removed\n"
    assert environment.hook.read_text() == content


def foreign_file(hook: Path) -> None:
    hook.write_text("# written by hand\n")


def foreign_link(hook: Path) -> None:
    target = hook.with_name("target")
    target.write_text(hook_file._MARK)
    hook.symlink_to(target)


@pytest.mark.parametrize("put", [foreign_file, foreign_link])
@pytest.mark.parametrize("option", [(), ("--dry-run",), ("--remove",)])
def test_what_somebody_else_put_there_is_neither_overwritten_nor_removed(
    environment: Environment, put: Any, option: tuple[str, ...]
) -> None:
    put(environment.hook)
    before = (environment.hook.is_symlink(), environment.hook.read_bytes())
    refused = environment.install(*option)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(
        f"error: {environment.hook} was not written by pinwarden. Nothing was changed.\nhint: "
    )
    assert (environment.hook.is_symlink(), environment.hook.read_bytes()) == before


def unknown(environment: Environment) -> None:
    environment.config.write_text('pinsett = "app"\n')


def writable(environment: Environment) -> None:
    environment.config.chmod(0o666)


def missing(environment: Environment) -> None:
    environment.config.unlink()


def no_cache(environment: Environment) -> None:
    environment.config.write_text(environment.config.read_text().replace("/cache", "/root.json"))


def broken_root(environment: Environment) -> None:
    (environment.config.parent / "root.json").write_bytes(b"garbage")


@pytest.mark.parametrize(
    ("spoil", "code", "told"),
    [
        (unknown, 2, "has an unknown setting 'pinsett'.\nhint: Did you mean pinset?"),
        (writable, 2, "may be written by everybody, who could choose other pins.\nhint: chmod o-w "),
        (missing, 2, "cannot be read: No such file or directory."),
        (no_cache, 2, "/root.json' is not a folder.\nhint: Give a folder; it is made when it is missing."),
        (broken_root, 1, "the root that this application embeds is unusable: "),
    ],
)
def test_settings_that_would_end_every_process_are_refused_before_anything_is_written(
    environment: Environment, spoil: Any, code: int, told: str
) -> None:
    spoil(environment)
    refused = environment.install()
    assert (refused.returncode, refused.stdout) == (code, "")
    assert told in refused.stderr
    assert not environment.hook.exists()


def test_no_settings_file_is_misuse(environment: Environment) -> None:
    refused = environment.run("pinwarden", "install-hook")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: the settings must stand in a file: give --config or set PINWARDEN_CONFIG")


def test_a_hook_by_which_no_process_could_pin_itself_is_taken_back(
    environment: Environment, publish: Any, tmp_path: Path
) -> None:
    """The command finds the package by PYTHONPATH alone, which a cleaned environment lacks."""
    publish({"localhost": [WRONG, BACKUP]})
    dependencies = environment.hook.with_name("dependencies.pth")
    found = dependencies.read_text()
    dependencies.unlink()
    refused = environment.install(PYTHONPATH=":".join(found.split()))
    assert refused.returncode == 2
    assert "No module named 'pinwarden'" in refused.stderr
    assert "is not pinned: expected exit code 0, got 3. The hook was taken back" in refused.stderr
    assert not environment.hook.exists()


def test_a_working_hook_stands_again_after_a_new_one_failed(
    environment: Environment, publish: Any, tmp_path: Path
) -> None:
    publish({"localhost": [WRONG, BACKUP]})
    assert environment.install().returncode == 0
    before = environment.hook.read_bytes()
    dependencies = environment.hook.with_name("dependencies.pth")
    found = dependencies.read_text()
    dependencies.unlink()
    other = environment.config.with_name("other.toml")
    other.write_bytes(environment.config.read_bytes())
    environment.config = other
    # Without its dependencies the hook that stands ends every process, so this one is started without site.
    script = "import sys; sys.argv = sys.argv[1:]; from pinwarden.cli import main; main()"
    words = ("-S", "-c", script, environment.folder / "bin/pinwarden", "install-hook", "--config", other)
    refused = environment.run("python", *words, PYTHONPATH=":".join(found.split()))
    assert (refused.returncode, "what stood there before stands there again" in refused.stderr) == (2, True)
    assert environment.hook.read_bytes() == before


def test_settings_that_break_later_end_every_process_but_the_command_that_repairs_them(
    environment: Environment, publish: Any
) -> None:
    publish({"localhost": [WRONG, BACKUP]})
    environment.install()
    environment.config.unlink()
    ended = environment.run("python", "-c", "print('ran')")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr == (
        f"error: pinwarden: {environment.folder}/bin/python cannot be pinned, so it ends: settings file "
        f"{environment.config} cannot be read: No such file or directory. ({environment.hook} demands it; without that "
        "file, Python runs unpinned)\n"
    )
    assert environment.run("pinwarden", "install-hook", "--remove").returncode == 0
    assert environment.run("python", "-c", "print('ran')").stdout == "ran\n"


def test_a_program_that_merely_has_the_name_of_the_command_is_pinned(
    environment: Environment, publish: Any, tmp_path: Path
) -> None:
    publish({"localhost": [WRONG, BACKUP]})
    environment.install()
    (tmp_path / "pinwarden").write_text("import ssl; print(ssl.SSLContext(16).sslsocket_class.__name__)")
    assert environment.run("python", tmp_path / "pinwarden").stdout == "PinnedSSLSocket\n"


def test_the_command_shows_a_key_that_the_hook_would_refuse(
    environment: Environment, publish: Any, tls_server: Any
) -> None:
    publish({"localhost": [WRONG, BACKUP]})
    environment.install()
    shown = environment.run("pinwarden", "pin", tls_server.target, "--host-ca-file", tls_server.ca_file)
    assert (shown.returncode, shown.stdout.splitlines()[1].split()[0]) == (0, "leaf")


def test_run_in_a_hooked_environment_pins_once_and_by_what_run_was_told(
    environment: Environment, publish: Any, command: Any, call: Any, tmp_path: Path, authority: Any, tls_server: Any
) -> None:
    publish({"localhost": [WRONG, BACKUP]})
    environment.install()
    (tmp_path / "cached").mkdir()
    show = "from pinwarden import startup; print(startup._pinned_by.status().cache)"
    words = ("--config", environment.config, "--cache", tmp_path / "cached", "--", environment.folder / "bin/python")
    ended = environment.run("pinwarden", "run", *words, "-c", show)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert Path(ended.stdout.strip()).parent == tmp_path / "cached"


@pytest.mark.parametrize("name", ['it\'s "quoted"', "bücher\\n", "{config}"])
def test_any_path_may_stand_in_the_hook(environment: Environment, publish: Any, name: str) -> None:
    publish({"localhost": [WRONG, BACKUP]})
    folder = environment.config.parent / name
    folder.mkdir()
    environment.config = environment.config.rename(folder / "pinwarden.toml")
    assert environment.install().returncode == 0
    show = "import ssl; print(ssl.SSLContext(16).sslsocket_class.__name__)"
    assert environment.run("python", "-c", show).stdout == "PinnedSSLSocket\n"
