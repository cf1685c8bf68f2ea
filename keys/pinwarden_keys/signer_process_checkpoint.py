"""
What a signer process signs of a server's audit log: ends that go on from the one that it signed before.

It may import layer 0, the journal's values and the words of refusals. It never sees the log itself: that no end gets
shorter, and none gets a second hash, is all that it promises, whoever has the server.
"""

from datetime import datetime, timedelta
from hashlib import sha256

from pinwarden.checkpoint import Checkpoint
from pinwarden.strict_json import format_time
from pinwarden.trust import TrustState
from pinwarden_keys.signer_process_journal import ALONE, CHECKPOINT, LOG, Past, Signed
from pinwarden_keys.signer_process_message import Asked, check_spelling, refused

# One a minute is the most that a server can be set to.
MOST_PER_DAY = 24 * 60


def judge_checkpoint(asked: Asked, state: TrustState, past: Past, *, skew: timedelta, now: datetime) -> Signed | None:
    """
    Return the row that has to be in the journal before *asked* is signed; None when that end was signed before.

    Raises:
        UntrustedError: it is no checkpoint. SigningRefusedError: by one of the process's rules.
    """
    checkpoint, before = Checkpoint.parse(asked.payload), past.checkpoint
    check_spelling(checkpoint, asked.payload)
    if (checkpoint.authority, checkpoint.root_version) != (state.authority, state.root.version):
        raise refused(
            "log",
            "the checkpoint names another authority or another root",
            expected=f"root {state.root.version} of {state.authority}",
            got=f"root {checkpoint.root_version}",
            hint="If a newer root is in force, give it to the signer process and restart it.",
        )
    if abs(checkpoint.issued - now) > skew:
        raise refused(
            "issued",
            "the checkpoint was not issued now",
            expected=format_time(now),
            got=format_time(checkpoint.issued),
            hint="Compare both machines' clocks.",
        )
    head = bytes.fromhex(checkpoint.hash)
    if before and (checkpoint.size, head) == (before.version, before.named_sha256):
        return None
    if before and checkpoint.size <= before.version:
        raise refused(
            "log",
            "the audit log does not go on from where its end was signed before",
            expected=f"more than {before.version} rows, or the same hash",
            got=f"{checkpoint.size} rows",
            hint="A log that was restored is signed again once it is longer; anything else is an incident.",
        )
    if past.checkpoints_alone >= MOST_PER_DAY:
        raise refused("rate", "too many checkpoints were signed", expected=f"at most {MOST_PER_DAY} within 24 hours")
    digest, length = sha256(asked.payload).digest(), len(asked.payload)
    # The epoch stays: one size has one hash, whatever roots come.
    return Signed(CHECKPOINT, ALONE, LOG, 1, checkpoint.size, digest, length, named_sha256=head)
