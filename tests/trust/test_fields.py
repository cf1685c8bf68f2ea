"""Typed access: a member is there, has exactly its type and lies in its range, or its path is named in a refusal."""

from typing import Any

import pytest

from pinwarden.errors import MalformedError
from pinwarden.fields import Fields
from pinwarden.strict_json import MAX_INTEGER


def fields(**members: Any) -> Fields:
    return Fields(members, "document")


WRONG = {
    "text": (1, None, True, ["a"], {}),
    "integer": (True, False, "1", 1.0, None, [1]),
    "time": (1, None, True),
    "child": ([], "a", None, 1),
    "texts": ("a", {}, None, 1),
}


@pytest.mark.parametrize(("accessor", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_member_of_another_type_is_refused(refuses: Any, accessor: str, value: object) -> None:
    with refuses(MalformedError, "P4") as refusal:
        getattr(fields(a=value), accessor)("a")
    assert refusal.error.what == "document.a has the wrong type"


@pytest.mark.parametrize("accessor", ["text", "integer", "time", "child", "texts"])
def test_a_missing_member_is_refused_and_null_is_not_absent(refuses: Any, accessor: str) -> None:
    with refuses(MalformedError, "P4") as refusal:
        getattr(fields(), accessor)("a")
    assert refusal.error.what == "document lacks 'a'"
    with refuses(MalformedError, "P4"):
        getattr(fields(a=None), accessor)("a")


def test_null_does_not_stand_for_a_default(refuses: Any) -> None:
    assert fields().choice("a", ("x",), default="x") == "x"
    assert fields().integer("a", default=7) == 7
    assert fields().texts("a", optional=True) == ()
    for read in (
        lambda: fields(a=None).choice("a", ("x",), default="x"),
        lambda: fields(a=None).integer("a", default=7),
        lambda: fields(a=None).texts("a", optional=True),
    ):
        with refuses(MalformedError, "P4"):
            read()


@pytest.mark.parametrize("value", [0, -1, MAX_INTEGER + 1])
def test_an_integer_out_of_range_is_refused(refuses: Any, value: int) -> None:
    with refuses(MalformedError, "P4") as refusal:
        fields(a=value).integer("a")
    assert (refusal.error.expected, refusal.error.got) == (f"1 to {MAX_INTEGER}", value)


def test_an_integer_at_either_end_of_its_range_is_read(refuses: Any) -> None:
    assert [fields(a=value).integer("a", most=100) for value in (1, 100)] == [1, 100]
    with refuses(MalformedError, "P4"):
        fields(a=101).integer("a", most=100)


@pytest.mark.parametrize("value", ["", "ENFORCE", "enforce ", "other", "x" * 5000])
def test_an_unknown_choice_is_refused_and_quoted_in_short(refuses: Any, value: str) -> None:
    with refuses(MalformedError, "V8"):
        fields(a=value).choice("a", ("enforce", "report"), default="enforce")


@pytest.mark.parametrize("value", [[], "a", 1, None, True])
def test_only_an_object_has_fields(refuses: Any, value: object) -> None:
    with refuses(MalformedError, "P4"):
        Fields(value, "document")


def test_an_element_of_another_type_is_named_by_its_index(refuses: Any) -> None:
    with refuses(MalformedError, "P4") as refusal:
        fields(a=["x", 1]).texts("a")
    assert refusal.error.what == "document.a[1] has the wrong type"


def test_base64_and_times_are_judged_by_the_gate_and_named_by_their_path(refuses: Any) -> None:
    for read, step in ((lambda: fields(a="AA==").octets("a", 2), "P5"), (lambda: fields(a="now").time("a"), "P6")):
        with refuses(MalformedError, step) as refusal:
            read()
        assert refusal.error.what.startswith("document.a ")


def test_unknown_members_are_told_but_not_refused() -> None:
    known = fields(a=1, later={"more": True})
    assert (known.names(), "later" in known, "b" in known, known.child("later").path) == (
        ["a", "later"],
        True,
        False,
        "document.later",
    )
