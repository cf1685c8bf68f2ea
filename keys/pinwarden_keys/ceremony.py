"""
The root ceremony as arithmetic: draft a root, count detached signatures, put them together (spec V4, S7, S8).

It may import the documents, ``trust`` and this package's values: no file, prompt, clock or random number is touched. No
root leaves :func:`assemble` that a client would refuse.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pinwarden.documents import Grant, Key, Role, Root, TimestampRole
from pinwarden.envelope import MAX_SIGNATURES, ROOT_TYPE, Envelope, Signature, check_public_key, keyid_of, pae
from pinwarden.errors import SignatureError, UntrustedError
from pinwarden.trust import TrustState, advance_root, begin
from pinwarden_keys.ceremony_files import DetachedSignature, RootDraft, spell_key, spell_person
from pinwarden_keys.errors import CeremonyError, MissingSignaturesError, SignerError
from pinwarden_keys.second_verifier import check_signature
from pinwarden_keys.signer import Signer

# Roots are judged without any pin set; the trust room wants some name.
_ANY_NAME = "ceremony"


@dataclass(frozen=True, slots=True)
class Roles:
    """The three roles of a root."""

    root: Role
    timestamp: TimestampRole
    pinset: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """
    How far one threshold is: *signed* and *missing* are keyids, *whose* is ``"old root"`` or ``"new root"``.

    Attributes:
        lacking: how many more signatures are needed, 0 when the threshold is met.
    """

    whose: str
    threshold: int
    signed: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def lacking(self) -> int:
        return max(0, self.threshold - len(self.signed))

    def spell(self, names: Mapping[str, str]) -> str:
        """Return ``new root 1 of 2: missing carol or dave``; keys without a name are given by their keyid."""
        count = f"{self.whose} {min(len(self.signed), self.threshold)} of {self.threshold}"
        if not self.lacking:
            return count
        people = [spell_person(names.get(keyid, keyid[:16])) for keyid in self.missing]
        return f"{count}: missing {' and '.join(people) if self.lacking == len(people) else ' or '.join(people)}"


def keyed(publics: Sequence[bytes]) -> dict[str, bytes]:
    """
    Return *publics* by keyid, for the roles of a draft.

    Raises:
        CeremonyError: a key twice, or one for which anyone could sign (small order, not canonical; spec V1).
    """
    keys = {}
    for public in publics:
        keyid = keyid_of(public)
        if keyid in keys:
            raise CeremonyError("a key is named twice in one role", got=keyid, hint="Each person brings their own key.")
        try:
            keys[keyid] = check_public_key(public, keyid=keyid)
        except SignatureError as error:
            raise CeremonyError(f"a key cannot be used: {error.what}", got=public.hex(), hint=error.hint) from None
    return keys


def first_root(authority: str, roles: Roles, *, now: datetime, lifetime: timedelta) -> Root:
    """
    Return root version 1 of *authority*, which ends in 16 random hex digits; nothing is signed.

    Raises:
        CeremonyError: it would not be a root.
    """
    return _checked(_root(authority, 1, roles, now, lifetime))


def next_root(previous: Root, roles: Roles, *, now: datetime, lifetime: timedelta) -> Root:
    """Return the root that follows *previous*, with *roles*; pass ``roles_of(previous)`` to change only its dates."""
    return _checked(_root(previous.authority, previous.version + 1, roles, now, lifetime))


def roles_of(root: Root) -> Roles:
    """
    Return the roles of *root*, to be kept or changed.

    Raises:
        CeremonyError: it names keys of a scheme that this version cannot carry on.
    """
    foreign = {key.scheme for key in root.keys.values() if key.public is None}
    if foreign:
        raise CeremonyError(
            f"root {root.version} names keys of a scheme that this version does not know",
            expected="ed25519",
            got=", ".join(sorted(foreign)),
            hint="Draft with the newer pinwarden that introduced them, or state every role anew.",
        )
    return Roles(root.root, root.timestamp, root.pinset)


def verify_root(envelope: Envelope, *, previous: Envelope | None) -> Root:
    """
    Return the root in *envelope* as a client would accept it: after *previous*, or founding an authority.

    *previous* is verified by its own threshold only: that it is the one in use is for the caller to know.

    Raises:
        UntrustedError: a client would refuse.
    """
    state: TrustState
    if previous is None:
        state = begin(envelope, name=_ANY_NAME)
    else:
        state = advance_root(begin(previous, name=_ANY_NAME), envelope)
    return state.root


def verify_chain(envelopes: Iterable[Envelope]) -> Iterator[Root]:
    """
    Yield the roots of a chain of any length, oldest first, each once it is judged: the first by its own threshold, each
    other as a client that trusts the one before would accept it.

    Raises:
        UntrustedError: a client would refuse the root that is due.
    """
    state: TrustState | None = None
    for envelope in envelopes:
        state = begin(envelope, name=_ANY_NAME) if state is None else advance_root(state, envelope)
        yield state.root


def check_shown(draft: RootDraft) -> None:
    """
    Make sure that *draft* says nothing beyond what this version reads, and so shows to people.

    Raises:
        CeremonyError: its payload holds more: members of a later version, or keys of a scheme that is unknown here.
    """
    if draft.payload != draft.root.encode():
        raise CeremonyError(
            "the draft says more than this version of pinwarden reads",
            expected="a payload as this version writes it",
            got="other members, keys of an unknown scheme, or another spelling",
            holds="Nothing was signed.",
            hint="Nobody should sign what they were not shown: use the pinwarden that made it, or draft again.",
        )


def sign_draft(
    draft: RootDraft, signer: Signer, *, name: str | None = None, made: datetime | None = None
) -> DetachedSignature:
    """
    Return *signer*'s detached signature over *draft*.

    Args:
        name, made: go into the file beside the signature; they are not signed.

    Raises:
        CeremonyError: the key has no say in this root, old or new. SignerError: the signature does not verify.
    """
    _check_has_say(draft, signer.keyid)
    message = pae(ROOT_TYPE, draft.payload)
    signature = check_signature(signer.sign(message), message, signer.public)
    return DetachedSignature(draft.digest, signer.keyid, signature, name, made and made.replace(microsecond=0))


def tally(draft: RootDraft, signatures: Iterable[DetachedSignature]) -> tuple[Tally, ...]:
    """
    Return where each threshold stands: the old root's first, when there is one, then the new root's own.

    Raises:
        CeremonyError: a signature is for another draft, by a stranger, or wrong; the message names it.
    """
    signed = set(_judged(draft, signatures))
    roles = [("old root", draft.previous_root.root)] if draft.previous_root else []
    return tuple(_count(whose, role, signed) for whose, role in [*roles, ("new root", draft.root.root)])


def assemble(draft: RootDraft, signatures: Iterable[DetachedSignature]) -> Envelope:
    """
    Return the signed root, judged by the client's own verifier; the order of *signatures* does not matter.

    Raises:
        MissingSignaturesError: a threshold is not met yet; every signature given is good.
        CeremonyError: a signature that is none, or a root that clients would refuse.
    """
    judged = _judged(draft, signatures)
    tallies = tally(draft, judged.values())
    if any(each.lacking for each in tallies):
        raise MissingSignaturesError(
            f"root {draft.root.version} waits for signatures: {', '.join(each.spell(draft.names) for each in tallies)}",
            tallies=tallies,
            holds="The signatures that are there are good.",
            hint="Have the missing people run `pinwarden root sign`, then assemble again.",
        )
    if len(judged) > MAX_SIGNATURES:
        raise CeremonyError("too many signatures for one envelope", expected=MAX_SIGNATURES, got=len(judged))
    entries = [Signature(keyid, judged[keyid].sig) for keyid in sorted(judged)]
    envelope = Envelope.of(ROOT_TYPE, draft.payload, entries)
    try:
        verify_root(Envelope.parse(envelope.to_bytes(), expect=ROOT_TYPE), previous=draft.previous)
    except UntrustedError as error:
        raise CeremonyError(f"clients would refuse this root: {error.what}", got=error.got, hint=error.hint) from error
    return envelope


def _root(authority: str, version: int, roles: Roles, now: datetime, lifetime: timedelta) -> Root:
    issued = now.replace(microsecond=0)
    everyone = [roles.root, roles.timestamp, *roles.pinset]
    keys = {keyid: Key("ed25519", public) for role in everyone for keyid, public in role.keys.items()}
    return Root(authority, version, issued, issued + lifetime, keys, roles.root, roles.timestamp, roles.pinset)


def _checked(root: Root) -> Root:
    """Return *root* when the client's parser finds in its payload what was meant."""
    try:
        parsed = Root.parse(root.encode())
    except (UntrustedError, ValueError) as error:
        what = error.what if isinstance(error, UntrustedError) else str(error)
        expected, got = getattr(error, "expected", None), getattr(error, "got", None)
        raise CeremonyError(f"this would not be a root: {what}", expected=expected, got=got) from error
    if parsed != replace(root, keys=parsed.keys) or dict(parsed.keys) != dict(root.keys):
        raise CeremonyError("the payload does not say what was drafted", expected=root, got=parsed)
    return parsed


