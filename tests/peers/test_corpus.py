"""Two hundred changed envelopes before three verifiers: every disagreement is one that we meant, and has its reason."""

from collections import Counter
from typing import Any

import pytest

from pinwarden.envelope import PINSET_TYPE
from tests.peers.corpus import FAMILIES, PAYLOAD, ROLE, Case, corpus
from tests.peers.verifiers import Pinwarden, SecureSystemsLib

CASES = corpus()


def believed(verifier: Any) -> dict[str, bytes | None]:
    """What *verifier* takes from each case."""
    return dict(zip((case.name for case in CASES), verifier.judge([case.content for case in CASES], ROLE), strict=True))


def expected(who: str) -> dict[str, bool]:
    """What the table says of *who*."""
    return {case.name: getattr(FAMILIES[case.family], who) for case in CASES}


def test_the_corpus_is_large_and_names_each_case_once() -> None:
    assert [name for name, count in Counter(case.name for case in CASES).items() if count > 1] == []
    assert len(CASES) >= 200
    assert {case.family for case in CASES} == set(FAMILIES)


def test_every_disagreement_has_a_reason_and_nothing_else_has_one() -> None:
    assert {name for name, family in FAMILIES.items() if not family.agreed} == {
        name for name, family in FAMILIES.items() if family.why
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_pinwarden_believes_what_the_table_says(case: Case) -> None:
    (payload,) = Pinwarden(PINSET_TYPE).judge([case.content], ROLE)
    assert payload == (PAYLOAD if FAMILIES[case.family].pinwarden else None)


def test_securesystemslib_believes_what_the_table_says() -> None:
    verdicts = believed(SecureSystemsLib())
    assert {name: payload is not None for name, payload in verdicts.items()} == expected("securesystemslib")


@pytest.mark.xdist_group("npm")
def test_sigstore_and_node_believe_what_the_table_says(node: Any) -> None:
    verdicts = believed(node)
    assert {name: payload is not None for name, payload in verdicts.items()} == expected("node")


@pytest.mark.xdist_group("npm")
def test_what_two_verifiers_believe_is_the_same_payload(node: Any) -> None:
    ours, theirs, nodes = believed(Pinwarden(PINSET_TYPE)), believed(SecureSystemsLib()), believed(node)
    differing = {
        name: payloads for name in ours if len(payloads := {ours[name], theirs[name], nodes[name]} - {None}) > 1
    }
    assert differing == {}
