"""
A misconfigured client fails where it is made, says how to mend it, and leaves nothing behind.

Each row is one mistake, and what its message says: which argument, what was expected, what to do.
"""

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pinwarden import ConfigError, PinClient
from pinwarden.testing import ThrowawayAuthority

NAME = "pinset is not a name: expected [a-z0-9][a-z0-9._-]{0,63}, got "
ADDRESS = "url is not the address of a pin server: expected https://HOST"
OPTIONS = "expected one of allow_http, ca_file, clock, "
CLOCK = "clock does not tell the time: expected a function that returns an aware datetime"
ROOT = "the root that this application embeds is unusable: "
UNCHANGED = "Take root.json as `pinwarden root` or the server's /v1/roots/1 gives it, unchanged."
PEM = "Give a PEM file with the certificates of the CAs that certify the pin server."

# name: (arguments that differ from good ones, {folder} standing for the test's folder; pieces of the message)
MISTAKES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no root": (
        {"root": None},
        ("root is neither a path nor bytes: expected a path, or the bytes themselves, got None",),
    ),
    "a root that is not there": (
        {"root": "{folder}/none.json"},
        ("root cannot be read from '{folder}/none.json': No such file or directory. Give a path, or the bytes",),
    ),
    "a folder for a root": ({"root": "{folder}"}, ("root cannot be read from '{folder}': Is a directory.",)),
    "an empty root": ({"root": b""}, (ROOT, UNCHANGED)),
    "a web page for a root": ({"root": b"<html>"}, (ROOT, "is not JSON", UNCHANGED)),
    "a bundle for a root": (
        {"root": "{folder}/bundle.json"},
        (ROOT, "expected application/vnd.pinwarden.root.v1+json", UNCHANGED),
    ),
    "a root as text": (
        {"root": '{"payload": "..."}'},
        ('root is a text that is no path: got \'{"payload": "..."}\'. Give the path of the file, or its content as',),
    ),
    "a path with a zero byte": (
        {"root": "a\0b"},
        ("root cannot be read from 'a\\x00b': ", "Give a path, or the bytes"),
    ),
    "no pin set": ({"pinset": None}, ("pinset is not a name: expected text, got None",)),
    "an empty name": ({"pinset": ""}, (NAME + "''",)),
    "a name in capitals": ({"pinset": "App"}, (NAME + "'App'",)),
    "a path for a name": ({"pinset": "../app"}, (NAME + "'../app'",)),
    "no address": ({"url": ""}, (ADDRESS, "got ''")),
    "an address without its scheme": ({"url": "pins.example.com"}, (ADDRESS, "got 'pins.example.com'")),
    "an address of something else": ({"url": "ftp://pins.example.com"}, (ADDRESS,)),
    "an address in plaintext": (
        {"url": "http://pins.example.com"},
        ("url is plain http: expected https, or http on loopback", "allow_http=True accepts that."),
    ),
    "an address with a password": (
        {"url": "https://user:secret@pins.example.com"},
        (ADDRESS + ", without credentials", "got 'https://***@pins.example.com'"),
    ),
    "an address with a query": ({"url": "https://pins.example.com/?a=b"}, (ADDRESS + ", without credentials, query",)),
    "a port that is none": (
        {"url": "https://pins.example.com:99999"},
        ("url is not usable: Port out of range 0-65535",),
    ),
    "a number for a cache": (
        {"cache": 5},
        ("cache is neither a folder nor a Cache: expected a path, or an object with",),
    ),
    "a class for a cache": ({"cache": dict}, ("cache is neither a folder nor a Cache", "got <class 'dict'>")),
    "an empty cache": ({"cache": ""}, ("cache is empty: expected a folder. None chooses one, or memory.",)),
    "a file for a cache": (
        {"cache": "{folder}/bundle.json"},
        ("cache '{folder}/bundle.json' is not a folder. Give a folder; it is made when it is missing.",),
    ),
    "a bundle that is not there": (
        {"bootstrap": "{folder}/none"},
        ("bootstrap cannot be read from '{folder}/none': No",),
    ),
    "a root for a bundle": (
        {"bootstrap": "{folder}/root.json"},
        ("the bootstrap bundle is unusable: ", "Take the answer of /v1/bundles/NAME/1, unchanged."),
    ),
    "a bundle of another pin set": (
        {"pinset": "other", "bootstrap": "{folder}/bundle.json"},
        ("the bootstrap bundle belongs to another pin set: expected {authority}/other, got {authority}/app.",),
    ),
    "a bundle of another authority": (
        {"bootstrap": "{folder}/strange.json"},
        (
            "the bootstrap bundle belongs to another pin set: expected {authority}/app, got test-",
            "and the root of this",
        ),
    ),
    "a misspelt option": (
        {"unpined": "refuse"},
        ("PinClient has no option 'unpined': " + OPTIONS, "Did you mean 'unpinned'?"),
    ),
    "an option unlike any": ({"qqqq": 1}, ("PinClient has no option 'qqqq': " + OPTIONS,)),
    "an unknown rule": ({"unpinned": "maybe"}, ("unpinned is unknown: expected allow or refuse, got 'maybe'",)),
    "no rule": ({"when_empty": None}, ("when_empty is unknown: expected refuse or platform, got None",)),
    "no time between refreshes": (
        {"poll_seconds": 0},
        ("poll_seconds is not a time: expected seconds, more than 0 and",),
    ),
    "a time as text": ({"poll_seconds": "5"}, ("poll_seconds is not a time", "at most 604800, got '5'")),
    "a time that is none": ({"poll_seconds": float("nan")}, ("poll_seconds is not a time", "got nan")),
    "a time for ever": ({"poll_seconds": 1e9}, ("poll_seconds is not a time", "got 1000000000.0")),
    "a yes as text": (
        {"allow_http": "no"},
        ("allow_http is neither True nor False: expected True or False, got 'no'",),
    ),
    "a no that is a word": ({"reports": "no"}, ("reports is neither True nor False", "got 'no'")),
    "a no that is zero": ({"report_certificates": 0}, ("report_certificates is neither True nor False", "got 0")),
    "a yes that is missing": ({"telemetry": None}, ("telemetry is neither True nor False",)),
    "a CA file that is not there": (
        {"ca_file": "{folder}/none"},
        ("ca_file '{folder}/none' cannot be used: No such", PEM),
    ),
    "a CA file without a CA": (
        {"ca_file": "{folder}/bundle.json"},
        ("ca_file '{folder}/bundle.json' cannot be used", PEM),
    ),
    "a number for a CA file": ({"ca_file": 5}, ("ca_file is not a path: expected the path of a PEM file, got 5",)),
    "no clock": ({"clock": None}, (CLOCK, "got None")),
    "a clock that counts": ({"clock": lambda: 5.0}, (CLOCK, "got 5.0")),
    "a clock without a zone": ({"clock": lambda: datetime(2026, 1, 1)}, (CLOCK, "got datetime.datetime(2026, 1, 1")),
}


