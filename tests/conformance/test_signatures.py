"""Who may sign, and how often a key counts (V1 to V3)."""

from base64 import b64decode, b64encode
from hashlib import sha256

import pytest

from tests.conformance.drivers import ACCEPTED, REFUSED
from tests.conformance.repository import TYPES, key

KINDS = tuple(TYPES)
DOCUMENTS = KINDS[1:]
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def publish(repository, kind):
    """Sign what a change of *kind* needs: a root, or the next pair."""
    if kind == "root":
        repository.publish_root()
    else:
        repository.publish()


def envelope(bundle, kind):
    """Return the envelope of a kind in a bundle."""
    return bundle["roots"][-1] if kind == "root" else bundle[kind]


@pytest.mark.as_process
@pytest.mark.parametrize("kind", KINDS)
def test_what_the_wrong_key_signed_is_refused(life, kind):
    def attack(repository):
        repository.signers[kind] = [key("stranger"), key("second stranger")]
        publish(repository, kind)

    life.start()
    life.refuses(attack)


@pytest.mark.parametrize("kind", KINDS)
def test_what_nobody_signed_is_refused_by_a_fresh_client_too(life, kind):
    def attack(repository):
        repository.signers[kind] = []
        publish(repository, kind)

    life.init()
    life.refuses(attack)


@pytest.mark.own
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_the_keys_of_one_role_sign_for_no_other(life, kind):
    def attack(repository):
        repository.signers[kind] = [each for other in KINDS if other != kind for each in repository.signers[other]]
        publish(repository, kind)

    life.start()
    life.refuses(attack)


def appoint_several(life, kind, count, threshold):
    """Let the next root name *count* keys for a role, and the client accept it."""
    keys = [key(f"{kind} {number} of several") for number in range(count)]
    life.repository.signers[kind] = keys
    life.repository.appoint(kind, keys, threshold)
    life.repository.publish_root()
    life.repository.publish()
    life.accepts()
    return keys


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_one_signature_below_the_threshold_is_refused(life, kind):
    def attack(repository):
        repository.signers[kind] = repository.signers[kind][:2]
        publish(repository, kind)

    life.start()
    appoint_several(life, kind, 3, 3)
    life.refuses(attack)


@pytest.mark.parametrize("kind", KINDS)
def test_a_role_with_fewer_keys_than_its_threshold_makes_no_root(life, kind):
    def attack(repository):
        repository.role(kind)["threshold"] = len(repository.role(kind)["keyids"]) + 1
        repository.publish_root()

    life.start()
    life.refuses(attack)


@pytest.mark.parametrize("kind", KINDS)
def test_a_role_that_names_a_key_twice_makes_no_root(life, kind):
    def attack(repository):
        role = repository.role(kind)
        role["keyids"] = [*role["keyids"], role["keyids"][0]]
        repository.publish_root()

    life.start()
    life.refuses(attack)


@pytest.mark.parametrize("kind", KINDS)
def test_two_entries_with_one_keyid_are_refused_even_above_the_threshold(life, kind):
    def attack(repository):
        publish(repository, kind)
        repository.frame = lambda bundle: envelope(bundle, kind)["signatures"].append(
            envelope(bundle, kind)["signatures"][0]
        )

    life.start()
    life.refuses(attack)


def test_one_key_under_two_keyids_counts_once_at_most(life):
    def attack(repository):
        one = repository.signers["pinset"][0]
        alias = one.keyid.upper()
        public = b64encode(one.public).decode()
        repository.root["keys"][alias] = {"scheme": "ed25519", "public": public}
        repository.role("pinset").update(keyids=[one.keyid, alias], threshold=2)
        repository.publish_root()
        repository.publish()
        repository.frame = lambda bundle: bundle["pinset"]["signatures"].append(
            {**bundle["pinset"]["signatures"][0], "keyid": alias}
        )

    life.start()
    life.refuses(attack)


