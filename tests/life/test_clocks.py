"""Clocks that jump under a running process, and machines that sleep."""

from typing import Any

import pytest

PREAMBLE = """
    import sys, time
    import time_machine
    from application import call, context_of, expect, make, until

    expect("refresh.failed", "connection.stale")
    YEAR = 365 * 24 * 3600
    pins = make().start()
    context = context_of(pins)
    until(lambda: pins.status().version)
"""


@pytest.mark.parametrize(
    ("years", "state", "answer"),
    [
        (20, "expired", "PinsUnavailableError"),
        (0.02, "stale", "ok"),
        (-20, "fresh", "ok"),
        (-0.02, "fresh", "ok"),
        (0.1, "expired", "PinsUnavailableError"),
    ],
)
def test_a_wall_clock_that_jumps_changes_the_state_at_once_and_neither_stops_nor_hurries_the_polling(
    years: float, state: str, answer: str, stage: Any
) -> None:
    told = stage.run(
        PREAMBLE
        + """
    def polls(seconds):
        attempts = set()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            attempts.add(pins._refresher._last_attempt)
            time.sleep(0.001)
        return len(attempts)

    with time_machine.travel(time.time() + float(sys.argv[1]) * YEAR):
        print(pins.status().state, call(context))
        count = polls(0.5)
    print(pins.status().state, call(context), 1 <= count <= 9)  # every 0.08 s at most
    """,
        str(years),
    ).splitlines()
    assert told == [f"{state} {answer}", "fresh ok True"]


def test_what_is_refused_while_the_clock_is_wrong_is_fetched_when_it_is_right_again(stage: Any) -> None:
    told = stage.run(
        """
    import time
    import time_machine
    from application import call, context_of, expect, make

    expect("refresh.failed")
    with time_machine.travel(time.time() - 20 * 365 * 24 * 3600):
        pins = make()
        context = context_of(pins)
        print(call(context), pins.status().last_error.split(":")[0])
    pins.refresh()
    print(call(context))
    """
    ).splitlines()
    assert told == ["PinsUnavailableError timestamp was issued in the future", "ok"]
