"""Bundles: a frame with the right envelope in each place, and no verdict about any of them."""

import json
from typing import Any

import pytest

from pinwarden.bundle import MAX_BUNDLE_BYTES, MAX_BUNDLE_ROOTS, Bundle
from pinwarden.errors import MalformedError


def test_a_bundle_comes_back_as_it_went(authority: Any) -> None:
    authority.rotate_root()
    bundle = authority.bundle()
    assert len(bundle.roots) == 1
    assert Bundle.parse(bundle.to_bytes()) == bundle


@pytest.mark.parametrize(
    ("change", "step"),
    [
        pytest.param(lambda body: body.update(pinset=body["timestamp"]), "P7", id="a timestamp as the pin set"),
        pytest.param(lambda body: body.update(timestamp=body["pinset"]), "P7", id="a pin set as the timestamp"),
        pytest.param(lambda body: body["roots"].append(body["pinset"]), "P7", id="a pin set among the roots"),
        pytest.param(lambda body: body.pop("timestamp"), "P4", id="no timestamp"),
        pytest.param(lambda body: body.pop("pinset"), "P4", id="no pin set"),
        pytest.param(lambda body: body.pop("roots"), "P4", id="no roots field"),
        pytest.param(lambda body: body.update(roots={}), "P4", id="roots as an object"),
        pytest.param(lambda body: body.update(pinset=json.dumps(body["pinset"])), "P4", id="an envelope as text"),
    ],
)
def test_a_bundle_with_something_else_in_a_place_is_refused(
    refuses: Any, authority: Any, change: Any, step: str
) -> None:
    body = json.loads(authority.bundle().to_bytes())
    change(body)
    with refuses(MalformedError, step):
        Bundle.parse(json.dumps(body).encode())


def test_eight_roots_are_read_and_nine_refused(refuses: Any, authority: Any) -> None:
    for _ in range(MAX_BUNDLE_ROOTS):
        authority.rotate_root()
    body = json.loads(authority.bundle().to_bytes())
    assert len(Bundle.parse(json.dumps(body).encode()).roots) == 8
    body["roots"].append(body["roots"][0])
    with refuses(MalformedError, "P1"):
        Bundle.parse(json.dumps(body).encode())


def test_two_mebibytes_are_read_and_a_byte_more_refused(refuses: Any, authority: Any) -> None:
    data = authority.bundle().to_bytes()
    padded = data + b" " * (MAX_BUNDLE_BYTES - len(data))
    assert (len(padded), Bundle.parse(padded)) == (2 * 1024 * 1024, authority.bundle())
    with refuses(MalformedError, "P1"):
        Bundle.parse(padded + b" ")


def test_unknown_fields_are_ignored_and_duplicated_ones_refused(refuses: Any, authority: Any) -> None:
    data = authority.bundle().to_bytes()
    assert Bundle.parse(data[:-1] + b',"later":[1]}') == authority.bundle()
    with refuses(MalformedError, "P3"):
        Bundle.parse(data[:-1] + b',"pinset":null}')
