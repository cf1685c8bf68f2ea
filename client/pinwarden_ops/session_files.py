"""
The file that a session's token is written to: private from its first byte on, and replaced whole.

It may import this package's settings. It never overwrites a token that is no session's: that one may be the only key
that somebody has.
"""

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from pinwarden.errors import ConfigError
from pinwarden_ops.errors import OpsRefused
from pinwarden_ops.settings import read_token

_TOKEN = re.compile(r"pws_[0-9a-f]{16}_[A-Za-z0-9_-]{43}", re.ASCII)


class NewSession:
    """
    A place for a token, made before the server is asked: a link must not be spent for a token that nobody can keep.

    Raises:
        ConfigError: on entering, when there is no such place, or another token lies there.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._part = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
        self._descriptor = -1

    def __enter__(self) -> Self:
        check_session_file(self._file, must_exist=False)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(self._part, flags, 0o600)
        except OSError as error:
            raise ConfigError(
                f"{self._file} cannot be written: {error.strerror}", hint="Nothing was sent; nothing is spent."
            ) from None
        return self

    def write(self, token: str) -> None:
        """
        Put *token* there.

        Raises:
            OpsRefused: it is no token of a session, or the disk does not take it; the file is as before.
        """
        if _TOKEN.fullmatch(token) is None:
            raise OpsRefused("the server's answer holds no session", hint="Is the address that of the admin API?")
        try:
            os.write(self._descriptor, f"{token}\n".encode("ascii"))
            os.fsync(self._descriptor)
            self._part.replace(self._file)
        except OSError as error:
            raise OpsRefused(
                f"the session cannot be written to {self._file}: {error.strerror}",
                holds="The session goes on until it ends by itself, and nobody has its token.",
                hint="Make room, and log in again with another link.",
            ) from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
        with suppress(FileNotFoundError):  # it has its name
            self._part.unlink()


def check_session_file(file: Path, *, must_exist: bool) -> None:
    """
    Return when *file* holds the token of a session, or does not exist and need not.

    Raises:
        ConfigError: it cannot be read, is open to others, or holds something else.
    """
    if not must_exist and not file.exists() and not file.is_symlink():
        return
    if _TOKEN.fullmatch(read_token(file)) is None:
        raise ConfigError(
            f"{file} holds something else than a session",
            expected="pws_<id>_<secret>, or no file yet",
            hint="It may be somebody's only token, so it stays as it is. Name another file for sessions.",
        )
