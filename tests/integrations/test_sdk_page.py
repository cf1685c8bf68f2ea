"""docs/sdk.md: its lines run as they stand."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

import pinwarden
from pinwarden.integrations.httpx import pinned_client

PAGE = (Path(__file__).parents[2] / "docs" / "sdk.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_client_of_the_page_is_made_without_a_network(
    throwaway_authority: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "root.json").write_bytes(throwaway_authority.root_json)
    names: dict[str, Any] = {"pinwarden": pinwarden}
    exec(BLOCKS[0], names)
    assert names["pins"].status().state is pinwarden.State.EMPTY
    assert Path(names["pins"].status().cache).parts[0] == "pins-cache"


def test_the_refusal_of_the_page_reaches_the_alert_and_other_failures_go_on(
    throwaway_pins: Any, local_server: Any
) -> None:
    throwaway_pins.publish({"localhost": [b"w" * 32]})
    told: list[tuple[str, ...]] = []
    assert len(BLOCKS) == 2
    with pinned_client(throwaway_pins, context=local_server.context()) as http:
        names: dict[str, Any] = {
            "httpx": httpx,
            "pinwarden": pinwarden,
            "http": http,
            "alert": lambda *a: told.append(a),
        }
        exec(BLOCKS[1].replace("https://api.example.com", local_server.url), names)
        with pytest.raises(httpx.ConnectError):
            exec(BLOCKS[1].replace("https://api.example.com", "https://127.0.0.1:9"), names)
    ((what, hint),) = told
    assert (what, bool(hint)) == ("no key of localhost is pinned", True)
    assert local_server.received() == b""
