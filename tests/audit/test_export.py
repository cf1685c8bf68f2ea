"""``audit export``: every row in both forms, safe in a spreadsheet, and the same rows when it is read again."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinwarden.errors import MalformedError
from pinwarden_ops.audit_chain import Row, read_row
from pinwarden_ops.audit_files import COLUMNS, read_rows, write_rows
from pinwarden_server import audit as chain
from tests.audit.conftest import Desk
from tests.docs.pages import REPOSITORY

FORMS = pytest.mark.parametrize("form", ["csv", "jsonl"])
# What spreadsheets run, or cut cells at, wherever in a cell it stands.
BEGINNINGS = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", " =1", '"=1', "'=1"]
INVISIBLE = ["\u00a0=1", "\ufeff=1", "\u200b=1"]
WIDE = ["\uff1d1", "\uff0b1", "\uff0d1", "\uff20SUM(1)", "=cmd|' /C calc'!A0"]
WITHIN = ["x;=1", "x\t=1", "x\n=1", "x|=1", "x,=1"]
OTHERS = ["", 'a"b', "\\", "\U0001f600", "\x00", "\x1b[31m", "%3D1", "*", "**", "plain", "token:ab-9", "a b", "a "]
TEXTS = pytest.mark.parametrize("text", [*BEGINNINGS, *INVISIBLE, *WIDE, *WITHIN, *OTHERS], ids=ascii)


def row_of(text: str, seq: int = 1) -> Row:
    told = {
        **dict.fromkeys(("at", "actor", "action", "subject", "previous", "hash"), text),
        "seq": seq,
        "detail": {"reason": text, text or "x": [text, {"deep": text}]},
    }
    return read_row(told, "row")


def written(rows: list[Row], form: str) -> bytes:
    return "".join(write_rows(rows, form)).encode("ascii")


def read(content: bytes) -> list[Row]:
    return list(read_rows(io.BytesIO(content)))


def cells_of(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("ascii"), newline="")))


def check_cells(content: bytes) -> None:
    """No cell begins with or holds what a spreadsheet runs, whatever it takes for the end of a cell."""
    for line in cells_of(content)[1:]:
        for cell in line:
            assert cell == "*" or cell[0].isalnum() or cell[0] in "{'", cell
            assert not set(cell) & set("=+@;|\t\r\n\v\f\0"), cell
            assert cell.isascii() and cell.isprintable()
    assert [separator for separator in b";|\t" if separator in content] == []


@FORMS
@TEXTS
def test_what_was_written_is_read_back_whole(text: str, form: str) -> None:
    rows = [row_of(text), row_of(text, 2)]
    assert read(written(rows, form)) == rows


@TEXTS
def test_no_cell_is_dangerous(text: str) -> None:
    check_cells(written([row_of(text)], "csv"))


@FORMS
@given(text=st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_text_survives_and_none_is_dangerous(form: str, text: str) -> None:
    content = written([row_of(text)], form)
    assert read(content) == [row_of(text)]
    if form == "csv":
        check_cells(content)


@FORMS
def test_an_export_has_every_row_of_the_server_and_is_closed_to_others(lite_desk: Desk, form: str) -> None:
    office = lite_desk.office
    detail = {"reason": '=HYPERLINK("http://x")', "count": 3, "none": None, "list": ["@", {"a": True}]}
    with office.site.store.writer.transaction() as transaction:
        chain.append(
            transaction, at=office.now, actor="token:x", action="pinset.publish", subject="shop", detail=detail
        )
    file = Path(lite_desk.export(form))
    assert file.stat().st_mode & 0o777 == 0o600
    found = read(file.read_bytes())
    assert [row.told for row in found] == [row.to_json() for row in office.site.store.reader.audit(limit=1000)]
    assert [row for row in found if row.hash != row.link()] == []


def test_json_lines_are_the_rows_as_the_server_told_them(lite_desk: Desk) -> None:
    lines = Path(lite_desk.export("jsonl")).read_text().splitlines()
    rows = lite_desk.office.site.store.reader.audit(limit=1000)
    assert [json.loads(line) for line in lines] == [row.to_json() for row in rows]


def test_it_goes_to_standard_output_page_by_page(lite_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pinwarden_ops.audit_pages.PAGE", 2)
    lite_desk.requests.clear()
    done = lite_desk.run("export", "--format", "csv")
    assert (done.exit_code, done.stderr) == (0, "")
    lines = cells_of(done.stdout_bytes)
    assert (lines[0], [line[0] for line in lines[1:]]) == (list(COLUMNS), ["1", "2", "3", "4"])
    assert lite_desk.requests == ["/admin/v1/audit"] * 3


def test_filters_are_the_servers_and_a_part_says_that_it_is_one(lite_desk: Desk) -> None:
    lite_desk.office.put("orders")
    done = lite_desk.run("export", "--format", "jsonl", "--name", "orders", "--action", "pinset.*")
    assert [json.loads(line)["subject"] for line in done.stdout.splitlines()] == ["orders"]
    assert done.stderr == "note: this is a part of the log: only a whole one can be verified\n"
    nothing = lite_desk.run("export", "--format", "csv", "--until", "2020-01-01T00:00:00Z")
    assert (nothing.exit_code, len(cells_of(nothing.stdout_bytes))) == (0, 1)


def test_nothing_is_left_of_an_export_that_failed_and_none_is_replaced(lite_desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "audit.csv"
    lite_desk.office.tamper("UPDATE audit SET detail = '[1]' WHERE seq = 3")
    done = lite_desk.run("export", "--format", "csv", "--output", str(file))
    assert (done.exit_code, file.exists()) == (1, False), done.output
    file.write_text("mine")
    again = lite_desk.run("export", "--format", "csv", "--output", str(file))
    assert (again.exit_code, file.read_text()) == (2, "mine")
    assert "File exists" in again.stderr


@pytest.mark.parametrize("words", [["--since", "today"], ["--until", "2026-06-01"], ["--format", "xls"]], ids=str)
def test_what_makes_no_sense_is_asked_of_nobody(lite_desk: Desk, words: list[str]) -> None:
    lite_desk.requests.clear()
    form = [] if "--format" in words else ["--format", "csv"]
    assert (lite_desk.run("export", *form, *words).exit_code, lite_desk.requests) == (2, [])


HEAD = ",".join(f'"{name}"' for name in COLUMNS).encode()
PLAIN, ESCAPED = written([row_of("x")], "csv"), written([row_of("=")], "csv")
BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "another table": b'"a","b"\r\n',
    "a cell too few": HEAD + b'\r\n"1","a"\r\n',
    "a number that is none": PLAIN.replace(b'"1",', b'"01",'),
    "a detail that is none": PLAIN.replace(b'"{', b'"['),
    "an escape that is none": ESCAPED.replace(b"\"'", b"\"'x"),
    "an escape of no text": ESCAPED.replace(b'\'""\\u003d""', b"'7"),
    "a quote that does not end": PLAIN[:-4],
    "half a letter": HEAD + b'\r\n"\xff"\r\n',
    "an endless line": b"{" + b" " * (1024 * 1024 + 1),
    "no object": b"{}\n[]\n",
    "two members of one name": b'{"seq": 1, "seq": 2}\n',
    "a float": b'{"seq": 1.0}\n',
}


@pytest.mark.parametrize("words", BROKEN)
def test_a_file_that_is_no_export_is_refused(words: str) -> None:
    assert read(PLAIN) == [row_of("x")]
    with pytest.raises(MalformedError):
        read(BROKEN[words])


def test_what_is_held_of_a_file_is_a_line_and_not_the_whole(tmp_path: Path) -> None:
    file = tmp_path / "long.jsonl"
    file.write_bytes(written([row_of("x", seq) for seq in range(1, 2001)], "jsonl"))
    with file.open("rb") as stream:
        rows = read_rows(stream)
        assert next(rows).seq == 1
        assert stream.tell() < file.stat().st_size / 100


def test_the_page_shows_the_escape_that_is_used() -> None:
    page = (REPOSITORY / "docs/audit.md").read_text("utf-8")
    for text in ("=1+1", "plain"):
        cell: Any = cells_of(written([row_of(text)], "csv"))[1][2]
        assert f"| `{text}` | `{cell}` |" in page