@pytest.fixture
def folder(tmp_path: Path, authority: ThrowawayAuthority) -> Path:
    """A folder with good files, and with those of a stranger."""
    with pytest.warns(UserWarning, match="keys that anyone can compute"):
        stranger = ThrowawayAuthority(seed="stranger")
    (tmp_path / "root.json").write_bytes(authority.root_json)
    (tmp_path / "bundle.json").write_bytes(authority.bundle().to_bytes())
    (tmp_path / "strange.json").write_bytes(stranger.publish({"api.example.com": [b"1" * 32]}).to_bytes())
    return tmp_path


@pytest.fixture
def make(folder: Path) -> Callable[..., PinClient]:
    """Return a function that makes a client with good arguments, but for those that are given."""

    def made(**changes: Any) -> PinClient:
        good = {"pinset": "app", "root": folder / "root.json", "cache": folder / "cache"}
        given = {name: placed(value, folder=folder) for name, value in changes.items()}
        return PinClient(given.pop("url", "https://pins.example.com"), **{**good, **given})

    return made


def placed(value: Any, **places: object) -> Any:
    """Put *places* where their names stand in braces; other braces stay."""
    for name, place in places.items():
        value = value.replace(f"{{{name}}}", str(place)) if isinstance(value, str) else value
    return value


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_where_the_client_is_made_and_leaves_nothing_behind(
    make: Callable[..., PinClient], folder: Path, authority: ThrowawayAuthority, mistake: str
) -> None:
    arguments, pieces = MISTAKES[mistake]
    before = sorted(os.listdir(folder))
    with pytest.raises(ConfigError) as refused:
        make(**arguments)
    told = str(refused.value)
    assert [piece for piece in pieces if placed(piece, folder=folder, authority=authority.authority) not in told] == []
    assert (refused.value.expected or refused.value.hint) is not None
    assert (len(told) < 600, "secret" in told) == (True, False)
    assert sorted(os.listdir(folder)) == before


def test_without_a_mistake_the_client_is_made(make: Callable[..., PinClient]) -> None:
    client = make(
        bootstrap="{folder}/bundle.json", unpinned="refuse", poll_seconds=60, allow_http=False, telemetry=False
    )
    assert client.status().version == 1


@pytest.mark.parametrize("missing", ["pinset", "root"])
def test_an_argument_that_is_left_out_is_named(missing: str) -> None:
    given = {"pinset": "app", "root": b"{}"}
    del given[missing]
    with pytest.raises(TypeError, match=f"missing 1 required keyword-only argument: '{missing}'"):
        PinClient("https://pins.example.com", **given)
