"""
The audit log as a file, CSV or JSON lines, out of rows and back into the same rows.

It may import the gate and the chain. Cells of a CSV are for spreadsheets that somebody opens without a thought: none
begins with, or holds, what one would run.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from typing import IO, Any

from pinwarden.errors import MalformedError
from pinwarden.strict_json import parse_object, spell
from pinwarden_ops.audit_chain import Row, read_row

COLUMNS = ("seq", "at", "actor", "action", "subject", "detail", "previous", "hash")
FORMATS = ("csv", "jsonl")
MAX_LINE_BYTES = 1024 * 1024
# Everything that a spreadsheet takes for a formula, a separator or the end of a cell is something else.
_PLAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._:/*-]*[A-Za-z0-9._:/*-])?|\*", re.ASCII)
_ESCAPED = re.compile(r"[^A-Za-z0-9 ._:/*\"\\{}\[\],-]")


def write_rows(rows: Iterable[Row], form: str) -> Iterator[str]:
    """
    Yield *rows* as lines of a file in *form*, one of :data:`FORMATS`; those of a CSV end with CR LF (RFC 4180).

    A cell that is no plain text is an apostrophe and a JSON string, in which all but letters and digits is escaped.
    """
    if form == "jsonl":
        for row in rows:
            yield spell(row.told).decode("ascii") + "\n"
        return
    yield _line(COLUMNS)
    for row in rows:
        yield _line([_cell(name, row.told[name]) for name in COLUMNS])


def read_rows(file: IO[bytes]) -> Iterator[Row]:
    """
    Yield the rows of a file that :func:`write_rows` wrote, in either form, a line at a time.

    Raises:
        MalformedError: it is no such file; the message has the number of the line.
    """
    lines = _lines(file)
    try:
        first = next(lines)
    except StopIteration:
        raise MalformedError("the file is empty", expected="an export of `pinwarden audit export`") from None
    if first.startswith("{"):
        yield from (_of_json(line, number) for number, line in enumerate(_and(first, lines), 1))
        return
    reader = csv.reader(lines, strict=True)
    if first.rstrip("\r\n") != _line(COLUMNS).rstrip("\r\n"):
        raise MalformedError("not an export of the audit log", expected=_line(COLUMNS).rstrip(), got=repr(first[:80]))
    try:
        for number, cells in enumerate(reader, 2):
            yield _of_cells(cells, number)
    except csv.Error as error:
        raise MalformedError(f"line {reader.line_num + 1} is no line of a CSV: {error}") from None


def _line(cells: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerow(cells)
    return buffer.getvalue()


def _cell(name: str, value: Any) -> str:
    if name == "seq":
        return str(value)
    if name == "detail":
        return _without_signs(spell(value).decode("ascii"))
    return value if _PLAIN.fullmatch(value) else "'" + _without_signs(json.dumps(value))


def _without_signs(text: str) -> str:
    """Return JSON of the same meaning; what is replaced stands within strings alone, but for colons, which stay."""
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _of_cells(cells: list[str], number: int) -> Row:
    if len(cells) != len(COLUMNS):
        raise MalformedError(f"line {number} has another number of cells", expected=len(COLUMNS), got=len(cells))
    told: dict[str, Any] = dict(zip(COLUMNS, cells, strict=True))
    if re.fullmatch(r"[1-9][0-9]{0,15}", told["seq"], re.ASCII) is None:
        raise MalformedError(f"line {number} has no number of a row", got=repr(told["seq"][:40]))
    told["seq"] = int(told["seq"])
    told["detail"] = _object(told["detail"], number)
    for name in ("at", "actor", "action", "subject", "previous", "hash"):
        if told[name].startswith("'"):
            told[name] = _object(f'{{"text":{told[name][1:]}}}', number).get("text")
    return read_row(told, f"line {number}")


def _of_json(line: str, number: int) -> Row:
    return read_row(_object(line.rstrip("\r\n"), number), f"line {number}")


def _object(text: str, number: int) -> dict[str, Any]:
    return parse_object(text.encode(), limit=MAX_LINE_BYTES, what=f"line {number}")


def _lines(file: IO[bytes]) -> Iterator[str]:
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise MalformedError(f"line {number} is too long", expected=f"at most {MAX_LINE_BYTES} bytes")
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError:
            raise MalformedError(f"line {number} is not UTF-8") from None


def _and(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest
