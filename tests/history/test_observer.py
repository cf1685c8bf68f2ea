"""The observer: hidden among clients, patient with caches, careful with its memory, cheap for whom it watches."""

import json
import stat
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pinwarden.bundle import Bundle
from pinwarden.history import MAX_SEGMENT_BYTES, End, Segment
from pinwarden_ops.history_view import MAX_SEGMENTS, parse_view
from pinwarden_ops.memory_files import MAX_EVIDENCE
from tests.history.conftest import Post, relinked, served_history, show_history, told
from tests.history.test_two_stories import BUNDLE, HISTORY, forge, show
from tests.rotation.line import Line
from tests.rotation.stage import House

CLOSED = "http://127.0.0.1:1"


def test_a_server_cannot_tell_an_observer_from_a_client_when_it_answers_the_bundle(house: House, post: Post) -> None:
    asked: list[dict[str, str]] = []
    application = house.line.application

    def recording(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] == BUNDLE:
            asked.append({name: value for name, value in environ.items() if name.startswith("HTTP_")})
        return application(environ, start_response)

    house.line.application = recording
    client = house.client(telemetry=False)
    house.line.paths.clear()
    for _ in range(2):
        post.audit()
    client.refresh()
    house.publish(word="next")  # a client that has an ETag would send it
    client.refresh()
    assert [headers.pop("HTTP_IF_NONE_MATCH", None) is None for headers in asked] == [True, True, True, False]
    assert [asked[2], asked[3]] == [asked[0], asked[1]]
    assert house.line.paths[:2] == [BUNDLE, HISTORY]  # before anything that clients never ask for


def test_what_a_cache_explains_is_looked_at_again_before_it_is_told(house: House, post: Post) -> None:
    stale = served_history(house).to_bytes()
    house.publish(word="next")
    house.line.answers[HISTORY] = stale
    looks: list[str] = []

    def heal() -> None:
        looks.append(HISTORY)
        if len(looks) == 2:
            house.line.answers.clear()

    house.line.before[HISTORY] = heal
    assert post.findings(wait=1) == []
    assert len(looks) == 2
    house.line.answers[HISTORY] = stale
    assert told(post.findings()) == [("unlisted", "1.2"), ("shortened", "1.2")]


def test_two_contents_are_told_at_once(house: House, post: Post) -> None:
    show(house.line, forge(house))
    house.line.paths.clear()
    assert told(post.findings(wait=3600)) == [("equivocation", "1.1")]
    assert house.line.paths.count(HISTORY) == 1


def test_the_same_finding_every_hour_adds_no_file_and_all_are_private(house: House, post: Post) -> None:
    post.audit()
    show(house.line, forge(house))
    first = post.findings()
    files = {file: file.read_bytes() for file in post.evidence()}
    house.clock.advance(hours=1)
    assert post.findings() == first
    assert {file: file.read_bytes() for file in post.evidence()} == files != {}
    assert {stat.S_IMODE(file.stat().st_mode) for file in post.state.iterdir()} == {0o600}
    assert stat.S_IMODE(post.state.stat().st_mode) == 0o700


def test_evidence_is_bounded_and_the_first_stays(house: House, post: Post) -> None:
    post.audit()
    for number in range(MAX_EVIDENCE + 3):
        show(house.line, forge(house, f"thief {number}", version=2 + number))
        (found,) = post.findings()
        assert (found["evidence"] is not None) == (number < MAX_EVIDENCE)
    assert len(post.evidence()) == MAX_EVIDENCE
    assert f"not kept: {MAX_EVIDENCE} files of evidence are kept already" in post.audit().stderr


def test_an_observer_without_an_answer_says_so_and_remembers_what_it_did(house: House, post: Post) -> None:
    post.audit()
    before = post.remembered()
    done = post.audit(url=CLOSED)
    assert (done.exit_code, done.stdout) == (3, "")
    assert "error: http://127.0.0.1:1 cannot be asked" in done.stderr
    done = post.audit("--compare", CLOSED)
    assert (done.exit_code, post.remembered()) == (3, before)


def test_a_server_without_histories_is_unavailable_until_one_was_seen(house: House, post: Post) -> None:
    house.line.answers[HISTORY] = None
    done = post.audit()
    assert (done.exit_code, post.remembered()) == (3, {})
    assert "no history is served" in done.stderr


