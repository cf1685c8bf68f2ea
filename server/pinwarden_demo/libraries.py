"""
Four calls that an application makes, each through another HTTP library, and what became of them.

It may import the libraries, each when it is first used. A call never changes what the library would do by itself, but
for the TLS context that it is given.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pinwarden import find_pin_error

if TYPE_CHECKING:
    from pinwarden_demo.peers import Peer

TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Result:
    """
    What one call came to.

    Attributes:
        status: of HTTP, or None when there was no answer.
        error: name of the error that decided, ours or that of ``ssl`` where there is one inside, else None.
        said: its sentence, or what the service answered.
    """

    status: int | None
    error: str | None
    said: str


@dataclass(frozen=True, slots=True)
class Round:
    """
    What a round of calls came to.

    Attributes:
        sent, through: calls made, and those answered with 200.
        errors: the others, by the name of what refused them.
        bytes_read: application bytes that the far ends read.
        met: connections that reached the far ends.
    """

    sent: int
    through: int
    errors: dict[str, int]
    bytes_read: int
    met: int


Call = Callable[[], Result]
# What a library is given: an address, a context (None: its own default) and, without a context, whether to verify.
Getter = Callable[[str, ssl.SSLContext | None, bool], tuple[int, str]]


def call(library: str, url: str, context: ssl.SSLContext | None = None, *, verify: bool = True) -> Result:
    """
    GET *url* and return what became of it; whatever the library raises becomes a result.

    Args:
        library: one of :data:`LIBRARIES`.
        context: judges the connection; None for whatever the library does by default.
        verify: False switches the library's own certificate checks off, as applications should not.
    """
    try:
        status, text = LIBRARIES[library](url, context, verify)
    except Exception as error:  # noqa: BLE001  whatever a library raises is its answer, and is shown by its name
        decisive = find_pin_error(error) or _tls_error_in(error) or error
        return Result(None, type(decisive).__name__, str(decisive))
    return Result(status, None, text.strip())


def play_round(calls: Iterable[Call], *far_ends: "Peer") -> Round:
    """Make *calls* in turn and return what became of them, and what the *far_ends* read meanwhile."""
    bytes_before, met_before = _counters(far_ends)
    results = [make() for make in calls]
    bytes_after, met_after = _counters(far_ends)
    refused = Counter(result.error or f"HTTP {result.status}" for result in results if result.status != 200)
    through = len(results) - refused.total()
    return Round(len(results), through, dict(refused), bytes_after - bytes_before, met_after - met_before)


def every_library(context: ssl.SSLContext, *urls: str) -> list[Call]:
    """Return one call per library and address, under *context*."""
    return [partial(call, name, url, context) for url in urls for name in LIBRARIES]


def _counters(far_ends: "tuple[Peer, ...]") -> tuple[int, int]:
    for peer in far_ends:
        peer.settle()
    return sum(peer.bytes_read for peer in far_ends), sum(peer.connections for peer in far_ends)


def _requests(url: str, context: ssl.SSLContext | None, verify: bool) -> tuple[int, str]:
    import requests
    from requests.adapters import HTTPAdapter

    class ContextAdapter(HTTPAdapter):
        """requests takes a context through an adapter only."""

        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, ssl_context=context, **kwargs)

        def cert_verify(self, conn: Any, *_: Any) -> None:
            """Leave the context as it is: requests would add its own CAs to it."""

        def build_connection_pool_key_attributes(self, request: Any, *_: Any) -> Any:
            host_params, _pool = super().build_connection_pool_key_attributes(request, True)
            return host_params, {}

    with requests.Session() as session:
        if context is not None:
            session.trust_env = False
            session.mount("https://", ContextAdapter())
        answer = session.get(url, timeout=TIMEOUT_SECONDS, verify=verify)
        return answer.status_code, answer.text


def _httpx(url: str, context: ssl.SSLContext | None, verify: bool) -> tuple[int, str]:
    import httpx

    with httpx.Client(verify=context or verify, trust_env=context is None, timeout=TIMEOUT_SECONDS) as client:
        answer = client.get(url)
        return answer.status_code, answer.text


def _httpx_async(url: str, context: ssl.SSLContext | None, verify: bool) -> tuple[int, str]:
    import httpx

    async def get() -> tuple[int, str]:
        settings: dict[str, Any] = {"verify": context or verify, "trust_env": context is None}
        async with httpx.AsyncClient(**settings, timeout=TIMEOUT_SECONDS) as client:
            answer = await client.get(url)
            return answer.status_code, answer.text

    return asyncio.run(get())


def _aiohttp(url: str, context: ssl.SSLContext | None, verify: bool) -> tuple[int, str]:
    import aiohttp

    async def get() -> tuple[int, str]:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        connector = aiohttp.TCPConnector(resolver=aiohttp.ThreadedResolver())
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get(url, ssl=context or verify) as answer,
        ):
            return answer.status, await answer.text()

    return asyncio.run(get())


LIBRARIES: dict[str, Getter] = {
    "requests": _requests,
    "httpx": _httpx,
    "httpx async": _httpx_async,
    "aiohttp": _aiohttp,
}


def _tls_error_in(error: BaseException) -> ssl.SSLError | None:
    # aiohttp's own certificate error is a subclass; the one that ``ssl`` raised is inside it.
    found = (cause for cause in _causes(error) if isinstance(cause, ssl.SSLError))
    return next((cause for cause in found if type(cause).__module__ == ssl.__name__), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and everything that it wraps, in the four places where libraries keep what they wrap."""
    queue: list[Any] = [error]
    seen = set[int]()
    while queue:
        candidate = queue.pop(0)
        if not isinstance(candidate, BaseException) or id(candidate) in seen:
            continue
        seen.add(id(candidate))
        yield candidate
        queue += [candidate.__cause__, candidate.__context__, getattr(candidate, "reason", None), *candidate.args]
