"""Thieves with keys, liars without, and the observer who finds them; honest servers raise no alarm."""

import base64
import json
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pinwarden.bundle import Bundle
from pinwarden.envelope import Envelope
from pinwarden.history import End, Entry, Segment
from pinwarden_ops.history_words import MEANS
from pinwarden_server.founding import reconcile
from tests.history.conftest import Post, listed, relinked, served_history, show_history, told
from tests.history.test_served import seed
from tests.rotation.line import Line
from tests.rotation.stage import House

BUNDLE, HISTORY = "/v1/bundles/payments/1", "/v1/history/payments"


def forge(house: House, word: str = "thief", **changes: Any) -> tuple[Envelope, Envelope]:
    """Return the timestamp and the pin set that only a thief with both keys can make."""
    pinset = house.forged_pinset(house.pinset_key, word, **changes)
    return house.forged_timestamp(house.timestamp_key, pinset), pinset


def show(line: Line, pair: tuple[Envelope, Envelope]) -> None:
    line.answers[BUNDLE] = Bundle((), *pair).to_bytes()


def tell_another_story(house: House, line: Line) -> Envelope:
    """Let a thief with both keys give everybody on *line* other pins under the version in force, in a whole history."""
    pair = forge(house)
    show(line, pair)
    *before, last = served_history(house).entries
    show_history(line, house, relinked([*before, listed(last, pair[1])], house.root.authority))
    return pair[1]


def test_an_honest_server_is_the_same_story_from_both_places(house: House, post: Post, mirror: Line) -> None:
    house.publish(word="next")
    assert post.findings("--compare", mirror.url) == []
    done = post.audit("--compare", mirror.url)
    assert done.exit_code == 0
    assert "history        2 versions, the last 1.2" in done.stdout
    assert f"compared with  {mirror.url}" in done.stdout


def test_a_thief_with_both_keys_who_shows_others_another_version_is_found_by_comparing_two_places(
    house: House, post: Post, mirror: Line
) -> None:
    house.publish(word="next")
    forged = tell_another_story(house, mirror)
    assert post.findings() == []  # this place alone sees nothing wrong
    found = post.findings("--compare", mirror.url)
    assert ("equivocation", "1.2") in told(found)
    (one,) = [each for each in found if "version 1.2" in each["what"]]
    real = house.served().pinset
    assert (one["here"]["source"], one["there"]["source"]) == (post.url, mirror.url)
    assert (one["here"]["signed"], one["there"]["signed"]) == (True, True)
    kept = json.loads(Path(one["evidence"]).read_text())
    assert [kept[side]["envelope"] for side in ("here", "there")] == [real.to_json(), forged.to_json()]
    assert one["what"] == "version 1.2 has two contents"
    assert (one["means"], one["do"]) == tuple(MEANS["equivocation"])  # type: ignore[index]


def test_the_same_thief_is_found_from_one_place_when_its_story_changes(house: House, post: Post) -> None:
    house.publish(word="next")
    assert post.findings() == []
    before = post.remembered()
    forged, real = tell_another_story(house, house.line), house.served().pinset
    (found, *_) = post.findings()
    assert (found["kind"], found["version"]) == ("equivocation", "1.2")
    assert post.remembered() == before
    contents = [json.loads(file.read_text()) for file in post.evidence()]
    pairs = [[kept[side]["envelope"] for side in ("here", "there")] for kept in contents]
    assert [forged.to_json(), real.to_json()] in pairs


def test_a_comparison_with_what_another_place_saved_finds_it_too(house: House, post: Post, mirror: Line) -> None:
    house.publish(word="next")
    saved = post.folder / "elsewhere.history"
    elsewhere = Post(house, post.folder, mirror.url)
    tell_another_story(house, mirror)
    assert elsewhere.audit("--save", str(saved), "--state-dir", str(post.folder / "other")).exit_code == 0
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert ("equivocation", "1.2") in told(post.findings("--compare", str(saved)))


def test_a_thief_who_forgets_the_history_is_found_from_one_place(house: House, post: Post) -> None:
    show(house.line, forge(house))
    (found,) = post.findings()
    assert (found["kind"], found["version"], found["what"]) == ("equivocation", "1.1", "version 1.1 has two contents")
    assert (found["here"]["signed"], found["there"]["signed"]) == (True, True)


def test_a_version_that_is_served_and_not_in_the_history_is_found(house: House, post: Post) -> None:
    show(house.line, forge(house, version=7))
    assert told(post.findings()) == [("unlisted", "1.7")]


