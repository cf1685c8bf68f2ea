"""Which connection may go on: pins, denied keys, states, shares (spec E2, E3, E5 to E7, E9 and the state table)."""

import json
from hashlib import sha256
from typing import Any

from tests.vectors.sources.author import (
    AUTHORITY,
    NAME,
    Json,
    host,
    pin,
    pinset_payload,
    spell,
)

FRESH, STALE, EXPIRED = "fresh", "stale", "expired"
MISMATCH, UNAVAILABLE = "PinMismatchError", "PinsUnavailableError"


def _b64(label: str) -> str:
    return str(pin(label)["sha256"])


PIN, BACKUP, OTHER, ROOT, DENIED = (_b64(label) for label in ("in service", "backup", "other", "ca", "denied"))

HOSTS = [
    host("api.example.com", pins=[pin("in service"), pin("ca", "ca")]),
    host("report.example.com", mode="report"),
    host("platform.example.com", on_expiry="platform"),
    host("half.example.com", enforce_percent=50),
    host("*.example.com", pins=[pin("wild")], backups=[pin("wild backup")]),
]
DOCUMENT = pinset_payload(hosts=HOSTS, deny=[DENIED])
STRICT = pinset_payload(
    hosts=[each for each in HOSTS if each["host"] != "platform.example.com"], deny=[DENIED], on_stale="refuse"
)


def share(pattern: str, installation: str) -> int:
    """Return the number under which an installation draws for a host (spec E7)."""
    text = f"{AUTHORITY}\n{NAME}\n{pattern}\n{installation}"
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big") % 100


INSTALLATIONS = [sha256(f"installation {number}".encode()).hexdigest()[:32] for number in range(12)]
ENFORCING = next(each for each in INSTALLATIONS if share("half.example.com", each) < 50)
REPORTING = next(each for each in INSTALLATIONS if share("half.example.com", each) >= 50)


def _judged(name: str, step: str, at_host: str | None, chain: list[str], expect: Json, **more: Any) -> Json:
    return {
        "name": name,
        "step": step,
        "pinset": more.pop("pinset", "enforce"),
        "state": more.pop("state", FRESH),
        "installation": more.pop("installation", ENFORCING),
        "unpinned": more.pop("unpinned", "allow"),
        "host": at_host,
        "chain": chain,
        "verified": more.pop("verified", True),
        "expect": expect,
    }


def _pass(outcome: str, pattern: str | None = None, matched: str | None = None) -> Json:
    return {"result": "pass", "outcome": outcome, "pattern": pattern, "pin": matched, "would_refuse": None}


def _reported(pattern: str, step: str = "E2", denied: str | None = None) -> Json:
    return {**_pass("reported", pattern), "would_refuse": {"error": MISMATCH, "step": step, "denied": denied}}


def _refuse(error: str, step: str | None, denied: str | None = None) -> Json:
    return {"result": "refuse", "error": error, "step": step, "denied": denied}


API, REPORT, PLATFORM, HALF = (f"{name}.example.com" for name in ("api", "report", "platform", "half"))
NO_MATCH = _refuse(MISMATCH, "E2")
IS_DENIED = _refuse(MISMATCH, "E3", DENIED)

CHAINS = [
    _judged("a pinned leaf matches", "E2", API, [PIN, OTHER], _pass("matched", API, PIN)),
    _judged("a pinned CA at the end of the chain matches", "E2", API, [OTHER, OTHER, ROOT],
            _pass("matched", API, ROOT)),
    _judged("the first pinned key of the chain is named", "E2", API, [OTHER, ROOT, PIN], _pass("matched", API, ROOT)),
    _judged("kind does not decide: a leaf pin matches anywhere in the chain", "E2", API, [OTHER, PIN],
            _pass("matched", API, PIN)),
    _judged("a backup matches, and is told apart", "E2", API, [BACKUP], _pass("backup-used", API, BACKUP)),
    _judged("a pin counts before a backup, wherever it stands", "E2", API, [BACKUP, ROOT], _pass("matched", API, ROOT)),
    _judged("a chain without a pinned key is refused", "E2", API, [OTHER], NO_MATCH),
    _judged("an empty chain is refused", "E2", API, [], NO_MATCH),
    _judged("another host's pin does not match: the winner decides alone", "E2", API, [_b64("wild")], NO_MATCH),
    _judged("a star covers what no exact name does", "E2", "b.example.com", [_b64("wild")],
            _pass("matched", "*.example.com", _b64("wild"))),
    _judged("a denied key refuses although a pin matches", "E3", API, [PIN, DENIED], IS_DENIED),
    _judged("a denied leaf refuses although a CA is pinned", "E3", API, [DENIED, ROOT], IS_DENIED),
    _judged("a denied key alone is refused as denied", "E3", API, [DENIED], IS_DENIED),
    _judged("a denied key does not matter for a host without pins", "E3", "example.org", [DENIED], _pass("unpinned")),
    _judged("without a verified chain a pinned leaf matches", "E5", API, [PIN], _pass("matched", API, PIN),
            verified=False),
    _judged("without a verified chain only the leaf counts", "E5", API, [OTHER, ROOT], NO_MATCH, verified=False),
    _judged("without a verified chain a backup leaf matches", "E5", API, [BACKUP], _pass("backup-used", API, BACKUP),
            verified=False),
    _judged("without a verified chain a denied leaf is refused", "E5", API, [DENIED], IS_DENIED, verified=False),
    _judged("without a verified chain what stands behind the leaf denies nothing", "E5", API, [PIN, DENIED],
            _pass("matched", API, PIN), verified=False),
    _judged("a resumed session without a leaf is refused", "E6", API, [], NO_MATCH, verified=False),
]  # fmt: skip

