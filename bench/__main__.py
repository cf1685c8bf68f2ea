"""
``make bench``: every figure of this repository in one run, with the goals beside them.

It prints and never asserts: a slow machine is not a defect, so it exits 0 whatever it measured. Rows go to stdout,
everything else to stderr.
"""

import argparse
import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.machine import as_sentence, machine
from bench.measure import Effort
from bench.rows import Row, as_json, as_markdown, as_table

DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- figures: begin, written by make bench ARGS=--markdown -->", "<!-- figures: end -->"

# Name on the command line to module; each module has run(effort).
BENCHES = {
    "fast-path": "bench.fast_path",
    "handshake": "bench.handshake",
    "lookup": "bench.lookup",
    "import": "bench.imports",
    "warm-start": "bench.warm_start",
    "cold-start": "bench.cold_start",
    "publish": "bench.publish",
    "hostile": "bench.hostile",
}
# Long, or in need of what not every machine has: run when it is named, and no part of the document.
ON_REQUEST = {"publish-curve": "bench.publish_curve", "logins": "bench.logins"}


def main() -> None:
    """Run what was asked for and print it."""
    asked = _arguments()
    facts = machine()
    rows: list[Row] = []
    for name in asked.names or BENCHES:
        rows += measured(name, Effort("quick" if asked.quick else "full", _progress(name)))
    if asked.json:
        print(as_json(rows, facts))
    elif asked.markdown:
        _write_block(f"{as_markdown(rows)}\n\n{as_sentence(facts)}")
    else:
        print(f"{as_table(rows)}\n\n{as_sentence(facts)}")


def measured(name: str, effort: Effort) -> list[Row]:
    """Return the rows of one bench."""
    found: list[Row] = importlib.import_module((BENCHES | ON_REQUEST)[name]).run(effort)
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description="Print the measured ratios.")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"any of: {', '.join(BENCHES)}; default: all; on request: {', '.join(ON_REQUEST)}",
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a minute, and more noise")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--markdown", action="store_true", help=f"rewrite the figures in docs/{DOCUMENT.name}")
    asked = parser.parse_args()
    unknown = [name for name in asked.names if name not in BENCHES | ON_REQUEST]
    if asked.markdown and asked.names:
        parser.error("--markdown replaces every figure, so it runs every bench")
    if unknown:
        parser.error(f"no bench is called {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    return asked


def _progress(name: str) -> Callable[[int, int], None]:
    if not sys.stderr.isatty():
        return lambda done, total: None
    start = time.monotonic()

    def show(done: int, total: int) -> None:
        line = f"{name}: {done} of {total}, {time.monotonic() - start:.0f} s"
        print(f"\r\x1b[K{line}" if done < total else "\r\x1b[K", end="", file=sys.stderr, flush=True)

    return show


def _write_block(block: str) -> None:
    text = DOCUMENT.read_text("utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{DOCUMENT} lacks the lines {BEGIN!r} and {END!r}, between which the figures belong")
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{block}\n\n{END}{after}", "utf-8")
    print(f"{DOCUMENT.name}: figures replaced", file=sys.stderr)


if __name__ == "__main__":
    main()
