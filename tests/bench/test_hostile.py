"""The memory that a hostile document costs has a limit; what Python allocates is the same on every machine."""

import pytest

from bench.hostile import LIMIT_MEBIBYTES, SIZE, documents, peak_mebibytes

DOCUMENTS = documents()


def test_the_hostile_documents_are_as_large_as_a_pin_set_may_be() -> None:
    sizes = {name: len(content) for name, content in DOCUMENTS.items()}
    full = sizes.pop("a full pin set with a fault at its end")
    assert (set(sizes.values()), 900_000 < full <= SIZE, SIZE) == ({1024 * 1024}, True, 1024 * 1024)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_megabyte_costs_more_than_sixteen(name: str) -> None:
    # Refusal is checked inside: what is measured must not be an accepted document.
    assert peak_mebibytes(DOCUMENTS[name]) < LIMIT_MEBIBYTES == 16
