"""Inputs that were changed in their structure are refused by the one kind of error of their reader, or are usable."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.soak.readers import READERS, Reader

SEEDS = st.integers(0, 2**32)


pytestmark = pytest.mark.filterwarnings("ignore::pinwarden.testing.InsecureForProductionWarning")


def attempt(reader: Reader, content: bytes, folder: Path) -> str | None:
    """Return what the reader says against *content*, or None; anything but its own refusals is raised."""
    try:
        reader.read(content, folder)
    except reader.refusals as error:
        return str(error)
    return None


each = pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)


@each
def test_what_nobody_changed_is_read(reader: Reader, tmp_path: Path) -> None:
    assert attempt(reader, reader.good(), tmp_path) is None


@each
def test_changes_are_neither_all_refused_nor_all_accepted(reader: Reader, tmp_path: Path) -> None:
    good = reader.good()
    told = Counter(attempt(reader, reader.change(good, seed), tmp_path) is None for seed in range(300))
    assert told[False] >= 3
    assert (told[True] >= 3) is not reader.checksum


@each
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(seed=SEEDS)
def test_a_changed_input_is_refused_by_its_one_kind_of_error_or_can_be_used(
    reader: Reader, seed: int, tmp_path: Path
) -> None:
    said = attempt(reader, reader.change(reader.good(), seed), tmp_path)
    assert said is None or 0 < len(said) < 20_000


@pytest.mark.parametrize("toml", [b"a = " + b"[" * 5000, b"a = " + b"{a=" * 5000, b"a = " + b"9" * 5000, b"a = \xff"])
@pytest.mark.parametrize("name", ["settings", "settings of a server", "plan of a root"])
def test_toml_that_pythons_own_parser_stumbles_over_is_refused_as_no_toml(
    name: str, toml: bytes, tmp_path: Path
) -> None:
    (reader,) = (reader for reader in READERS if reader.name == name)
    assert " is not TOML: " in (attempt(reader, toml, tmp_path) or "")
