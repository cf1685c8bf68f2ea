"""
The ``.pth`` file by which every Python process of one environment pins itself, whatever its variables are.

It may import errors and the standard library. It replaces and removes no file that somebody else wrote, and what it
writes ends a process that cannot be pinned.
"""

import os
import stat
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from pinwarden.errors import ConfigError

NAME = "pinwarden-hook.pth"
_MARK = "# Written by `pinwarden install-hook`; `pinwarden install-hook --remove` takes it away.\n"
_PROOF = "from pinwarden import startup; raise SystemExit(0 if startup.is_pinned() else 4)"
_PROOF_SECONDS = 60

# Python passes over a line of a .pth file that fails, so nothing may leave this one but a pinned process.
_LINE = """
import os, sys
try:
    from pinwarden import startup
    startup.pin_by_hook_file({config}, {command})
except BaseException as error:
    try:
        what = str(error) or type(error).__name__
        if "subinterpreter" in what:
            what += "; a program that makes sub-interpreters cannot be pinned as a whole"
        sys.stderr.write("error: pinwarden: " + sys.executable + " cannot be pinned, so it ends: " + what
            + " (" + {path} + " demands it; without that file, Python runs unpinned)\\n")
        sys.stderr.flush()
    finally:
        os._exit(3)
"""


def default_path() -> Path:
    """Return where the hook of the Python that runs this stands: in the folder of its packages."""
    return Path(sysconfig.get_path("purelib"), NAME)


def own_command() -> Path:
    """Return the command ``pinwarden`` of this Python, which the hook leaves alone."""
    called = Path(sys.argv[0])
    return called.absolute() if called.name == "pinwarden" else Path(sysconfig.get_path("scripts"), "pinwarden")


def spell(path: Path, config: Path, command: Path) -> bytes:
    """Return the content of the hook file *path* that pins by the settings file *config*."""
    values = {"path": path, "config": config, "command": command}
    program = _LINE.format(**{name: ascii(str(value)) for name, value in values.items()})
    return f'{_MARK}import sys; exec({program!a}, {{"__name__": "pinwarden_hook"}})\n'.encode("ascii")


def read(path: Path) -> bytes | None:
    """
    Return the content of the hook file *path*, or None where there is none.

    Raises:
        ConfigError: something stands there that is not ours, or it cannot be read.
    """
    try:
        if stat.S_ISREG(path.lstat().st_mode):
            content = path.read_bytes()
            if content.startswith(_MARK.encode("ascii")):
                return content
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    raise ConfigError(
        f"{path} was not written by pinwarden", holds="Nothing was changed.", hint="Look at it, and move it away."
    )


def write(path: Path, content: bytes) -> None:
    """
    Put *content* where :func:`read` has found nothing foreign, in one step and readable for everybody.

    Raises:
        ConfigError: it cannot be written; what stood there still does.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ConfigError(
            f"hook {path} cannot be written: {error.strerror}",
            holds="Nothing was changed.",
            hint="The packages of this Python belong to somebody else; run the command as that user.",
        ) from None


def remove(path: Path) -> None:
    """Remove the hook file; ConfigError when that is not allowed."""
    try:
        path.unlink()
    except OSError as error:
        raise ConfigError(f"hook {path} cannot be removed: {error.strerror}", holds="It still pins.") from None


def prove(path: Path) -> None:
    """
    Start this Python with an environment that is empty but for a cache of its own, and see that it pins itself.

    The cache of the settings is left to those who will own it.

    Raises:
        ConfigError: it does not.
    """
    words = [sys.executable, "-c", _PROOF]
    try:
        with tempfile.TemporaryDirectory(prefix="pinwarden-proof-") as cache:
            ended = subprocess.run(words, env={"PINWARDEN_CACHE": cache}, timeout=_PROOF_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise ConfigError(f"a process with the hook {path} did not start within {_PROOF_SECONDS} s") from None
    if ended.returncode != 0:
        raise ConfigError(
            f"a process with the hook {path} is not pinned",
            expected="exit code 0",
            got=ended.returncode,
            hint="This Python must find pinwarden by itself, without PYTHONPATH.",
        )
