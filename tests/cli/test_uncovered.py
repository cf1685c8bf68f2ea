"""The libraries that pins cannot reach are told by name: in the status, in the log at enforcement, and as they load."""

import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from pinwarden import PinClient, tls
from pinwarden.uncovered import OTHER_STACKS, ImportWatch, uncovered_libraries


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two libraries of the list, by name only: they need not be here to be told of."""
    for name in ("pycurl", "aioquic"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    folder = tmp_path / "installed"
    folder.mkdir()
    (folder / "pycurl.py").write_text("")
    (folder / "aioquic.py").write_text("raise ImportError('half installed')")
    monkeypatch.syspath_prepend(str(folder))


def test_the_program_is_told_as_it_loads_a_library_that_pins_do_not_reach(
    command: Any, publish: Any, tmp_path: Path
) -> None:
    publish({"localhost": [b"1" * 32, b"2" * 32]})
    (tmp_path / "pycurl.py").write_text("loaded = True\n")
    program = "import json, pycurl, pycurl; print(pycurl.loaded)"
    ended = command.process("run", "--", sys.executable, "-c", program, cwd=tmp_path)
    told = "not pinned: pycurl (a TLS stack of its own, which pins do not reach)\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True\n", told)


def test_a_program_that_can_do_without_a_library_is_not_told(command: Any, publish: Any, tmp_path: Path) -> None:
    publish({"localhost": [b"1" * 32, b"2" * 32]})
    program = "try:\n    import M2Crypto\nexcept ImportError:\n    print('without')"
    ended = command.process("run", "--", sys.executable, "-c", program, cwd=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "without\n", "")


@pytest.mark.usefixtures("installed")
def test_a_watch_changes_no_import_and_tells_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "meta_path", [ImportWatch(), *sys.meta_path])
    import pycurl

    del sys.modules["pycurl"]
    import pycurl  # noqa: F811

    with pytest.raises(ImportError, match="half installed"):
        import aioquic  # noqa: F401
    with pytest.raises(ModuleNotFoundError):
        import M2Crypto  # noqa: F401
    assert Path(pycurl.__file__).name == "pycurl.py"
    assert [record.getMessage().split(" (")[0] for record in caplog.records] == [
        "not pinned: pycurl",
        "not pinned: aioquic",
    ]


@pytest.mark.usefixtures("installed")
def test_enforcing_logs_what_is_loaded_and_the_status_names_it(
    command: Any, publish: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish({"localhost": [b"1" * 32, b"2" * 32]})
    for name in OTHER_STACKS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    import pycurl  # noqa: F401

    client = PinClient.from_env(command.environ)
    try:
        client.enforce()
    finally:
        tls.lift_process()
    assert client.status().not_covered == uncovered_libraries() == ("pycurl",)
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "not pinned: pycurl (a TLS stack of its own, which pins do not reach)")
    ]
