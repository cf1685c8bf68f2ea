"""
The signer of ``unix:`` URIs: a key in a signer process on this machine, which judges what it signs.

It may import the wire and the URI room. It opens a connection for each request, so a process that was restarted is
found again; it believes nothing but signatures, which are verified by the key that the URI names.
"""

import errno
import os
import re
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pinwarden.deadline import Deadline
from pinwarden.envelope import Envelope, Signature, keyid_of
from pinwarden.errors import MalformedError
from pinwarden.fields import Fields
from pinwarden.strict_json import encode_base64
from pinwarden_keys import signer_worker
from pinwarden_keys.errors import KeeperAwayError, SignerError
from pinwarden_keys.passphrase import Passphrase
from pinwarden_keys.signer import Approvers
from pinwarden_keys.signer_process_wire import (
    MAX_ANSWER_BYTES,
    MAX_REQUEST_BYTES,
    SIGNATURE_BYTES,
    check_answer,
    receive,
    send,
    signatures_json,
)
from pinwarden_keys.signer_uri import MAX_URI, parameters_of, refused_uri

SCHEME = "unix"
PARAMETERS = ("key",)
MAX_PATH = 107  # bytes, sun_path of Linux with its zero
# What is left of a request for the message, in base64, beside 16 approvals.
MAX_MESSAGE_BYTES = (MAX_REQUEST_BYTES - 8 * 1024) // 4 * 3
_KEYID = re.compile(r"[0-9a-f]{64}")
_REFUSED_BY_THE_SYSTEM = (errno.EACCES, errno.EPERM)


class UnixSigner:
    """A signer whose private half stays in another process, under another user."""

    def __init__(self, uri: str, path: Path, keyid: str) -> None:
        self.uri = uri
        self.keyid = keyid
        self._path = path
        self._closed = False
        found = self._ask({"do": "describe", "key": keyid})
        try:
            self.public = found.octets("public", 32)
            self.label = found.text("label") if "label" in found else None
        except MalformedError as error:
            raise self._not_ours(error) from None
        if keyid_of(self.public) != keyid:
            raise SignerError(
                f"{uri} answered with another key", expected=keyid, got=keyid_of(self.public), hint=_WHO_LISTENS
            )

    def __repr__(self) -> str:
        return f"<UnixSigner {self.uri} {self.keyid[:16]}>"

    def __reduce__(self) -> str:
        raise TypeError("a signer does not leave its process")

    def sign(self, message: bytes) -> bytes:
        """
        Return the 64-byte signature over *message*, which the process signs without people.

        Raises:
            SigningRefusedError: the process judged *message*, and refused. KeeperAwayError: it does not answer.
            SignerError: closed, or too large.
        """
        return self.sign_approved(message, ())

    def sign_approved(self, message: bytes, approvals: Iterable[Signature]) -> bytes:
        """Return the signature over *message* that *approvals*, signatures over it as well, make the process give."""
        return self._sign(message, {"approvals": signatures_json(approvals)})

    def sign_stamp(self, message: bytes, pinset: Envelope) -> bytes:
        """Return the signature over a timestamp, shown together with the *pinset* that it names."""
        return self._sign(message, {"approvals": [], "pinset": pinset.to_json()})

    def approvers(self, name: str) -> Approvers | None:
        """Return who approves pin sets of that *name*, as the process says; None when it signs none of them."""
        answer = self._ask({"do": "approvers", "name": name})
        try:
            if "threshold" not in answer:
                return None
            people = answer.each("approvers", Fields)
            keys = {keyid_of(public): public for public in (person.octets("public", 32) for person in people)}
            labels = {keyid_of(person.octets("public", 32)): person.text("label") for person in people}
            return Approvers(keys, answer.integer("threshold"), labels)
        except MalformedError as error:
            raise self._not_ours(error) from None

    def close(self) -> None:
        """Refuse from now on; no connection stays open between requests."""
        self._closed = True

    def _sign(self, message: bytes, along: Mapping[str, object]) -> bytes:
        if len(message) > MAX_MESSAGE_BYTES:
            raise SignerError(
                f"the message is too large for {self.uri}",
                expected=f"at most {MAX_MESSAGE_BYTES} bytes",
                got=len(message),
                holds="It was not sent.",
                hint="Clients take no pin set, timestamp or root of that size.",
            )
        request = {"do": "sign", "key": self.keyid, "message": encode_base64(message)}
        answer = self._ask({**request, **along})
        try:
            return answer.octets("signature", SIGNATURE_BYTES)
        except MalformedError as error:
            raise self._not_ours(error) from None

    def _ask(self, request: Mapping[str, object]) -> Fields:
        if self._closed:
            raise SignerError(f"{self.uri} is closed", hint="Open it again to sign.")
        return ask(self._path, request, who=f"the signer process at {self._path}")

    def _not_ours(self, error: MalformedError) -> SignerError:
        return SignerError(f"{self.uri} does not answer as a signer process does: {error.what}", hint=_WHO_LISTENS)


