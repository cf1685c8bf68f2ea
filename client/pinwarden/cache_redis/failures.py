"""
What went wrong with Redis, in our words.

It may import redis-py's errors, ``address``, ``line`` and errors. No message repeats a password, whoever put it there.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from pinwarden.answer import printable
from pinwarden.cache_redis.address import RedisAddress
from pinwarden.cache_redis.line import TooMuchError
from pinwarden.errors import CacheError

PINS_STAY = "The pins in memory are in force."


@contextmanager
def failing_at(address: RedisAddress) -> Iterator[None]:
    """
    Turn whatever redis-py makes of another side that is away or hostile into a CacheError.

    That is everything: it parses what it is sent, and says so by whichever error its code happens to meet.
    """
    try:
        yield
    except CacheError:
        raise
    except Exception as error:  # noqa: BLE001 - see above; the server's own words must not follow as a cause
        reason = _reason(error, address)
        hint = next((words for sign, words in _HINTS if reason.startswith(sign)), None)
        raise CacheError(f"Redis at {address.shown} {reason}", holds=PINS_STAY, hint=hint) from None


def _reason(error: Exception, address: RedisAddress) -> str:
    if isinstance(error, RedisTimeoutError | TimeoutError):
        return "gave no whole answer in time"
    if isinstance(error, TooMuchError):
        return "sends more than was asked for"
    for kind, sign, words in _REFUSALS:
        if isinstance(error, kind) and sign in str(error):
            return f"{words}{_told(error, address)}"
    if isinstance(error, RedisConnectionError | OSError):
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        return f"cannot be reached: {_spell(cause)}" if isinstance(cause, OSError) else "closed the connection"
    return f"answers nonsense ({type(error).__name__})"


_DENIED = "denied a right that docs/cache.md lists"
# The kind of error, a sign in its words, and what we say; within a script, older servers tell by the words alone.
_REFUSALS: tuple[tuple[type[RedisError], str, str], ...] = (
    (AuthenticationError, "", "refused the login"),
    (NoPermissionError, "", _DENIED),
    (ResponseError, "The user executing the script", _DENIED),
    (ReadOnlyError, "", "is a replica, which cannot be written"),
    (ResponseError, "READONLY", "is a replica, which cannot be written"),
    (OutOfMemoryError, "", "is full"),
    (ResponseError, "OOM command not allowed", "is full"),
    (BusyLoadingError, "", "is still loading"),
    (ResponseError, "", "refused"),
)
# How a reason begins, and what to do about it.
_HINTS = (
    ("refused the login", "Look at user and password in the file that PINWARDEN_CACHE_FILE names."),
    ("is full", "Raise its maxmemory, or let it evict (maxmemory-policy); docs/cache.md says which policies suit."),
    ("is a replica", "Name the primary, or let Sentinel or the cluster find it."),
    ("cannot be reached", "Look whether it runs, and at the address."),
)


def _told(error: Exception, address: RedisAddress) -> str:
    """Return the server's own words, without what we said to it: some errors repeat a command with its password."""
    text = str(error)
    for login in (address.login, address.sentinel_login):
        if login.password:
            text = text.replace(login.password, "***")
    return f": {printable(text).rstrip('.')}" if text else ""


def _spell(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return printable(f"its certificate is refused, {error.verify_message}")
    return printable(error.strerror or str(error) or type(error).__name__)
