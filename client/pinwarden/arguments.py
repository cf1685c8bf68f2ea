"""
What an application may tell a PinClient, checked before anything else happens.

It may import the rules, the caches (Redis only for its URL), errors and the standard library, and reads the files that
it is given. It never guesses: a wrong argument is a ConfigError that says how to mend it, because no later refresh
could.
"""

import os
import warnings
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict

from pinwarden.bundle import Bundle
from pinwarden.cache import Cache, DiskCache, MemoryCache
from pinwarden.documents import PinSet, check_name
from pinwarden.enforce import Unpinned
from pinwarden.errors import ConfigError, MalformedError, UntrustedError
from pinwarden.events import Event
from pinwarden.guard import WhenEmpty
from pinwarden.trust import KeptDocuments, TrustState, begin

POLL_SECONDS = 300.0
_LONGEST_PATH = 4096
MAX_POLL_SECONDS = 7 * 24 * 3600.0  # no timestamp lives longer


class Options(TypedDict, total=False):
    """
    The rarer arguments of :class:`PinClient`.

    Attributes:
        unpinned: ``"allow"`` (default) or ``"refuse"`` hosts that the pin set does not cover.
        when_empty: ``"refuse"`` (default) every connection while nothing is trusted, or fall back to ``"platform"``
            CA checks, which an attacker who blocks the first fetch can bring about.
        ca_file: PEM file with the CAs that may certify the pin server; default: the system's. A receiver of reports may
            have its certificate from these and from the system's.
        allow_http: accept an ``http`` address beyond loopback; integrity does not depend on TLS, privacy does.
        poll_seconds: mean time between background refreshes, 300 by default, a week at most.
        telemetry: send the random per-process ``Pinwarden-Instance`` header; True by default.
        reports: send failure reports where the pin set names an address for them (docs/reports.md); True by default.
        report_certificates: send the certificates of such connections too, with the names of devices and people that a
            company's own CA writes into them; False by default.
        on_event: called with each :class:`Event` (docs/events.md) on the thread where it happened; what it raises is
            logged and goes no further.
        clock: returns the present as an aware datetime; for tests.
    """

    unpinned: Unpinned
    when_empty: WhenEmpty
    ca_file: str | None
    allow_http: bool
    poll_seconds: float
    telemetry: bool
    reports: bool
    report_certificates: bool
    on_event: Callable[[Event], object] | None
    clock: Callable[[], datetime]


def check_options(options: Mapping[str, Any]) -> None:
    """Raise ConfigError for an option that does not exist or cannot be; warn, three calls up, of a dangerous one."""
    known = Options.__annotations__
    for name in options:
        if name not in known:
            import difflib

            close = difflib.get_close_matches(name, known, 1)
            raise ConfigError(
                f"PinClient has no option {name!r}",
                expected=f"one of {', '.join(sorted(known))}",
                hint=f"Did you mean {close[0]!r}?" if close else None,
            )
    for name, choices in (("unpinned", ("allow", "refuse")), ("when_empty", ("refuse", "platform"))):
        if options.get(name, choices[0]) not in choices:
            raise ConfigError(f"{name} is unknown", expected=" or ".join(choices), got=repr(options[name]))
    for name in ("allow_http", "telemetry", "reports", "report_certificates"):  # "no" and "false" are true in Python
        if type(options.get(name, True)) is not bool:
            raise ConfigError(f"{name} is neither True nor False", expected="True or False", got=repr(options[name]))
    if not isinstance(options.get("ca_file"), str | os.PathLike | None):
        raise ConfigError("ca_file is not a path", expected="the path of a PEM file", got=repr(options["ca_file"]))
    if "clock" in options:
        _check_clock(options["clock"])
    poll = options.get("poll_seconds", POLL_SECONDS)
    if type(poll) not in (int, float) or not 0 < poll <= MAX_POLL_SECONDS:
        expected = f"seconds, more than 0 and at most {MAX_POLL_SECONDS:.0f}"
        raise ConfigError("poll_seconds is not a time", expected=expected, got=repr(poll))
    hook = options.get("on_event")
    if hook is not None and not callable(hook):
        raise ConfigError("on_event cannot be called", expected="a function of one Event", got=repr(hook))
    if options.get("when_empty") == "platform":
        warnings.warn(
            "when_empty='platform': whoever blocks the first fetch switches pinning off for this process; "
            "a bootstrap bundle avoids the need for it",
            RuntimeWarning,
            stacklevel=3,
        )


def _check_clock(clock: object) -> None:
    """Refuse what would fail at the first connection: a clock that is none, or one without a time zone."""
    now = clock() if callable(clock) else None
    if not isinstance(now, datetime) or now.utcoffset() is None:
        expected = "a function that returns an aware datetime, such as lambda: datetime.now(UTC)"
        raise ConfigError("clock does not tell the time", expected=expected, got=repr(clock if now is None else now))


