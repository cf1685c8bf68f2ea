"""The one gate: what it lets through is what was sent, and whatever two parsers could read differently is refused."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pinwarden import strict_json
from pinwarden.errors import MalformedError
from pinwarden.strict_json import MAX_INTEGER, MAX_STRUCTURE

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.text(st.characters(exclude_categories="C")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcé☃", max_size=4), inner, max_size=4),
    max_leaves=12,
)


def read(data: bytes, limit: int = 4_000_000) -> dict[str, Any]:
    return strict_json.parse_object(data, limit=limit, what="input")


def arrays(depth: int) -> bytes:
    """An object, and in it arrays, *depth* levels in all."""
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def objects(depth: int) -> bytes:
    """*depth* levels of objects."""
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


@pytest.mark.parametrize(
    ("data", "step", "words"),
    [
        pytest.param(b'{"a":1}\xff', "P2", "not UTF-8 at byte 7", id="a stray byte"),
        pytest.param(b'{"a":"\xc0\xaf"}', "P2", "not UTF-8", id="an overlong encoding"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', "P2", "not UTF-8", id="a surrogate in UTF-8"),
        pytest.param('{"a":1}'.encode("utf-16"), "P2", "not UTF-8", id="UTF-16"),
        pytest.param(b'\xef\xbb\xbf{"a":1}', "P2", "byte order mark", id="a byte order mark"),
        pytest.param(b'{"a":1,"a":2}', "P3", "names the field 'a' twice", id="a duplicated key"),
        pytest.param(b'{"a":1,"\\u0061":1}', "P3", "names the field 'a' twice", id="a duplicated key, spelled anew"),
        pytest.param(b'{"x":[{"a":1,"a":1}]}', "P3", "names the field 'a' twice", id="a duplicated key, deep down"),
        pytest.param(b'{"a":1.0}', "P3", "not an integer: 1.0", id="a float"),
        pytest.param(b'{"a":1e2}', "P3", "not an integer: 1e2", id="an exponent"),
        pytest.param(b'{"a":-0.0}', "P3", "not an integer", id="negative zero"),
        pytest.param(b'{"a":NaN}', "P3", "not an integer: NaN", id="NaN"),
        pytest.param(b'{"a":Infinity}', "P3", "not an integer: Infinity", id="Infinity"),
        pytest.param(b'{"a":-Infinity}', "P3", "not an integer: -Infinity", id="minus Infinity"),
        pytest.param(b'{"a":9007199254740992}', "P3", "beyond 2^53-1", id="2^53"),
        pytest.param(b'{"a":-9007199254740992}', "P3", "beyond 2^53-1", id="-2^53"),
        pytest.param(b'{"a":' + b"9" * 5000 + b"}", "P3", "beyond 2^53-1", id="5,000 digits"),
        pytest.param(b'{"a":"\\ud800"}', "P3", "half a surrogate pair", id="a lone surrogate"),
        pytest.param(b'{"\\udc00":1}', "P3", "half a surrogate pair", id="a lone surrogate in a name"),
        pytest.param(b'{"a":[["\\udfff"]]}', "P3", "half a surrogate pair", id="a lone surrogate, deep down"),
        pytest.param(arrays(17), "P3", "nested too deeply", id="17 levels of arrays"),
        pytest.param(objects(17), "P3", "nested too deeply", id="17 levels of objects"),
        pytest.param(arrays(50_000), "P3", "nested too deeply", id="more levels than Python's stack"),
        pytest.param(b"[" * 50_000, "P3", "nested too deeply", id="an opening without an end"),
        pytest.param(b'{"a":[' + b"," * MAX_STRUCTURE + b"]}", "P3", "too many elements", id="a bomb of elements"),
        pytest.param(b'{"a":1} x', "P3", "Extra data", id="something behind the object"),
        pytest.param(b'{"a":1}{"a":2}', "P3", "Extra data", id="two objects"),
        pytest.param(b'{"a":1,}', "P3", "not JSON", id="a trailing comma"),
        pytest.param(b"{'a':1}", "P3", "not JSON", id="single quotes"),
        pytest.param(b'{"a":01}', "P3", "not JSON", id="a leading zero"),
        pytest.param(b'{"a":"\x00"}', "P3", "not JSON", id="a control character"),
        pytest.param(b"", "P3", "not JSON", id="nothing"),
        pytest.param(b"[]", "P4", "expected object, got array", id="an array"),
        pytest.param(b'"a"', "P4", "expected object, got string", id="a string"),
        pytest.param(b"null", "P4", "expected object, got null", id="null"),
        pytest.param(b"true", "P4", "expected object, got boolean", id="true"),
    ],
)
def test_what_two_parsers_could_read_differently_is_refused(refuses: Any, data: bytes, step: str, words: str) -> None:
    with refuses(MalformedError, step) as refusal:
        read(data)
    assert words in str(refusal.error)


def test_a_size_is_refused_by_its_first_byte_too_many(refuses: Any) -> None:
    assert read(b'{"a":1}', limit=7) == {"a": 1}
    with refuses(MalformedError, "P1"):
        read(b'{"a":1}', limit=6)


def test_size_is_judged_before_anything_is_decoded(refuses: Any) -> None:
    with refuses(MalformedError, "P1"):
        read(b"\xff" * 11, limit=10)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (arrays(16), None),
        (objects(16), None),
        (b'{"a":9007199254740991}', {"a": MAX_INTEGER}),
        (b'{"a":-9007199254740991}', {"a": -MAX_INTEGER}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        ('{"é":"é"}'.encode(), {"é": "é"}),
        (b' {"a" : [true , null] }\n', {"a": [True, None]}),
    ],
)
def test_what_lies_at_a_boundary_or_is_plain_is_read(data: bytes, expected: dict[str, Any] | None) -> None:
    assert read(data) == (json.loads(data) if expected is None else expected)


def test_the_most_elements_are_read_and_one_more_refused(refuses: Any) -> None:
    def elements(commas: int) -> bytes:
        return b'{"a":[' + b"1," * commas + b"1]}"

    most = 51_200 - 2  # the opening brackets count too
    assert len(read(elements(most))["a"]) == most + 1
    with refuses(MalformedError, "P3") as refusal:
        read(elements(most + 1))
    assert refusal.error.got == 51_201


def test_a_text_beyond_ascii_may_have_half_as_many_elements(refuses: Any) -> None:
    def elements(commas: int) -> bytes:
        return b'{"\xc3\xa9":[' + b"1," * commas + b"1]}"

    most = 25_600 - 2
    assert len(read(elements(most))["é"]) == most + 1
    with refuses(MalformedError, "P3") as refusal:
        read(elements(most + 1))
    assert refusal.error.got == 51_202


@given(VALUES)
def test_what_signers_write_is_what_clients_read(value: Any) -> None:
    assert read(strict_json.encode({"value": value})) == {"value": value}


@pytest.mark.parametrize(
    "value", [{"a": 1.5}, {"a": 2**53}, {"a": "\ud800"}, {1: "a"}, {"a": (1,)}, [1], {"a": float("nan")}]
)
def test_signers_never_write_what_clients_refuse(value: Any) -> None:
    with pytest.raises(ValueError, match=r"signed|compliant|surrogate"):
        strict_json.encode(value)


def test_signers_write_one_spelling_only() -> None:
    assert strict_json.encode({"b": "é", "a": [1, {}]}) == b'{"a":[1,{}],"b":"\\u00e9"}'


@pytest.mark.parametrize(
    "text",
    ["AB==", "AA=", "AA", "AAA", "AAAA====", "A A=", "AA==\n", " AA==", "AA==AA==", "-_==", "AÄ==", "=AA=", "A", "====",
     "AAF=", "Zg=", "Zg", "Zm9="],
)  # fmt: skip
def test_base64_that_is_not_the_one_spelling_is_refused(refuses: Any, text: str) -> None:
    with refuses(MalformedError, "P5"):
        strict_json.decode_base64(text, what="field")


@pytest.mark.parametrize("value", [None, 1, b"AA==", ["AA=="], True])
def test_base64_of_another_type_is_refused(refuses: Any, value: object) -> None:
    with refuses(MalformedError, "P4"):
        strict_json.decode_base64(value, what="field")


@pytest.mark.parametrize("length", [0, 31, 33])
def test_base64_of_another_length_is_refused(refuses: Any, length: int) -> None:
    with refuses(MalformedError, "P5") as refusal:
        strict_json.decode_base64(strict_json.encode_base64(bytes(length)), what="field", length=32)
    assert (refusal.error.expected, refusal.error.got) == ("32 bytes", f"{length} bytes")


@given(st.binary(max_size=80))
def test_base64_comes_back_as_it_went(value: bytes) -> None:
    text = strict_json.encode_base64(value)
    assert strict_json.decode_base64(text, what="field", length=len(value)) == value


@pytest.mark.parametrize(
    "text",
    ["2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-11-31T00:00:00Z",
     "2026-11-24T24:00:00Z", "2026-11-24T23:60:00Z", "2026-11-24T23:59:60Z", "0000-01-01T00:00:00Z",
     "2026-11-24T12:00:00", "2026-11-24T12:00:00z", "2026-11-24 12:00:00Z", "2026-11-24T12:00:00.0Z",
     "2026-11-24T12:00:00+00:00", "2026-11-24T12:00:00ZZ", "2026-11-24T12:00:00Z\n", " 2026-11-24T12:00:00Z",
     "20261124T120000Z", "+2026-11-24T12:00:00Z", "２０２６-11-24T12:00:00Z", "2026-W48-2T12:00:00Z", ""],
)  # fmt: skip
def test_a_time_that_is_not_one_of_ours_is_refused(refuses: Any, text: str) -> None:
    with refuses(MalformedError, "P6"):
        strict_json.parse_time(text, what="field")


@pytest.mark.parametrize("value", [None, 1, True, datetime(2026, 11, 24, tzinfo=UTC), ["2026-11-24T12:00:00Z"]])
def test_a_time_of_another_type_is_refused(refuses: Any, value: object) -> None:
    with refuses(MalformedError, "P4"):
        strict_json.parse_time(value, what="field")


@given(st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(microsecond=0)))
@example(datetime(1, 1, 1, tzinfo=UTC))
@example(datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC))
def test_a_time_comes_back_as_it_went(moment: datetime) -> None:
    text = strict_json.format_time(moment)
    assert (len(text), strict_json.parse_time(text, what="field")) == (20, moment)


def test_a_time_of_another_zone_is_spelled_in_utc_and_a_naive_one_not_at_all() -> None:
    east = datetime(2026, 11, 24, 12, 0, 0, 999, tzinfo=timezone(timedelta(hours=2)))
    assert strict_json.format_time(east) == "2026-11-24T10:00:00Z"
    with pytest.raises(ValueError, match="naive"):
        strict_json.format_time(datetime(2026, 11, 24))


@given(st.binary(max_size=60))
@example(b'{"a":-}')
@example(b'{"a":"\\u12"}')
def test_bytes_that_nobody_meant_are_refused_or_read_but_nothing_else_happens(data: bytes) -> None:
    try:
        value = read(data)
    except MalformedError:
        return
    assert value == json.loads(data.decode())
