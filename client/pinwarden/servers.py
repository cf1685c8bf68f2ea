"""
Several addresses of one pin server, asked in turn until one gives what is accepted.

It may import ``fetch``, ``events``, ``elapsed`` and errors. It never judges an answer and keeps no trust of its own:
whatever one address gave, the next is measured against the same floor.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pinwarden import elapsed
from pinwarden.errors import ConfigError, FetchError, UntrustedError
from pinwarden.events import Events
from pinwarden.fetch import DEADLINE_SECONDS, Fetched, Fetcher

MAX_SERVERS = 4
FIRST_REST_SECONDS = 300.0
MAX_REST_SECONDS = 3600.0


@dataclass(slots=True)
class _Server:
    """One address; it comes last until ``rested`` when it failed, later with each failure in a row."""

    fetcher: Fetcher
    etag: str | None = None
    failures: int = 0
    rested: float = 0.0

    def failed(self, error: Exception) -> None:
        self.failures += 1
        rest = min(FIRST_REST_SECONDS * float(2 ** min(self.failures - 1, 16)), MAX_REST_SECONDS)
        asked = error.retry_after if isinstance(error, FetchError) else None
        self.rested = elapsed.seconds() + max(rest, asked or 0.0)

    def answered(self) -> None:
        self.failures, self.rested = 0, 0.0


class PinServers:
    """
    Implements ``update.Source`` by whichever address is being asked.

    One refresh has the ten seconds per request of the protocol over all addresses together, each an equal share.

    Attributes:
        served_by: the origin that gave the last accepted answer, or None.

    Args:
        urls: one address, or up to four in the order of preference.
        make: makes the Fetcher of an address; gets ``deadline_seconds=``.
        events: is told when one fails and another is left.

    Raises:
        ConfigError: none, too many, or one twice.
    """

    def __init__(self, urls: str | Sequence[str], make: Callable[..., Fetcher], events: Events) -> None:
        listed = check_urls(urls)
        self._servers = [_Server(make(url, deadline_seconds=DEADLINE_SECONDS / len(listed))) for url in listed]
        self._asked = self._servers[0]
        self._events = events
        self.served_by: str | None = None

    def update(self, attempt: Callable[[], bool]) -> None:
        """
        Call *attempt*, which fetches through this source, for one address after the other until it returns True.

        False says that the answer was right and left nothing fresh, as that of a frozen copy does: others may be newer.

        Raises:
            UntrustedError: every answer was refused or missing, and this is the first that was refused.
            FetchError: no address had a usable answer; ``retry_after`` is what the most patient client may wait.
        """
        errors: list[UntrustedError | FetchError] = []
        order = sorted(self._servers, key=self._rest)
        for server in order:
            self._asked = server
            try:
                is_enough = attempt()
            except (UntrustedError, FetchError) as error:
                server.failed(error)
                errors.append(error)
                if server is not order[-1]:
                    self._tell(server, error)
                continue
            server.answered()
            self.served_by = server.fetcher.origin
            if is_enough:
                return
        if len(errors) == len(order):
            raise _most_telling(errors)

    def bundle(self, name: str, root_version: int, *, held: tuple[int, int] | None, etag: str | None) -> Fetched | None:
        """Ask the address whose turn it is; an ETag goes only to the address that gave it."""
        server = self._asked
        own = etag if etag == server.etag else None
        fetched = server.fetcher.bundle(name, root_version, held=held, etag=own)
        if fetched is not None:
            server.etag = fetched.etag
        return fetched

    def root(self, version: int) -> bytes | None:
        """Ask the address whose turn it is."""
        return self._asked.fetcher.root(version)

    def close(self) -> None:
        """Close the idle connections."""
        for server in self._servers:
            server.fetcher.close()

    def reset_after_fork(self, instance: str | None) -> None:
        """In the child: let go of the parent's connections, and be another *instance* for each server."""
        for server in self._servers:
            server.fetcher.reset_after_fork(instance)

    def _rest(self, server: _Server) -> float:
        return server.rested if server.rested > elapsed.seconds() else 0.0

    def _tell(self, server: _Server, error: Exception) -> None:
        self._events.tell(
            "server.failed",
            "pin server %s: %s The next one is asked.",
            server.fetcher.origin,
            error,
            server=server.fetcher.origin,
            error=type(error).__name__,
            reason=str(error),
        )


def check_urls(urls: object) -> tuple[str, ...]:
    """Return the addresses as a tuple; what each of them is worth is judged where its Fetcher is made."""
    if isinstance(urls, str):
        return (urls,)
    if not isinstance(urls, list | tuple) or not all(isinstance(url, str) for url in urls):
        # Not its value, which may hold a password.
        got = None if urls is None else type(urls).__name__
        raise ConfigError("url is not the address of a pin server", expected="https://HOST, or a list of such", got=got)
    if not 1 <= len(urls) <= MAX_SERVERS:
        raise ConfigError("url names a wrong number of servers", expected=f"1 to {MAX_SERVERS}", got=len(urls))
    if len(set(urls)) != len(urls):
        raise ConfigError("url names one server twice", hint="A second address must be another one to help.")
    return tuple(urls)


def _most_telling(errors: Sequence[UntrustedError | FetchError]) -> UntrustedError | FetchError:
    """Return the first refusal, for it may be an attack, else the first failure."""
    for error in errors:
        if isinstance(error, UntrustedError):
            return error
    first = errors[0]
    waits = [error.retry_after for error in errors if isinstance(error, FetchError) and error.retry_after is not None]
    if isinstance(first, FetchError):
        first.retry_after = min(waits) if len(waits) == len(errors) else None
    return first
