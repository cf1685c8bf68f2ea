"""``docs/signer-process.md`` against the program: its rules, its settings and its defaults are the program's."""

import re

from pinwarden_keys.signer_process_config import EXAMPLE, LIMITS, SECTION
from pinwarden_keys.signer_process_message import RULES
from tests.docs.pages import REPOSITORY, blocks

PAGE = REPOSITORY / "docs/signer-process.md"
TEXT = PAGE.read_text("utf-8")


def test_every_rule_is_listed_with_what_it_refuses() -> None:
    assert dict(re.findall(r"^\| `([a-z]+)` \| (the [^|]+|no [^|]+|too [^|]+) \|$", TEXT, re.MULTILINE)) == RULES


def test_the_settings_are_the_example_of_the_program() -> None:
    assert blocks(PAGE, "toml") == [EXAMPLE]


def test_every_setting_of_a_section_is_listed_with_its_default() -> None:
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| ([a-z0-9]*) ?\| [^|]+ \|$", TEXT, re.MULTILINE)
    listed = {name: default for names, default in rows for name in re.findall(r"`([a-z_]+)`", names)}
    assert listed.keys() == SECTION
    assert {name: listed[name] for name in LIMITS} == {name: str(default) for name, (default, _) in LIMITS.items()}
