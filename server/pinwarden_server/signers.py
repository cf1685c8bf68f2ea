"""
The keys that this process may sign with.

It may import ``pinwarden_keys``. It is opened once per process; nothing else here touches a private key. A key behind a
signer process signs new pins only with approvals, which that process judges: what is counted here saves it a question.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from pinwarden.documents import Role
from pinwarden.envelope import PINSET_TYPE, TIMESTAMP_TYPE, Envelope, Signature, pae
from pinwarden.errors import PinwardenError
from pinwarden_keys import (
    Approvers,
    GatedSigner,
    KeysError,
    Signer,
    SigningRefusedError,
    check_envelope,
    check_signature,
    open_signer,
    sign_envelope,
)
from pinwarden_server.errors import SignerUnavailable, SigningRefused

_NEEDS_PEOPLE = "approval"  # the rule of a signer process by which it refuses what too few approved
_COMPARE = "Compare the server's signer settings with `pinwarden root show`."
_NONE_OPEN = "None is open on this server: its log, /statusz and `pinwarden server doctor` say why."


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
        """Tell whether enough keys of *role* are here, those included that sign nothing new without approvals."""
        return len(self.keyids & set(role.keys)) >= role.threshold

    def needs_people(self, role: Role) -> bool:
        """Tell whether enough keys of *role* are here only with those that sign nothing new without approvals."""
        alone = [signer for signer in self._of(role) if not isinstance(signer, GatedSigner)]
        return len(alone) < role.threshold <= len(self._of(role))

    def sign(self, payload_type: str, payload: bytes, role: Role) -> Envelope:
        """
        Return *payload* signed by as many keys of *role* as it demands, each signature good in both libraries (S2).

        Raises:
            SignerUnavailable: too few keys, a signer failed, or its signature does not verify.
            SigningRefused: a signer process refuses.
        """
        return self._sign(payload_type, payload, role, lambda signer, message: signer.sign(message))

    def sign_stamp(self, payload: bytes, role: Role, pinset: Envelope) -> Envelope:
        """Return a timestamp signed as :meth:`sign` does; signer processes see the *pinset* that it names as well."""

        def sign(signer: Signer, message: bytes) -> bytes:
            return signer.sign_stamp(message, pinset) if isinstance(signer, GatedSigner) else signer.sign(message)

        return self._sign(TIMESTAMP_TYPE, payload, role, sign)

    def sign_in_part(self, payload_type: str, payload: bytes, role: Role) -> tuple[Signature, ...]:
        """
        Return a signature by each key of *role* that is here and asks nobody, which may be none.

        Raises:
            SignerUnavailable: a signer failed, or its signature does not verify.
        """
        chosen = [signer for signer in self._of(role) if not isinstance(signer, GatedSigner)]
        if not chosen:
            return ()
        try:
            return sign_envelope(payload_type, payload, chosen).signatures
        except KeysError as error:
            raise _failed(error) from error

    def gates(self, role: Role, name: str) -> dict[str, Approvers]:
        """
        Return whose approval each key of *role* that lies behind a signer process waits for, by keyid.

        Raises:
            SignerUnavailable: the process does not answer.
        """
        try:
            found = {
                signer.keyid: signer.approvers(name) for signer in self._of(role) if isinstance(signer, GatedSigner)
            }
        except KeysError as error:
            raise _failed(error) from error
        return {keyid: approvers for keyid, approvers in found.items() if approvers}

    def sign_approved(self, payload: bytes, keyids: Iterable[str], given: Mapping[str, Signature]) -> list[Signature]:
        """
        Return the signature over a pin set by each of *keyids*, keys of :meth:`gates`.

        Args:
            given: signatures of people over the same pin set; each process counts those that it knows.

        Raises:
            SigningRefused: a process refuses. SignerUnavailable: it failed, or its signature does not verify.
        """
        message, made = pae(PINSET_TYPE, payload), []
        try:
            for keyid in keyids:
                signer = self._signers[keyid]
                if not isinstance(signer, GatedSigner):
                    raise AssertionError("only keys behind a gate wait for approvals")
                sig = signer.sign_approved(message, given.values())
                made.append(Signature(keyid, check_signature(sig, message, signer.public)))
        except KeysError as error:
            raise _failed(error) from error
        return made

    def close(self) -> None:
        """Forget every private key."""
        self._closed = True
        for signer in self._signers.values():
            signer.close()

    def _sign(self, payload_type: str, payload: bytes, role: Role, sign: Callable[[Signer, bytes], bytes]) -> Envelope:
        # Keys that ask nobody first: where they suffice, nobody has to approve.
        chosen = sorted(self._of(role), key=lambda signer: isinstance(signer, GatedSigner))[: role.threshold]
        if len(chosen) < role.threshold:
            raise SignerUnavailable(
                "too few signers for this role",
                expected=f"{role.threshold} of {', '.join(keyid[:16] for keyid in role.keyids)}",
                got=", ".join(sorted(keyid[:16] for keyid in self._signers)) or "none",
                hint=_COMPARE if self._signers else _NONE_OPEN,
            )
        message = pae(payload_type, payload)
        try:
            entries = [Signature(signer.keyid, sign(signer, message)) for signer in chosen]
            return check_envelope(Envelope.of(payload_type, payload, entries), role)
        except KeysError as error:
            raise _failed(error) from error
        except PinwardenError as error:
            raise SignerUnavailable(f"the signature does not satisfy the role: {error.what}") from error

    def _of(self, role: Role) -> list[Signer]:
        return [self._signers[keyid] for keyid in role.keyids if keyid in self._signers]


def _failed(error: KeysError) -> SignerUnavailable | SigningRefused:
    values = {"expected": error.expected, "got": error.got, "hint": error.hint}
    if isinstance(error, SigningRefusedError):
        return SigningRefused(error.what, needs_people=error.rule == _NEEDS_PEOPLE, **values)
    return SignerUnavailable(error.what, **values)