def test_an_update_that_is_kept_back_from_this_place_is_found(house: House, post: Post, mirror: Line) -> None:
    old = house.served().to_bytes()
    house.publish(word="next")
    house.line.answers[BUNDLE] = old
    (found,) = post.findings()
    assert (found["kind"], found["what"]) == ("withheld", "version 1.2 was published and 1.1 is served")
    show_history(house.line, house, served_history(house).entries[:1])  # now its history as well: this place alone
    assert post.findings() == []
    assert told(post.findings("--compare", mirror.url)) == [("withheld", "1.2")]


def test_an_update_that_is_kept_back_from_the_other_place_is_found(house: House, post: Post, mirror: Line) -> None:
    mirror.answers[BUNDLE] = house.served().to_bytes()
    show_history(mirror, house, served_history(house).entries)
    house.publish(word="next")
    assert post.findings() == []
    (found,) = post.findings("--compare", mirror.url)
    assert (found["kind"], found["here"]["source"]) == ("withheld", mirror.url)


def test_an_older_file_of_another_place_is_no_finding(house: House, post: Post, mirror: Line) -> None:
    saved = str(post.folder / "saved")
    assert post.audit("--save", saved, url=mirror.url).exit_code == 0
    house.publish(word="next")
    assert post.findings("--compare", saved) == []
    assert post.findings("--compare", saved, "--compare", mirror.url) == []


def test_a_file_that_knows_more_than_this_place_is_shown_is_a_finding(house: House, post: Post, mirror: Line) -> None:
    old, entries = house.served().to_bytes(), served_history(house).entries
    house.publish(word="next")
    saved = str(post.folder / "saved")
    assert post.audit("--save", saved, "--state-dir", str(post.folder / "other"), url=mirror.url).exit_code == 0
    house.line.answers[BUNDLE] = old
    show_history(house.line, house, entries)
    assert told(post.findings("--compare", saved)) == [("withheld", "1.2")]


def test_a_server_that_goes_back_behind_what_this_machine_verified_is_found(house: House, post: Post) -> None:
    old, entries = house.served().to_bytes(), served_history(house).entries
    house.publish(word="next")
    assert post.findings() == []
    house.line.answers[BUNDLE] = old
    show_history(house.line, house, entries)
    found = post.findings()
    assert told(found) == [("rollback", None), ("shortened", "1.2")]
    kept = json.loads(Path(found[0]["evidence"]).read_text())
    assert base64.b64decode(kept["here"]["bundle"]) == old


def test_a_server_that_denies_everything_it_showed_is_found(house: House, post: Post) -> None:
    assert post.audit().exit_code == 0
    house.line.answers[BUNDLE] = None
    assert told(post.findings()) == [("shortened", "1.1")]
    house.release()
    house.line.answers[HISTORY] = None
    assert told(post.findings()) == [("shortened", "1.1")]


Edit = Callable[[list[Entry]], list[Entry]]

# What a liar does to a history of four versions, the last of which stays as it is served, and what is found.
TAMPERED: dict[str, tuple[Edit, list[tuple[str, str | None]]]] = {
    "the last entry removed": (lambda history: history[:-1], [("unlisted", "1.4"), ("shortened", "1.4")]),
    "an entry removed": (lambda history: [history[0], *history[2:]], [("forked", "1.3")]),
    "an entry added": (
        lambda history: [history[0], replace(history[0], epoch=1, version=2, sha256="0" * 64), *history[1:]],
        [("broken", None)],
    ),
    "the first entry removed": (lambda history: history[1:], [("forked", "1.2")]),
    "a content exchanged": (
        lambda history: [history[0], replace(history[1], sha256="0" * 64), *history[2:]],
        [("equivocation", "1.2")],
    ),
    "two contents exchanged": (
        lambda history: [
            history[0],
            replace(history[1], sha256=history[2].sha256),
            replace(history[2], sha256=history[1].sha256),
            history[3],
        ],
        [("equivocation", "1.2"), ("equivocation", "1.3")],
    ),
    "two entries exchanged": (
        lambda history: [history[0], history[2], history[1], history[3]],
        [("broken", None)],
    ),
    "an end moved": (
        lambda history: [history[0], replace(history[1], expires=history[1].expires + timedelta(days=1)), *history[2:]],
        [("rewritten", "1.2")],
    ),
    "a time of publication moved": (
        lambda history: [replace(history[0], published_at=history[0].published_at - timedelta(1)), *history[1:]],
        [("rewritten", "1.1")],
    ),
    "a version renumbered": (
        lambda history: [history[0], history[1], replace(history[2], epoch=1, version=3, length=7), history[3]],
        [("rewritten", "1.3")],
    ),
    "an epoch raised": (
        lambda history: [*history[:3], replace(history[3], epoch=2)],
        [("unlisted", "1.4"), ("withheld", "2.4"), ("forked", "2.4")],
    ),
}


