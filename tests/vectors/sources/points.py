"""Points of edwards25519 that nobody may use as a key, from public lists and from arithmetic (spec V1)."""

import json
from pathlib import Path

PRIME = 2**255 - 19
_LISTS = Path(__file__).parent.parent / "ed25519"

SMALL_ORDER = [bytes.fromhex(text) for text in json.loads((_LISTS / "small_order_encodings.json").read_text("ascii"))]


def _encode(y: int, sign: int = 0) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


# y = p + 3 and y = p + 4 stand for y = 3 and y = 4, whose canonical spelling is another; 4 lies on the curve.
NOT_CANONICAL = [_encode(PRIME + 3), _encode(PRIME + 4, 1)]

NOT_A_POINT = _encode(2)

# Key 3 of speccheck: a point of order 8 L, for which a cofactored and a cofactorless equation differ.
MIXED_ORDER = bytes.fromhex("cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d")
