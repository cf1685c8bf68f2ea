"""
One mutant: where one check stands, and what the source says without it.

It may import the standard library only. It never guesses: a source text that is not there exactly once is an error.
"""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "client" / "pinwarden"

PURE = ("tests/trust", "tests/vectors")
LIVE = ("tests/tls", "tests/sdk")
LEFT_OUT = ("test_mutants.py", "test_other_pythons.py")
# Which tests must notice; the file that knows the room best goes first, because a run ends with the first failure.
TESTS: dict[str, tuple[str, ...]] = {
    "strict_json": ("tests/trust/test_strict_json.py", *PURE),
    "fields": ("tests/trust/test_fields.py", *PURE),
    "hosts": ("tests/trust/test_hosts.py", *PURE),
    "spki": ("tests/trust/test_spki.py", *PURE),
    "envelope": ("tests/trust/test_envelope.py", *PURE),
    "bundle": ("tests/trust/test_bundle.py", *PURE),
    "documents/frame": ("tests/trust/test_documents.py", *PURE),
    "documents/pinset": ("tests/trust/test_documents.py", *PURE),
    "documents/timestamp": ("tests/trust/test_documents.py", *PURE),
    "documents/root": ("tests/trust/test_root_document.py", *PURE),
    "trust/state": ("tests/trust/test_states.py", "tests/trust/test_floors.py", *PURE),
    "trust/advance": ("tests/trust/test_refusals.py", "tests/trust/test_roots.py", *PURE),
    "trust/floors": ("tests/trust/test_floors.py", *PURE),
    "enforce": ("tests/trust/test_enforce.py", *PURE),
    "errors": ("tests/trust/test_errors.py", *PURE),
    "guard": ("tests/sdk/test_guard.py", "tests/sdk/test_key_at_hand.py", "tests/tls/test_second_look.py", *LIVE),
    "update": ("tests/sdk/test_update.py", "tests/sdk"),
    "fetch": ("tests/sdk/test_fetch_http.py", "tests/sdk", "tests/tls/test_gate.py"),
    "address": ("tests/sdk/test_fetch_http.py", "tests/sdk"),
    "answer": ("tests/sdk/test_fetch.py", "tests/sdk/test_fetch_http.py", "tests/sdk"),
    "deadline": ("tests/sdk/test_fetch_http.py", "tests/sdk"),
    "cache": ("tests/sdk/test_cache.py", "tests/sdk"),
    "owned_files": ("tests/sdk/test_cache.py", "tests/sdk"),
    "servers": ("tests/sdk/test_servers.py", "tests/sdk"),
    "once": ("tests/sdk/test_life.py", "tests/sdk"),
    "background": ("tests/sdk/test_background.py", "tests/sdk/test_life.py", "tests/sdk"),
    "witness": ("tests/sdk/test_reports.py", "tests/sdk"),
    "reports": ("tests/sdk/test_reports.py", "tests/sdk"),
    "delivery": ("tests/sdk/test_reports.py", "tests/sdk"),
    "cache_redis/scripts": ("tests/sdk/redis/test_documents.py", "tests/sdk/redis"),
    "cache_redis/cache": ("tests/sdk/redis/test_documents.py", "tests/sdk/redis"),
    "cache_redis/line": ("tests/sdk/redis/test_link.py", "tests/sdk/redis"),
    "cache_redis/link": ("tests/sdk/redis/test_link.py", "tests/sdk/redis"),
    "cache_redis/fleet": ("tests/sdk/redis/test_fleet.py", "tests/sdk/redis"),
    "cache_redis/hints": ("tests/sdk/redis/test_fleet.py", "tests/sdk/redis"),
    "tls/gate": (
        "tests/tls/test_hole_1_2_bytes.py",
        "tests/tls/test_hole_5_6_7_checks.py",
        "tests/tls/test_gate.py",
        *LIVE,
    ),
    "tls/contexts": (
        "tests/tls/test_gate.py",
        "tests/tls/test_renegotiation.py",
        "tests/tls/test_hole_5_6_7_checks.py",
        *LIVE,
    ),
    "tls/hooks": ("tests/tls/test_hole_3_4_contexts.py", "tests/tls/test_gate.py", *LIVE),
}


class Rotten(Exception):
    """The source went on without the table: a text occurs never, or more than once."""


@dataclass(frozen=True)
class Mutant:
    """
    One check less.

    Attributes:
        room: the module, such as ``"documents/root"``.
        step: the step of the protocol that is broken, or the number under which another document explains it.
        what: what goes through unnoticed.
        old, new: the exact source text, which occurs once, and what stands there instead.
    """

    room: str
    step: str
    what: str
    old: str
    new: str

    @property
    def name(self) -> str:
        """What people call it, and what ``--only`` looks at."""
        return f"{self.room} {self.step}: {self.what}"

    @property
    def path(self) -> Path:
        """The file in the work tree."""
        return PACKAGE / f"{self.room}.py"

    def applied(self) -> str:
        """Return the mutated source; Rotten when *old* is not there exactly once."""
        source = self.path.read_text("utf-8")
        if (count := source.count(self.old)) != 1:
            raise Rotten(f"{self.name}: the source text occurs {count} times in {self.path.name}, expected 1")
        return source.replace(self.old, self.new)


def tests_for(room: str) -> list[str]:
    """
    Return the test files that must notice a change of *room*, the nearest first, as far as this checkout has them.

    Files, not folders: pytest would sort a file into a folder that is named after it. The table's own test is left out,
    because it looks at the work tree, and so is what runs these files again elsewhere.
    """
    found: dict[str, None] = {}
    for place in TESTS[room]:
        paths = [ROOT / place] if place.endswith(".py") else sorted((ROOT / place).rglob("test_*.py"))
        paths = [path for path in paths if path.exists()]
        found |= dict.fromkeys(str(path.relative_to(ROOT)) for path in paths if path.name not in LEFT_OUT)
    return list(found)
