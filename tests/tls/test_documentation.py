"""docs/enforcement.md: its code runs as it stands, and its table of exceptions is the one that the tests hold."""

import re
from pathlib import Path
from typing import Any

import pytest
from pinned_dialogues import Http
from pinned_libraries import PYTHONS, ROWS, matrix
from pinned_service import WRONG

from pinwarden import PinClient, tls
from pinwarden.testing import ThrowawayAuthority

TEXT = Path(__file__).parents[2].joinpath("docs", "enforcement.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.fixture
def scope(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the first block where its files are, with pins under which localhost is refused; return its names."""
    with pytest.warns(UserWarning, match="keys that anyone can compute"):
        authority = ThrowawayAuthority("payments")
    authority.publish({"localhost": [WRONG]})
    tmp_path.joinpath("root.json").write_bytes(authority.root_json)
    tmp_path.joinpath("bundle.json").write_bytes(authority.bundle().to_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PINWARDEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SSL_CERT_FILE", str(world.cafile))
    monkeypatch.setattr(PinClient, "refresh", lambda client: client.status())  # there is no pins.example.com
    names: dict[str, Any] = {}
    exec(BLOCKS[0], names)
    return names


def test_the_first_example_makes_a_pinned_client(scope: dict[str, Any]) -> None:
    assert scope["pins"].status().state == "fresh"
    assert tls.is_judged(scope["pins"].ssl_context())


def test_the_second_example_enforces_and_proves_it(
    scope: dict[str, Any], everywhere: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(BLOCKS[1], scope)
    assert scope["pins"].status().process_wide
    assert capsys.readouterr().out.splitlines() == scope["pins"].selftest()


def test_the_third_example_prints_the_refusal(
    scope: dict[str, Any], serve: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    peer = serve(dialogue=Http())
    exec(BLOCKS[2].replace("https://api.example.com/", f"https://localhost:{peer.port}/"), scope)
    assert "no key of localhost is pinned" in capsys.readouterr().out
    assert peer.finish() == b""


def test_the_fourth_example_is_an_adapter_that_pins(scope: dict[str, Any], serve: Any) -> None:
    import requests

    exec(BLOCKS[3], scope)
    peer = serve(dialogue=Http())
    with requests.Session() as session:
        session.mount("https://", scope["Pinned"]())
        with pytest.raises(requests.exceptions.SSLError, match="no key of localhost is pinned"):
            session.get(f"https://localhost:{peer.port}/")
    assert peer.finish() == b""
    assert len(BLOCKS) == 4


def test_the_table_of_libraries_is_the_tested_one() -> None:
    listed = re.findall(r"^\| ([^|`]+) \| ([^|`]+) \| ([^|`]+) \| `([\w.]+)` \|$", TEXT, flags=re.MULTILINE)
    assert [(*cells, kind.rpartition(".")[2]) for *cells, kind in listed] == matrix()


def test_the_pythons_are_the_tested_ones() -> None:
    assert f"run on CPython {', '.join(PYTHONS[:-1])} and {PYTHONS[-1]}" in " ".join(TEXT.split())
    assert list(ROWS)[-1].startswith("truststore")


def test_every_attack_is_shown_where_the_table_says() -> None:
    section = TEXT.partition("## The attacks that are tried")[2].partition("\n## ")[0]
    shown = re.findall(r"`tests/tls/(test_\w+\.py)` \|$", section, flags=re.MULTILINE)
    promises = ("documentation", "gate", "libraries", "second_look", "selftest", "states")
    files = {file.name for file in Path(__file__).parent.glob("test_*.py")}
    assert sorted(shown) == sorted(files - {f"test_{name}.py" for name in promises})


def test_every_hole_is_told_by_its_number() -> None:
    section = TEXT.partition("## The seven holes")[2].partition("\n## ")[0]
    assert [int(number) for number in re.findall(r"^(\d)\. \*\*", section, flags=re.MULTILINE)] == list(range(1, 8))
    cited = {
        int(number)
        for source in Path(tls.__file__).parent.glob("*.py")
        for number in re.findall(r"\b[Hh]ole (\d)", source.read_text())
    }
    assert cited <= set(range(1, 8))
    assert cited >= {1, 2, 3, 4, 6, 7}