MODES = [
    _judged("a report host lets a wrong chain through and reports it", "E7", REPORT, [OTHER], _reported(REPORT)),
    _judged("a report host lets a denied key through and reports it", "E3", REPORT, [PIN, DENIED],
            _reported(REPORT, "E3", DENIED)),
    _judged("a report host matches like any other", "E7", REPORT, [PIN], _pass("matched", REPORT, PIN)),
    _judged("an installation within the share enforces", "E7", HALF, [OTHER], NO_MATCH),
    _judged("an installation beyond the share reports", "E7", HALF, [OTHER], _reported(HALF), installation=REPORTING),
    _judged("a host without pins is left alone", "E9", "example.org", [OTHER], _pass("unpinned")),
    _judged("a host without pins is refused where the application asks for it", "E9", "example.org", [OTHER],
            _refuse(MISMATCH, "E9"), unpinned="refuse"),
    _judged("a handshake without a name finds no pin", "E9", None, [PIN], _pass("unpinned")),
    _judged("a handshake without a name is refused where the application asks for it", "E9", None, [PIN],
            _refuse(MISMATCH, "E9"), unpinned="refuse"),
    _judged("a pinned host is judged where unpinned hosts are refused", "E9", API, [PIN], _pass("matched", API, PIN),
            unpinned="refuse"),
    _judged("a host without pins is left alone in every state", "E9", "example.org", [], _pass("unpinned"),
            state=EXPIRED),
]  # fmt: skip

GONE = _refuse(UNAVAILABLE, None)
ON = {"pinset": "refuse when stale"}

STATES = [
    _judged("stale: a pinned key matches", "E3", API, [PIN], _pass("matched", API, PIN), state=STALE),
    _judged("stale: a wrong key is refused", "E3", API, [OTHER], NO_MATCH, state=STALE),
    _judged("stale: a denied key is refused", "E3", API, [PIN, DENIED], IS_DENIED, state=STALE),
    _judged("stale: a report host is judged and let through", "E3", REPORT, [OTHER], _reported(REPORT), state=STALE),
    _judged("stale with on_stale 'refuse': refused although the key is pinned", "E3", API, [PIN], GONE, state=STALE,
            **ON),
    _judged("stale with on_stale 'refuse': a report host is judged and let through", "E3", REPORT, [OTHER],
            _reported(REPORT), state=STALE, **ON),
    _judged("stale with on_stale 'refuse': beyond the share, judged and let through", "E3", HALF, [OTHER],
            _reported(HALF), state=STALE, installation=REPORTING, **ON),
    _judged("fresh with on_stale 'refuse': judged as ever", "E3", API, [PIN], _pass("matched", API, PIN), **ON),
    _judged("expired: refused although the key is pinned", "E3", API, [PIN], GONE, state=EXPIRED),
    _judged("expired with on_stale 'refuse': refused", "E3", API, [PIN], GONE, state=EXPIRED, **ON),
    _judged("expired with on_expiry 'platform': CA checks only", "E3", PLATFORM, [OTHER],
            _pass("platform", PLATFORM), state=EXPIRED),
    _judged("expired with on_expiry 'platform': a pinned key is not looked for", "E3", PLATFORM, [PIN],
            _pass("platform", PLATFORM), state=EXPIRED),
    _judged("expired with on_expiry 'platform': a denied key is refused", "E3", PLATFORM, [PIN, DENIED], IS_DENIED,
            state=EXPIRED),
    _judged("stale with on_expiry 'platform': judged, for the pin set has not ended", "E3", PLATFORM, [OTHER],
            NO_MATCH, state=STALE),
    _judged("expired: a report host is let through without a report", "E3", REPORT, [OTHER],
            _pass("platform", REPORT), state=EXPIRED),
    _judged("expired: a report host is let through with a denied key too", "E3", REPORT, [DENIED],
            _pass("platform", REPORT), state=EXPIRED),
    _judged("expired: beyond the share, let through", "E3", HALF, [OTHER], _pass("platform", HALF), state=EXPIRED,
            installation=REPORTING),
    _judged("expired: within the share, refused", "E3", HALF, [PIN], GONE, state=EXPIRED),
]  # fmt: skip


def _shares() -> list[Json]:
    cases = []
    for pattern in ("half.example.com", "*.example.com"):
        for installation in INSTALLATIONS[:6]:
            drawn = share(pattern, installation)
            for percent in sorted({1, max(drawn, 1), drawn + 1, 99, 100}):
                cases.append(
                    {
                        "authority": AUTHORITY,
                        "name": NAME,
                        "host": pattern,
                        "installation": installation,
                        "enforce_percent": percent,
                        "expect": {"drawn": drawn, "enforces": drawn < percent},
                    }
                )
    return cases


GROUPS = {
    "verdicts": (
        "Which connection may go on, by the pins of its chain (spec E2 to E9, state table).",
        {"enforce": json.loads(spell(DOCUMENT)), "refuse when stale": json.loads(spell(STRICT))},
        [*CHAINS, *MODES, *STATES],
    ),
    "shares": ("Which installations enforce a host whose enforce_percent is below 100 (spec E7).", {}, _shares()),
}
