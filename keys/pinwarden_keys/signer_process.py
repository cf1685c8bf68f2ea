"""
A process of its own that holds signing keys, and signs only what people approved: judged, journalled, then signed.

It may import this package. It reads no database and believes no server: what it goes by are its settings, its root,
its journal and the bytes to be signed. No request makes it sign a root, free bytes, or pins that nobody approved.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from threading import Lock
from typing import Any

from pinwarden import failpoints
from pinwarden.errors import MalformedError, SignatureError
from pinwarden.fields import Fields
from pinwarden.strict_json import decode_base64, encode_base64
from pinwarden_keys.errors import KeeperAwayError, KeysError, SignerError
from pinwarden_keys.passphrase import Passphrase
from pinwarden_keys.second_verifier import check_signature
from pinwarden_keys.signer import Signer, open_signer
from pinwarden_keys.signer_process_config import Config, check_approvers
from pinwarden_keys.signer_process_journal import Journal, Signed
from pinwarden_keys.signer_process_message import Asked, is_challenge, open_message, refused, subject_of
from pinwarden_keys.signer_process_rules import judge
from pinwarden_keys.signer_process_wire import read_evidence, read_signatures, spell_error

# Registered by whoever starts the process, so that importing this room adds nothing to the points of others.
FAILPOINTS = ("signer.judged", "signer.journalled", "signer.signed")

log = logging.getLogger("pinwarden.signer")


class SignerProcess:
    """
    The keys, and everything that is asked of them; safe to be called from many threads.

    Args:
        clock: returns the present, aware.
    """

    def __init__(
        self, config: Config, keys: Sequence[Signer], journal: Journal, *, clock: Callable[[], datetime]
    ) -> None:
        self.config = config
        self._keys = {signer.keyid: signer for signer in keys}
        check_approvers(config, self._keys)
        _check_root(config, journal)
        self._journal = journal
        self._clock = clock
        self._judging = Lock()  # from looking into the journal to the row on the disk; signing needs none
        self._counting = Lock()
        self._signed = 0
        self._refused: Counter[str] = Counter()
        self._does: Mapping[str, Callable[[Fields], dict[str, object]]] = {
            "describe": self._describe,
            "approvers": self._approvers,
            "sign": self._sign,
            "status": self._status,
        }

    def answer(self, request: Mapping[str, Any]) -> dict[str, object]:
        """Return the answer to one request; a refusal is one too, and is counted and logged."""
        try:
            fields = Fields(dict(request), "request")
            does = self._does.get(fields.text("do"))
            if does is None:
                raise refused(
                    "frame", "no such request", expected=", ".join(self._does), got=repr(fields.text("do")[:40])
                )
            return does(fields)
        except (MalformedError, SignatureError) as error:
            return self.refuse(refused("frame", error.what, expected=error.expected, got=error.got))
        except KeysError as error:
            return self.refuse(error)
        except Exception:
            log.exception("a request failed")
            return self.refuse(KeeperAwayError("the signer process failed", hint="Its log says why."))

    def refuse(self, error: KeysError) -> dict[str, object]:
        """Count and log *error*, and return the answer that says it."""
        rule = getattr(error, "rule", "away")
        with self._counting:
            self._refused[rule] += 1
        log.warning("refused by rule %s: %s", rule, error)
        return spell_error(error)

    def close(self) -> None:
        """Forget the keys and close the journal."""
        for signer in self._keys.values():
            signer.close()
        self._journal.close()

    def _describe(self, fields: Fields) -> dict[str, object]:
        _check_members(fields, {"do", "key"})
        signer = self._signer(fields.text("key"))
        label = {} if signer.label is None else {"label": signer.label}
        return {"public": encode_base64(signer.public), **label}

    def _approvers(self, fields: Fields) -> dict[str, object]:
        _check_members(fields, {"do", "name"})
        rule = self.config.rule_for(fields.text("name"))
        if rule is None or rule.approvers is None:
            return {}
        keys, labels = rule.approvers.keys, rule.approvers.labels
        people = [{"label": labels[keyid], "public": encode_base64(keys[keyid])} for keyid in keys]
        return {"approvers": people, "threshold": rule.approvers.threshold}

    def _status(self, fields: Fields) -> dict[str, object]:
        _check_members(fields, {"do"})
        with self._counting:
            return {"keys": sorted(self._keys), "signed": self._signed, "refusals": dict(self._refused)}

    def _sign(self, fields: Fields) -> dict[str, object]:
        _check_members(fields, {"do", "key", "message", "approvals", "pinset"})
        signer = self._signer(fields.text("key"))
        message = decode_base64(fields.text("message"), what="request.message")
        if not is_challenge(message):
            evidence = read_evidence(fields, "pinset")
            self._admit(open_message(signer.keyid, message, read_signatures(fields, "approvals"), evidence))
        signature = check_signature(signer.sign(message), message, signer.public)
        failpoints.hit("signer.signed")
        with self._counting:
            self._signed += 1
        return {"signature": encode_base64(signature)}

    def _admit(self, asked: Asked) -> None:
        """Return when *asked* may be signed, and stands in the journal; raise SigningRefusedError otherwise."""
        name, named = subject_of(asked)
        now = self._clock()
        with self._judging:
            past = self._journal.past(name, now=now, named=named)
            row = judge(asked, replace(self.config.root, name=name), self.config.rule_for(name), past, now=now)
            failpoints.hit("signer.judged")
            if row is None:
                log.info("signing %s again, as it was signed before", name)
                return
            self._journal.append(row, keyid=asked.keyid, at=now)
        failpoints.hit("signer.journalled")
        _tell(row, self.config)

    def _signer(self, keyid: str) -> Signer:
        signer = self._keys.get(keyid)
        if signer is None:
            here = ", ".join(one[:16] for one in self._keys)
            hint = "Correct the URI in the server's settings."
            raise refused("key", "no such key is here", expected=here, got=repr(keyid[:16]), hint=hint)
        return signer


def open_process(config: Config, *, passphrase: Passphrase | None, clock: Callable[[], datetime]) -> SignerProcess:
    """
    Open the keys and the journal that *config* names.

    Raises:
        KeysError: one of them cannot be opened, or they do not go together; nothing stays open then.
    """
    with ExitStack() as stack:
        keys: list[Signer] = []
        for uri in config.keys:
            keys.append(open_signer(uri, passphrase=passphrase))
            stack.callback(keys[-1].close)
        journal = Journal(config.journal)
        stack.callback(journal.close)
        process = SignerProcess(config, keys, journal, clock=clock)
        stack.pop_all()
    return process


def _check_root(config: Config, journal: Journal) -> None:
    """Refuse the root of another authority, and one older than this journal has worked under."""
    root = config.root.root
    authority, version = journal.fact("authority"), int(journal.fact("root") or 0)
    if root.authority != authority or root.version < version:
        raise SignerError(
            "the root does not go together with the journal",
            expected=f"root {version} of {authority}, or a newer one",
            got=f"root {root.version} of {root.authority}",
            hint="An older root may name keys that were stolen since; take the newest root.json.",
        )
    journal.raise_root(root.version)


def _tell(row: Signed, config: Config) -> None:
    rule = config.rule_for(row.name)
    labels = rule.approvers.labels if rule and rule.approvers else {}
    by = ", ".join(label for keyid, label in labels.items() if keyid in row.approvers)
    how = f"approved by {by}" if by else "without people"
    log.info("signing %s %s %d.%d, %s, sha256 %s", row.kind, row.name, *row.tag, how, row.sha256.hex())


def _check_members(fields: Fields, known: set[str]) -> None:
    if unknown := set(fields.names()) - known:
        raise refused("frame", "the request has unknown members", expected=", ".join(sorted(known)), got=len(unknown))
