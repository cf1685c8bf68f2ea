"""What a document must look like, member by member (P1 to P8, V2, V8). Each change is well signed."""

import pytest

from tests.conformance.certificates import pin
from tests.conformance.drivers import REFUSED
from tests.conformance.repository import pinned

LEAVE_OUT = object()


def put(*path, to):
    """Return a change of the member at *path*."""

    def change(document):
        *parents, last = path
        for step in parents:
            document = document[step]
        if to is LEAVE_OUT:
            del document[last]
        elif last == "+":
            document.append(to)
        else:
            document[last] = to

    return change


def wrong(*path, **values):
    """Return a row per wrong value of one member; without values, the usual ones for any member."""
    usual = {"missing": LEAVE_OUT, "null": None, "a number": 7.5, "an empty object": {}}
    name = ".".join(map(str, path))
    return {f"{name} {said}": put(*path, to=value) for said, value in (values or usual).items()}


INTEGERS = {"0": 0, "negative": -1, "true": True, "text": "1", "too large": 2**53}

EVERY_KIND = {
    **wrong("type"),
    **wrong("type", empty="", other="snapshot"),
    **wrong("spec"),
    **wrong(
        "spec", empty="", words="abc", letters="1.a", one_part="1", other="0.0", three_parts="1.0.0", long="1.00000"
    ),
    **wrong("authority"),
    **wrong("version"),
    **wrong("version", **INTEGERS),
    **wrong("issued"),
    **wrong("expires"),
    **wrong(
        "expires",
        words="abc",
        microseconds="2026-06-01T12:00:00.123456Z",
        zone="2026-06-01T12:00:00+00:00",
        no_zone="2026-06-01T12:00:00",
        no_such_day="2026-02-30T12:00:00Z",
        leap_second="2026-06-30T23:59:60Z",
        hour_24="2026-06-01T24:00:00Z",
        year_0="0000-06-01T12:00:00Z",
        lower="2026-06-01t12:00:00z",
        space="2026-06-01T12:00:00Z ",
        wide_digits="2026-06-0１T12:00:00Z",
    ),
    **wrong("crit", a_feature=["x"], a_known_member=["name"], a_number=[1], text="x", null=None),
}

NAMED = {
    **wrong("name"),
    **wrong("epoch"),
    **wrong("epoch", **INTEGERS),
}

ROOTS = {
    **wrong("keys"),
    **wrong("keys", a_list=[]),
    **wrong("roles"),
    **wrong("roles", "root"),
    **wrong("roles", "timestamp"),
    **wrong("roles", "pinset"),
    **wrong("roles", "root", "keyids"),
    **wrong("roles", "root", "keyids", unknown=["0" * 64], numbers=[1]),
    **wrong("roles", "root", "threshold"),
    **wrong("roles", "root", "threshold", **INTEGERS),
    **wrong("roles", "timestamp", "epoch"),
    **wrong("roles", "timestamp", "epoch", **INTEGERS),
    **wrong("roles", "timestamp", "max_lifetime_seconds"),
    **wrong("roles", "timestamp", "max_lifetime_seconds", **INTEGERS),
    **wrong("roles", "pinset", 0, "names"),
    **wrong("roles", "pinset", 0, "names", upper=["App"], empty=[""], long=["a" * 65], number=[1]),
    **wrong("roles", "pinset", 0, "keyids"),
    **wrong("roles", "pinset", 0, "threshold", **INTEGERS),
    **wrong("keys", "0" * 64, a_name_that_is_no_hash={"scheme": "ed25519", "public": "A" * 43 + "="}),
    **wrong(
        "keys",
        "more",
        no_scheme={"public": "A" * 43 + "="},
        scheme_is_a_number={"scheme": 1},
        no_public={"scheme": "ed25519"},
        public_is_short={"scheme": "ed25519", "public": "AAAA"},
        public_is_a_number={"scheme": "ed25519", "public": 1},
        no_object=[],
    ),
}

TIMESTAMPS = {
    **NAMED,
    **wrong("root"),
    **wrong("root", "version"),
    **wrong("root", "version", **INTEGERS),
    **wrong("pinset"),
    **wrong("pinset", "epoch", **INTEGERS),
    **wrong("pinset", "version", **INTEGERS),
    **wrong("pinset", "length"),
    **wrong("pinset", "length", **INTEGERS),
    **wrong("pinset", "sha256"),
    **wrong("pinset", "sha256", empty="", short="AAAA", hex="ab" * 32, url_safe="-" * 43 + "=", unpadded="A" * 43),
}

PINS = {
    "missing": LEAVE_OUT,
    "null": None,
    "empty": [],
    "no object": [1],
    "no sha256": [{"kind": "leaf"}],
    "no kind": [{"sha256": pin("other")}],
    "another kind": [{"sha256": pin("other"), "kind": "root"}],
    "a short sha256": [{"sha256": "AAAA", "kind": "leaf"}],
    "bits left over": [{"sha256": "A" * 42 + "B=", "kind": "leaf"}],
    "white space": [{"sha256": pin("other") + "\n", "kind": "leaf"}],
    "also on the other side": [
        {"sha256": pin("pin set 1.2"), "kind": "leaf"},
        {"sha256": pin("kept in a safe"), "kind": "ca"},
    ],
    "too many": [{"sha256": pin("many"), "kind": "leaf"}] * 33,
}