@pytest.mark.parametrize(("edit", "expected"), TAMPERED.values(), ids=TAMPERED)
def test_a_history_that_was_linked_anew_is_found_with(
    house: House, post: Post, edit: Edit, expected: list[tuple[str, str | None]]
) -> None:
    for word in ("second", "third", "fourth"):
        house.publish(word=word)
    assert post.findings() == []
    before = post.remembered()
    show_history(house.line, house, relinked(edit(list(served_history(house).entries)), house.root.authority))
    assert told(post.findings()) == expected
    assert post.remembered() == before
    house.release()
    assert post.findings() == []


def test_a_history_whose_hashes_are_wrong_is_found_the_first_time(house: House, post: Post) -> None:
    (entry,) = served_history(house).entries
    show_history(house.line, house, [replace(entry, length=entry.length + 1)])
    (found,) = post.findings()
    assert (found["kind"], found["what"]) == ("broken", "history entry 1 was changed")
    assert post.remembered() == {}


def test_another_pin_sets_history_does_not_pass_for_this_ones(house: House, post: Post) -> None:
    house.publish("orders")
    house.line.answers[HISTORY] = served_history(house, "orders").to_bytes()
    (found,) = post.findings()
    assert (found["kind"], found["what"]) == ("broken", "history of another pin set")


def test_what_clients_refuse_is_told_with_the_step_that_refused(house: House, post: Post) -> None:
    post.audit()
    house.clock.advance(days=31)  # nobody renewed
    (found,) = post.findings()
    assert found["kind"] == "refused"
    assert "timestamp has expired" in found["here"]["says"]
    assert "(step V5)" in found["here"]["says"]


def test_a_history_of_many_segments_is_followed_and_its_rewriting_is_found_where_it_begins(
    house: House, post: Post
) -> None:
    seed(house, 249)
    assert house.node is not None
    reconcile(house.node.site)
    house.publish()
    assert post.findings() == []
    house.line.paths.clear()
    assert post.findings() == []
    assert house.line.paths == [BUNDLE, HISTORY]  # of a history that was seen, only its end is fetched again
    entries = [*house.node.site.store.reader.history("payments", after=0)]
    second = house.node.site.store.reader.history("payments", after=100)
    entries += [*second, *house.node.site.store.reader.history("payments", after=200)]
    entries[41] = replace(entries[41], length=entries[41].length + 1)
    anew = relinked(entries, house.root.authority)
    for number in (1, 2):
        part = tuple(anew[(number - 1) * 100 : number * 100])
        house.line.answers[f"/v1/pinsets/payments/history/{number}"] = Segment(
            house.root.authority, "payments", part
        ).to_bytes()
    show_history(house.line, house, anew[200:])
    (found,) = post.findings()
    assert (found["kind"], found["what"]) == ("rewritten", "entry 42 was written anew: length")


def test_years_of_honest_operation_raise_no_alarm(house: House, post: Post, mirror: Line) -> None:
    def quiet() -> None:
        assert post.findings("--compare", mirror.url) == []

    quiet()
    house.publish(word="next")
    quiet()
    assert house.ask("POST", "/pinsets/payments/rollback", {"to": 1, "reason": "back"}, If_Match='"1.2"').status == 200
    quiet()
    for _ in range(3):
        house.clock.advance(days=2)
        house.renew()  # timestamps
        quiet()
    house.clock.advance(days=14)
    house.renew()  # pin set and timestamp
    quiet()
    house.rotate(pinset=[house.add_key("pinset-2")], pinset_epoch=2)
    mirror.application = house.line.application
    quiet()
    house.rotate(timestamp=[house.add_key("timestamp-2")], timestamp_epoch=2)
    mirror.application = house.line.application
    quiet()
    withdrawn = house.ask("PUT", "/pinsets/payments", {"hosts": []}, If_Match='"2.5"')
    assert withdrawn.status == 200, withdrawn.data
    quiet()
    assert post.evidence() == []
    assert End.of(served_history(house).entries[-1]).tag == (2, 6)
