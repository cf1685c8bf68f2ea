"""
The programs that peers need: Node with one package of npm, fetched once per run into a temporary folder, and OpenSSL.

Where one is missing, or npm cannot reach its registry, the tests that need it are skipped by name; nothing of npm is
kept in this repository, and no script of a package is run.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.peers.verifiers import Cryptography, Node, OpenSSL, Peer, SecureSystemsLib

SIGSTORE = "@sigstore/core@3.2.1"


@pytest.fixture(scope="session")
def node(program: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Node:
    """Node, with sigstore's encoding beside it."""
    node, npm = program("node"), program("npm")
    folder = tmp_path_factory.mktemp("npm")
    command = [npm, "install", "--prefix", folder, "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run([*command, SIGSTORE], capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        pytest.skip(f"npm cannot install {SIGSTORE}: {done.stderr.strip()[-300:]}")
    return Node(node, folder)


@pytest.fixture
def openssl(program: Callable[[str], Path], tmp_path: Path) -> OpenSSL:
    """OpenSSL's command line, with a folder for its files."""
    return OpenSSL(program("openssl"), tmp_path)


@pytest.fixture
def peer(request: pytest.FixtureRequest) -> Peer:
    """The peer that the test's table names."""
    ready = {"securesystemslib": SecureSystemsLib, "cryptography": Cryptography}
    return ready[request.param]() if request.param in ready else request.getfixturevalue(request.param)
