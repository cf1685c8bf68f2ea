"""What the demo's processes are given: an environment, a folder, and time to clean up. Standard library only."""

import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

# Ctrl-C, a service manager's stop, a terminal that is closed: one and the same here.
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN_SECONDS = 0.01  # after which an interruption is raised again that nobody saw


def plain_environment() -> dict[str, str]:
    """Return this process's environment without what would lead a child elsewhere: our settings, and proxies."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PINWARDEN_") and not name.lower().endswith("_proxy")
    }


def temporary_folder(prefix: str, exits: ExitStack, *, keep: bool) -> Path:
    """Make a folder for this user alone, and have *exits* remove it unless *keep*; an interruption leaves none."""
    folder = Path(tempfile.gettempdir()).absolute() / f"{prefix}{secrets.token_hex(6)}"
    if not keep:
        exits.callback(_remove, folder)
    folder.mkdir(mode=0o700)
    return folder


@contextmanager
def interruptible() -> Iterator[None]:
    """
    Raise KeyboardInterrupt for the first of :data:`INTERRUPTS`, and for no later one, until the block ends.

    Python drops what is raised inside a finalizer, and goes on. Such an interruption is raised again.
    """
    interrupted = False

    def interrupt(*_: Any) -> None:
        nonlocal interrupted
        interrupted = True
        for number in INTERRUPTS:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    def dropped(unraisable: Any) -> None:
        if interrupted and isinstance(unraisable.exc_value, KeyboardInterrupt):
            # Not from here: what a hook raises is dropped as well.
            signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
        else:
            hook_before(unraisable)

    tempfile.gettempdir()  # which tries, the first time, whether it can write, and would leave that file behind
    hook_before, sys.unraisablehook = sys.unraisablehook, dropped
    before = {number: signal.signal(number, interrupt) for number in (*INTERRUPTS, signal.SIGALRM)}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        _restore(before)
        sys.unraisablehook = hook_before
    if interrupted:  # and dropped by somebody else, who caught everything
        raise KeyboardInterrupt


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let nothing interrupt the block: a clean-up that is cut short would leave processes behind."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (*INTERRUPTS, signal.SIGALRM)}
    try:
        yield
    finally:
        _restore(before)


@contextmanager
def closing_undisturbed() -> Iterator[ExitStack]:
    """As a block of its own ExitStack, whose unwinding nothing interrupts."""
    exits = ExitStack()
    try:
        yield exits
    finally:
        with undisturbed():
            exits.close()


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _restore(handlers: dict[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
