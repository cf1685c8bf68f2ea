"""The examples of docs/life.md run as they stand there, with the addresses of a stage."""

import re
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = re.findall(
    r"^```python\n(.*?)^```$",
    (Path(__file__).parents[2] / "docs/life.md").read_text("utf-8"),
    re.MULTILINE | re.DOTALL,
)
SAID = {
    "pins.refresh().server": "http://127.0.0.1:",
    "asyncio.run(main())": "fresh\n",
}


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_each_example_of_the_page_runs_as_it_stands(example: str, stage: Any) -> None:
    program = f"import os\nos.chdir({str(stage.folder)!r})\n" + example.replace("payments", "app").replace(
        "https://pins.example.com", stage.server.url
    )
    told = stage.run(program, PYTHONWARNINGS="")
    wanted = [said for part, said in SAID.items() if part in example]
    assert told.startswith(wanted[0] if wanted else "")
    assert bool(told) == bool(wanted)


def test_every_example_that_says_something_is_looked_at() -> None:
    assert all(any(part in example for example in EXAMPLES) for part in SAID)
    assert len(EXAMPLES) == 5
