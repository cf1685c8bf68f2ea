"""Pin sets and timestamps: what a client could not honour, or could read in two ways, is refused as a whole."""

import json
from dataclasses import replace
from typing import Any

import pytest

from pinwarden.documents import (
    MAX_DENIED,
    MAX_HOSTS,
    MAX_PINS_PER_HOST,
    Pin,
    PinSet,
    Root,
    Timestamp,
    check_name,
)
from pinwarden.envelope import PAYLOAD_LIMITS, PINSET_TYPE
from pinwarden.errors import MalformedError
from pinwarden.strict_json import MAX_STRUCTURE, encode_base64
from pinwarden.testing import pinned

KINDS = ["root", "timestamp", "pinset"]
PIN = {"sha256": encode_base64(b"3" * 32), "kind": "leaf"}


@pytest.fixture
def documents(authority: Any) -> dict[str, tuple[Any, Any]]:
    """One good document of each kind, with its parser."""
    bundle = authority.bundle()
    return {
        "root": (authority.root, Root.parse),
        "timestamp": (Timestamp.parse(bundle.timestamp.payload), Timestamp.parse),
        "pinset": (PinSet.parse(bundle.pinset.payload), PinSet.parse),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_comes_back_as_it_went(documents: Any, kind: str) -> None:
    document, parse = documents[kind]
    assert parse(document.encode()) == document


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("change", "form"),
    [
        pytest.param({"type": "other"}, True, id="another type"),
        pytest.param({"spec": "2.0"}, True, id="the next major version"),
        pytest.param({"spec": "0.9"}, True, id="an earlier major version"),
        pytest.param({"spec": "1"}, True, id="no minor version"),
        pytest.param({"spec": "1.0.0"}, True, id="three numbers"),
        pytest.param({"spec": "1.x"}, True, id="letters"),
        pytest.param({"spec": "11.0"}, True, id="eleven"),
        pytest.param({"spec": "1.0\n"}, True, id="a line feed"),
        pytest.param({"crit": ["later"]}, True, id="a critical feature that is not here"),
        pytest.param({"crit": ["spec"]}, True, id="a critical feature named like a field that is here"),
        pytest.param({"crit": "later"}, False, id="crit as text"),
        pytest.param({"crit": [1]}, False, id="crit with a number"),
        pytest.param({"crit": None}, False, id="crit as null"),
        pytest.param({"authority": "short-0"}, False, id="an authority too short"),
        pytest.param({"authority": "a" * 49 + "0123456789abcdef"}, False, id="an authority too long"),
        pytest.param({"authority": "Acme-0123456789abcdef"}, False, id="an authority in upper case"),
        pytest.param({"authority": "acme-0123456789abcdeg"}, False, id="an authority without 64 random bits"),
        pytest.param({"authority": "0123456789abcdef\n"}, False, id="an authority and a line feed"),
        pytest.param({"authority": ""}, False, id="no authority"),
        pytest.param({"version": 0}, False, id="version 0"),
        pytest.param({"version": True}, False, id="version True"),
        pytest.param({"version": "1"}, False, id="version as text"),
        pytest.param({"issued": 1}, False, id="a time as a number"),
    ],
)
def test_what_every_document_has_is_judged_in_every_document(
    refuses: Any, documents: Any, spelled: Any, kind: str, change: dict[str, Any], form: bool
) -> None:
    document, parse = documents[kind]
    with refuses(MalformedError, ("V4" if kind == "root" else "V5") if form else "P4"):
        parse(spelled(document, lambda body: body.update(change)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"later": {"anything": [1]}}, id="an unknown field"),
        pytest.param({"crit": []}, id="nothing critical"),
        pytest.param({"spec": "1.7"}, id="a later minor version"),
    ],
)
def test_a_later_minor_version_is_read(documents: Any, spelled: Any, kind: str, change: dict[str, Any]) -> None:
    document, parse = documents[kind]
    assert parse(spelled(document, lambda body: body.update(change))) == document


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("field", ["type", "spec", "authority", "version", "issued", "expires"])
def test_a_field_that_every_document_has_may_not_be_missing(
    refuses: Any, documents: Any, spelled: Any, kind: str, field: str
) -> None:
    document, parse = documents[kind]
    with refuses(MalformedError, "P4"):
        parse(spelled(document, lambda body: body.pop(field)))


