"""
Pinwarden: TLS pins that are signed, expire and rotate, and that cannot lock their own users out.

This package is the SDK: it fetches, verifies, caches and enforces one pin set. It imports nothing of the server, and
importing it loads neither an HTTP library nor an X.509 parser.
"""

from pinwarden.arguments import Options
from pinwarden.client import PinClient
from pinwarden.enforce import Outcome, Verdict
from pinwarden.errors import (
    CacheError,
    ConfigError,
    EquivocationError,
    ExpiredError,
    FetchError,
    MalformedError,
    PinMismatchError,
    PinsUnavailableError,
    PinwardenError,
    RollbackError,
    SignatureError,
    StaleError,
    UntrustedError,
    WrongPinSetError,
    find_pin_error,
)
from pinwarden.events import Event
from pinwarden.status import Rollout, Status
from pinwarden.trust import State

__version__ = "0.1.0"

__all__ = [
    "CacheError",
    "ConfigError",
    "EquivocationError",
    "Event",
    "ExpiredError",
    "FetchError",
    "MalformedError",
    "Options",
    "Outcome",
    "PinClient",
    "PinMismatchError",
    "PinsUnavailableError",
    "PinwardenError",
    "RollbackError",
    "Rollout",
    "SignatureError",
    "StaleError",
    "State",
    "Status",
    "UntrustedError",
    "Verdict",
    "WrongPinSetError",
    "__version__",
    "find_pin_error",
]