HARMLESS = {
    "plausible": lambda entry: {**entry, "sig": b64encode(bytes(64)).decode()},
    "of other bytes": lambda entry: {**entry, "sig": b64encode(key("timestamp").sign(b"other")).decode()},
    "empty": lambda entry: {**entry, "sig": ""},
    "no base64": lambda entry: {**entry, "sig": "~"},
    "too short": lambda entry: {**entry, "sig": b64encode(bytes(63)).decode()},
    "too long": lambda entry: {**entry, "sig": b64encode(bytes(65)).decode()},
    "of an unknown key": lambda entry: {**entry, "keyid": "0" * 64},
    "with an odd keyid": lambda entry: {**entry, "keyid": "?" * 300},
    "with more members": lambda entry: {**entry, "keyid": "1" * 64, "more": [None]},
}


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_a_bad_signature_beside_enough_good_ones_does_no_harm(life, change):
    life.start()
    appoint_several(life, "timestamp", 2, 1)
    life.repository.publish()

    def spoil(bundle):
        entries = bundle["timestamp"]["signatures"]
        entries[0] = change(entries[0])

    life.repository.frame = spoil
    life.accepts()


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_a_bad_signature_does_not_count(life, change):
    def attack(repository):
        repository.publish()
        repository.frame = lambda bundle: bundle["timestamp"].update(
            signatures=[change(entry) for entry in bundle["timestamp"]["signatures"]]
        )

    life.start()
    life.refuses(attack)


@pytest.mark.own
def test_a_signature_with_a_second_spelling_of_s_does_not_count(life):
    def malleate(bundle):
        entry = bundle["pinset"]["signatures"][0]
        signature = b64decode(entry["sig"])
        doubled = int.from_bytes(signature[32:], "little") + ED25519_ORDER
        entry["sig"] = b64encode(signature[:32] + doubled.to_bytes(32, "little")).decode()

    def attack(repository):
        repository.publish()
        repository.frame = malleate

    life.start()
    life.refuses(attack)


@pytest.mark.own
def test_a_key_of_small_order_makes_no_root(life):
    """A signature exists that fits every message under such a key."""

    def attack(repository):
        public = bytes([1]) + bytes(31)
        keyid = sha256(bytes.fromhex("302a300506032b6570032100") + public).hexdigest()
        repository.root["keys"][keyid] = {"scheme": "ed25519", "public": b64encode(public).decode()}
        repository.role("timestamp")["keyids"].append(keyid)
        repository.publish_root()

    life.start()
    life.refuses(attack)


def test_a_signature_over_the_payload_alone_does_not_count(life):
    """The type is signed too: no document passes as another kind."""

    def attack(repository):
        repository.publish()
        payload = b64decode(repository.stamped["payload"])
        signer = repository.signers["timestamp"][0]
        repository.stamped["signatures"][0]["sig"] = b64encode(signer.sign(payload)).decode()

    life.start()
    life.refuses(attack)


@pytest.mark.parametrize("holders", ["keys", "role"])
def test_keys_of_a_scheme_that_is_not_known_are_passed_over(life, holders):
    life.start()
    repository = life.repository
    repository.root["keys"]["quantum"] = {"scheme": "ml-dsa-65", "public": ["not", "base64"]}
    if holders == "role":
        repository.role("timestamp")["keyids"].append("quantum")
    repository.publish_root()
    repository.publish()
    life.accepts()


@pytest.mark.own
def test_a_threshold_that_only_unknown_schemes_could_meet_makes_no_root(life):
    def attack(repository):
        repository.root["keys"]["quantum"] = {"scheme": "ml-dsa-65", "public": "?"}
        repository.role("timestamp")["keyids"].append("quantum")
        repository.role("timestamp")["threshold"] = 2
        repository.publish_root()

    life.start()
    life.refuses(attack)


@pytest.mark.own
@pytest.mark.parametrize(("count", "code"), [(16, ACCEPTED), (17, REFUSED)])
def test_sixteen_signatures_are_read_and_no_more(life, count, code):
    life.start()
    life.repository.publish()
    more = [{"keyid": f"{number:064x}", "sig": ""} for number in range(count - 1)]
    life.repository.frame = lambda bundle: bundle["timestamp"]["signatures"].extend(more)
    life.expects(code)


@pytest.mark.own
def test_every_byte_of_a_bundle_is_guarded(life):
    """One bit is flipped at many places, one after the other."""

    def flip_at(share):
        def flip(_, __, answer):
            place = int(share * (len(answer.body) - 1))
            answer.body = answer.body[:place] + bytes([answer.body[place] ^ 1]) + answer.body[place + 1 :]
            return answer

        def attack(repository):
            repository.publish_root()
            repository.publish()
            repository.tamper = flip

        return attack

    life.start()
    for step in range(12):
        life.refuses(flip_at(step / 12), mend=lambda repository: setattr(repository, "tamper", None))
