"""
Found a whole authority in one process: for development, demos and tests, where no ceremony is held.

It may import ``ceremony`` and the signer in memory; the caller passes time and random bytes in and writes the files.
It never serves production: with all keys made on one machine, whoever had that machine has the authority.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from nacl.bindings import crypto_sign_seed_keypair

from pinwarden.documents import Grant, Role, TimestampRole
from pinwarden_keys.ceremony import Roles, assemble, first_root, keyed, sign_draft
from pinwarden_keys.ceremony_files import RootDraft
from pinwarden_keys.errors import CeremonyError
from pinwarden_keys.keyfile import SEED_BYTES
from pinwarden_keys.signer_file import SoftwareSigner

DAY = 24 * 3600
MAX_TIMESTAMP_LIFETIME = 7 * DAY
MAX_PINSET_LIFETIME = 90 * DAY
MAX_ROOT_KEYS = 16


@dataclass(frozen=True, slots=True)
class Founding:
    """
    A new authority.

    Attributes:
        authority: its id, *label* and 64 random bits.
        root_json: the envelope of root version 1, to be embedded in applications and published.
        root_seeds, timestamp_seed, pinset_seed: 32-byte Ed25519 seeds, for ``keyfile.write_key_file``.
    """

    authority: str
    root_json: bytes
    root_seeds: tuple[bytes, ...] = field(repr=False)
    timestamp_seed: bytes = field(repr=False)
    pinset_seed: bytes = field(repr=False)


def found_authority(
    label: str,
    *,
    root_keys: int = 1,
    now: datetime,
    lifetime_days: int = 365,
    names: tuple[str, ...] = ("*",),
    entropy: Callable[[int], bytes],
) -> Founding:
    """
    Return a throw-away authority with one timestamp key, one pin-set key and *root_keys* root keys.

    Args:
        label: beginning of the authority's id: lower-case letters, digits and hyphens, up to 47.
        root_keys: 1 to 16; the threshold is 1 for up to two of them, else a majority.
        now: when it begins, aware.
        names: patterns of the pin sets that the pin-set key may sign.
        entropy: ``os.urandom``, or anything that returns so many random bytes.

    Raises:
        CeremonyError: the label, a pattern or a number is impossible.
    """
    if not 1 <= root_keys <= MAX_ROOT_KEYS:
        raise CeremonyError("impossible number of root keys", expected=f"1 to {MAX_ROOT_KEYS}", got=root_keys)
    authority = authority_id(label, entropy)
    root_seeds = tuple(entropy(SEED_BYTES) for _ in range(root_keys))
    timestamp_seed, pinset_seed = entropy(SEED_BYTES), entropy(SEED_BYTES)
    root, timestamp, pinset = (_keyed_seeds(*seeds) for seeds in (root_seeds, [timestamp_seed], [pinset_seed]))
    roles = Roles(
        Role(tuple(root), 1 if root_keys <= 2 else root_keys // 2 + 1, root),
        TimestampRole(tuple(timestamp), 1, timestamp, 1, MAX_TIMESTAMP_LIFETIME),
        (Grant(tuple(pinset), 1, pinset, 1, MAX_PINSET_LIFETIME, names),),
    )
    draft = RootDraft(first_root(authority, roles, now=now, lifetime=timedelta(days=lifetime_days)).encode(), None, {})
    signers = [SoftwareSigner(seed, uri="memory:founding") for seed in root_seeds]
    envelope = assemble(draft, [sign_draft(draft, signer) for signer in signers])
    return Founding(authority, envelope.to_bytes(), root_seeds, timestamp_seed, pinset_seed)


def authority_id(label: str, entropy: Callable[[int], bytes]) -> str:
    """Return *label* and 64 random bits (spec section 3); its form is judged when the root is drafted."""
    return f"{label}-{entropy(8).hex()}"


def _keyed_seeds(*seeds: bytes) -> dict[str, bytes]:
    return keyed([crypto_sign_seed_keypair(seed)[0] for seed in seeds])
