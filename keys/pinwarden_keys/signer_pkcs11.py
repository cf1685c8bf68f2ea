"""
The signer of ``pkcs11:`` URIs: a key in an HSM, a smart card, or SoftHSM, that never leaves it.

It may import ``pkcs11`` (the extra ``hsm``), the worker and the URI rooms. A PIN that the token refused once is never
tried again, because tokens lock themselves after a few.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, PKCS11Error, TokenFlag

from pinwarden.envelope import keyid_of
from pinwarden_keys.errors import SignerError
from pinwarden_keys.passphrase import Passphrase
from pinwarden_keys.signer_pkcs11_uri import KeyAddress, parse
from pinwarden_keys.signer_uri import secret_text
from pinwarden_keys.signer_worker import Worker

T = TypeVar("T")

PUBLIC_BYTES = 32
_OCTET_STRING = bytes((0x04, PUBLIC_BYTES))  # DER, around the point; some tokens leave it out

_REASONS = {
    PKCS11Error: ("the PKCS#11 module cannot be loaded", "Is module-path that of a module for this machine?"),
    pkcs11.NoSuchToken: ("no token in the module matches", "Is it plugged in and initialised? Compare its label."),
    pkcs11.MultipleTokensReturned: ("several tokens in the module match", "Add serial= to the URI."),
    pkcs11.NoSuchKey: ("the token holds no such Ed25519 key that may sign", "Compare object= and id= with the token."),
    pkcs11.MultipleObjectsReturned: ("several keys in the token match", "State both object= and id=."),
    pkcs11.DataLenRange: ("the message is too large for the token", "Keep the key of the timestamp there instead."),
}


class Login:
    """One logged-in session with a token, shared by every signer of it: PKCS#11 counts logins by process."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.users: set[Pkcs11Signer] = set()
        self.alive = True


class Module:
    """
    One PKCS#11 module of this process; apart from its worker, everything here is touched on the worker's thread only.

    That thread is the promise that the module was initialised with: python-pkcs11 tells it to expect no other.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.worker = Worker(f"pkcs11 {path}")
        self._logins: dict[tuple[str, bytes], Login] = {}

    def login(self, address: KeyAddress) -> Login:
        """Return the session of the token that *address* names, logging in unless another signer did."""
        token = self._token(address)
        found = self._logins.get((token.label, token.serial))
        if found is None:
            found = self._logins[token.label, token.serial] = Login(_open_session(token, address))
        return found

    def leave(self, login: Login, signer: "Pkcs11Signer") -> None:
        """Log out once the last signer of *login* has gone."""
        login.users.discard(signer)
        if login.alive and not login.users:
            self._logins = {name: each for name, each in self._logins.items() if each is not login}
            login.alive = False
            with suppress(PKCS11Error):  # a token that was pulled out has logged out by itself
                login.session.close()

    def restart(self) -> None:
        """Begin again with the module: only then does it notice tokens that were pulled out or put back."""
        for login in self._logins.values():
            login.alive = False
        self._logins.clear()
        library = pkcs11.lib(self.path)
        with suppress(PKCS11Error):  # whatever state it is in, the next line decides
            library.finalize()
        library.initialize()

    def _token(self, address: KeyAddress) -> Any:
        slots = pkcs11.lib(self.path).get_slots(token_present=True)
        found = [token for token in map(_token_in, slots) if token is not None and _matches(token, address)]
        if len(found) != 1:
            raise pkcs11.MultipleTokensReturned if found else pkcs11.NoSuchToken
        return found[0]


_modules: dict[str, Module] = {}
_modules_lock = Lock()


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
        if self._closed:
            raise SignerError(f"{self.uri} is closed", hint="Open it again to sign.")
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
            raise SignerError(f"{self.uri}: {what}", holds="Nothing was signed.", hint=hint) from None

    def _sign(self, message: bytes) -> bytes:
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
            self._key, public = _find(login.session, self._address)
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
    with _modules_lock:
        module = _modules.setdefault(address.module, Module(address.module))
    return Pkcs11Signer(uri, address, module)


def _token_in(slot: Any) -> Any | None:
    try:
        token = slot.get_token()
    except PKCS11Error:
        return None  # one reader with a broken card must not hide the others
    return token if token.flags & TokenFlag.TOKEN_INITIALIZED else None


def _matches(token: Any, address: KeyAddress) -> bool:
    states = {
        "token": token.label,
        "serial": token.serial.decode(errors="replace"),
        "manufacturer": token.manufacturer_id,
        "model": token.model,
    }
    return all(states[name].rstrip() == value for name, value in address.token.items())


def _open_session(token: Any, address: KeyAddress) -> Any:
    if token.flags & TokenFlag.USER_PIN_LOCKED:
        raise pkcs11.PinLocked
    if token.flags & TokenFlag.USER_PIN_FINAL_TRY:
        raise SignerError(
            f"the token {token.label} allows only one more try of its PIN",
            holds="It was not tried.",
            hint="Log in by hand with the right PIN first; that resets the count.",
        )
    return token.open(user_pin=secret_text(address.pin_file, what="PIN file"))


def _find(session: Any, address: KeyAddress) -> tuple[Any, bytes]:
    """Return the private key that *address* names and the public half that the token states for it."""
    edwards = {Attribute.KEY_TYPE: KeyType.EC_EDWARDS}
    wanted: dict[Attribute, Any] = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, **edwards, Attribute.SIGN: True}
    if address.label is not None:
        wanted[Attribute.LABEL] = address.label
    if address.key_id is not None:
        wanted[Attribute.ID] = address.key_id
    private = _only(session, wanted)
    by = Attribute.ID if private.id else Attribute.LABEL
    pair = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, **edwards, by: private[by]}
    try:
        point = _only(session, pair)[Attribute.EC_POINT]
    except (pkcs11.NoSuchKey, pkcs11.MultipleObjectsReturned):
        raise SignerError(
            "the token does not hold one public key beside the private one",
            expected=f"one with the same {by.name}",
            hint="Store the public key too when the pair is made.",
        ) from None
    raw = point if len(point) == PUBLIC_BYTES else point.removeprefix(_OCTET_STRING)
    if len(raw) != PUBLIC_BYTES:
        raise SignerError(
            "the key in the token is on another curve",
            expected=f"Ed25519, whose points have {PUBLIC_BYTES} bytes",
            got=f"{len(raw)} bytes",
            hint="Make a pair with the curve edwards25519.",
        )
    return private, raw


def _only(session: Any, wanted: dict[Attribute, Any]) -> Any:
    found = list(session.get_objects(wanted))
    if len(found) != 1:
        raise pkcs11.MultipleObjectsReturned if found else pkcs11.NoSuchKey
    return found[0]


def _pin_trouble(uri: str, what: str) -> SignerError:
    return SignerError(
        f"{uri}: the PIN {what}",
        holds="It is tried once at most, so that the token does not lock itself.",
        hint="Correct the PIN file, then open the signer again.",
    )
