"""
PKCS#11 modules and the tokens behind them, as the signers of one process share them.

It may import ``pkcs11`` (the extra ``hsm``), the worker and the URI rooms. Nothing here runs on another thread than the
worker's: python-pkcs11 promises a module that there is no other.
"""

from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

import pkcs11
from pkcs11 import Attribute, KeyType, ObjectClass, PKCS11Error, TokenFlag

from pinwarden_keys.errors import SignerError
from pinwarden_keys.signer_pkcs11_uri import KeyAddress
from pinwarden_keys.signer_uri import secret_text
from pinwarden_keys.signer_worker import Worker

PUBLIC_BYTES = 32
_OCTET_STRING = bytes((0x04, PUBLIC_BYTES))  # DER, around the point; some tokens leave it out


class Login:
    """One logged-in session with a token, shared by every signer of it: PKCS#11 counts logins by process."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.users: set[object] = set()
        self.alive = True


class Module:
    """One PKCS#11 module of this process, with the thread that may touch it and the logins it holds."""

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

    def leave(self, login: Login, signer: object) -> None:
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


def module_at(path: str) -> Module:
    """Return the one :class:`Module` of this process for *path*, by whatever name: none may be initialised twice."""
    resolved = str(Path(path).resolve())
    with _modules_lock:
        return _modules.setdefault(resolved, Module(resolved))


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


def find_pair(session: Any, address: KeyAddress) -> tuple[Any, bytes]:
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
