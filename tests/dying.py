"""A process that is killed at a named point of a use case, as ``kill -9`` would."""

import os
import signal
import traceback
from collections.abc import Callable

from pinwarden import failpoints
from pinwarden_server.site import Site


def die_at(point: str, open_site: Callable[[], Site], work: Callable[[Site], object]) -> None:
    """Run *work* on a site of its own in a child, which must be killed at *point*."""
    child = os.fork()
    if child == 0:
        try:
            site = open_site()
            failpoints.arm(point)
            work(site)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"{point} was never reached"
    assert os.WTERMSIG(status) == signal.SIGKILL
