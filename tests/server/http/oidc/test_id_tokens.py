"""ID tokens: which let a job in, once, and every forgery that does not."""

import base64
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from pinwarden_server.backup import make_backup
from pinwarden_server.errors import Unauthenticated
from pinwarden_server.oidc import Issuers
from pinwarden_server.restore import restore_backup
from pinwarden_server.site import Act
from pinwarden_server.store import Store, open_store
from pinwarden_server.store.logins import forget_logins, id_tokens_doubted_until
from tests.server.http.oidc.conftest import DISCOVERY, Reply, part

if TYPE_CHECKING:
    from tests.server.http.oidc.conftest import Gate

STRANGER = RSAKey.generate_key(2048, {"kid": "rsa"})


@pytest.mark.parametrize(("kid", "alg"), [("rsa", "RS256"), ("ec", "ES256"), ("ed", "EdDSA"), ("ed", "Ed25519")])
def test_a_job_exchanges_its_token_for_a_short_session_as_its_rule_says(gate: "Gate", kid: str, alg: str) -> None:
    answer = gate.log_in(gate.issuer.token(gate.claims(), kid=kid, alg=alg))
    assert answer.status_code == 201, answer.text
    shown = {name: answer.json[name] for name in ("owner", "way", "role", "names")}
    assert shown == {"owner": "ci:example/payments", "way": "oidc", "role": "editor", "names": ["payments"]}
    service, token = gate.service, answer.json["token"]
    put = {"body": service.draft(), "If_None_Match": "*", "token": token}
    assert service.ask("PUT", "/admin/v1/pinsets/payments", **put).status_code == 201
    assert service.ask("PUT", "/admin/v1/pinsets/orders", **put).status_code == 403
    service.clock.advance(minutes=15)
    assert service.ask("GET", "/admin/v1/pinsets", token=token).status_code == 401


def test_an_id_token_opens_nothing_by_itself(gate: "Gate") -> None:
    token = gate.good()
    assert gate.service.ask("GET", "/admin/v1/pinsets", token=token).status_code == 401
    assert gate.issuer.asked == []


def test_a_token_is_exchanged_once_even_by_many_at_once(gate: "Gate") -> None:
    token, gathered = gate.good(), threading.Barrier(4)

    def exchange(_: int) -> int:
        gathered.wait()
        return int(gate.log_in(token).status_code)

    with ThreadPoolExecutor(4) as jobs:
        assert sorted(jobs.map(exchange, range(4))) == [201, 401, 401, 401]
    gate.service.clock.advance(seconds=329)
    gate.service.node.renewer.tick()  # forgets what nobody would take any more
    assert gate.log_in(token).status_code == 401
    assert gate.log_in(gate.good()).status_code == 201


@pytest.fixture
def restored(gate: "Gate", tmp_path: Path) -> Iterator[Store]:
    """The store that a backup of the gate's was brought into, made before any token was."""
    site = gate.service.node.site
    make_backup(site.store.reader, tmp_path / "backup.jsonl", now=gate.service.clock(), tokens=True)
    store = open_store(f"sqlite:///{tmp_path}/restored.db")
    yield store
    store.close()


def test_a_token_that_was_exchanged_after_a_backup_is_worthless_after_its_restore(
    gate: "Gate", restored: Store, tmp_path: Path
) -> None:
    clock = gate.service.clock
    spent, unused = gate.good(), gate.good(iat=gate.claims()["iat"] + 30)  # an issuer's clock may be ahead of ours
    assert gate.log_in(spent).status_code == 201
    restore_backup(restored, tmp_path / "backup.jsonl", Act("system:command", clock()))
    before = restored.reader.audit(after=0, limit=500)
    issuers = Issuers(gate.service.node.settings.oidc, ca_file=gate.service.node.settings.oidc_ca_file)
    for token in (spent, unused):
        with pytest.raises(Unauthenticated):
            issuers.log_in(restored, token, clock())
    assert restored.reader.audit(after=0, limit=500) == before
    clock.advance(seconds=31)
    assert issuers.log_in(restored, gate.good(), clock()).row.owner == "ci:example/payments"


