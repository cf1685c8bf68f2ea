"""
A client application in a process of its own: pinned process-wide, or started again from its disk cache.

The parent's half starts it and talks to it in lines of JSON; the child's half is an ordinary program that calls
``pins.enforce()`` and then uses its HTTP libraries as if Pinwarden did not exist.
"""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Self

from pinwarden import PinClient, PinwardenError
from pinwarden_demo.environment import plain_environment
from pinwarden_demo.errors import CannotMeasure, CannotStart
from pinwarden_demo.libraries import LIBRARIES, Call, Result, call
from pinwarden_demo.names import names_on_loopback

STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Application:
    """
    How an application is set up.

    Attributes:
        url, pinset, root, cache: as for PinClient; *root* is a file, *cache* a folder.
        trusted: PEM file of the CAs that it trusts.
        enforce: whether it calls ``pins.enforce()``; without, it is an application that never heard of pins.
    """

    url: str
    pinset: str
    root: str
    cache: str
    trusted: str
    enforce: bool = True

    def client(self, **changes: Any) -> PinClient:
        """Return a client of this set-up, with *changes* to PinClient's arguments."""
        arguments: dict[str, Any] = {"pinset": self.pinset, "root": self.root, "cache": self.cache, **changes}
        return PinClient(arguments.pop("url", self.url), **arguments)


class ClientProcess:
    """
    The parent's half: starts the process and ends it with the block.

    Args:
        application: what it shall be.
        log: file for what it and its libraries have to say.
    """

    def __init__(self, application: Application, log: Path) -> None:
        # The two variables by which applications are told which CAs to trust, without a line of code.
        trust = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), application.trusted)
        with log.open("ab") as errors:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "pinwarden_demo.client_process"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env={**plain_environment(), **trust},
                    start_new_session=True,
                    text=True,
                )
            except OSError as error:
                raise CannotStart(f"a client process cannot be started: {error}") from error
        self._log = log
        self._send(asdict(application))

    def every_library(self, *urls: str, verify: bool = True) -> list[Call]:
        """Return one call per library and address, made over there without any context of ours."""
        return [partial(self._call, name, url, verify) for url in urls for name in LIBRARIES]

    def refresh(self) -> dict[str, Any]:
        """Refresh over there; returns what :func:`refreshed` does."""
        return self._ask({"refresh": True})

    def stop(self) -> None:
        """End the process: its input ends, and it is made to end if that does not do."""
        _open(self._process.stdin).close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
        _open(self._process.stdout).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _call(self, library: str, url: str, verify: bool) -> Result:
        return Result(**self._ask({"call": library, "url": url, "verify": verify}))

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        self._send(question)
        line = _open(self._process.stdout).readline()
        if not line:
            lines = self._log.read_text("utf-8", "replace").strip().splitlines()
            raise CannotMeasure(f"a client process ended: {lines[-1] if lines else 'it said nothing'}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _send(self, question: dict[str, Any]) -> None:
        pipe = _open(self._process.stdin)
        try:
            pipe.write(json.dumps(question) + "\n")
            pipe.flush()
        except BrokenPipeError:
            return  # the process has ended; whoever waits for its answer is told why


def refreshed(pins: PinClient) -> dict[str, Any]:
    """Refresh *pins*; return the ``error`` by its name or None, the ``state``, and the ``version`` as "1.3" or None."""
    error = None
    try:
        pins.refresh()
    except PinwardenError as refusal:
        error = type(refusal).__name__
    status = pins.status()
    version = f"{status.epoch}.{status.version}" if status.version else None
    return {"error": error, "state": status.state.value, "version": version}


def main() -> None:
    """Be the application that the first line of the input describes, and answer line by line until the input ends."""
    application = Application(**json.loads(sys.stdin.readline()))
    with names_on_loopback():
        pins = application.client()
        if application.enforce:
            pins.enforce()
        for line in sys.stdin:
            print(json.dumps(_obey(json.loads(line), pins)), flush=True)
        pins.close()


def _obey(order: dict[str, Any], pins: PinClient) -> dict[str, Any]:
    if "refresh" in order:
        return refreshed(pins)
    return asdict(call(order["call"], order["url"], verify=order["verify"]))


def _open(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise CannotStart("a client process was started without pipes")
    return stream


if __name__ == "__main__":
    main()
