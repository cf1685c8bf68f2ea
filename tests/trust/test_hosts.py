"""Host names: every spelling of one host finds the same pins, and no other name does."""

import ipaddress
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pinwarden.errors import MalformedError
from pinwarden.hosts import PatternIndex, canonical_host, check_pattern, is_address


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("api.example.com", "api.example.com"),
        ("API.Example.COM", "api.example.com"),
        ("api.example.com.", "api.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example.", "xn--bcher-kva.example"),
        ("api。example。com", "api.example.com"),
        ("faß.example", "fass.example"),
        ("ａｐｉ.example.com", "api.example.com"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("[::1]", "::1"),
        ("::1", "::1"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[FE80::1%25eth0]", "fe80::1"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
        ("::FFFF:C000:0201", "::ffff:192.0.2.1"),
        ("999.1.1.1", "999.1.1.1"),
        ("a:b", "a:b"),
        ("ü..example", "ü..example"),
        ("", ""),
        (".", ""),
    ],
)
def test_every_spelling_of_a_host_is_looked_up_as_one(spelling: str, canonical: str) -> None:
    assert canonical_host(spelling) == canonical


@given(st.text(st.sampled_from("aBzéßЯ。.-_1:[]%٣"), max_size=12))
@example("ẞ.example")
def test_whatever_spelling_ssl_would_send_is_looked_up_the_same_and_stays(name: str) -> None:
    try:
        sent = name.encode("idna").decode()
    except UnicodeError:
        assume(False)
    assert canonical_host(name) == canonical_host(sent) == canonical_host(canonical_host(name))


@given(st.ip_addresses())
def test_every_spelling_of_an_address_is_looked_up_as_one_that_a_document_may_hold(address: Any) -> None:
    canonical = canonical_host(str(address))
    spellings = [address.exploded, address.exploded.upper(), str(address), canonical]
    if isinstance(address, ipaddress.IPv6Address):
        spellings += [f"[{address}]", f"{address.exploded}%eth0"]
    assert {canonical_host(spelling) for spelling in spellings} == {canonical}
    assert check_pattern(canonical, what="host") == canonical
    assert is_address(canonical)


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param("API.example.com", id="upper case"),
        pytest.param("api.example.com.", id="a trailing dot"),
        pytest.param("api..example.com", id="an empty label"),
        pytest.param(".example.com", id="an empty first label"),
        pytest.param("", id="nothing"),
        pytest.param("*", id="a star alone"),
        pytest.param("*.", id="a wildcard of nothing"),
        pytest.param("**.", id="a deep wildcard of nothing"),
        pytest.param("***.example.com", id="three stars"),
        pytest.param("*.*.example.com", id="two wildcards"),
        pytest.param("**.*.example.com", id="a wildcard below a wildcard"),
        pytest.param("*.**.example.com", id="a deep wildcard below a wildcard"),
        pytest.param("a*.example.com", id="a wildcard in a label"),
        pytest.param("api.*.com", id="a wildcard in the middle"),
        pytest.param("api.example.*", id="a wildcard at the end"),
        pytest.param("-api.example.com", id="a leading hyphen"),
        pytest.param("api-.example.com", id="a trailing hyphen"),
        pytest.param("a_b.example.com", id="an underscore"),
        pytest.param("bücher.example", id="letters beyond ASCII"),
        pytest.param("api.example.com:443", id="a port"),
        pytest.param("https://api.example.com", id="a URL"),
        pytest.param("api.example.com\n", id="a line feed"),
        pytest.param("a" * 64 + ".example.com", id="a label of 64 octets"),
        pytest.param(".".join(["a" * 62] * 4) + ".com", id="a name of 255 octets"),
        pytest.param("192.0.2.256", id="an address out of range"),
        pytest.param("192.0.2", id="an address too short"),
        pytest.param("192.000.002.001", id="an address with leading zeros"),
        pytest.param("*.192.0.2.1", id="a wildcard of an address"),
        pytest.param("**.::1", id="a deep wildcard of an address"),
        pytest.param("[::1]", id="brackets"),
        pytest.param("::0:1", id="an address not in its shortest form"),
        pytest.param("2001:DB8::1", id="an address in upper case"),
        pytest.param("::ffff:c000:201", id="a mapped address in hexadecimal"),
        pytest.param("fe80::1%eth0", id="a zone"),
        pytest.param("api.example.٣", id="a digit beyond ASCII"),
    ],
)
def test_a_pattern_that_two_clients_could_read_differently_is_refused(refuses: Any, pattern: str) -> None:
    with refuses(MalformedError, "V8"):
        check_pattern(pattern, what="host")


@pytest.mark.parametrize(
    "pattern",
    ["api.example.com", "*.example.com", "**.example.com", "localhost", "a", "*.a", "xn--bcher-kva.example",
     "1a.example", "a--b.example", "3.example", "a" * 63 + ".example", ".".join(["a" * 62] * 4) + ".a", "127.0.0.1",
     "::1", "2001:db8::1", "::ffff:192.0.2.1"],
)  # fmt: skip
def test_a_pattern_of_the_protocol_is_accepted_as_it_is(pattern: str) -> None:
    assert check_pattern(pattern, what="host") == pattern


@pytest.mark.parametrize(
    ("name", "winner"),
    [
        ("b.example.com", "b.example.com"),
        ("a.example.com", "*.example.com"),
        ("a.b.example.com", "**.b.example.com"),
        ("x.y.b.example.com", "**.b.example.com"),
        ("x.y.example.com", "**.example.com"),
        ("example.com", "**.example.com"),
        ("notexample.com", None),
        ("com", None),
        ("", None),
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.2", None),
    ],
)
def test_the_most_specific_pattern_wins_alone(name: str, winner: str | None) -> None:
    patterns = ["**.example.com", "*.example.com", "**.b.example.com", "b.example.com", "192.0.2.1"]
    for order in (patterns, patterns[::-1]):
        assert PatternIndex([(pattern, pattern) for pattern in order]).find(name) == winner


def test_one_label_beats_a_longer_suffix_of_any_depth() -> None:
    index = PatternIndex([("*.example.com", "single"), ("**.b.example.com", "deep")])
    assert index.find("b.example.com") == "single"


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*.example.com", "example.com"),
        ("*.example.com", ".example.com"),
        ("*.example.com", "a.b.example.com"),
        ("**.example.com", "badexample.com"),
        ("**.example.com", "example.com.evil.test"),
        ("*.0.2.1", "192.0.2.1"),
        ("**.2.1", "192.0.2.1"),
        ("**.1", "::1"),
        ("api.example.com", "api.example.com.evil.test"),
    ],
)
def test_a_pattern_never_covers_a_name_beside_it(pattern: str, name: str) -> None:
    assert PatternIndex([(pattern, "pinned")]).find(name) is None


NAMES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map(".".join)
PATTERNS = st.tuples(st.sampled_from(["", "*.", "**."]), NAMES).map("".join)


def _naive(patterns: list[str], name: str) -> str | None:
    """Say it as the protocol does, one sentence after the other."""
    if name in patterns:
        return name
    label, dot, parent = name.partition(".")
    if label and dot and f"*.{parent}" in patterns:
        return f"*.{parent}"
    deep = [p for p in patterns if p.startswith("**.") and (name == p[3:] or name.endswith(p[2:]))]
    return max(deep, key=len, default=None)


@given(st.lists(PATTERNS, unique=True, max_size=12), NAMES)
def test_the_index_agrees_with_a_reading_of_the_protocol(patterns: list[str], name: str) -> None:
    assert PatternIndex((pattern, pattern) for pattern in patterns).find(name) == _naive(patterns, name)
