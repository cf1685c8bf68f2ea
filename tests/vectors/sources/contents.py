"""What a pin set may contain (spec V8)."""

from typing import Any

from tests.vectors.sources.author import (
    ABSENT,
    Json,
    b64,
    host,
    pin,
    update,
)
from tests.vectors.sources.cases import (
    fragments,
    inputs,
    once,
)

BAD = "MalformedError"
PIN, BACKUP = pin("in service"), pin("backup")


def _set(sentence: str, error: bool = True, step: str = "V8", **changes: Any) -> Json:
    return once(f"{sentence}", step, update(1, pinset=changes), BAD if error else None, step)


def _host(sentence: str, error: bool = True, step: str = "V8", **changes: Any) -> Json:
    return _set(sentence, error, step, hosts=[host(**changes)])


def _report(sentence: str, url: object, error: bool = True, step: str = "V8") -> Json:
    return _set(sentence, error, step, report_to=url)


def _pins(number: int, label: str) -> list[Json]:
    return [pin(f"{label} {index}") for index in range(number)]


def _choices(member: str, good: tuple[str, ...]) -> list[Json]:
    """The same for each member of a host that has few values."""
    return [
        *(_host(f"{member} may be {value!r}", False, **{member: value}) for value in good),
        _host(f"an unknown {member} is refused", **{member: "new"}),
        _host(f"{member} in upper case is refused", **{member: good[0].upper()}),
        _host(f"an empty {member} is refused", **{member: ""}),
        _host(f"{member} that is null is refused", step="P4", **{member: None}),
        _host(f"{member} that is true is refused", step="P4", **{member: True}),
    ]


HOSTS = [
    _set("a pin set without hosts withdraws pinning", False, hosts=[]),
    _set("a pin set that lacks the member hosts is refused", step="P4", hosts=ABSENT),
    _set("hosts that are an object are refused", step="P4", hosts={"api.example.com": host()}),
    _set("hosts that are null are refused", step="P4", hosts=None),
    _set("a host that is text is refused", step="P4", hosts=["api.example.com"]),
    _set("two hosts are accepted", False, hosts=[host(), host("*.example.com")]),
    _set("a host that is named twice is refused", hosts=[host(), host("b.example"), host(mode="report")]),
    _set("one bad host refuses the whole pin set", hosts=[host(), host("b.example", backups=[])]),
    _host("an unknown member of a host is ignored", False, note={"crit": ["nested"]}),
    _host("a host without a name is refused", step="P4", host=ABSENT),
    _host("a host whose name is null is refused", step="P4", host=None),
    _set("a host in upper case is refused", hosts=[host("API.example.com")]),
    _set("a host with a star inside is refused", hosts=[host("api.*.example.com")]),
    *_choices("mode", ("enforce", "report")),
    *_choices("on_expiry", ("refuse", "platform")),
    _host("one percent is the smallest share", False, enforce_percent=1),
    _host("a hundred percent is the largest share", False, enforce_percent=100),
    _host("a share of 0 percent is refused", step="P4", enforce_percent=0),
    _host("a share of 101 percent is refused", step="P4", enforce_percent=101),
    _host("a share that is text is refused", step="P4", enforce_percent="50"),
    _host("a share that is true is refused", step="P4", enforce_percent=True),
    _host("a share that is null is refused", step="P4", enforce_percent=None),
]

PINS = [
    _host("a host without the member pins is refused", step="P4", pins=ABSENT),
    _host("a host without the member backups is refused", step="P4", backups=ABSENT),
    _host("a host without a pin is refused", pins=[]),
    _host("a host without a backup is refused", backups=[]),
    _host("pins that are an object are refused", step="P4", pins=PIN),
    _host("a pin that is text is refused", step="P4", pins=[PIN["sha256"]]),
    _host("a pin without a hash is refused", step="P4", pins=[{"kind": "leaf"}]),
    _host("a pin without a kind is refused", step="P4", pins=[{"sha256": PIN["sha256"]}]),
    _host("a pin of a CA is accepted", False, pins=[pin("in service", "ca")]),
    _host("a pin of an unknown kind is refused", pins=[pin("in service", "intermediate")]),
    _host("a backup of an unknown kind is refused", backups=[pin("backup", "")]),
    _host("a pin of 31 bytes is refused", step="P5", pins=[{**PIN, "sha256": b64(b"p" * 31)}]),
    _host("a pin of 33 bytes is refused", step="P5", pins=[{**PIN, "sha256": b64(b"p" * 33)}]),
    _host("a backup of 20 bytes is refused", step="P5", backups=[{**PIN, "sha256": b64(b"p" * 20)}]),
    _host("a pin without padding is refused", step="P5", pins=[{**PIN, "sha256": PIN["sha256"].rstrip("=")}]),
    _host("a pin in hex is refused", step="P5", pins=[{**PIN, "sha256": "ab" * 32}]),
    _host("a pin with its algorithm in front is refused", step="P5",
          pins=[{**PIN, "sha256": "sha256/" + PIN["sha256"]}]),
    _host("an unknown member of a pin is ignored", False, pins=[{**PIN, "note": "2027"}]),
    _host("a pin that is its own backup is refused", pins=[PIN], backups=[PIN]),
    _host("a pin that is a backup of another kind is refused",
          pins=[PIN], backups=[BACKUP, {**PIN, "kind": "ca"}]),
    _host("the same pin twice is one pin", False, pins=[PIN, PIN]),
    _host("32 pins and backups are accepted", False, pins=_pins(20, "p"), backups=_pins(12, "b")),
    _host("33 pins and backups are refused", pins=_pins(20, "p"), backups=_pins(13, "b")),
    _host("a pin named twice counts twice towards the 32", pins=[PIN, PIN, *_pins(30, "p")]),
    _set("one host's pin may be another host's backup", False,
         hosts=[host(), host("b.example", pins=[BACKUP], backups=[PIN])]),
]  # fmt: skip