PINSETS = {
    **NAMED,
    **wrong("hosts"),
    **wrong("hosts", number=[1], twice=[pinned("a"), pinned("b")]),
    **wrong("on_stale", other="ignore", null=None, upper="Enforce"),
    **wrong("deny", null=None, text="x", short=["AAAA"], a_pin=[pin("pin set 1.2")], a_backup=[pin("kept in a safe")]),
    **wrong(
        "report_to", http="http://example.org/", no_host="https://", at="https://a@b/", null=None, port="https://a:0/"
    ),
    **wrong("report_to", space="https://a/ b", long="https://a/" + "x" * 2039, number=1),
    **wrong("hosts", 0, "host"),
    **wrong(
        "hosts",
        0,
        "host",
        empty="",
        upper="Example.org",
        dot="example.org.",
        star="*",
        inner_star="a.*.org",
        three_stars="***.example.org",
        half_star="a*.example.org",
        underscore="a_b.example.org",
        hyphen="-a.example.org",
        long_label="a" * 64 + ".org",
        unicode="bücher.example",
        port="example.org:443",
        url="https://example.org",
        address_pattern="*.192.0.2.1",
        loose_address="192.0.2.01",
        long_address="2001:db8:0::1",
        brackets="[2001:db8::1]",
        zone="fe80::1%eth0",
    ),
    **{f"hosts.0.pins {said}": put("hosts", 0, "pins", to=value) for said, value in PINS.items()},
    **{f"hosts.0.backups {said}": put("hosts", 0, "backups", to=value) for said, value in PINS.items()},
    **wrong("hosts", 0, "mode", other="off", null=None),
    **wrong("hosts", 0, "enforce_percent", zero=0, many=101, true=True, text="50"),
    **wrong("hosts", 0, "on_expiry", other="allow", null=None),
}

CASES = {
    f"{kind}: {said}": (kind, change)
    for kind, table in (("root", ROOTS), ("timestamp", TIMESTAMPS), ("pinset", PINSETS))
    for said, change in {**EVERY_KIND, **table}.items()
}


@pytest.mark.parametrize(("kind", "change"), CASES.values(), ids=CASES)
def test_a_member_that_is_missing_or_wrong_is_refused(life, kind, change):
    life.init()
    life.repository.publish_changed(kind, change)
    life.expects(REFUSED)
    life.trusts_nothing()


@pytest.mark.own
@pytest.mark.parametrize("table", ["root", "timestamp", "pinset"])
def test_after_many_malformed_documents_a_good_one_is_accepted(life, table):
    life.start()
    for kind, change in list(CASES.values())[::25]:
        if kind == table:
            life.refuses(lambda repository, change=change: repository.publish_changed(table, change))


FINE = {
    "root: unknown members": ("root", put("more", to={"crit": ["x"]})),
    "root: an unknown role": ("root", put("roles", "mirrors", to={"keyids": 1})),
    "root: an unknown member of a key": ("root", lambda root: next(iter(root["keys"].values())).update(note=None)),
    "root: an unknown member of a role": ("root", put("roles", "timestamp", "note", to=1)),
    "root: an unknown member of a grant": ("root", put("roles", "pinset", 0, "note", to=[])),
    "root: keyids in another order": ("root", lambda root: root["roles"]["root"]["keyids"].reverse()),
    "root: a key of no role": ("root", put("keys", "spare", to={"scheme": "rsa"})),
    "root: no feature that must be known": ("root", put("crit", to=[])),
    "root: a later edition of the specification": ("root", put("spec", to="1.9999")),
    "root: the largest number": ("root", put("roles", "timestamp", "max_lifetime_seconds", to=2**53 - 1)),
    "timestamp: unknown members": ("timestamp", put("more", to=[{}])),
    "timestamp: an unknown member of a reference": ("timestamp", put("pinset", "sha512", to="abc")),
    "timestamp: no feature that must be known": ("timestamp", put("crit", to=[])),
    "timestamp: a later edition of the specification": ("timestamp", put("spec", to="1.7")),
    "pinset: unknown members": ("pinset", put("more", to=None)),
    "pinset: an unknown member of a host": ("pinset", put("hosts", 0, "ports", to=[443])),
    "pinset: an unknown member of a pin": ("pinset", put("hosts", 0, "pins", 0, "note", to="x")),
    "pinset: defaults spelt out": (
        "pinset",
        lambda pinset: (
            pinset.update(on_stale="enforce", deny=[]),
            pinset["hosts"][0].update(mode="enforce", enforce_percent=100, on_expiry="refuse"),
        ),
    ),
    "pinset: a place for reports": ("pinset", put("report_to", to="HTTPS://reports.example.org:8443/a?b#c@d")),
    "pinset: many hosts": (
        "pinset",
        lambda pinset: pinset["hosts"].extend(pinned("a", host=f"h{number}.example.net") for number in range(1999)),
    ),
    "pinset: many pins": ("pinset", lambda pinset: pinset["hosts"][0]["pins"].extend(pinset["hosts"][0]["pins"] * 30)),
}


@pytest.mark.parametrize(("kind", "change"), FINE.values(), ids=FINE)
def test_what_a_later_edition_may_add_is_ignored(life, kind, change):
    life.init()
    life.repository.publish_changed(kind, change)
    life.accepts()


@pytest.mark.own
def test_one_host_too_many_is_refused(life):
    life.init()
    life.repository.publish(hosts=[pinned("a", host=f"h{number}.example.net") for number in range(2001)])
    life.expects(REFUSED)


@pytest.mark.own
def test_blocked_updates_cannot_switch_pinning_off(life):
    life.init()
    life.repository.publish(on_stale="refuse", hosts=[pinned("a", on_expiry="platform")])
    life.expects(REFUSED)