def test_a_finding_here_is_told_although_the_other_place_does_not_answer(house: House, post: Post) -> None:
    show(house.line, forge(house))
    assert told(post.findings("--compare", CLOSED)) == [("equivocation", "1.1")]


def test_a_mirror_that_clients_would_refuse_is_a_finding_of_its_own(house: House, post: Post, mirror: Line) -> None:
    mirror.answers[BUNDLE] = b"{}"
    mirror.answers[HISTORY] = b"[]"
    found = post.findings("--compare", mirror.url)
    assert told(found) == [("refused", None), ("broken", None)]
    assert {each["here"]["source"] for each in found} == {mirror.url}


def test_what_was_saved_is_read_again_whole(house: House, post: Post) -> None:
    house.publish(word="next")
    saved = post.folder / "saved"
    assert post.audit("--save", str(saved)).exit_code == 0
    view = parse_view(saved.read_bytes())
    assert view.to_bytes() == saved.read_bytes()
    assert view.entries == served_history(house).entries
    assert view.served is not None
    assert (view.served.timestamp, view.served.pinset) == (house.served().timestamp, house.served().pinset)


def lines_of(saved: bytes) -> list[Any]:
    return [json.loads(line) for line in saved.splitlines()]


def spoiled(change: Callable[[list[Any]], object]) -> Callable[[bytes], bytes]:
    def spoil(saved: bytes) -> bytes:
        lines = lines_of(saved)
        change(lines)
        return b"\n".join(json.dumps(line).encode() for line in lines)

    return spoil


DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda saved: b"",
    "half of it": lambda saved: saved[: len(saved) // 2],
    "no history": lambda saved: saved.splitlines()[0],
    "another format": spoiled(lambda lines: lines[0].update(format="other")),
    "half a pair": spoiled(lambda lines: lines[0].pop("timestamp")),
    "no pin set": spoiled(lambda lines: lines[0]["pinset"].update(payload="AAAA")),
    "another name": spoiled(lambda lines: lines[1].update(name="orders")),
    "a changed entry": spoiled(lambda lines: lines[1]["entries"][0].update(length=1)),
    "an entry too few": spoiled(lambda lines: lines[1]["entries"].pop(0)),
    "a segment twice": spoiled(lambda lines: lines.append(lines[1])),
    "too many segments": spoiled(lambda lines: lines.extend([lines[1]] * (MAX_SEGMENTS + 1))),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_neither_a_file_to_compare_nor_the_memory_is_believed_when_it_is(
    house: House, post: Post, damage: Callable[[bytes], bytes]
) -> None:
    house.publish(word="next")
    saved = post.folder / "saved"
    post.audit("--save", str(saved))
    saved.write_bytes(damage(saved.read_bytes()))
    done = post.audit("--compare", str(saved))
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"{saved} cannot be compared" in done.stderr
    (memory,) = post.state.glob("*.history")
    memory.write_bytes(damage(memory.read_bytes()))
    before = post.remembered()
    done = post.audit()
    assert (done.exit_code, post.remembered()) == (2, before)
    assert "what this machine remembers cannot be used" in done.stderr


def test_a_memory_that_others_may_write_is_not_believed(house: House, post: Post) -> None:
    post.audit()
    (memory,) = post.state.glob("*.history")
    memory.chmod(0o666)
    done = post.audit()
    assert done.exit_code == 2
    assert "others may write to it" in done.stderr


def test_a_file_about_another_pin_set_is_not_compared(house: House, post: Post) -> None:
    house.publish("orders")
    saved = str(post.folder / "saved")
    root = str(post.folder / "root.json")
    post.audit()
    assert post.audit("--pinset", "orders", "--save", saved, "--root", root).exit_code == 0
    done = post.audit("--compare", saved)
    assert done.exit_code == 2
    assert "it is about another pin set" in done.stderr


def endless(house: House) -> bytes:
    (entry,) = relinked([replace(served_history(house).entries[0])], house.root.authority)
    far = replace(entry, seq=MAX_SEGMENTS * 100 + 1)
    return Segment(house.root.authority, "payments", (replace(far, hash=far.link()),)).to_bytes()


HOSTILE: dict[str, Callable[[House], bytes]] = {
    "endless": endless,
    "huge": lambda house: b'{"entries":"' + b"x" * (4 * MAX_SEGMENT_BYTES) + b'"}',
    "deep": lambda house: b'{"entries":' + b"[" * 50_000 + b"]" * 10_000,
    "crowded": lambda house: b'{"entries":[' + b"[]," * 20_000,
    "no JSON": lambda house: b"\xff" * 1000,
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_history_costs_little_memory_and_is_a_finding(
    house: House, post: Post, body: Callable[[House], bytes]
) -> None:
    post.audit()  # what is imported once is not counted
    house.line.answers[HISTORY] = body(house)
    tracemalloc.start()
    try:
        found = post.findings("--state-dir", str(post.folder / "fresh"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert told(found) == [("broken", None)]
    assert peak < 16 * 1024 * 1024


def test_a_full_segment_that_is_not_the_one_asked_for_is_refused(house: House, post: Post) -> None:
    entries, end = [], End.begin(house.root.authority, "payments")
    first = served_history(house).entries[0]
    for version in range(1, 202):
        draft = replace(first, seq=version, version=version, previous=end.hash)
        entries.append(replace(draft, hash=draft.link()))
        end = End.of(entries[-1])
    parts = [Segment(house.root.authority, "payments", tuple(entries[at : at + 100])) for at in (0, 100)]
    show_history(house.line, house, entries[200:])
    house.line.answers["/v1/pinsets/payments/history/1"] = parts[1].to_bytes()
    house.line.answers["/v1/pinsets/payments/history/2"] = parts[1].to_bytes()
    (found,) = post.findings()
    assert found["what"] == "/v1/pinsets/payments/history/1 is not that segment of the history"


def test_a_missing_segment_is_no_answer(house: House, post: Post) -> None:
    entry = served_history(house).entries[0]
    far = replace(entry, seq=101)
    show_history(house.line, house, [replace(far, hash=far.link())])
    done = post.audit()
    assert done.exit_code == 3
    assert "segment 1 of the history is missing" in done.stderr


def test_a_root_that_is_none_is_an_error_of_usage(house: House, post: Post) -> None:
    wrong = post.folder / "wrong.json"
    wrong.write_bytes(b"{}")
    done = post.audit("--root", str(wrong))
    assert done.exit_code == 2
    assert "cannot begin a chain of trust" in done.stderr


def test_a_server_of_another_authority_is_refused_whatever_its_history_says(
    house: House, post: Post, tmp_path: Path
) -> None:
    house.line.answers[BUNDLE] = Bundle((), *forge(house, authority="other-0123456789abcdef")).to_bytes()
    (found,) = post.findings()
    assert found["kind"] == "refused"


def test_the_whole_answer_is_json_when_asked_for(house: House, post: Post, mirror: Line) -> None:
    head = served_history(house).entries[0]
    done = post.audit("--json", "--compare", mirror.url)
    assert json.loads(done.stdout) == {
        "result": "same",
        "url": post.url,
        "authority": house.root.authority,
        "name": "payments",
        "root": 1,
        "served": {"version": "1.1", "sha256": head.sha256},
        "entries": 1,
        "head": head.hash,
        "seen_before": None,
        "compared": [mirror.url],
        "findings": [],
    }
    assert json.loads(post.audit("--json").stdout)["seen_before"] == {"entries": 1, "head": head.hash}


def test_a_memory_that_cannot_be_written_is_said_and_nothing_is_forgotten(house: House, post: Post) -> None:
    post.audit()
    before = post.remembered()
    (lock,) = post.state.glob("*.lock")
    lock.unlink()
    lock.mkdir()
    house.publish(word="next")
    done = post.audit()
    assert (done.exit_code, post.remembered()) == (2, before)
    assert ".history cannot be written: Is a directory" in done.stderr


def test_a_disk_that_takes_no_evidence_keeps_no_finding_from_being_told(house: House, post: Post) -> None:
    show(house.line, forge(house))
    post.state.mkdir()
    post.audit()
    for file in (*post.state.glob("*.lock"), *post.evidence()):
        file.unlink()
    (lock,) = [post.state / f"{file.stem}.lock" for file in post.state.glob("*.json")]
    lock.mkdir()
    nowhere = str(post.folder / "absent/saved")
    (found,) = post.findings("--save", nowhere)
    assert (found["kind"], found["evidence"]) == ("equivocation", None)
    assert "cannot be written: Is a directory" in found["not_kept"]
    done = post.audit("--save", nowhere)
    assert done.exit_code == 1
    assert f"error: {nowhere} cannot be written" in done.stderr
