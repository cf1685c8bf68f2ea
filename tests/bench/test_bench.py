"""Every bench runs, at its smallest, and yields the rows that docs/performance.md explains; no figure is judged."""

import json
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from bench.__main__ import BEGIN, BENCHES, DOCUMENT, END, ON_REQUEST, measured
from bench.measure import Effort
from bench.rows import Goal, Row, as_markdown, as_table, at_least, at_most, exactly
from tests.postgres import folder_of_programs

ROWS = {
    "fast-path": [
        "fast path",
        "Flask, same bytes",
        "raw WSGI, same bytes",
        "fast path, worker",
        "Flask, worker",
        "raw WSGI, worker",
    ],
    "handshake": [
        "handshake, unpinned",
        "handshake, armed, host not pinned",
        "handshake, leaf pinned",
        "handshake, CA pinned",
        "gate, per send",
    ],
    "lookup": [
        "look-up, 1 hosts",
        "look-up, 10 hosts",
        "look-up, 100 hosts",
        "look-up, 2000 hosts",
        "look-up, growth from 1 to 2000 hosts",
        "memory of a client's pins, 2000 hosts",
    ],
    "import": ["import pinwarden", "import requests", "import httpx"],
    "warm-start": ["warm start, 10 hosts", "warm start, 2000 hosts"],
    "cold-start": [
        "cold start, HTTP requests",
        "cold start, HTTP requests, python-tuf",
        "cold start",
        "cold start, python-tuf",
        "cold start, disk",
        "cold start, disk, python-tuf",
        "cold start, server 1 ms away",
        "cold start, server 1 ms away, python-tuf",
        "cold start, server 10 ms away",
        "cold start, server 10 ms away, python-tuf",
    ],
    "publish": [
        "verify a bundle, 10 hosts",
        "verify a bundle, 2000 hosts",
        "publish, admin API, p50",
        "renew a timestamp, p50",
    ],
    "hostile": ["worst document of 1 MiB, time", "worst document of 1 MiB, memory"],
}
WITH_GOAL = {
    "Flask, same bytes",
    "raw WSGI, same bytes",
    "Flask, worker",
    "raw WSGI, worker",
    "handshake, leaf pinned",
    "handshake, CA pinned",
    "look-up, 2000 hosts",
    "look-up, growth from 1 to 2000 hosts",
    "import pinwarden",
    "warm start, 10 hosts",
    "cold start, HTTP requests",
    "cold start",
    "cold start, server 1 ms away",
    "cold start, server 10 ms away",
    "worst document of 1 MiB, time",
    "worst document of 1 MiB, memory",
}


def test_there_is_an_expectation_for_every_bench():
    assert list(ROWS) == list(BENCHES)


@pytest.mark.parametrize("name", BENCHES)
def test_a_bench_runs_at_its_smallest_and_yields_its_rows(name):
    steps: list[tuple[int, int]] = []
    rows = measured(name, Effort("smoke", lambda done, total: steps.append((done, total))))
    found = [row.what for row in rows if row.what != "import redis"]  # measured where it is installed
    assert found == ROWS[name]
    assert {row.what for row in rows if row.goal} == WITH_GOAL & set(found)
    assert steps[-1][0] == steps[-1][1]
    assert all(row.value == row.value and row.unit for row in rows)


def test_the_curve_of_publishing_is_drawn_on_request_for_every_store_that_is_here():
    assert list(ON_REQUEST) == ["publish-curve", "logins"]
    rows = measured("publish-curve", Effort("smoke"))
    stores = ["SQLite", "PostgreSQL"] if folder_of_programs() else ["SQLite"]
    assert [row.what for row in rows] == [
        f"{what} {size} pin sets, {store}, p50"
        for store in stores
        for size in (10, 20)
        for what in ("publish over", "read what is in force among")
    ]
    assert [row.compared.partition(" ")[2] for row in rows] == ["", "", *["of that with 10"] * 2] * len(stores)


def test_what_wrong_logins_cost_readers_is_measured_on_request_with_strangers_who_are_judged():
    rows = measured("logins", Effort("smoke"))
    kinds = ("nobody", "wrong links", "wrong passwords")
    assert [row.what for row in rows] == [f"read beside {kind}, {part}" for kind in kinds for part in ("p50", "p99")]
    told = [re.fullmatch(r"(\d+) judged, (\d+) sent away", row.compared) for row in (rows[2], rows[4])]
    links, passwords = ([int(number) for number in each.groups()] for each in told)
    assert (links[0] >= 16, links[1], sum(passwords) >= 16) == (True, 0, True)


def test_the_command_prints_json_and_exits_0_whatever_it_measured():
    done = command("--quick", "--json", "lookup")
    report = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert [row["what"] for row in report["rows"]] == ROWS["lookup"]
    assert set(report["machine"]) == {"date", "cpu", "cores", "load", "python", "openssl", "system"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["lookups"],
            f"no bench is called lookups; there are {', '.join(BENCHES)}",
        ),
        (["--markdown", "lookup"], "--markdown replaces every figure, so it runs every bench"),
    ],
)
def test_a_wrong_call_is_refused_before_anything_runs(arguments, said):
    done = command(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_the_document_shows_every_row_between_its_markers():
    figures = DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0]
    shown = [line.split("|")[1].strip() for line in figures.splitlines() if line.startswith("| ")]
    assert [what for what in shown if what != "import redis"] == ["measured", "---", *chain(*ROWS.values())]


def test_rows_line_up_in_a_table_and_say_met_or_missed():
    rows = [
        Row("a", 1234.5, "us", "0.5 of b", at_most(0.5, 0.75)),
        Row("longer", 0.0425, "s", goal=Goal("none", False)),
    ]
    assert as_table(rows).splitlines() == [
        "measured    figure  compared  goal          verdict",
        "--------  --------  --------  ------------  -------",
        "a         1,234 us  0.5 of b  at most 0.75  met",
        "longer     0.043 s            none          missed",
    ]
    assert as_markdown(rows).splitlines() == [
        "| measured | figure | compared | goal | verdict |",
        "| --- | --: | --- | --- | --- |",
        "| a | 1,234 us | 0.5 of b | at most 0.75 | met |",
        "| longer | 0.043 s |  | none | missed |",
    ]


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        (at_most(1.0, 1.0), True),
        (at_most(1.01, 1.0), False),
        (at_least(1.0, 1.0), True),
        (at_least(0.99, 1.0), False),
        (exactly(1, 1), True),
        (exactly(2, 1), False),
    ],
)
def test_a_limit_itself_meets_the_goal(goal, met):
    assert goal.met is met


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as ``make bench`` does."""
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=root, capture_output=True, text=True, timeout=120
    )
