"""
A backup: every row of the store in one file that no kind of database is needed to read, with its own checksum.

It may import the store. It opens no key; digests of tokens are in it only when that is asked for. The format is lines
of JSON: a head, one line for each row, and an end that counts the rows and has the SHA-256 of every line before it.
"""

import errno
import json
import os
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from pinwarden.strict_json import format_time
from pinwarden_server.errors import BackupRefused, StorageFull, StoreUnavailable
from pinwarden_server.published_tree import sync_folder
from pinwarden_server.store import Reader, schema_head
from pinwarden_server.store.copying import TABLES, Values, read_everything

FORMAT, FORMAT_VERSION = "pinwarden-backup", 1
MAX_LINE_BYTES = 4 * 1024 * 1024  # the largest document twice, in base64


@dataclass(frozen=True, slots=True)
class Made:
    """What a backup holds: rows by table, and the checksum that the file ends with."""

    rows: dict[str, int]
    sha256: str


def make_backup(reader: Reader, path: Path, *, now: datetime, tokens: bool) -> Made:
    """
    Write everything that the store has at one moment to the new file *path*, mode 0600; publications go on meanwhile.

    Args:
        tokens: the digests of token secrets too; without them, whoever restores issues new tokens.

    Raises:
        StoreUnavailable, StorageFull: *path* does not exist. BackupRefused: it existed before, and is as it was.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            made = _write(file, reader, now, tokens=tokens)
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)  # unlike a rename, it replaces nothing
        sync_folder(path.parent)
    except FileExistsError:
        raise BackupRefused(
            f"{path} exists already", hint="Name a new file; an old backup is never replaced."
        ) from None
    except OSError as error:
        kind = StorageFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreUnavailable
        raise kind(f"the backup {path} cannot be written: {error.strerror}") from error
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
    return made


def read_backup(path: Path) -> Iterator[tuple[str, Values]]:
    """
    Yield table and values of every row, in the order in which they can be added to an empty store.

    What the rows say is not judged here, and nothing may be kept before the last one came: the checksum is at the end.

    Raises:
        BackupRefused: damaged, cut off, or of another version.
    """
    digest, counted = sha256(), Counter[str]()
    with _opened(path) as file:
        first = _line(file, path)
        _check_head(_object(first, path), path)
        digest.update(first)
        while True:
            line = _line(file, path)
            value = _object(line, path)
            if "end" in value:
                break
            digest.update(line)
            if set(value) != {"table", "row"} or value["table"] not in TABLES or not isinstance(value["row"], dict):
                raise _damaged(path, "a line that is no row")
            counted[value["table"]] += 1
            yield value["table"], value["row"]
        if value != _end(digest.hexdigest(), counted):
            raise _damaged(path, "a checksum or a count that is another")
        if file.read(1):
            raise _damaged(path, "something behind its end")


def _write(file: IO[bytes], reader: Reader, now: datetime, *, tokens: bool) -> Made:
    digest, counted = sha256(), Counter[str]()

    def put(value: dict[str, Any]) -> None:
        line = json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n"
        digest.update(line)
        file.write(line)

    put({"format": FORMAT, "version": FORMAT_VERSION, "schema": schema_head(), "made_at": format_time(now)})
    for table, values in read_everything(reader, tokens=tokens):
        counted[table] += 1
        put({"table": table, "row": values})
    checksum = digest.hexdigest()
    put(_end(checksum, counted))
    return Made(dict(counted), checksum)


def _end(checksum: str, counted: Counter[str]) -> dict[str, Any]:
    return {"end": {"rows": dict(sorted(counted.items())), "sha256": checksum}}


def _check_head(head: dict[str, Any], path: Path) -> None:
    if head.get("format") != FORMAT:
        raise BackupRefused(f"{path} is no backup of Pinwarden", expected=f"format {FORMAT}")
    wanted = FORMAT_VERSION, schema_head()
    got = head.get("version"), head.get("schema")
    if got != wanted:
        raise BackupRefused(
            f"{path} was made by another version of Pinwarden",
            expected=f"format {wanted[0]}, schema {wanted[1]}",
            got=f"format {got[0]}, schema {got[1]}",
            hint="Restore it with the version that made it, then run `pinwarden server migrate` with this one.",
        )


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise BackupRefused(f"{path} cannot be read: {error.strerror}") from None


def _line(file: IO[bytes], path: Path) -> bytes:
    line = file.readline(MAX_LINE_BYTES)
    if not line.endswith(b"\n"):
        raise _damaged(path, "a line that is cut off, or endless")
    return line


def _object(line: bytes, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise _damaged(path, "a line that is no JSON object")
    return value


def _damaged(path: Path, what: str) -> BackupRefused:
    return BackupRefused(f"{path} is damaged: it has {what}", hint="Take another copy, or an older backup.")