@pytest.mark.parametrize("kind", ["timestamp", "pinset"])
@pytest.mark.parametrize(
    "change", [{"name": ""}, {"name": "App"}, {"name": "a" * 65}, {"name": "-a"}, {"name": "a\n"}, {"epoch": 0}]
)
def test_a_name_or_epoch_out_of_range_is_refused(
    refuses: Any, documents: Any, spelled: Any, kind: str, change: dict[str, Any]
) -> None:
    document, parse = documents[kind]
    with refuses(MalformedError, "P4"):
        parse(spelled(document, lambda body: body.update(change)))


@pytest.mark.parametrize(("kind", "size"), [("root", 16 * 1024), ("timestamp", 4 * 1024), ("pinset", 1024 * 1024)])
def test_a_payload_beyond_the_limit_of_its_kind_is_refused(refuses: Any, documents: Any, kind: str, size: int) -> None:
    document, parse = documents[kind]
    payload = document.encode()
    assert parse(payload + b" " * (size - len(payload))) == document
    with refuses(MalformedError, "P1"):
        parse(payload + b" " * (size + 1 - len(payload)))


@pytest.mark.parametrize("name", ["", "App", "a" * 65, "a/b", "../a", ".a", "a\n", "ä"])
def test_a_name_that_no_pin_set_may_have_is_refused(refuses: Any, name: str) -> None:
    with refuses(MalformedError, None):
        check_name(name)


def test_a_name_of_64_characters_may_be_had() -> None:
    assert [check_name(name) for name in ("a", "a" * 64, "0.a_b-c")] == ["a", "a" * 64, "0.a_b-c"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda body: body.pop("root"), id="no root"),
        pytest.param(lambda body: body["root"].update(version=0), id="a root of version 0"),
        pytest.param(lambda body: body.pop("pinset"), id="no pin set"),
        pytest.param(lambda body: body["pinset"].pop("epoch"), id="a pin set without an epoch"),
        pytest.param(lambda body: body["pinset"].pop("version"), id="a pin set without a version"),
        pytest.param(lambda body: body["pinset"].pop("sha256"), id="a pin set without a digest"),
        pytest.param(lambda body: body["pinset"].pop("length"), id="a pin set without a length"),
        pytest.param(lambda body: body["pinset"].update(length=0), id="a pin set of no length"),
    ],
)
def test_a_timestamp_that_names_no_pin_set_or_root_is_refused(
    refuses: Any, documents: Any, spelled: Any, change: Any
) -> None:
    with refuses(MalformedError, "P4"):
        Timestamp.parse(spelled(documents["timestamp"][0], change))


def test_a_timestamp_with_half_a_digest_is_refused(refuses: Any, documents: Any, spelled: Any) -> None:
    with refuses(MalformedError, "P5"):
        Timestamp.parse(
            spelled(documents["timestamp"][0], lambda body: body["pinset"].update(sha256=encode_base64(bytes(16))))
        )


def host(**changes: Any) -> Any:
    return lambda body: body["hosts"][0].update(changes)


@pytest.mark.parametrize(
    ("change", "step"),
    [
        pytest.param(host(pins=[]), "V8", id="no pin"),
        pytest.param(host(backups=[]), "V8", id="no backup"),
        pytest.param(lambda body: body["hosts"][0].pop("pins"), "P4", id="pins missing"),
        pytest.param(lambda body: body["hosts"][0].pop("backups"), "P4", id="backups missing"),
        pytest.param(host(pins=[PIN], backups=[PIN]), "V8", id="a pin as its own backup"),
        pytest.param(
            host(pins=[PIN], backups=[{**PIN, "kind": "ca"}]), "V8", id="a pin as its own backup, of another kind"
        ),
        pytest.param(host(pins=[PIN] * MAX_PINS_PER_HOST), "V8", id="33 pins and backups"),
        pytest.param(host(pins=[{**PIN, "kind": "intermediate"}]), "V8", id="an unknown kind"),
        pytest.param(host(pins=[{"sha256": PIN["sha256"]}]), "P4", id="a pin of no kind"),
        pytest.param(host(pins=[{**PIN, "sha256": encode_base64(bytes(31))}]), "P5", id="a short pin"),
        pytest.param(host(pins=[{**PIN, "sha256": "x" * 43 + "="}]), "P5", id="a pin that is not canonical"),
        pytest.param(host(pins=[PIN["sha256"]]), "P4", id="a pin as text"),
        pytest.param(host(mode="observe"), "V8", id="an unknown mode"),
        pytest.param(host(mode=None), "P4", id="a mode of null"),
        pytest.param(host(on_expiry="allow"), "V8", id="an unknown on_expiry"),
        pytest.param(host(enforce_percent=0), "P4", id="an enforce_percent of 0"),
        pytest.param(host(enforce_percent=101), "P4", id="an enforce_percent of 101"),
        pytest.param(host(enforce_percent="50"), "P4", id="an enforce_percent as text"),
        pytest.param(host(host="API.example.com"), "V8", id="a host in upper case"),
        pytest.param(host(host=None), "P4", id="a host of null"),
        pytest.param(lambda body: body["hosts"].append(body["hosts"][0]), "V8", id="a host twice"),
        pytest.param(lambda body: body["hosts"].append("x"), "P4", id="a host as text"),
        pytest.param(lambda body: body.pop("hosts"), "P4", id="no hosts field"),
        pytest.param(lambda body: body.update(on_stale="allow"), "V8", id="an unknown on_stale"),
        pytest.param(lambda body: body.update(deny=[encode_base64(b"1" * 32)]), "V8", id="a pin that is denied"),
        pytest.param(lambda body: body.update(deny=[encode_base64(b"2" * 32)]), "V8", id="a backup that is denied"),
        pytest.param(lambda body: body.update(deny=[encode_base64(bytes(31))]), "P5", id="a short denied key"),
        pytest.param(lambda body: body.update(deny=None), "P4", id="deny as null"),
        pytest.param(
            lambda body: (body.update(on_stale="refuse"), host(on_expiry="platform")(body)), "V8", id="an unlocked door"
        ),
    ],
)
def test_a_pin_set_that_a_client_could_not_honour_is_refused(
    refuses: Any, documents: Any, spelled: Any, change: Any, step: str
) -> None:
    with refuses(MalformedError, step):
        PinSet.parse(spelled(documents["pinset"][0], change))


def test_limits_of_a_pin_set_hold_at_their_boundaries(refuses: Any, documents: Any) -> None:
    good = documents["pinset"][0]
    keys = [Pin(bytes([n]) * 32) for n in range(33)]
    full = replace(good.hosts[0], pins=tuple(keys[:31]), backups=(keys[31],))
    deny = tuple(bytes([9, n]) * 16 for n in range(256))
    hosts = tuple(pinned(f"h{n}.example", b"1" * 32) for n in range(MAX_HOSTS + 1))
    for boundary in (
        replace(good, hosts=(full,)),
        replace(good, deny=deny),
        replace(good, hosts=hosts[:-1]),
        replace(good, hosts=()),
        replace(good, hosts=(replace(good.hosts[0], enforce_percent=1, on_expiry="platform", mode="report"),)),
        replace(good, on_stale="refuse"),
    ):
        assert PinSet.parse(boundary.encode()) == boundary
    for beyond in (
        replace(good, hosts=(replace(full, backups=tuple(keys[31:])),)),
        replace(good, deny=(*deny, b"d" * 32)),
        replace(good, hosts=hosts),
    ):
        with refuses(MalformedError, "V8"):
            PinSet.parse(beyond.encode())
    assert (len(deny), MAX_DENIED, MAX_HOSTS, MAX_PINS_PER_HOST) == (256, 256, 2000, 32)