def test_the_longest_lived_token_that_was_exchanged_before_a_restore_is_worthless_for_all_of_its_life(
    gate: "Gate", restored: Store, tmp_path: Path
) -> None:
    clock, day = gate.service.clock, timedelta(days=1)
    spent = gate.good(exp=gate.claims()["iat"] + int(day.total_seconds()))
    restore_backup(restored, tmp_path / "backup.jsonl", Act("system:command", clock()))
    issuers = Issuers(gate.service.node.settings.oidc, ca_file=gate.service.node.settings.oidc_ca_file)
    clock.advance(seconds=day.total_seconds() + 29)
    with restored.writer.transaction() as transaction:
        forget_logins(transaction, clock())
    with pytest.raises(Unauthenticated):
        issuers.log_in(restored, spent, clock())
    clock.advance(seconds=2)
    with restored.writer.transaction() as transaction:
        forget_logins(transaction, clock())
    assert id_tokens_doubted_until(restored.reader) is None


def test_one_jti_of_two_tokens_is_taken_once(gate: "Gate") -> None:
    found = [gate.log_in(gate.good(jti="same", run=number)).status_code for number in range(2)]
    assert found == [201, 401]


def _header(gate: "Gate", **header: Any) -> str:
    """Return a good token whose header was changed, and whose signature was not."""
    _, payload, signature = gate.good().split(".")
    return ".".join([part({"alg": "RS256", "kid": "rsa", **header}), payload, signature])


def _hmac(gate: "Gate", secret: bytes) -> str:
    signed = f"{part({'alg': 'HS256', 'kid': 'rsa'})}.{part(gate.claims())}"
    return f"{signed}.{part(hmac.digest(secret, signed.encode(), 'sha256'))}"


