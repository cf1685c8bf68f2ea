"""
SoftHSM2, a real PKCS#11 module, with tokens in a folder of the test.

It may import ``pkcs11`` for what an operator does once. The configuration is read when the module is initialised, so
each token begins with a restart of the module.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")
EDWARDS25519 = b"\x13\x0cedwards25519"  # DER PrintableString
ED448 = b"\x13\x0aedwards448"
PIN = "canary-user-pin"
SO_PIN = "canary-so-pin"

# Another process keeps the locks that the module takes before it looks at a file.
HOLD = """
import fcntl, sys
files = [open(path, "r+b") for path in sys.argv[1:]]
for file in files:
    fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


class SoftHsm:
    """A folder of tokens, and the module that finds them there."""

    def __init__(self, folder: Path, util: Path, module: str) -> None:
        self.folder, self.module, self._util = folder, module, util
        self.tokens = folder / "tokens"
        self.tokens.mkdir()
        self.configuration = folder / "softhsm2.conf"
        self.configuration.write_text(f"directories.tokendir = {self.tokens}\nlog.level = ERROR\n")
        self.pin_file = folder / "pin"
        self.write_pin(PIN)

    def write_pin(self, pin: str) -> None:
        self.pin_file.write_text(pin + "\n")
        self.pin_file.chmod(0o600)

    def restart(self) -> None:
        library = pkcs11.lib(self.module)
        library.reinitialize()

    def make_token(self, label: str) -> None:
        command = [self._util, "--init-token", "--free", "--label", label, "--so-pin", SO_PIN, "--pin", PIN]
        subprocess.run(command, check=True, capture_output=True, timeout=30, env=self.environment())
        self.restart()

    def environment(self) -> dict[str, str]:
        return {**os.environ, "SOFTHSM2_CONF": str(self.configuration)}

    def make_key(self, token: str, label: str, key_id: bytes, *, curve: bytes = EDWARDS25519) -> bytes:
        """Make a pair and return the raw public half."""
        with self.session(token) as session:
            parameters = session.create_domain_parameters(KeyType.EC_EDWARDS, {Attribute.EC_PARAMS: curve}, local=True)
            public, _ = parameters.generate_keypair(
                store=True, label=label, id=key_id, mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN
            )
            return bytes(public[Attribute.EC_POINT])[2:]

    def session(self, token: str, *, pin: str | None = PIN) -> closing:
        return closing(pkcs11.lib(self.module).get_token(token_label=token).open(rw=True, user_pin=pin))

    def uri(self, key: str = "token=pinwarden;object=timestamp", **parameters: str) -> str:
        query = {"module-path": self.module, "pin-source": f"file:{self.pin_file}", **parameters}
        return f"pkcs11:{key}?" + "&".join(f"{name}={value}" for name, value in query.items())

    @contextmanager
    def hangs(self) -> Iterator[None]:
        """Have each call that reads the token wait, as it does when another process died with its locks."""
        files = sorted(str(path) for path in self.tokens.glob("*/*") if path.suffix != ".lock")
        command = [sys.executable, "-c", HOLD, *files]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout.readline() == b"held\n"
            try:
                yield
            finally:
                holder.stdin.close()
                holder.wait(30)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Pull the tokens out and put them back."""
        elsewhere = self.folder / "elsewhere"
        self.tokens.rename(elsewhere)
        self.tokens.mkdir()
        try:
            yield
        finally:
            for left in self.tokens.iterdir():
                assert not left.is_dir(), "the module made a token while its own were away"
            self.tokens.rmdir()
            elsewhere.rename(self.tokens)