def test_what_a_pin_set_does_not_say_has_the_defaults_of_the_protocol(documents: Any, spelled: Any) -> None:
    def strip(body: dict[str, Any]) -> None:
        del body["on_stale"]
        for field in ("mode", "enforce_percent", "on_expiry"):
            del body["hosts"][0][field]

    pinset = PinSet.parse(spelled(documents["pinset"][0], strip))
    assert (pinset.on_stale, pinset.deny, pinset.report_to) == ("enforce", (), None)
    assert (pinset.hosts[0].mode, pinset.hosts[0].enforce_percent, pinset.hosts[0].on_expiry) == (
        "enforce",
        100,
        "refuse",
    )


@pytest.mark.parametrize(
    "url",
    ["http://a.example/", "ftp://a.example/", "https://", "https:///x", "//a.example", "a.example", "", "https://u@a.example/",
     "https://u:p@a.example/", "https://a.example:0/", "https://a.example:65536/", "https://a.example:x/", "https://[::1",
     "https://a.example/ x", "https://a.example/\n", "\thttps://a.example/", "https://ä.example/",
     "https://a.example/" + "x" * 2031],
)  # fmt: skip
def test_an_address_for_reports_that_is_not_plain_https_is_refused(
    refuses: Any, documents: Any, spelled: Any, url: str
) -> None:
    with refuses(MalformedError, "V8"):
        PinSet.parse(spelled(documents["pinset"][0], lambda body: body.update(report_to=url)))


def test_an_address_for_reports_may_be_2048_characters_long(documents: Any) -> None:
    longest = replace(documents["pinset"][0], report_to="https://a.example:8443/" + "x" * 2025)
    assert (len(longest.report_to or ""), PinSet.parse(longest.encode())) == (2048, longest)


def test_an_address_for_reports_of_null_is_refused(refuses: Any, documents: Any, spelled: Any) -> None:
    with refuses(MalformedError, "P4"):
        PinSet.parse(spelled(documents["pinset"][0], lambda body: body.update(report_to=None)))


def test_the_fullest_pin_set_of_a_megabyte_has_no_more_elements_than_are_read(authority: Any) -> None:
    # The most structure per byte: the shortest names and members, and no member that may be left out.
    body = json.loads(authority.bundle().pinset.payload)
    body = {name: body[name] for name in ("type", "spec", "authority", "version", "issued", "expires", "name", "epoch")}
    numbers = iter(range(10**6))

    def pins(count: int) -> list[dict[str, str]]:
        return [{"sha256": encode_base64(next(numbers).to_bytes(32, "big")), "kind": "ca"} for _ in range(count)]

    def host(number: int, count: int) -> dict[str, Any]:
        return {"host": f"{number:x}a", "pins": pins(count), "backups": pins(1)}

    def spelt() -> bytes:
        return json.dumps(body, separators=(",", ":")).encode()

    body["hosts"] = [host(number, 1) for number in range(2000)]
    room = (PAYLOAD_LIMITS[PINSET_TYPE] - len(spelt())) // (len(json.dumps(pins(1), separators=(",", ":"))) - 1)
    for number in range(room):
        body["hosts"][number % 2000]["pins"] += pins(1)
    payload = spelt()
    structure = sum(payload.count(sign) for sign in (b"[", b"{", b","))
    assert len(payload) > PAYLOAD_LIMITS[PINSET_TYPE] - 100
    assert 48_000 < structure <= MAX_STRUCTURE
    assert len(PinSet.parse(payload).hosts) == 2000