_WHO_LISTENS = "Look who listens on that socket; its folder must belong to the signer's user alone."


def ask(path: Path, request: Mapping[str, object], *, who: str) -> Fields:
    """
    Return the answer of the process that listens at *path*, within 15 s.

    Raises:
        SigningRefusedError: it says no. KeeperAwayError: none listens, it does not answer, or cannot sign now.
        SignerError: this user may not connect, or what listens is no signer process.
    """
    deadline = Deadline(signer_worker.ANSWER_SECONDS)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(deadline.check())
            line.connect(os.fspath(path))
            with suppress(BrokenPipeError, ConnectionResetError):  # whoever is refused unread has an answer waiting
                send(line, request, deadline)
            return check_answer(receive(line, limit=MAX_ANSWER_BYTES, what="answer", deadline=deadline), who=who)
    except TimeoutError:
        raise KeeperAwayError(
            f"{who} does not answer",
            expected=f"an answer within {signer_worker.ANSWER_SECONDS:g} s",
            holds="An answer that comes later is dropped; nothing is published with it.",
            hint="Look at its state, then repeat.",
        ) from None
    except MalformedError as error:
        raise SignerError(f"{who} does not answer as one: {error.what}", hint=_WHO_LISTENS) from None
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        if getattr(error, "errno", None) in _REFUSED_BY_THE_SYSTEM:
            hint = "Its group must be one of this user's, and its folder must let the group through."
            raise SignerError(f"{who} may not be asked by this user: {reason}", hint=hint) from None
        hint = "Start it, and look at its log; what is published is served meanwhile."
        raise KeeperAwayError(f"{who} is away: {reason}", hint=hint) from None


def unix_uri(path: Path, keyid: str) -> str:
    """Return the URI of the key *keyid* behind the socket *path*."""
    return f"{SCHEME}:{path.as_posix().replace('%', '%25').replace('?', '%3F').replace('#', '%23')}?key={keyid}"


def open_uri(uri: str, passphrase: Passphrase | None) -> UnixSigner:
    """
    Open the key that *uri* names; there is no passphrase to ask for.

    Raises:
        SignerError: not such a URI, or the process refuses. KeeperAwayError: no process, or it does not answer.
    """
    if len(uri) > MAX_URI:
        raise refused_uri(SCHEME, "it is too long", expected=f"at most {MAX_URI} characters")
    parts = urlsplit(uri)
    path = unquote(parts.path)
    if parts.netloc or parts.fragment or not path.startswith("/") or "\0" in path:
        raise refused_uri(SCHEME, "it does not name a socket", expected="unix:/absolute/path?key=KEYID")
    if len(os.fsencode(path)) > MAX_PATH:
        raise refused_uri(SCHEME, "the path of the socket is too long", expected=f"at most {MAX_PATH} bytes")
    keyid = parameters_of(parts.query, PARAMETERS, scheme=SCHEME).get("key", "")
    if not _KEYID.fullmatch(keyid):
        raise refused_uri(
            SCHEME,
            "key does not name one key",
            expected="key= and the 64 hex digits of its keyid",
            hint="`pinwarden signer show` prints the URI of each key.",
        )
    return UnixSigner(uri, Path(path), keyid)
