"""
The moment of signing: ask, open the key, sign what was shown, and look whether it is served.

It may import click, the keys' package and the review. No key is opened before the version was typed, and nothing is
signed but the bytes that the review was computed from.
"""

from pathlib import Path

import click

from pinwarden.cli.refusals import say
from pinwarden.documents import PinSet
from pinwarden.envelope import PINSET_TYPE, Signature
from pinwarden.errors import FetchError
from pinwarden_keys import SignerError, file_uri, open_signer, sign_envelope
from pinwarden_keys.prompts import passphrase_from
from pinwarden_ops.change_desk import Desk
from pinwarden_ops.change_review import Review
from pinwarden_ops.contents import is_same
from pinwarden_ops.errors import OpsRefused


def ask_for_version(found: Review) -> None:
    """Have the version typed, by whoever has read what is above it; OpsRefused when it is another."""
    typed: str = click.prompt("Type the version to sign it", err=True)
    if typed.strip() != found.version:
        raise OpsRefused(
            "not signed",
            expected=f"version {found.version} typed",
            got=repr(typed[:40]),
            holds="Nothing was signed or sent.",
        )


def sign_review(found: Review, key: str, passphrase_file: Path | None, *, as_approver: bool) -> Signature:
    """
    Return the signature over exactly the payload that *found* shows.

    Args:
        key: a path, or a signer URI.
        as_approver: the root need not name the key, because a signer process asks for its holder's approval.

    Raises:
        SignerError: the root gives this key no say, and its holder did not say that they approve.
        KeyFileError, PassphraseError: the key refuses.
    """
    if found.is_preliminary:
        raise OpsRefused(
            "nobody but the server signs this change",
            holds="Nothing was signed or sent.",
            hint="Approve it by `pinwarden change approve`.",
        )
    uri = key if ":" in key else file_uri(key)
    signer = open_signer(uri, passphrase=passphrase_from(passphrase_file, what=uri))
    try:
        if signer.keyid not in found.grant.keys and not as_approver:
            raise SignerError(
                f"this key may not sign pin set {found.document.name!r}",
                expected=f"one of {', '.join(keyid[:16] for keyid in found.grant.keys)}",
                got=signer.keyid[:16],
                holds="Nothing was signed or sent.",
                hint="Use the key that the root names for you; `pinwarden keys show` prints what a file holds. Where a "
                "signer process asks for your approval, add --approver.",
            )
        (signature,) = sign_envelope(PINSET_TYPE, found.payload, [signer]).signatures
    finally:
        signer.close()
    return signature


def confirm(desk: Desk, found: Review) -> None:
    """Look at what is served now: that the server said so is not enough."""
    try:
        state = desk.in_force(found.document.name).state
    except FetchError as error:
        say("note", f"whether it is served could not be seen: {error}")
        return
    held = state.adopted_pinset
    if held is None or not _is_what_was_seen(held.envelope.payload, found):
        say("warning", "the server says that it is published, and serves something else still; look again in a minute")


def _is_what_was_seen(payload: bytes, found: Review) -> bool:
    if found.is_preliminary:
        return is_same(PinSet.parse(payload), found.document)
    return payload == found.payload
