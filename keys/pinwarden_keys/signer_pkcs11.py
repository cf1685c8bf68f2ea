"""
The signer of ``pkcs11:`` URIs: a key in an HSM, a smart card, or SoftHSM, that never leaves it.

It may import ``pkcs11`` (the extra ``hsm``), the room of its modules and the URI rooms. A PIN that the token refused
once is never tried again, because tokens lock themselves after a few.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pkcs11
from pkcs11 import Mechanism, PKCS11Error

from pinwarden.envelope import keyid_of
from pinwarden_keys.errors import KeeperAwayError, SignerError
from pinwarden_keys.passphrase import Passphrase
from pinwarden_keys.signer_pkcs11_module import Login, Module, find_pair, module_at
from pinwarden_keys.signer_pkcs11_uri import KeyAddress, parse

T = TypeVar("T")

_REASONS = {
    PKCS11Error: ("the PKCS#11 module cannot be loaded", "Is module-path that of a module for this machine?"),
    pkcs11.NoSuchToken: ("no token in the module matches", "Is it plugged in and initialised? Compare its label."),
    pkcs11.MultipleTokensReturned: ("several tokens in the module match", "Add serial= to the URI."),
    pkcs11.NoSuchKey: ("the token holds no such Ed25519 key that may sign", "Compare object= and id= with the token."),
    pkcs11.MultipleObjectsReturned: ("several keys in the token match", "State both object= and id=."),
    pkcs11.DataLenRange: ("the message is too large for the token", "Keep the key of the timestamp there instead."),
}

_AWAY = (
    pkcs11.NoSuchToken, pkcs11.TokenNotPresent, pkcs11.DeviceRemoved, pkcs11.DeviceError, pkcs11.FunctionFailed,
    pkcs11.GeneralError,
)  # fmt: skip


class Pkcs11Signer:
    """A signer whose private half stays in its token."""

    public: bytes
    keyid: str

    def __init__(self, uri: str, address: KeyAddress, module: Module) -> None:
        self.uri = uri
        self.label = address.label
        self._address = address
        self._module = module
        self._closed = False
        self._pin_refused = False
        self._login: Login | None = None
        self._key: Any = None
        try:
            self._ask(self._connect)
        except BaseException:
            module.worker.after(self._leave)  # it may have been given up while it logged in
            raise

    def __repr__(self) -> str:
        return f"<Pkcs11Signer {self.uri} {self.keyid[:16]}>"

    def __reduce__(self) -> str:
        raise TypeError("a signer does not leave its process")

    def sign(self, message: bytes) -> bytes:
        """
        Return the 64-byte signature over *message*, with a new session when the old one is gone.

        Raises:
            SignerError: closed, or the token refuses, is away, or does not answer within 15 s.
        """
        return self._ask(lambda: self._sign(message))

    def close(self) -> None:
        """Log out, unless another signer still uses the token."""
        if not self._closed:
            self._closed = True
            self._module.worker.finish(self._leave)

    def _ask(self, action: Callable[[], T]) -> T:
        """Return what *action* returns on the module's thread; after a refusal it gets one more try."""

        def twice() -> T:
            try:
                return action()
            except PKCS11Error:
                self._module.restart()
                return action()

        try:
            return self._module.worker.call(twice, what=f"the token of {self.uri}")
        except PKCS11Error as error:
            kind = type(error)
            what, hint = _REASONS.get(kind, (f"the token says {kind.__name__}", "Look at the state of the token."))
            refusal = KeeperAwayError if kind in _AWAY else SignerError
            raise refusal(f"{self.uri}: {what}", holds="Nothing was signed.", hint=hint) from None

    def _sign(self, message: bytes) -> bytes:
        if self._closed:  # judged here, so that a call behind close() does not log in again
            raise SignerError(f"{self.uri} is closed", hint="Open it again to sign.")
        if self._login is None or not self._login.alive:
            self._connect()
        signature: bytes = self._key.sign(message, mechanism=Mechanism.EDDSA)
        return signature

    def _connect(self) -> None:
        if self._pin_refused:
            raise _pin_trouble(self.uri, "was refused before and is not tried again")
        try:
            login = self._module.login(self._address)
        except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange):
            self._pin_refused = True
            raise _pin_trouble(self.uri, "is wrong") from None
        except (pkcs11.PinLocked, pkcs11.PinExpired) as error:
            raise _pin_trouble(self.uri, f"cannot be used: {type(error).__name__}") from None
        login.users.add(self)
        try:
            self._key, public = find_pair(login.session, self._address)
        except BaseException:
            self._module.leave(login, self)
            raise
        self._login = login
        if public != getattr(self, "public", public):
            self._leave()
            raise SignerError(
                f"{self.uri} holds another key than before",
                expected=self.keyid,
                got=keyid_of(public),
                hint="Someone exchanged the token or its key. Open the signer again if that was you.",
            )
        self.public, self.keyid = public, keyid_of(public)

    def _leave(self) -> None:
        login, self._login, self._key = self._login, None, None
        if login is not None:
            self._module.leave(login, self)


def open_uri(uri: str, passphrase: Passphrase | None) -> Pkcs11Signer:
    """
    Open the key that *uri* names; *passphrase* is not asked, since a wrong PIN costs one of few tries.

    Raises:
        SignerError: not such a URI, or the module, the token or the PIN refuses. KeyFileError: the PIN file does.
    """
    address = parse(uri)
    if not Path(address.module).is_file():
        raise SignerError(f"the PKCS#11 module {address.module} does not exist", hint="Install it, or correct the URI.")
    return Pkcs11Signer(uri, address, module_at(address.module))


def _pin_trouble(uri: str, what: str) -> SignerError:
    return SignerError(
        f"{uri}: the PIN {what}",
        holds="It is tried once at most, so that the token does not lock itself.",
        hint="Correct the PIN file, then open the signer again.",
    )
