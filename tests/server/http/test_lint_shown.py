"""Lint as a publisher meets it who shows certificates and proofs, and over versions that clients may still hold."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pinwarden.strict_json import format_time
from pinwarden_server.lint_codes import CODES
from tests.server.http.test_lint import BLOCKING, DAY, host, pin, unusual

NO_KEY = "holders of 1.1 accept no key of api.example.com in this draft"
PAYMENTS = "/admin/v1/pinsets/payments"
NOT_BEFORE = datetime(2026, 1, 1, tzinfo=UTC)
FORUM = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("2.23.140.1.2.1"), None)])


@cache
def key(word: str) -> Any:
    return rsa.generate_private_key(65537, 1024) if word == "weak" else ec.generate_private_key(ec.SECP256R1())


def pin_of(word: str) -> dict[str, str]:
    spki = key(word).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return {"sha256": base64.b64encode(hashlib.sha256(spki).digest()).decode()}


@cache
def certificate(word: str, *names: str, ca: bool = False, public: bool = False) -> bytes:
    """Return a certificate in DER; nobody validates chains here, so it is its own issuer."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, word)])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key(word).public_key())
    builder = builder.serial_number(1).not_valid_before(NOT_BEFORE).not_valid_after(NOT_BEFORE + timedelta(days=90))
    builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if names:
        san = x509.SubjectAlternativeName([x509.DNSName(each) for each in names])
        builder = builder.add_extension(san, critical=False)
    if public:
        builder = builder.add_extension(FORUM, critical=False)
    return builder.sign(key(word), hashes.SHA256()).public_bytes(Encoding.DER)


def pem(*certificates: bytes) -> str:
    return "".join(
        f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(each).decode()}-----END CERTIFICATE-----\n"
        for each in certificates
    )


