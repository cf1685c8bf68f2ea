"""
A whole ceremony with throw-away keys: the real plan, real files, nobody's real key.

It may import everything in this package but the commands. Its authority is called ``rehearsal-``, every key in it is
made for it, in a folder that its caller throws away: nothing that it makes can be taken for the real thing.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pinwarden.documents import Key, Role, Root
from pinwarden.envelope import Envelope
from pinwarden.trust import advance_root, begin
from pinwarden_keys.ceremony import Tally, assemble, next_root, roles_of, sign_draft, tally
from pinwarden_keys.ceremony_files import DetachedSignature, RootDraft, spell_person
from pinwarden_keys.errors import CeremonyError, MissingSignaturesError
from pinwarden_keys.files import write_new
from pinwarden_keys.founding import authority_id
from pinwarden_keys.keyfile import LIGHT_KDF, SEED_BYTES, write_key_file
from pinwarden_keys.root_words import words_of
from pinwarden_keys.signer import open_signer
from pinwarden_keys.signer_file import SoftwareSigner, file_uri

REHEARSAL = "rehearsal-"
_RANDOM_END = 17  # a hyphen and 16 hex digits (spec section 3)
_LONGEST_LABEL = 64 - _RANDOM_END - len(REHEARSAL)

AnyRole = TypeVar("AnyRole", bound=Role)
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class StandIn:
    """A throw-away key, in memory and as a file, in place of the real one of somebody called *name*."""

    name: str
    signer: SoftwareSigner
    file: Path


class Rehearsal:
    """
    The ceremony that *real* asks for, with a throw-away key in place of each of its keys.

    Args:
        real: the draft that the real ceremony would sign; its keys are only counted.
        folder: an empty folder for the files of the rehearsal.
        say: gets the story, a sentence at a time.
    """

    def __init__(self, real: RootDraft, folder: Path, *, now: datetime, say: Say) -> None:
        self._folder, self._now, self._say = folder, now, say
        self._passphrase = os.urandom(32).hex().encode()
        self._people = self._stand_ins(real)
        label = real.root.authority[:-_RANDOM_END][:_LONGEST_LABEL]
        self._authority = authority_id(REHEARSAL + label, os.urandom)
        self._names = {person.signer.keyid: person.name for person in self._people.values()}
        before = real.previous_root
        self._previous = None if before is None else self._founded(self._in_place_of(before))
        self._draft = RootDraft(self._in_place_of(real.root).encode(), self._previous, self._names)

    def run(self, absent: Collection[str] = ()) -> tuple[str, ...]:
        """
        Hold the ceremony without those called *absent*, then see what follows it and whose loss would stop it.

        Returns:
            the names of those of the others without whom, one at a time, it could not be held.

        Raises:
            CeremonyError: the real ceremony would not work either; the message says where it stopped.
        """
        self._check_known(absent)
        root = self._draft.root
        words = " ".join(words_of(self._draft.digest)[:4])
        self._say(f"drafted root {root.version} of {self._authority}; its digest begins: {words}")
        path = self._folder / f"root.{root.version}.draft"
        write_new(path, self._draft.to_bytes(), mode=0o644, what="draft")
        here = [person for person in self._voters(self._draft) if person.name not in absent]
        envelope = self._signed(path, here)
        self._accepted(envelope)
        self._renewed(envelope, absent)
        return tuple(self._losses(here))

    def _stand_ins(self, real: RootDraft) -> dict[str, StandIn]:
        people: dict[str, StandIn] = {}
        for keyid in dict.fromkeys(keyid for root in (real.previous_root, real.root) if root for keyid in root.keys):
            name, seed = real.names.get(keyid, keyid[:16]), os.urandom(SEED_BYTES)
            file = self._folder / f"throw-away-{len(people) + 1}.key"
            write_key_file(file, seed, self._passphrase, label=name, kdf=LIGHT_KDF)
            people[keyid] = StandIn(name, SoftwareSigner(seed, uri="memory:rehearsal"), file)
        self._say(f"made {len(people)} throw-away keys: " + ", ".join(spell_person(p.name) for p in people.values()))
        return people

    def _in_place_of(self, root: Root) -> Root:
        return replace(
            root,
            authority=self._authority,
            keys={signer.keyid: Key("ed25519", signer.public) for signer in self._signers(root.keys)},
            root=self._role(root.root),
            timestamp=self._role(root.timestamp),
            pinset=tuple(self._role(grant) for grant in root.pinset),
        )

    def _role(self, role: AnyRole) -> AnyRole:
        keys = {signer.keyid: signer.public for signer in self._signers(role.keys)}
        return replace(role, keyids=tuple(keys), keys=keys)

    def _signers(self, keyids: Iterable[str]) -> list[SoftwareSigner]:
        return [self._people[keyid].signer for keyid in keyids]

    def _founded(self, root: Root) -> Envelope:
        """Return a root that stands for the one in use, signed by its own threshold."""
        draft = RootDraft(root.encode(), None, self._names)
        voters = self._voters(draft)[: root.root.threshold]
        return assemble(draft, [sign_draft(draft, person.signer) for person in voters])

    def _voters(self, draft: RootDraft) -> list[StandIn]:
        """Return everybody with a say in *draft*, those first who count in both roots."""
        roles = [root.root.keys for root in (draft.previous_root, draft.root) if root]
        voters = [person for person in self._people.values() if any(person.signer.keyid in role for role in roles)]
        return sorted(voters, key=lambda person: -sum(person.signer.keyid in role for role in roles))

    def _check_known(self, absent: Collection[str]) -> None:
        known = {person.name for person in self._voters(self._draft)}
        if strangers := sorted(set(absent) - known):
            raise CeremonyError(
                "nobody of that name has a say in this root",
                expected=f"one of {', '.join(sorted(known))}",
                got=", ".join(ascii(name)[1:-1] for name in strangers),
            )

    def _signed(self, path: Path, here: Sequence[StandIn]) -> Envelope:
        """Let one after another sign the file at *path* until both thresholds are met, and assemble their files."""
        signatures: list[DetachedSignature] = []
        for person in here:
            signatures.append(self._sign(path, person))
            counts = tally(self._draft, signatures)
            self._say(f"{spell_person(person.name)} signed: {self._spell(counts)}")
            if not any(each.lacking for each in counts):
                break
        try:
            envelope = assemble(self._draft, signatures)
        except MissingSignaturesError as error:
            raise CeremonyError(
                f"the real ceremony would stop here: {self._spell(error.tallies)}",
                hint="Find somebody who still has a key, or a copy of it. If nobody has one, the authority is lost:"
                " release the applications with a new one.",
            ) from None
        self._say(f"assembled root {self._draft.root.version} from {len(signatures)} files")
        return envelope

    def _sign(self, path: Path, person: StandIn) -> DetachedSignature:
        """Sign with a key file, as each person would on a machine of their own."""
        draft = RootDraft.parse(path.read_bytes(), where=path.name)
        signer = open_signer(file_uri(person.file), passphrase=lambda: self._passphrase)
        try:
            return sign_draft(draft, signer, name=person.name, made=self._now)
        finally:
            signer.close()

    def _accepted(self, envelope: Envelope) -> None:
        """See what a client says that trusts the root before."""
        if self._previous is None:
            begin(envelope, name="rehearsal")
            self._say("a client that embeds it begins with it")
            return
        state = advance_root(begin(self._previous, name="rehearsal"), envelope)
        self._say(f"a client that trusts root {state.root.version - 1} accepts root {state.root.version}")

    def _renewed(self, envelope: Envelope, absent: Collection[str]) -> None:
        """See whether the people of the new root can make the one after it."""
        root = self._draft.root
        following = next_root(root, roles_of(root), now=self._now, lifetime=root.expires - root.issued)
        draft = RootDraft(following.encode(), envelope, self._names)
        voters = [person for person in self._voters(draft) if person.name not in absent][: root.root.threshold]
        assemble(draft, [sign_draft(draft, person.signer) for person in voters])
        self._say(f"its people can renew it as root {following.version}")

    def _losses(self, here: Sequence[StandIn]) -> Iterator[str]:
        """Yield the name of each person whose loss would stop the ceremony."""
        for lost in here:
            rest = [sign_draft(self._draft, person.signer) for person in here if person is not lost]
            counts = tally(self._draft, rest)
            if any(each.lacking for each in counts):
                self._say(f"without {spell_person(lost.name)} it stops: {self._spell(counts)}")
                yield lost.name
            else:
                self._say(f"without {spell_person(lost.name)} it can still be held")

    def _spell(self, counts: Sequence[Tally]) -> str:
        return ", ".join(each.spell(self._names) for each in counts)