FORGERIES: dict[str, Callable[["Gate"], str]] = {
    "no signature at all": lambda gate: f"{part({'alg': 'none', 'kid': 'rsa'})}.{part(gate.claims())}.",
    "an algorithm that is spelt None": lambda gate: f"{part({'alg': 'None', 'kid': 'rsa'})}.{part(gate.claims())}.",
    "an empty signature": lambda gate: gate.good().rpartition(".")[0] + ".",
    "the public key as an HMAC secret, PEM": lambda gate: _hmac(gate, gate.issuer.keys["rsa"].as_pem(private=False)),
    "the public key as an HMAC secret, DER": lambda gate: _hmac(gate, gate.issuer.keys["rsa"].as_der(private=False)),
    "a stranger's key under the issuer's kid": lambda gate: gate.issuer.token(gate.claims(), key=STRANGER),
    "a stranger's key in the header": lambda gate: gate.issuer.token(
        gate.claims(), key=STRANGER, jwk=STRANGER.as_dict(private=False)
    ),
    "a stranger's list of keys in the header": lambda gate: gate.issuer.token(
        gate.claims(), key=STRANGER, jku="https://localhost:1/jwks"
    ),
    "an unknown kid": lambda gate: gate.issuer.token(gate.claims(), kid="other", key=STRANGER),
    "no kid": lambda gate: gate.issuer.signed_by_hand(gate.claims(), alg="RS256", kid=None),
    "a kid that is no text": lambda gate: gate.issuer.signed_by_hand(gate.claims(), alg="RS256", kid=["rsa"]),
    "an algorithm that is no text": lambda gate: _header(gate, alg=["RS256"]),
    "a weaker algorithm": lambda gate: _header(gate, alg="RS1"),
    "another padding than is pinned": lambda gate: gate.issuer.signed_by_hand(gate.claims(), alg="PS256", pss=True),
    "another padding than it says": lambda gate: gate.issuer.signed_by_hand(gate.claims(), alg="RS256", pss=True),
    "an EC signature by the RSA key's name": lambda gate: gate.issuer.token(
        gate.claims(), kid="rsa", alg="ES256", key=gate.issuer.keys["ec"]
    ),
    "an algorithm that the key is not for": lambda gate: _header(gate, alg="EdDSA"),
    "a critical header": lambda gate: gate.issuer.signed_by_hand(gate.claims(), alg="RS256", crit=["exp"]),
    "a critical header that is none": lambda gate: gate.issuer.signed_by_hand(gate.claims(), alg="RS256", crit=[]),
    "an unencoded payload": lambda gate: _header(gate, b64=False, crit=["b64"]),
    "another payload under the same signature": lambda gate: ".".join(
        [gate.good().split(".")[0], part(gate.claims(sub="x")), gate.good().split(".")[2]]
    ),
    "the text of no token": lambda gate: "eyJ.eyJ",
    "nothing": lambda gate: "",
    "dots": lambda gate: "..",
    "more than is read": lambda gate: gate.good(padding="x" * 17000),
    "letters beyond ASCII": lambda gate: gate.good() + "ü",
    "a token in a token": lambda gate: gate.issuer.token(gate.good().encode()),
    "claims that are a list": lambda gate: gate.issuer.token([gate.claims()]),
    "a claim twice": lambda gate: gate.issuer.token(
        json.dumps(gate.claims(sub=None))[:-1].encode() + b', "sub": "a", "sub": "b"}'
    ),
    "a float for a time": lambda gate: gate.good(exp=gate.claims()["exp"] + 0.5),
    "true for a time": lambda gate: gate.good(iat=True),
    "a text for a time": lambda gate: gate.good(exp="9999999999"),
    "a time beyond all calendars": lambda gate: gate.good(exp=2**53 - 1),
    "a negative time": lambda gate: gate.good(iat=-1),
    "no end": lambda gate: gate.good(exp=None),
    "no beginning": lambda gate: gate.good(iat=None),
    "no jti": lambda gate: gate.good(jti=None),
    "an empty jti": lambda gate: gate.good(jti=""),
    "a jti that is a number": lambda gate: gate.good(jti=7),
    "an endless jti": lambda gate: gate.good(jti="x" * 257),
    "no sub": lambda gate: gate.good(sub=None),
    "no aud": lambda gate: gate.good(aud=None),
    "no audience in the list": lambda gate: gate.good(aud=[]),
    "an audience beside ours": lambda gate: gate.good(aud=["https://pins.example.com", "https://other.example"]),
    "another issuer": lambda gate: gate.good(iss="https://evil.example"),
    "our issuer with a slash": lambda gate: gate.good(iss=gate.issuer.url + "/"),
    "our issuer in a list": lambda gate: gate.good(iss=[gate.issuer.url]),
    "no issuer": lambda gate: gate.good(iss=None),
    "a life of more than a day": lambda gate: gate.good(exp=gate.claims()["iat"] + 86401),
    "a token of tomorrow": lambda gate: gate.good(iat=gate.claims()["iat"] + 31),
    "a token that begins later": lambda gate: gate.good(nbf=gate.claims()["iat"] + 31),
    "a token that has ended": lambda gate: gate.good(exp=gate.claims()["iat"] - 30),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_token_lets_nobody_in_and_stores_nothing(gate: "Gate", forgery: str) -> None:
    before = gate.service.stored()
    token = FORGERIES[forgery](gate)
    answer = gate.log_in(token)
    document = gate.service.problem(answer, 401, "unauthenticated")
    assert document["detail"].startswith("no ID token that is taken: ")
    assert (gate.service.stored(), token in answer.text and token != "") == (before, False)
    assert gate.log_in(gate.good()).status_code == 201  # and it was the forgery that was refused


def test_all_forgeries_are_refused_alike(gate: "Gate") -> None:
    assert len({gate.log_in(forge(gate)).data for forge in FORGERIES.values()}) == 1


@pytest.mark.parametrize(
    "changes", [{"exp": 29}, {"iat": 30}, {"nbf": 30}, {"aud": ["https://pins.example.com"]}, {"extra": {"a": [1]}}]
)
def test_what_a_little_leeway_and_one_audience_allow_is_let_in(gate: "Gate", changes: dict[str, Any]) -> None:
    now = gate.claims()["iat"]
    if "exp" in changes:
        changes = {"exp": now - changes["exp"]}
    elif set(changes) <= {"iat", "nbf"}:
        changes = {name: now + seconds for name, seconds in changes.items()}
    assert gate.log_in(gate.good(**changes)).status_code == 201


MISFITS = {
    "another repository": ({"repository": "evil/payments"}, "repository", "sub"),
    "a repository that begins alike": ({"repository": "example/payments-evil"}, "repository", "sub"),
    "another case": ({"repository": "Example/payments"}, "repository", "sub"),
    "a claim that is missing": ({"repository": None}, "repository", "sub"),
    "a claim that is a list": ({"repository": ["example/payments"]}, "repository", "sub"),
    "a claim that is empty": ({"ref": ""}, "ref", "sub"),
    "a tag where a branch is wanted": ({"ref": "refs/tags/v1"}, "ref", "sub"),
    "another audience": ({"aud": "https://other.example"}, "aud", "aud"),
    "an audience with a slash": ({"aud": "https://pins.example.com/"}, "aud", "aud"),
    "half of the second rule": ({"repository": "x", "sub": "repo:example/orders:x"}, "repository", "ref"),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_a_good_token_that_no_rule_fits_is_told_which_claim_of_which_rule(gate: "Gate", misfit: str) -> None:
    changes, first, second = MISFITS[misfit]
    before = gate.service.stored()
    answer = gate.log_in(gate.good(**changes))
    document = gate.service.problem(answer, 403, "forbidden")
    assert document["got"] == f"refused by rule 1 by its {first}; rule 2 by its {second}"
    assert [secret in answer.text for secret in ("refs/heads/", "example/payments")] == [False, False]
    assert gate.service.stored() == before


def test_the_second_rule_lets_in_what_fits_it(gate: "Gate") -> None:
    token = gate.good(sub="repo:example/orders:ref:refs/tags/v2", repository="example/orders", ref="refs/tags/v2")
    assert gate.log_in(token).json["owner"] == "ci:example/orders"


def test_a_token_that_no_rule_fits_may_be_exchanged_once_the_rules_do(gate: "Gate") -> None:
    token = gate.good(repository="x")
    assert gate.log_in(token).status_code == 403
    assert gate.service.rows("SELECT count(*) FROM used_id_tokens") == [(0,)]


def test_forgeries_are_counted_against_their_address_and_good_tokens_are_let_in(gate: "Gate", serve: Any) -> None:
    service = serve(
        gate.service.installation,
        oidc=gate.service.node.settings.oidc,
        oidc_ca_file=gate.service.node.settings.oidc_ca_file,
        wrong_attempts_per_minute=10,
    )
    gate.service = service
    assert [gate.log_in(gate.good(exp=1)).status_code for _ in range(12)] == [401] * 10 + [429] * 2
    assert gate.log_in(gate.good()).status_code == 201


def test_the_audit_log_has_who_it_was_and_not_the_token(gate: "Gate") -> None:
    token = gate.good(jti="run-7")
    session = gate.log_in(token).json
    row = gate.service.ask("GET", "/admin/v1/audit").json["rows"][-1]
    assert (row["actor"], row["action"], row["subject"]) == (
        f"session:{session['id']}",
        "session.begin",
        "ci:example/payments",
    )
    assert {name: row["detail"][name] for name in ("issuer", "sub", "jti", "way")} == {
        "issuer": gate.issuer.url,
        "sub": "repo:example/payments:ref:refs/heads/main",
        "jti": "run-7",
        "way": "oidc",
    }
    assert token.split(".")[2] not in json.dumps(row)


def test_a_server_without_rules_takes_no_id_token_and_asks_nobody(service: Any, gate: "Gate") -> None:
    answer = service.client.post("/admin/v1/logins", json={"oidc_token": gate.good()})
    service.problem(answer, 401, "unauthenticated")
    assert gate.issuer.asked == []


def test_an_issuer_that_no_rule_names_is_never_asked(gate: "Gate") -> None:
    gate.log_in(gate.good(iss="https://localhost:1"))
    assert gate.issuer.asked == []


BAD_KEYS: dict[str, Callable[["Gate"], bytes]] = {
    "meant for encryption": lambda gate: gate.issuer.jwks(gate.issuer.keys["rsa"], use="enc"),
    "meant for another algorithm": lambda gate: gate.issuer.jwks(gate.issuer.keys["rsa"], alg="PS256"),
    "without a name": lambda gate: gate.issuer.jwks(gate.issuer.keys["rsa"], kid=None),
    "of another kind under that name": lambda gate: gate.issuer.jwks(ECKey.generate_key("P-256", {"kid": "rsa"})),
    "on another curve": lambda gate: gate.issuer.jwks(ECKey.generate_key("P-384", {"kid": "rsa"})),
    "broken": lambda gate: gate.issuer.jwks(gate.issuer.keys["rsa"], n="!!" * 300),
    "a secret": lambda gate: json.dumps({"keys": [{"kty": "oct", "kid": "rsa", "k": "AAAA"}]}).encode(),
    "no object": lambda gate: b'{"keys": [7, null, "rsa", []]}',
    "published with its private half": lambda gate: json.dumps(
        {"keys": [gate.issuer.keys["rsa"].as_dict(private=True)]}
    ).encode(),
}


def test_what_was_signed_by_hand_is_let_in_where_nothing_else_is_wrong(gate: "Gate") -> None:
    assert gate.log_in(gate.issuer.signed_by_hand(gate.claims(), alg="RS256", extra="left alone")).status_code == 201


def test_a_key_that_is_too_short_verifies_nothing(gate: "Gate") -> None:
    short = RSAKey.generate_key(1024, {"kid": "rsa"})
    gate.issuer.replies["/jwks"] = Reply(gate.issuer.jwks(short))
    assert gate.log_in(gate.issuer.signed_by_hand(gate.claims(), key=short, alg="RS256")).status_code == 401


@pytest.mark.parametrize("flaw", BAD_KEYS)
def test_a_key_that_is_not_sound_verifies_nothing_and_harms_no_other(gate: "Gate", flaw: str) -> None:
    listed = json.loads(BAD_KEYS[flaw](gate))["keys"]
    listed += json.loads(gate.issuer.jwks(gate.issuer.keys["ed"]))["keys"]
    gate.issuer.replies["/jwks"] = Reply(json.dumps({"keys": listed}).encode())
    assert gate.log_in(gate.good()).status_code == 401
    assert gate.log_in(gate.issuer.token(gate.claims(), kid="ed", alg="EdDSA")).status_code == 201


def test_eddsa_on_another_curve_is_refused(gate: "Gate") -> None:
    wide = OKPKey.generate_key("Ed448", {"kid": "wide"})
    gate.issuer.replies["/jwks"] = Reply(gate.issuer.jwks(wide))
    token = gate.issuer.token(gate.claims(), kid="wide", alg="EdDSA", key=wide)
    assert gate.log_in(token).status_code == 401
    assert gate.issuer.asked == [DISCOVERY, "/jwks"]
    assert base64.urlsafe_b64decode(token.split(".")[2] + "==")  # it was well signed


def test_a_session_of_a_job_is_challenged_like_any_other(installation: Any, serve: Any, gate: "Gate") -> None:
    settings = gate.service.node.settings
    gate.service = serve(installation, oidc=settings.oidc, oidc_ca_file=settings.oidc_ca_file, step_up_seconds=60)
    token = gate.log_in(gate.good()).json["token"]
    gate.service.clock.now += timedelta(seconds=61)
    put = {"body": gate.service.draft(), "If_None_Match": "*", "token": token}
    gate.service.problem(gate.service.ask("PUT", "/admin/v1/pinsets/payments", **put), 401, "step-up-needed")
