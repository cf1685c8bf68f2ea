"""
The clock for waiting: it counts the time that a machine sleeps, and nobody can set it.

It may import the standard library. It never tells a date: whether a document has ended is asked of the wall clock, and
how long ago something happened only of this one.
"""

import sys
import time
from functools import partial


def _clock() -> int:
    # The clock beneath time.monotonic() stands still while a Linux machine sleeps; on macOS it is the other way round.
    return getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC) if sys.platform == "linux" else time.CLOCK_MONOTONIC


# Called by every handshake, so without a frame of its own.
seconds = partial(time.clock_gettime, _clock())
