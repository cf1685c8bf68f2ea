"""
urllib3's connections under one deadline for each request, from the first address to the last byte of the answer.

It may import urllib3 and the deadline of layer 0. It judges no answer; urllib3's own timeouts begin anew with each
address and with each byte, so that a server which drips would hold a command for ever.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from socket import gaierror, socket
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from pinwarden.answer import BoundedResponse
from pinwarden.deadline import Deadline, open_socket

# urllib3 makes and keeps the connections, and passes none of them anything of a request but its own timeouts.
_of_this_request: ContextVar[Deadline] = ContextVar("deadline")


class _Timed(HTTPConnection):
    def _new_conn(self) -> socket:
        try:
            return open_socket(self._dns_host, self.port, _of_this_request.get())
        except gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "no connection within the time for this request") from error
        except OSError as error:
            raise NewConnectionError(self, f"no connection: {error}") from error

    def request(self, *arguments: Any, **options: Any) -> None:
        self.timeout = _of_this_request.get().check()
        super().request(*arguments, **options)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3's own
        self.response_class = partial(BoundedResponse, deadline=_of_this_request.get())  # type: ignore[assignment]
        return super().getresponse()


class _TimedTLS(_Timed, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Timed


class _PoolTLS(HTTPSConnectionPool):
    ConnectionCls = _TimedTLS


def timed_pools(ca_file: Path | None) -> PoolManager:
    """Return pools that retry nothing and whose requests are made inside ``within()``; *ca_file* as for AdminClient."""
    pools = PoolManager(retries=False, ca_certs=ca_file and str(ca_file))
    pools.pool_classes_by_scheme = {"http": _Pool, "https": _PoolTLS}
    return pools


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Give the request that is made in this block *seconds* in all, its answer's body included."""
    token = _of_this_request.set(Deadline(seconds))
    try:
        yield
    finally:
        _of_this_request.reset(token)
