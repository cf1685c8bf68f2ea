"""What people must do in time is said in time: in /statusz at once, in the log once a day."""

import logging
import re
from datetime import timedelta
from pathlib import Path

import pytest

from pinwarden_server.alerts import OFFLINE_PINSET_DAYS, ROOT_DAYS, Level, level_of
from tests.rotation.stage import House

PAGE = (Path(__file__).parents[2] / "docs/admin-api.md").read_text("utf-8")


@pytest.mark.parametrize("days", [ROOT_DAYS, OFFLINE_PINSET_DAYS])
def test_each_level_begins_at_its_day_and_not_a_second_before(days: tuple[int, ...]) -> None:
    second = timedelta(seconds=1)
    before = [level_of(timedelta(days=limit) + second, days) for limit in days]
    assert before == [None, *list(Level)[:3]]
    assert [level_of(timedelta(days=limit), days) for limit in days] == list(Level)
    assert level_of(-second, days) is Level.CRITICAL


def test_the_page_states_these_days() -> None:
    rows = re.findall(r"(?m)^\| (?:the newest root|a pin set whose keys[^|]*) \|(.*)\|$", PAGE)
    assert [tuple(int(number) for number in re.findall(r"\d+", row)) for row in rows] == [
        ROOT_DAYS,
        OFFLINE_PINSET_DAYS,
    ]


def test_statusz_says_that_the_root_ends_and_a_new_root_silences_it(house: House) -> None:
    assert alerts(house) == []
    house.clock.now = house.root.expires - timedelta(days=29)
    house.renew()
    (alert,) = alerts(house)
    assert (alert["subject"], alert["level"], alert["expires"]) == ("root", "notice", "2027-06-01T12:00:00Z")
    assert alert["message"] == "root 1 ends in 29 days: from its end on, clients refuse every newer document"
    house.clock.now = house.root.expires
    first = alerts(house)[0]
    assert (first["level"], first["message"].partition(":")[0]) == ("critical", "root 1 is past its end")
    house.rotate()
    assert alerts(house) == []


def test_a_pin_set_whose_keys_are_elsewhere_is_announced_and_one_that_renews_itself_is_not(house: House) -> None:
    house.uris = house.uris[:1]
    house.restart()
    house.clock.advance(days=10)
    assert house.node is not None
    assert list(house.node.renewer.tick().failed) == []
    assert alerts(house) == []
    house.clock.advance(days=18)
    house.node.renewer.tick()
    (alert,) = alerts(house)
    assert (alert["subject"], alert["level"], alert["expires"]) == (
        "pinset payments",
        "warning",
        "2026-07-01T12:00:00Z",
    )
    assert alert["message"] == "pin set 'payments' ends in 2 days, and its keys are not on this server"


def test_a_timestamp_that_nothing_renewed_is_announced_at_half_its_life(house: House) -> None:
    house.clock.advance(hours=36, seconds=-1)
    assert alerts(house) == []
    house.clock.advance(seconds=1)
    assert [(one["subject"], one["level"]) for one in alerts(house)] == [("timestamp payments", "warning")]
    house.clock.advance(hours=36)
    assert [(one["subject"], one["level"]) for one in alerts(house)] == [("timestamp payments", "critical")]
    house.renew()
    assert alerts(house) == []


def test_the_log_says_it_once_a_day_and_at_once_when_it_becomes_urgent(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.clock.now = house.root.expires - timedelta(days=16)
    said: list[tuple[int, str]] = []
    caplog.set_level(logging.INFO, "pinwarden.server")
    for _ in range(72):  # three days, hour by hour
        house.clock.advance(hours=1)
        caplog.clear()
        house.renew()
        lines = [one for one in caplog.records if "root 1 ends in" in one.getMessage()]
        said += [(one.levelno, one.getMessage().partition(":")[0]) for one in lines]
    # After an hour, after a day, at 14 days sharp, and a day after that.
    assert said == [
        (logging.INFO, "notice"),
        (logging.INFO, "notice"),
        (logging.WARNING, "warning"),
        (logging.WARNING, "warning"),
    ]


def alerts(house: House) -> list[dict[str, str]]:
    """Return the alerts of /statusz about documents; that the audit log waits to be signed is tests/audit's."""
    answer = house.http.request("GET", f"{house.line.url}/statusz", headers={"Authorization": f"Bearer {house.token}"})
    return [alert for alert in answer.json()["alerts"] if alert["subject"] != "audit"]
