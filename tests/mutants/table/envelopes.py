# ruff: noqa: E501  (a row is one line, so that the table reads as one)
"""Mutants of envelopes and bundles."""

from functools import partial

from tests.mutants.mutant import Mutant

envelope, bundle = (partial(Mutant, room) for room in ("envelope", "bundle"))

ENVELOPES = [
    envelope("P4", "an envelope that is no object, as another error", "        if type(value) is not dict:\n            raise MalformedError(\"envelope is", "        if value is None:\n            raise MalformedError(\"envelope is"),
    envelope("P7", "any type in this place", "        if payload_type != expect:  # spec P7", "        if False:"),
    envelope("P7", "no type at all", "        if payload_type != expect:  # spec P7", "        if payload_type not in (expect, None):"),
    envelope("P1", "a payload of any size", "        if len(payload) > limit:", "        if False:"),
    envelope("P1", "a payload one byte too large", "        if len(payload) > limit:", "        if len(payload) > limit + 1:"),
    envelope("P1", "a root as large as a pin set", "{ROOT_TYPE: 16 * 1024, ", "{ROOT_TYPE: 1024 * 1024, "),
    envelope("P1", "a timestamp as large as a root", "TIMESTAMP_TYPE: 4 * 1024,", "TIMESTAMP_TYPE: 16 * 1024,"),
    envelope("P1", "a checkpoint as large as a root", "CHECKPOINT_TYPE: 4 * 1024}", "CHECKPOINT_TYPE: 16 * 1024}"),
    envelope("P1", "an envelope of any size", "limit=ENVELOPE_LIMITS[expect]", "limit=2**40"),
    envelope("V3", "the type, unsigned", "message = pae(self.payload_type, self.payload)", "message = pae(PINSET_TYPE, self.payload)"),
    envelope("V3", "two names of one key counted twice", "        good = {\n            role.keys[entry.keyid]\n", "        good = {\n            entry.keyid\n"),
    envelope("V3", "any number of signatures", "        if len(good) < role.threshold:", "        if False:"),
    envelope("V3", "one signature less than the threshold", "if len(good) < role.threshold:", "if len(good) < role.threshold - 1:"),
    envelope("V3", "any one signature", "if len(good) < role.threshold:", "if not good:"),
    envelope("V3", "signatures that do not verify", "and is_signature(entry.sig, message, role.keys[entry.keyid])", ""),
    envelope("V3", "a signature under another key's name", "is_signature(entry.sig, message, role.keys[entry.keyid])", "any(is_signature(entry.sig, message, key) for key in role.keys.values())"),
    envelope("V3", "signatures that fail", "    except CryptoError:\n        return False", "    except CryptoError:\n        return True"),
    envelope("V3", "a signature of another length", "    if len(signature) != _SIGNATURE_BYTES:", "    if False:"),
    envelope("P4", "signatures that are no array, as another error", "    if type(value) is not list:", "    if False:"),
    envelope("V3", "any number of entries", "    if len(value) > MAX_SIGNATURES:", "    if False:"),
    envelope("V3", "17 entries", "    if len(value) > MAX_SIGNATURES:", "    if len(value) > MAX_SIGNATURES + 1:"),
    envelope("V3", "two signatures of one keyid", "    if len(set(keyids)) != len(keyids):", "    if False:"),
    envelope("P4", "a keyid of another type", "type(entry.get(\"keyid\")) is not str or", ""),
    envelope("P4", "a signature of another type", " or type(entry.get(\"sig\")) is not str:", ":"),
    envelope("P4", "an entry that is no object, as another error", "    if type(entry) is not dict or type", "    if type"),
    envelope("V3", "an entry that spoils the others", "    except MalformedError:  # spec V3", "    except OSError:  # spec V3"),
    envelope("V3", "lengths out of the signed bytes", "b\"DSSEv1 %d %b %d %b\" % (len(kind), kind, len(payload), payload)", "b\"DSSEv1 %b %b\" % (kind, payload)"),
    envelope("V1", "a key under another's keyid", "    if keyid_of(public) != keyid:", "    if False:"),
    envelope("V1", "a key of small order", "    if not crypto_core_ed25519_is_valid_point(public):", "    if False:"),
    envelope("V1", "a keyid of the raw key", "sha256(_ED25519_SPKI_PREFIX + public)", "sha256(public)"),
    bundle("P1", "a bundle of any size", "limit=MAX_BUNDLE_BYTES", "limit=2**40"),
    bundle("P1", "a bundle one byte too large", "limit=MAX_BUNDLE_BYTES", "limit=MAX_BUNDLE_BYTES + 1"),
    bundle("P4", "roots that are no array, as another error", "        if type(roots) is not list:", "        if roots is None:"),
    bundle("P1", "any number of roots", "        if len(roots) > MAX_BUNDLE_ROOTS:", "        if False:"),
    bundle("P1", "nine roots", "        if len(roots) > MAX_BUNDLE_ROOTS:", "        if len(roots) > MAX_BUNDLE_ROOTS + 1:"),
    bundle("P7", "a pin set among the roots", "Envelope.from_json(root, expect=ROOT_TYPE)", "Envelope.from_json(root, expect=root[\"payloadType\"])"),
    bundle("P7", "a pin set in the timestamp's place", "Envelope.from_json(value.get(\"timestamp\"), expect=TIMESTAMP_TYPE)", "Envelope.from_json(value.get(\"timestamp\"), expect=(value.get(\"timestamp\") or {}).get(\"payloadType\"))"),
]  # fmt: skip
