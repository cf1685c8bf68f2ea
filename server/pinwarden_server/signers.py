"""
The keys that this process may sign with.

It may import ``pinwarden_keys``. It is opened once per process; nothing else here touches a private key.
"""

from collections.abc import Callable, Iterable, Sequence

from pinwarden.documents import Role
from pinwarden.envelope import Envelope, Signature
from pinwarden.errors import PinwardenError
from pinwarden_keys import KeysError, Signer, check_envelope, open_signer, sign_envelope
from pinwarden_server.errors import SignerUnavailable


class Signers:
    """Open signers, by the key that each holds."""

    def __init__(self, signers: Iterable[Signer] = ()) -> None:
        self._signers = {signer.keyid: signer for signer in signers}
        self._closed = False

    @classmethod
    def open(cls, uris: Sequence[str], *, passphrase: Callable[[], bytes] | None = None) -> "Signers":
        """
        Open every URI and prove each pair.

        Raises:
            KeysError: one of them cannot be opened; none stays open then.
        """
        opened: list[Signer] = []
        try:
            for uri in uris:
                opened.append(open_signer(uri, passphrase=passphrase))
        except BaseException:
            for signer in opened:
                signer.close()
            raise
        return cls(opened)

    def take_over(self, others: "Signers") -> None:
        """Sign with the keys of *others* from now on; when this was closed meanwhile, close them too."""
        self._signers = others._signers  # in one step: requests may be signing
        if self._closed:
            self.close()

    @property
    def keyids(self) -> frozenset[str]:
        """The names of the keys."""
        return frozenset(self._signers)

    def can_sign(self, role: Role) -> bool:
        """Tell whether enough keys of *role* are here."""
        return len(self.keyids & set(role.keys)) >= role.threshold

    def sign(self, payload_type: str, payload: bytes, role: Role) -> Envelope:
        """
        Return *payload* signed by as many keys of *role* as it demands, each signature good in both libraries (S2).

        Raises:
            SignerUnavailable: too few keys, a signer failed, or its signature does not verify.
        """
        chosen = [self._signers[keyid] for keyid in role.keyids if keyid in self._signers][: role.threshold]
        if len(chosen) < role.threshold:
            raise SignerUnavailable(
                "too few signers for this role",
                expected=f"{role.threshold} of {', '.join(keyid[:16] for keyid in role.keyids)}",
                got=", ".join(sorted(keyid[:16] for keyid in self._signers)) or "none",
                hint="Compare the server's signer settings with `pinwarden root show`.",
            )
        try:
            return check_envelope(sign_envelope(payload_type, payload, chosen), role)
        except KeysError as error:
            raise SignerUnavailable(error.what, expected=error.expected, got=error.got, hint=error.hint) from error
        except PinwardenError as error:
            raise SignerUnavailable(f"the signature does not satisfy the role: {error.what}") from error

    def sign_in_part(self, payload_type: str, payload: bytes, role: Role) -> tuple[Signature, ...]:
        """
        Return a signature by each key of *role* that is here, which may be none: the others have to come from people.

        Raises:
            SignerUnavailable: a signer failed, or its signature does not verify.
        """
        chosen = [self._signers[keyid] for keyid in role.keyids if keyid in self._signers]
        if not chosen:
            return ()
        try:
            return sign_envelope(payload_type, payload, chosen).signatures
        except KeysError as error:
            raise SignerUnavailable(error.what, expected=error.expected, got=error.got, hint=error.hint) from error

    def close(self) -> None:
        """Forget every private key."""
        self._closed = True
        for signer in self._signers.values():
            signer.close()
