"""
Every way in which Pinwarden says no.

An error names what happened, what was expected, what was got, what still holds and what to do, and carries those values
as attributes. This room imports only ``ssl``, because code that knows nothing of us must catch two of the errors.
Nothing here decides anything.
"""

import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pinwarden.trust import TrustState

TRUST_STAYS = "What was trusted before stays in force."


class PinwardenError(Exception):
    """
    Base of all errors of the SDK.

    Attributes:
        what: one clause that says what happened, without a full stop.
        expected, got: the two sides of a comparison that failed, or None.
        holds: a sentence on what is still in force, or None.
        hint: a sentence on what to do, or None.
        step: the step of docs/spec.md that refused, such as ``"V6"``, or None.
    """

    def __init__(
        self,
        what: str,
        *,
        expected: object = None,
        got: object = None,
        holds: str | None = None,
        hint: str | None = None,
        step: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.expected = expected
        self.got = got
        self.holds = holds
        self.hint = hint
        self.step = step

    def __str__(self) -> str:
        return " ".join(self._sentences())

    def __reduce__(self) -> tuple[Any, ...]:
        # The default rebuilds from args alone, which would lose every value; process pools and copy.copy() need them.
        return _rebuild, (type(self), self.args, self.__dict__)

    def _sentences(self) -> Iterator[str]:
        comparison = ""
        if self.expected is not None:
            comparison += f": expected {self.expected}"
        if self.got is not None:
            comparison += f"{',' if comparison else ':'} got {self.got}"
        step = f" (step {self.step})" if self.step else ""
        yield f"{self.what}{comparison}{step}."
        for sentence in (self.holds, self.hint):
            if sentence:
                yield sentence


class UntrustedError(PinwardenError):
    """
    Bytes were refused; the state that they would have changed is still the answer.

    Attributes:
        state: the trust state with everything that *was* accepted before the refusal (newer roots, spec V10), when the
            refusal came from a function that accepts several documents; else None.
    """

    state: "TrustState | None" = None

    def __init__(self, what: str, **values: Any) -> None:
        values.setdefault("holds", TRUST_STAYS)
        super().__init__(what, **values)


class MalformedError(UntrustedError):
    """The bytes are not a document of this protocol (spec P1 to P8, V8)."""


class SignatureError(UntrustedError):
    """Fewer good signatures than the role demands, or keys that no one may use (spec V1 to V3)."""


class RollbackError(UntrustedError):
    """An (epoch, version) below the floor, or not the one that is due (spec V4, V6, V7)."""


class ExpiredError(UntrustedError):
    """A newly fetched document, or the newest root, is past its end or outside the allowed times (spec V4, V5)."""


class StaleError(UntrustedError):
    """The documents refer to a root or to a pin set that was not delivered with them (spec V6, V7)."""


class WrongPinSetError(UntrustedError):
    """A document of another authority, of another name, or of none that this key may sign (spec V4, V5)."""


class EquivocationError(UntrustedError):
    """
    Two different documents carry the same version (spec V6, V7): someone shows different clients different things.

    Attributes:
        held, shown: both envelopes as bytes, for the report.
    """

    def __init__(self, what: str, *, held: bytes, shown: bytes, **values: Any) -> None:
        super().__init__(what, **values)
        self.held = held
        self.shown = shown


class FetchError(PinwardenError):
    """
    Network or HTTP failure; nothing was judged, and a retry is safe.

    Attributes:
        status: the HTTP status, or None when there was no answer.
        retry_after: seconds that the server asked to wait, or None.
    """

    def __init__(
        self, what: str, *, status: int | None = None, retry_after: float | None = None, **values: Any
    ) -> None:
        super().__init__(what, **values)
        self.status = status
        self.retry_after = retry_after


class CacheError(PinwardenError):
    """The cache could not be read or written; pins in memory are unaffected."""


class ConfigError(PinwardenError, ValueError):
    """A setting is missing, unknown or impossible; raised at construction, before any connection."""


class PinsUnavailableError(PinwardenError, ssl.SSLError):
    """Nothing trusted to enforce: the connection was refused and no application byte was sent."""

    def __init__(self, what: str, **values: Any) -> None:
        super().__init__(what, **values)
        _mark_as_ssl_error(self, "PINS_UNAVAILABLE")


class PinMismatchError(PinwardenError, ssl.SSLCertVerificationError):
    """
    The verified chain holds no pinned key, or a denied one: the connection was refused before any application byte.

    It is an ``ssl.SSLCertVerificationError``, so that every HTTP library reports it as the certificate failure it is.

    Attributes:
        host: the canonical host name that was asked for.
        presented: base64 pins of the judged chain, leaf first.
        expected_pins: base64 pins and backups of the matching host entry.
        document: ``"authority/name epoch.version"`` of the pin set in force.
        denied: base64 pin that the document forbids, when that was the reason, else None.
    """

    def __init__(
        self,
        what: str,
        *,
        host: str,
        presented: tuple[str, ...],
        expected_pins: tuple[str, ...],
        document: str,
        denied: str | None = None,
        **values: Any,
    ) -> None:
        values.setdefault("expected", f"one of {', '.join(expected_pins)}" if expected_pins else None)
        values.setdefault("got", ", ".join(presented) or "no verified key")
        super().__init__(what, **values)
        _mark_as_ssl_error(self, "CERTIFICATE_VERIFY_FAILED")
        self.verify_code = 1
        self.verify_message = what
        self.host = host
        self.presented = presented
        self.expected_pins = expected_pins
        self.document = document
        self.denied = denied


def _mark_as_ssl_error(error: ssl.SSLError, reason: str) -> None:
    # Several libraries look at args[0], errno, reason and library before they decide that this is a TLS failure.
    error.args = (1, str(error))
    error.errno = 1
    error.strerror = str(error)
    error.library = "PINWARDEN"
    error.reason = reason


def _rebuild(kind: type[PinwardenError], args: tuple[Any, ...], values: dict[str, Any]) -> PinwardenError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(values)
    if isinstance(error, ssl.SSLError):
        error.errno, error.strerror = args
    return error


def find_pin_error(error: BaseException | None) -> PinwardenError | None:
    """
    Return the Pinwarden error inside *error*, however deep an HTTP library wrapped it, or None.

    Walks ``__cause__``, ``__context__``, ``reason`` and ``args``, the four places where libraries keep what they wrap.
    A library that replaces the error altogether (pymongo does) leaves nothing to find; the SDK's log has it then.
    """
    queue, seen = [error], set[int]()
    while queue:
        candidate = queue.pop(0)
        if not isinstance(candidate, BaseException) or id(candidate) in seen:
            continue
        seen.add(id(candidate))
        if isinstance(candidate, PinwardenError):
            return candidate
        queue += [candidate.__cause__, candidate.__context__, getattr(candidate, "reason", None)]
        queue += [argument for argument in candidate.args if isinstance(argument, BaseException)]
        if isinstance(candidate, BaseExceptionGroup):
            queue += candidate.exceptions
    return None
