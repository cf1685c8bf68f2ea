"""Text, JSON, base64 and times, one value at a time (spec P1 to P6)."""

import json
from typing import Any

from tests.vectors.sources.author import (
    Json,
)
from tests.vectors.sources.cases import (
    given,
)

STRICT = {"strict_parser_only": True}


def _json(name: str, text: object, step: str, value: Any = None, *, limit: int = 1 << 20, **marks: Any) -> Json:
    """An input that is refused by *step*, unless *value* says what it spells."""
    expect = {"result": "refuse", "step": step} if value is None else {"result": "accept", "value": value}
    return {"name": name, "step": step, "input": given(text), "limit": limit, "expect": expect, **marks}


def _nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    """Return an object with *depth* containers inside each other, itself included."""
    return '{"a":' + opening * (depth - 1) + closing * (depth - 1) + "}"


def _deep(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 2):
        value = [value]
    return {"a": value}


def _deep_object(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


TEXT = [
    _json("as many bytes as the limit", '{"a":"0123456789"}', "P1", {"a": "0123456789"}, limit=18),
    _json("a byte more than the limit", '{"a":"0123456789"} ', "P1", limit=18),
    _json("bytes are counted, not characters", '{"a":"\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4"}', "P1", limit=19),
    _json("text beyond ASCII", '{"name":"\u00e4\u20ac\U0001f511"}', "P2", {"name": "\u00e4\u20ac\U0001f511"}),
    _json("a lone byte above 127", b'{"a":"\xe4"}', "P2"),
    _json("a sequence that is cut off", b'{"a":"\xe2\x82"}', "P2"),
    _json("a slash in two bytes", b'{"a":"\xc0\xaf"}', "P2"),
    _json("a surrogate in three bytes", b'{"a":"\xed\xa0\x80"}', "P2"),
    _json("a code point beyond the last", b'{"a":"\xf4\x90\x80\x80"}', "P2"),
    _json("UTF-16 with its mark", '{"a":1}'.encode("utf-16"), "P2"),
    _json("UTF-16 without a mark is UTF-8 with NUL characters, which is no JSON", b"\0{\0}", "P3"),
    _json("a byte order mark", b"\xef\xbb\xbf{}", "P2"),
    _json("the same character inside a string", '{"a":"\ufeff"}', "P2", {"a": "\ufeff"}),
]

NOT_JSON = [
    _json(f"{what} is no JSON", text, "P3")
    for what, text in (
        ("nothing", ""), ("white space", " \n"), ("a word", "pins"), ("an object that is cut off", '{"a":1'),
        ("a comma after the last member", '{"a":1,}'), ("a comma after the last element", '{"a":[1,]}'),
        ("a member without a value", '{"a":}'), ("a name without quotes", "{a:1}"),
        ("text in single quotes", "{'a':1}"),
        ("a comment", '{"a":1/*b*/}'), ("two objects", "{}{}"), ("an object with a letter behind it", "{}x"),
        ("an object with a NUL behind it", "{}\0"), ("a line end inside a string", '{"a":"b\nc"}'),
        ("a control character inside a string", '{"a":"\x01"}'), ("an unknown escape", '{"a":"\\x41"}'),
        ("an escape that is cut off", '{"a":"\\u12"}'), ("an escape with a digit too large", '{"a":"\\u12g4"}'),
        ("a number with a zero in front", '{"a":01}'), ("a number with a plus", '{"a":+1}'),
        ("a hexadecimal number", '{"a":0x1}'), ("a number without digits", '{"a":-}'), ("True", '{"a":True}'),
        ("undefined", '{"a":undefined}'), ("a vertical tab as white space", '{\x0b"a":1}'),
        ("a no-break space as white space", '{\u00a0"a":1}'), ("a digit of another script", '{"a":\u0661}'),
        ("an array that ends in a brace", '{"a":[1}}'),
    )
]  # fmt: skip

JSON = [
    _json("white space of JSON around everything", ' \t\r\n{ "a" : [ 1 , null ] } \n', "P3", {"a": [1, None]}),
    _json("an empty object", "{}", "P3", {}),
    _json("escapes are read", r'{"\u0061":"\"\\\/\b\f\n\r\t\u20AC"}', "P3", {"a": '"\\/\b\f\n\r\t\u20ac'}),
    _json("true, false and null", '{"a":[true,false,null]}', "P3", {"a": [True, False, None]}),
    _json("a name twice", '{"a":1,"a":2}', "P3", **STRICT),
    _json("a name twice with the same value", '{"a":1,"a":1}', "P3", **STRICT),
    _json("a name twice, once with an escape", '{"a":1,"\\u0061":1}', "P3", **STRICT),
    _json("a name twice inside an object", '{"b":{"a":1,"a":2}}', "P3", **STRICT),
    _json("a name twice inside an array", '{"b":[{"a":1,"a":2}]}', "P3", **STRICT),
    _json("an empty name twice", '{"":1,"":1}', "P3", **STRICT),
    _json("the same name in two objects", '{"a":{"a":1},"b":{"a":1}}', "P3", {"a": {"a": 1}, "b": {"a": 1}}),
    _json("names that differ in case", '{"a":1,"A":2}', "P3", {"a": 1, "A": 2}),
    _json("NaN", '{"a":NaN}', "P3", **STRICT),
    _json("Infinity", '{"a":Infinity}', "P3", **STRICT),
    _json("-Infinity", '{"a":-Infinity}', "P3", **STRICT),
    _json("a fraction", '{"a":0.5}', "P3", **STRICT),
    _json("a fraction of zero", '{"a":1.0}', "P3", **STRICT),
    _json("an exponent", '{"a":1e3}', "P3", **STRICT),
    _json("an exponent beyond every float", '{"a":1E400}', "P3", **STRICT),
    _json("a negative zero", '{"a":-0}', "P3", {"a": 0}),
    _json("2^53-1", '{"a":9007199254740991}', "P3", {"a": 2**53 - 1}),
    _json("2^53", '{"a":9007199254740992}', "P3", **STRICT),
    _json("-(2^53-1)", '{"a":-9007199254740991}', "P3", {"a": -(2**53) + 1}),
    _json("-2^53", '{"a":-9007199254740992}', "P3", **STRICT),
    _json("an integer of 17 digits", '{"a":10000000000000000}', "P3", **STRICT),
    _json("an integer of 5,000 digits", {"pieces": ['{"a":', {"repeat": "9", "times": 5000}, "}"]}, "P3", **STRICT),
    _json("half a surrogate pair", r'{"a":"\ud800"}', "P3", **STRICT),
    _json("the other half of a surrogate pair", r'{"a":"\udc00"}', "P3", **STRICT),
    _json("a surrogate pair in the wrong order", r'{"a":"\udc00\ud800"}', "P3", **STRICT),
    _json("half a surrogate pair in a name", r'{"\ud800":1}', "P3", **STRICT),
    _json("half a surrogate pair deep inside", r'{"a":[{"b":["\ud800"]}]}', "P3", **STRICT),
    _json("a surrogate pair", r'{"a":"\ud83d\udd11"}', "P3", {"a": "\U0001f511"}),
    _json("16 arrays and objects inside each other", _nested(16), "P3", _deep(16)),
    _json("17 arrays and objects inside each other", _nested(17), "P3", **STRICT),
    _json("16 objects inside each other", '{"a":' * 15 + "{}" + "}" * 15, "P3", _deep_object(16)),
    _json("17 objects inside each other", '{"a":' * 16 + "{}" + "}" * 16, "P3", **STRICT),
    _json("a value that is no container does not count as depth", '{"a":' + "[" * 15 + "1" + "]" * 15 + "}", "P3",
          {"a": json.loads("[" * 15 + "1" + "]" * 15)}),
    _json("60,000 arrays inside each other, never closed",
          {"pieces": ['{"a":', {"repeat": "[", "times": 60000}]}, "P3"),
    _json("60,000 arrays inside each other", {"pieces": [
        '{"a":', {"repeat": "[", "times": 60000}, {"repeat": "]", "times": 60000}, "}"]}, "P3", **STRICT),
]  # fmt: skip

TOP = [
    _json(f"{what} at the top", text, "P4")
    for what, text in (("an array", "[]"), ("a string", '"a"'), ("an integer", "1"), ("null", "null"), ("true", "true"))
]


def _base64(text: object, value: bytes | None, *, step: str = "P5", length: int | None = None) -> Json:
    """Text that is refused by *step*, unless *value* says what it stands for."""
    expect: Json = {"result": "refuse", "step": step} if value is None else {"result": "accept", "hex": value.hex()}
    return {"text": text, "length": length, "expect": expect}


A32 = "A" * 43 + "="

BASE64 = [
    _base64("", b""), _base64("AA==", b"\0"), _base64("AAA=", b"\0\0"), _base64("AAAA", b"\0\0\0"),
    _base64("+/+/", b"\xfb\xff\xbf"), _base64("Zm9vYmE=", b"fooba"), _base64(A32, bytes(32), length=32),
    _base64("A", None), _base64("AA", None), _base64("AAA", None), _base64("AA=", None), _base64("AAAAA", None),
    _base64("AAAA=", None), _base64("AAAA====", None), _base64("AA===", None), _base64("A===", None),
    _base64("====", None), _base64("=", None), _base64("=AAA", None), _base64("A=AA", None), _base64("AA=A", None),
    _base64("AA==AAAA", None), _base64("AA==AA==", None), _base64("-_-_", None), _base64("AB==", None),
    _base64("AP==", None), _base64("AAB=", None), _base64("AAD=", None), _base64(" AAAA", None),
    _base64("AAAA ", None), _base64("AA AA", None), _base64("AAAA\n", None), _base64("AA\nAA", None),
    _base64("AAAA\r\n", None), _base64("AAA*", None), _base64("AAA\u0430", None), _base64("\uff21AAA", None),
    _base64("AAAA\0", None), _base64("A" * 42 + "==", None, length=32), _base64("A" * 44, None, length=32),
    _base64("", None, length=32), _base64(None, None, step="P4"), _base64(0, None, step="P4"),
    _base64(["AAAA"], None, step="P4"),
]  # fmt: skip


def _time(text: object, seconds: int | None, step: str = "P6") -> Json:
    """Text that is refused by *step*, unless *seconds* since 1970 say when it is."""
    expect: Json = {"result": "refuse", "step": step} if seconds is None else {"result": "accept", "unix": seconds}
    return {"text": text, "expect": expect}


TIMES = [
    _time("1970-01-01T00:00:00Z", 0), _time("2026-01-01T00:00:00Z", 1767225600),
    _time("2025-12-31T23:59:59Z", 1767225599), _time("2028-02-29T12:30:15Z", 1835440215),
    _time("2000-02-29T00:00:00Z", 951782400), _time("9999-12-31T23:59:59Z", 253402300799),
    _time("1969-12-31T23:59:59Z", -1),
    _time("2026-01-01T19:00:00Z", 1767294000), _time("2026-01-01T09:00:00Z", 1767258000),
    *(_time(text, None) for text in (
        "2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-32T00:00:00Z", "0000-01-01T00:00:00Z",
        "2026-01-01T24:00:00Z", "2026-01-01T24:00:01Z", "2026-01-01T25:00:00Z",
        "2026-01-01T00:60:00Z", "2016-12-31T23:59:60Z",
        "2026-01-01T00:00:00", "2026-01-01T00:00:00z", "2026-01-01t00:00:00Z", "2026-01-01 00:00:00Z",
        "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00-00:00", "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00,5Z",
        "2026-01-01T00:00Z", "2026-01-01T00Z", "2026-01-01", "20260101T000000Z", "2026-1-1T00:00:00Z",
        "26-01-01T00:00:00Z", "12026-01-01T00:00:00Z", "+2026-01-01T00:00:00Z", "2026-W01-4T00:00:00Z",
        "2026-001T00:00:00Z", " 2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z ", "2026-01-01T00:00:00Z\n",
        "2026-01-01T00:00:00ZZ", "\u0662026-01-01T00:00:00Z", "2026-01-01T00:00:0\uff10Z", "now", "",
    )),
    _time(None, None, "P4"), _time(1767225600, None, "P4"), _time(True, None, "P4"),
]  # fmt: skip

GROUPS = {
    "json": ("Bytes that become an object, or not (spec P1 to P4).", {}, [*TEXT, *NOT_JSON, *JSON, *TOP]),
    "base64": ("Text that becomes bytes, or not (spec P5); length demands that many.", {}, BASE64),
    "times": ("Text that becomes a time, or not (spec P6).", {}, TIMES),
}
