"""Host names and patterns (spec section 3, V8)."""

from tests.vectors.sources.author import (
    Json,
)

L63 = "a" * 63
LONG = ".".join([L63, L63, L63, "a" * 61])  # 253 characters

GOOD = (
    "api.example.com", "*.example.com", "**.example.com", "example", "localhost", "a", "0a", "a-b", "a--b",
    "xn--bcher-kva.example", "1.example", "1-2.example", "0x7f", L63, f"{L63}.example", LONG, f"*.{LONG}",
    "192.0.2.1", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::1", "::", "2001:db8:0:1:1:1:1:1",
    "2001:0:0:1::1", "::ffff:192.0.2.1", "*.com", "**.com",
)  # fmt: skip
BAD = (
    "", ".", "*", "**", "*.", "**.", "***.example.com", "*.*.example.com", "**.*.example.com", "api.*.com",
    "a*.example", "*a.example", "example.*", "*example.com", "**example.com",
    "API.example.com", "api.Example.com", "example.com.",
    ".example.com", "a..b", "-a.example", "a-.example", "_dmarc.example.com", "a_b.example", "a b", " a", "a ", "a\n",
    "a/b", "https://a.example", "a.example:443", "a.example/", "user@a.example", "b\u00fccher.example",
    "\u0430.example", f"{L63}a.example", LONG + "a", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.256",
    "1.2.3.4.", "1.2.3.-4", "127.1",
    "2130706433", "example.1", "\uff11.2.3.\uff14", "[::1]", "[2001:db8::1]", "2001:DB8::1", "2001:db8:0:0:0:0:0:1",
    "2001:db8::0001", "::ffff:c000:201", "::FFFF:192.0.2.1", "2001:db8:::1", "2001:db8", "12345::1", "::g",
    "*.192.0.2.1", "**.192.0.2.1", "*.::1", "fe80::1%eth0", "fe80::1%1", "1.2.3.4:443", "2001:db8::1/64",
)  # fmt: skip

CANONICAL = (
    ("api.example.com", "api.example.com"), ("API.Example.COM", "api.example.com"),
    ("api.example.com.", "api.example.com"), ("api.example.com..", "api.example.com."),
    ("B\u00dcCHER.example", "xn--bcher-kva.example"), ("b\u00fccher.example.", "xn--bcher-kva.example"),
    ("b\u00fccher\u3002example", "xn--bcher-kva.example"), ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
    ("192.0.2.1", "192.0.2.1"), ("192.0.2.1.", "192.0.2.1"), ("2001:DB8:0:0::1", "2001:db8::1"),
    ("[2001:db8::1]", "2001:db8::1"), ("fe80::1%eth0", "fe80::1"), ("[fe80::1%25eth0]", "fe80::1"),
    ("::FFFF:192.0.2.1", "::ffff:192.0.2.1"), ("::ffff:c000:201", "::ffff:192.0.2.1"),
    ("01.2.3.4", "1.2.3.4"), ("localhost", "localhost"), ("", ""),
)  # fmt: skip

PATTERNS = [
    "example.com", "*.example.com", "**.example.com", "b.example.com", "**.b.example.com", "*.c.example.com",
    "**.deep.example", "*.single.example", "192.0.2.1", "2001:db8::1", "**.x", "com",
]  # fmt: skip
WINNERS = (
    ("example.com", "example.com"),
    ("a.example.com", "*.example.com"),
    ("b.example.com", "b.example.com"),
    ("a.b.example.com", "**.b.example.com"),
    ("a.a.b.example.com", "**.b.example.com"),
    ("c.example.com", "*.example.com"),
    ("a.c.example.com", "*.c.example.com"),
    ("a.a.c.example.com", "**.example.com"),
    ("a.d.example.com", "**.example.com"),
    ("notexample.com", None),
    ("aexample.com", None),
    ("example.com.evil", None),
    ("example.org", None),
    ("com", "com"),
    ("a.com", None),
    ("deep.example", "**.deep.example"),
    ("a.deep.example", "**.deep.example"),
    ("a.b.c.deep.example", "**.deep.example"),
    ("notdeep.example", None),
    ("single.example", None),
    ("a.single.example", "*.single.example"),
    ("a.b.single.example", None),
    (".single.example", None),
    ("192.0.2.1", "192.0.2.1"),
    ("192.0.2.2", None),
    ("2001:db8::1", "2001:db8::1"),
    ("2001:db8::2", None),
    ("1.2.3.x", "**.x"),
    ("x", "**.x"),
    ("", None),
)
# An exact name, a star and two stars for one suffix; then each taken away.
LADDER = (
    (["b.example.com", "*.example.com", "**.b.example.com", "**.example.com"], "b.example.com", "b.example.com"),
    (["**.example.com", "**.b.example.com", "*.example.com"], "b.example.com", "*.example.com"),
    (["**.example.com", "**.b.example.com"], "b.example.com", "**.b.example.com"),
    (["**.b.example.com", "**.example.com"], "a.b.example.com", "**.b.example.com"),
    (["**.example.com"], "b.example.com", "**.example.com"),
    (["**.b.example.com"], "example.com", None),
    (["*.1.2.3x"], "1.2.3x", None),
    ([], "b.example.com", None),
)


def _pattern(pattern: str, accepted: bool) -> Json:
    return {"pattern": pattern, "expect": {"result": "accept"} if accepted else {"result": "refuse", "step": "V8"}}


GROUPS = {
    "host_patterns": (
        "What may stand as a host in a pin set (spec V8).",
        {},
        [*(_pattern(pattern, True) for pattern in GOOD), *(_pattern(pattern, False) for pattern in BAD)],
    ),
    "host_names": (
        "The spelling under which a name that an application gave is looked up (spec section 3).",
        {},
        [{"name": name, "expect": canonical} for name, canonical in CANONICAL],
    ),
    "host_winners": (
        "Which pattern decides for a canonical name; null: none does (spec section 3).",
        {},
        [
            *({"patterns": PATTERNS, "host": name, "expect": winner} for name, winner in WINNERS),
            *({"patterns": patterns, "host": name, "expect": winner} for patterns, name, winner in LADDER),
        ],
    ),
}