def proof(word: str, *, spoilt: bool = False) -> str:
    """Return a certificate request of that key; *spoilt*: with a signature that is not its own."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, word)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key(word), hashes.SHA256())
    der = request.public_bytes(Encoding.DER)
    if spoilt:
        der = der[:-1] + bytes([der[-1] ^ 1])
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"


def shown(*certificates: bytes, pins: Any = None, backups: Any = None, name: str = "api.example.com") -> dict[str, Any]:
    """Return a draft of one host that shows *certificates*."""
    entry = host(name, pins or [pin_of("leaf")], backups or [pin_of("spare"), pin_of("vault")])
    return {"hosts": [{**entry, "certificates": pem(*certificates)}]}


def proven(word: str, of: str, **how: bool) -> dict[str, Any]:
    """Return a draft whose first backup is the key *word*, with a proof made by the key *of*."""
    backups = [{**pin_of(word), "proof": proof(of, **how)}, pin_of("vault")]
    return {"hosts": [host(backups=backups)]}


def whole_hash(der: bytes) -> dict[str, str]:
    return {"sha256": base64.b64encode(hashlib.sha256(der).digest()).decode()}


LEAF, SIGNER = certificate("leaf", "api.example.com", public=True), certificate("signer", ca=True)
PRIVATE_LEAF = certificate("leaf", "api.example.com")
# Draft, code, pointer, whether it blocks, whether it may be forced, words of the message.
SHOWN = {
    "another chain": (
        shown(certificate("other")),
        ("PIN002", "/hosts/0/pins", True, True, "no pin of api.example.com is in the chain that it shows"),
    ),
    "a backup in the chain": (
        shown(PRIVATE_LEAF, SIGNER, backups=[pin_of("signer")]),
        ("PIN003", "/hosts/0/backups", True, True, "every backup of api.example.com is in the chain"),
    ),
    "no proof": (
        {"hosts": [host()]},
        ("PIN004", "/hosts/0/backups", False, False, "nobody has proved that the key of a backup of api.example.com"),
    ),
    "a proof of another key": (
        proven("spare", "other"),
        ("PIN004", "/hosts/0/backups/0/proof", True, False, "is for another key"),
    ),
    "a proof with a spoilt signature": (
        proven("spare", "spare", spoilt=True),
        ("PIN004", "/hosts/0/backups/0/proof", True, False, "is not signed by the key that it names"),
    ),
    "a public CA": (
        shown(LEAF, SIGNER, pins=[pin_of("leaf"), pin_of("signer")]),
        ("PIN005", "/hosts/0/pins/1/sha256", False, False, "pins a CA that the public trusts"),
    ),
    "a wildcard without a certificate": (
        {"hosts": [host("*.shop.example")]},
        ("PIN007", "/hosts/0/host", False, False, "and no certificate was shown"),
    ),
    "a wildcard and a certificate for one name": (
        shown(PRIVATE_LEAF, name="*.shop.example"),
        ("PIN007", "/hosts/0/host", False, False, "the certificate that was shown is not for all of them"),
    ),
    "a deep wildcard": (
        {"hosts": [host("**.shop.example")]},
        ("PIN010", "/hosts/0/host", False, False, "every name below it, at any depth"),
    ),
    "a weak key in the chain": (
        shown(certificate("weak"), pins=[pin_of("weak")]),
        ("PIN011", "/hosts/0/certificates", False, False, "RSA of 1024 bits, under 2048"),
    ),
    "a weak backup key": (
        proven("weak", "weak"),
        ("PIN011", "/hosts/0/backups/0/proof", False, False, "RSA of 1024 bits, under 2048"),
    ),
    "a certificate's hash": (
        shown(PRIVATE_LEAF, pins=[pin_of("leaf"), whole_hash(PRIVATE_LEAF)]),
        ("PIN016", "/hosts/0/pins/1/sha256", True, True, "has the hash of a certificate for a pin"),
    ),
    "a single backup": (
        {"hosts": [host()]},
        ("PIN017", "/hosts/0/backups", False, False, "api.example.com has a single backup pin"),
    ),
}
Finding = tuple[str, str, bool, bool, str]


def keys(*words: str, name: str = "api.example.com") -> dict[str, Any]:
    return host(name, [pin(words[0])], [pin(word) for word in words[1:]])


# Hosts of the versions before, hosts of the draft, as above.
HELD = {
    "every key is new": (
        [[keys("a", "b")]],
        [keys("c", "d")],
        ("PIN009", "/hosts/0", True, True, "holders of 1.1 accept no key of api.example.com in this draft"),
    ),
    "no one key for all": (
        [[keys("a", "b", "c")], [keys("a", "c", "d")]],
        [keys("b", "d")],
        ("PIN009", "/hosts/0", True, True, "no one key of api.example.com is accepted by this draft and by all"),
    ),
    "a new key at once": (
        [[keys("a", "b")]],
        [keys("c", "a")],
        ("PIN009", "/hosts/0", False, False, "accept no key that api.example.com has in service by this draft"),
    ),
    "a host is left out": (
        [[keys("a", "b"), keys("x", "y", name="b.example.com")]],
        [keys("a", "b")],
        ("PIN009", "/hosts", False, False, "b.example.com is not pinned any more, and holders of 1.1 go on"),
    ),
    "a wildcard is narrowed": (
        [[keys("a", "b", name="*.shop.example")]],
        [keys("c", "d", name="www.shop.example")],
        ("PIN009", "/hosts/0", True, True, "holders of 1.1 accept no key of www.shop.example in this draft"),
    ),
}


@pytest.fixture
def service(installation, serve):
    return serve(installation)


def ask(service: Any, draft: dict[str, Any], **fields: Any) -> Any:
    """Publish *draft* on top of whatever is in force."""
    current = service.ask("GET", PAYMENTS).headers.get("ETag")
    conditions = {"If_Match": current} if current else {"If_None_Match": "*"}
    return service.ask("PUT", PAYMENTS, body={**draft, **fields}, **conditions)


def check(service: Any, draft: dict[str, Any], finding: Finding) -> None:
    """See that *draft* has *finding*: that it blocks or warns, is forced or not, and that a refusal moves nothing."""
    code, pointer, blocks, forceable, words = finding
    before = service.stored()
    answer = ask(service, draft)
    told = service.problem(answer, 422, "lint-refused")["violations"] if blocks else answer.json["warnings"]
    assert answer.status_code == 422 or not blocks
    (found,) = [each for each in told if (each["code"], each["pointer"]) == (code, pointer)]
    assert words in found["message"]
    assert found["hint"]
    if not blocks:
        assert answer.status_code < 300
        return
    assert service.stored() == before
    forced = ask(service, draft, force=[code], reason="agreed with Ops on Monday")
    if not forceable:
        service.problem(forced, 422, "lint-refused")
        assert service.stored() == before
        return
    assert forced.status_code < 300
    assert (code, pointer) in [(each["code"], each["pointer"]) for each in forced.json["warnings"]]
    assert service.ask("GET", "/admin/v1/audit").json["rows"][-1]["detail"]["forced"] == [code]


@pytest.mark.parametrize(("draft", "finding"), SHOWN.values(), ids=SHOWN)
def test_what_is_shown_or_said_is_judged_and_named(service, draft: dict[str, Any], finding: Finding):
    check(service, draft, finding)


@pytest.mark.parametrize(("before", "hosts", "finding"), HELD.values(), ids=HELD)
def test_holders_of_unexpired_versions_are_not_locked_out_unseen(service, before, hosts, finding: Finding):
    for earlier in before:
        assert ask(service, {"hosts": earlier}).status_code < 300
    check(service, {"hosts": hosts}, finding)


def test_holders_who_were_cut_off_before_are_told_as_a_warning_until_they_have_expired(service):
    assert ask(service, {"hosts": [keys("a", "b")]}, lifetime_seconds=DAY).status_code == 201
    assert ask(service, {"hosts": [keys("c", "d")]}, force=["PIN009"], reason="stolen").status_code == 200
    answer = ask(service, {"hosts": [keys("d", "c")]})
    assert unusual(answer.json["warnings"]) == [("PIN009", "/hosts/0")]
    (told,) = [each["message"] for each in answer.json["warnings"] if each["code"] == "PIN009"]
    assert told == "holders of 1.1 accept no key of api.example.com in this draft, nor in the version in force"
    # A day of life, and the day by which spec V5 lets a clock be late.
    service.clock.advance(days=2, seconds=-1)
    assert "PIN009" in {each["code"] for each in ask(service, {"hosts": [keys("d", "c", "b")]}).json["warnings"]}
    service.clock.advance(seconds=2)
    assert "PIN009" not in {each["code"] for each in ask(service, {"hosts": [keys("d", "c", "e")]}).json["warnings"]}


def test_a_version_counts_whose_life_has_ended_while_a_late_clock_may_still_take_it(service):
    assert ask(service, {"hosts": [keys("a", "b")]}, lifetime_seconds=DAY).status_code == 201
    service.clock.advance(days=2, seconds=-1)
    service.ask("GET", PAYMENTS)  # the last use of the token is recorded now
    before = service.stored()
    answer = ask(service, {"hosts": [keys("c", "d")]})
    assert [each["code"] for each in service.problem(answer, 422, "lint-refused")["violations"]] == ["PIN009"]
    assert service.stored() == before
    service.clock.advance(seconds=2)
    assert ask(service, {"hosts": [keys("c", "d")]}).status_code == 200


def test_a_draft_is_not_blamed_for_the_end_of_the_version_in_force(service):
    ends = (service.clock() + timedelta(days=1)).replace(microsecond=0)
    assert ask(service, {"hosts": [keys("a", "b")]}, lifetime_seconds=DAY).status_code == 201
    service.clock.advance(days=1, hours=1)
    (found,) = service.problem(ask(service, {"hosts": [keys("c", "d")]}), 422, "lint-refused")["violations"]
    ended = f"these expired at {format_time(ends)} and hold for late clocks alone"
    told = f"{NO_KEY}; but {ended}: for all others their end has come already, whatever this draft does"
    assert (found["code"], found["message"]) == ("PIN009", told)
    way_out = "Force PIN009 with a reason, which lets them in again; or keep their key until "
    assert found["hint"] == f"{way_out}{format_time(ends + timedelta(days=1))}."
    assert ask(service, {"hosts": [keys("c", "d")]}, force=["PIN009"], reason="it had expired").status_code == 200


def test_who_was_cut_off_by_a_version_that_expired_long_ago_is_not_cut_off_by_the_draft(service):
    until = format_time((service.clock() + timedelta(days=31)).replace(microsecond=0))
    assert ask(service, {"hosts": [keys("a", "b")]}, lifetime_seconds=30 * DAY).status_code == 201
    cut = ask(service, {"hosts": [keys("c", "d")]}, force=["PIN009"], reason="stolen", lifetime_seconds=DAY)
    assert cut.status_code == 200
    service.clock.advance(days=3)
    answer = ask(service, {"hosts": [keys("d", "c")]})
    (found,) = [each for each in answer.json["warnings"] if each["code"] == "PIN009"]
    since = f"nor in the version in force, which expired at {cut.json['expires']}"
    told = f"{NO_KEY}, {since}: they are cut off already, whatever this draft does"
    assert (answer.status_code, found["message"]) == (200, told)
    assert found["hint"] == f"Publish, so that they have something to refresh to; until then, or {until}, they refuse."


def test_a_whole_proof_and_a_whole_chain_are_found_nothing_with_and_are_not_signed(service):
    wildcard = certificate("leaf", "*.example.com")
    backups = [{**pin_of(word), "proof": proof(word)} for word in ("spare", "vault")]
    entry = {**host("*.example.com", [pin_of("leaf")], backups), "certificates": pem(wildcard, SIGNER)}
    answer = ask(service, {"hosts": [entry]})
    assert (answer.status_code, answer.json["warnings"]) == (201, [])
    (signed,) = service.ask("GET", PAYMENTS).json["content"]["hosts"]
    said = {"mode": "enforce", "enforce_percent": 100, "on_expiry": "refuse", "host": "*.example.com"}
    roles = {"pins": ["leaf"], "backups": ["spare", "vault"]}
    of_roles = {role: [{**pin_of(word), "kind": "leaf"} for word in words] for role, words in roles.items()}
    assert signed == {**said, **of_roles}


def test_a_chain_that_holders_refuse_is_told_though_the_pins_would_not_tell(service):
    assert ask(service, {"hosts": [keys("a", "b")]}).status_code == 201
    entry = host(pins=[pin("a"), pin_of("leaf")], backups=[pin("b"), pin_of("vault")])
    assert "PIN009" not in {each["code"] for each in ask(service, {"hosts": [entry]}).json["warnings"]}
    service.clock.advance(seconds=1)
    with_chain = {"hosts": [{**entry, "certificates": pem(PRIVATE_LEAF)}]}
    (told,) = [each for each in ask(service, with_chain).json["warnings"] if each["code"] == "PIN009"]
    assert told["message"] == "holders of 1.1 accept no key that api.example.com has in service by this draft"
    assert f"Let the host show {' or '.join(sorted([pin('a')['sha256'], pin('b')['sha256']]))} until " in told["hint"]


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("certificates", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ("certificates", "none"),
        ("certificates", pem(*[PRIVATE_LEAF] * 11)),
        ("certificates", proof("leaf")),
        ("proof", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"),
        ("proof", pem(PRIVATE_LEAF)),
    ],
    ids=["broken certificate", "no PEM", "too many", "a request", "broken request", "a certificate"],
)
def test_evidence_that_is_none_is_refused_with_its_place(refused, field: str, text: str):
    entry = host(backups=[{**pin("spare"), "proof": text}]) if field == "proof" else {**host(), field: text}
    place = "/hosts/0/backups/0/proof" if field == "proof" else "/hosts/0/certificates"
    document = refused("PUT", "/admin/v1/pinsets/new", 422, "invalid", body={"hosts": [entry]}, If_None_Match="*")
    assert [(each["code"], each["pointer"]) for each in document["violations"]] == [("DRAFT", place)]


def test_every_row_of_the_table_is_triggered_here_or_by_what_a_draft_says_alone():
    told = {(code, blocks, forceable) for _, (code, _, blocks, forceable, _) in SHOWN.values()}
    told |= {(code, blocks, forceable) for _, _, (code, _, blocks, forceable, _) in HELD.values()}
    told |= {(code, True, forceable) for _, code, _, forceable in BLOCKING.values()} | {("PIN006", False, False)}
    assert {(each.code, each.blocks, bool(each.forceable)) for each in CODES} == told