def _check_has_say(draft: RootDraft, keyid: str, *, where: str = "") -> bytes:
    for root in (draft.root, draft.previous_root):
        if root is not None and keyid in root.root.keys:
            return root.root.keys[keyid]
    raise CeremonyError(
        f"{where}key {ascii(keyid[:16])[1:-1]} has no say in root {draft.root.version}",
        expected="a root key of the old or the new root",
        got=ascii(keyid[:64])[1:-1],
        hint="Is this the right key file, and the right draft?",
    )


def _judged(draft: RootDraft, signatures: Iterable[DetachedSignature]) -> dict[str, DetachedSignature]:
    """Return the signatures by keyid; the same ones whatever their order."""
    message = pae(ROOT_TYPE, draft.payload)
    judged: dict[str, DetachedSignature] = {}
    for signature in sorted(signatures, key=lambda each: each.sig, reverse=True):
        where = f"{signature.origin}: " if signature.origin else ""
        public = _check_has_say(draft, signature.keyid, where=where)
        # The file's own name is what its maker likes to be called; the draft's is what everybody was shown.
        who = spell_key(signature.keyid, draft.names)
        if signature.digest != draft.digest:
            raise CeremonyError(
                f"{where}the signature by {who} is for another draft",
                expected=draft.digest.hex(),
                got=signature.digest.hex(),
                hint="Compare the words of the digest with that person (`pinwarden root show`).",
            )
        try:
            check_signature(signature.sig, message, public)
        except SignerError as error:
            what = f"{where}the signature by {who} is wrong"
            raise CeremonyError(what, got=error.got, hint="Have it made again.") from None
        judged[signature.keyid] = signature
    return judged


def _count(whose: str, role: Role, signed: set[str]) -> Tally:
    present = tuple(keyid for keyid in role.keys if keyid in signed)
    return Tally(whose, role.threshold, present, tuple(keyid for keyid in role.keys if keyid not in signed))