DENY = [
    _set("keys that nobody pins may be denied", False, deny=[b64(b"d" * 32)]),
    _set("an empty list of denied keys is accepted", False, deny=[]),
    _set("a key that is denied twice is denied", False, deny=[b64(b"d" * 32)] * 2),
    _set("a denied pin is refused", deny=[b64(b"d" * 32), PIN["sha256"]]),
    _set("a denied backup is refused", deny=[BACKUP["sha256"]]),
    _set("a denied pin of the second host is refused",
         hosts=[host(), host("b.example", pins=[pin("b")])], deny=[pin("b")["sha256"]]),
    _set("denied keys that are text are refused", step="P4", deny=b64(b"d" * 32)),
    _set("denied keys that are null are refused", step="P4", deny=None),
    _set("a denied key that is an object is refused", step="P4", deny=[pin("d")]),
    _set("a denied key of 31 bytes is refused", step="P5", deny=[b64(b"d" * 31)]),
    _set("a denied key in hex is refused", step="P5", deny=["ab" * 32]),
]  # fmt: skip

STALE = [
    _set("on_stale may be 'enforce'", False, on_stale="enforce"),
    _set("on_stale may be 'refuse'", False, on_stale="refuse"),
    _set("an unknown on_stale is refused", on_stale="new"),
    _set("on_stale that is null is refused", step="P4", on_stale=None),
    _set("on_stale 'refuse' with on_expiry 'platform' is refused",
         on_stale="refuse", hosts=[host(), host("b.example", on_expiry="platform")]),
    _set("on_stale 'refuse' with on_expiry 'refuse' is accepted", False,
         on_stale="refuse", hosts=[host(on_expiry="refuse")]),
    _set("on_stale 'enforce' with on_expiry 'platform' is accepted", False,
         on_stale="enforce", hosts=[host(on_expiry="platform")]),
]  # fmt: skip

_BASE = "https://reports.example.com/"

REPORTS = [
    _report("reports may go to an https address", f"{_BASE}pins?from=app", False),
    _report("reports may go to a port", "https://reports.example.com:8443/", False),
    _report("reports may go to an IPv6 address", "https://[2001:db8::1]:8443/", False),
    _report("reports may go to a host alone", "https://reports.example.com", False),
    _report("an address of 2,048 characters is accepted", _BASE + "r" * (2048 - len(_BASE)), False),
    _report("an address of 2,049 characters is refused", _BASE + "r" * (2049 - len(_BASE))),
    _report("reports in plain http are refused", "http://reports.example.com/"),
    _report("an address without a scheme is refused", "//reports.example.com/"),
    _report("an address without a host is refused", "https:///pins"),
    _report("a path is no address", "/v1/reports"),
    _report("an address with a name is refused", "https://me@reports.example.com/"),
    _report("an address with a name and password is refused", "https://me:secret@reports.example.com/"),
    _report("an address with an empty name is refused", "https://@reports.example.com/"),
    _report("an address with a space is refused", f"{_BASE}a b"),
    _report("an address with a line end is refused", f"{_BASE}\n"),
    _report("an address with a tab is refused", "https://reports.exa\tmple.com/"),
    _report("an address beyond ASCII is refused", "https://bücher.example/"),
    _report("port 0 is refused", "https://reports.example.com:0/"),
    _report("port 65535 is accepted", "https://reports.example.com:65535/", False),
    _report("port 65536 is refused", "https://reports.example.com:65536/"),
    _report("a port that is no number is refused", "https://reports.example.com:https/"),
    _report("an address that never closes its bracket is refused", "https://[2001:db8::1/"),
    _report("an empty address is refused", ""),
    _report("an address that is null is refused", None, step="P4"),
]

GROUPS = {
    "pinset_contents": (
        "What a pin set may contain (spec V8, section 3). Host patterns have a file of their own.",
        inputs(**fragments(2)),
        [*HOSTS, *PINS, *DENY, *STALE, *REPORTS],
    )
}