def begin_with(root: str | os.PathLike[str] | bytes, pinset: object) -> TrustState:
    """Return the state of a client that knows nothing but its embedded *root*; ConfigError when that is unusable."""
    if not isinstance(pinset, str):
        raise ConfigError("pinset is not a name", expected="text", got=repr(pinset))
    try:
        name = check_name(pinset)
    except MalformedError as error:
        raise ConfigError("pinset is not a name", expected=error.expected, got=error.got) from None
    try:
        return begin(_read(root, "root"), name=name)
    except UntrustedError as error:
        raise ConfigError(
            f"the root that this application embeds is unusable: {error.what}",
            expected=error.expected,
            got=error.got,
            hint="Take root.json as `pinwarden root` or the server's /v1/roots/1 gives it, unchanged.",
        ) from error


def read_bootstrap(source: str | os.PathLike[str] | bytes | None, trust: TrustState) -> KeptDocuments:
    """Return the documents of a bootstrap bundle, unjudged; ConfigError when it is none, or another pin set's."""
    if source is None:
        return KeptDocuments()
    try:
        bundle = Bundle.parse(_read(source, "bootstrap"))
        pinset = PinSet.parse(bundle.pinset.payload)
    except UntrustedError as error:
        raise ConfigError(
            f"the bootstrap bundle is unusable: {error.what}",
            expected=error.expected,
            got=error.got,
            hint="Take the answer of /v1/bundles/NAME/1, unchanged.",
        ) from error
    if (pinset.authority, pinset.name) != (trust.authority, trust.name):
        raise ConfigError(
            "the bootstrap bundle belongs to another pin set",
            expected=f"{trust.authority}/{trust.name}",
            got=f"{pinset.authority}/{pinset.name}",
            hint="Take the answer of /v1/bundles/NAME/1 for the pin set and the root of this application.",
        )
    return KeptDocuments(bundle.roots, (bundle.timestamp,), (bundle.pinset,))


def open_cache(where: str | os.PathLike[str] | Cache | None, *, authority: str, name: str, root: int = 1) -> Cache:
    """
    Return the cache that *where* names: a folder, a Redis URL (docs/cache.md), or a Cache.

    None means ``$PINWARDEN_CACHE``, else ``$XDG_STATE_HOME/pinwarden``, else memory with a warning.

    Args:
        root: the version of the root that the client has in itself.

    Raises:
        ConfigError: none of these, or a Redis without ``pip install 'pinwarden[redis]'``.
    """
    if where is None:
        where = os.environ.get("PINWARDEN_CACHE") or None
    if where is None and (state_home := os.environ.get("XDG_STATE_HOME")):
        where = Path(state_home, "pinwarden")
    if where is None:
        warnings.warn(
            "pinwarden keeps pins in memory only: every start needs the pin server. Give cache= a folder, or set "
            "PINWARDEN_CACHE or XDG_STATE_HOME",
            RuntimeWarning,
            stacklevel=3,
        )
        return MemoryCache()
    if isinstance(where, str | os.PathLike):
        place = os.fspath(where)
        if place.startswith("redis") and "://" in place:
            return _open_redis(place, authority=authority, name=name, root=root)
        if not place:
            raise ConfigError("cache is empty", expected="a folder", hint="None chooses one, or memory.")
        if Path(place).exists() and not Path(place).is_dir():
            raise ConfigError(f"cache {place!r} is not a folder", hint="Give a folder; it is made when it is missing.")
        return DiskCache(place, authority, name)
    candidate: object = where
    if not isinstance(candidate, Cache):
        raise ConfigError(
            "cache is neither a folder nor a Cache",
            expected="a path, or an object with load, update, installation_id and describe",
            got=repr(candidate),
        )
    return candidate


def _open_redis(url: str, *, authority: str, name: str, root: int) -> Cache:
    try:
        # Not with this module: redis takes longer to load than all the rest.
        from pinwarden.cache_redis import open_redis
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] != "redis":
            raise
        raise ConfigError(
            "a Redis cache needs the library redis, and a release that this version knows",
            expected="redis 5.0 or newer",
            hint="Install it: pip install 'pinwarden[redis]'.",
        ) from None
    return open_redis(url, authority=authority, name=name, root=root)


def _read(source: object, setting: str) -> bytes:
    if isinstance(source, bytes):
        return source
    if not isinstance(source, str | os.PathLike):
        expected = "a path, or the bytes themselves"
        raise ConfigError(f"{setting} is neither a path nor bytes", expected=expected, got=repr(source))
    try:
        return Path(source).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte in it
        place = os.fspath(source)
        if "{" in place or len(place) > _LONGEST_PATH:  # the document itself, as text
            raise ConfigError(
                f"{setting} is a text that is no path",
                got=repr(place[:40]),
                hint="Give the path of the file, or its content as bytes.",
            ) from None
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"{setting} cannot be read from {place!r}: {reason}", hint="Give a path, or the bytes themselves."
        ) from error
