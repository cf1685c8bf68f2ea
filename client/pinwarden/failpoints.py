"""
Named points at which a test may kill this process, to prove that a crash there loses nothing.

Production code calls :func:`hit` between two steps whose order matters. Nothing happens unless the environment variable
``PINWARDEN_FAILPOINT`` names that very point, so an ordinary process pays one comparison. A name that is not in
:data:`NAMES` is refused at once: a crash test of a point that no longer exists would otherwise pass for ever.
"""

import os

NAMES: set[str] = set()
_armed = os.environ.get("PINWARDEN_FAILPOINT")


def register(*names: str) -> None:
    """Declare points, ``room.step`` each, when the module that contains them is imported."""
    NAMES.update(names)


def arm(name: str | None) -> None:
    """Choose the point at which this process dies; None disarms. For fork servers, which outlive their environment."""
    global _armed
    if name is not None and name not in NAMES:
        raise ValueError(f"no failpoint {name!r}; known: {', '.join(sorted(NAMES))}")
    _armed = name


def hit(name: str) -> None:
    """Die by SIGKILL, as a power cut to this process would, when *name* is the armed point."""
    if _armed is None:
        return
    for point in (name, _armed) if _room(name) == _room(_armed) else (name,):
        if point not in NAMES:
            raise LookupError(f"failpoint {point!r} was never registered")
    if name == _armed:
        import signal

        os.kill(os.getpid(), signal.SIGKILL)


def _room(name: str) -> str:
    return name.partition(".")[0]
