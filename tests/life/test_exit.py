"""The end of a process: no hang, no traceback, nothing left open, whatever the pin server is doing."""

import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Semaphore
from typing import Any

import pytest

from tests.life.conftest import HOST, PROGRAM_SECONDS, end, finish
from tests.sdk.receiver import Receiver
from tests.waiting import until

PREAMBLE = """
    import atexit, os, sys, threading, time
    from application import call, context_of, make, refresh_threads, until
"""

ENDINGS = {
    "the last line": "",
    "close": "pins.close()",
    "forgotten": "del pins",
    "close in an exit handler": "atexit.register(lambda: (pins.status(), pins.close()))",
    "a global that outlives modules": "import builtins; builtins.kept = pins",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_process_ends_while_a_background_refresh_hangs(ending: str, stage: Any, raw_server: Any) -> None:
    reached, release = Semaphore(0), Event()

    def hang(line: Any) -> None:
        line.head()
        reached.release()
        release.wait(PROGRAM_SECONDS)

    with raw_server(hang) as server:
        program = stage.start(
            PREAMBLE
            + f"""
    pins = make().start()
    sys.stdin.readline()
    {ENDINGS[ending]}
    """,
            PINWARDEN_URL=server.url,
        )
        try:
            assert reached.acquire(timeout=PROGRAM_SECONDS)
            assert not release.is_set()
            told, complained = program.communicate("go\n", timeout=PROGRAM_SECONDS)  # the server answers only then
        finally:
            end(program)
            release.set()
    assert (program.returncode, told, complained) == (0, "", "")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_process_ends_quietly_between_two_refreshes(ending: str, stage: Any) -> None:
    told = stage.run(
        PREAMBLE
        + f"""
    pins = make(poll_seconds=300).start()
    until(lambda: pins.status().last_refresh)
    print(call(context_of(pins)))
    {ENDINGS[ending]}
    """
    )
    assert told == "ok\n"


def test_an_interrupt_during_an_inline_refresh_ends_it_at_once_and_leaves_the_client_usable(
    stage: Any, raw_server: Any
) -> None:
    reached, release = Semaphore(0), Event()

    def hang(line: Any) -> None:
        line.head()
        reached.release()
        release.wait(PROGRAM_SECONDS)

    with raw_server(hang) as server:
        program = stage.start(
            PREAMBLE
            + """
    pins = make()
    try:
        pins.refresh()
    except KeyboardInterrupt:
        print("interrupted", pins.status().state, pins._refresher._lock.locked())
    """,
            PINWARDEN_URL=server.url,
        )
        try:
            assert reached.acquire(timeout=PROGRAM_SECONDS)
            program.send_signal(signal.SIGINT)
            told = finish(program)
        finally:
            end(program)
            release.set()
    assert told == "interrupted empty False\n"


@pytest.mark.parametrize("ending", ["connects", "refreshes", "closes"])
def test_exit_handlers_of_the_application_still_have_a_pinned_client(ending: str, stage: Any) -> None:
    """A handler that was registered before Pinwarden was imported runs after Pinwarden's own."""
    told = stage.run(
        """
    import atexit, sys

    @atexit.register
    def last():
        if sys.argv[1] == "connects":
            print(call(context))
        elif sys.argv[1] == "refreshes":
            print(pins.refresh().version)
        else:
            pins.close()

    from application import call, context_of, make
    pins = make()
    pins.refresh()
    context = context_of(pins)
    """,
        ending,
    )
    assert told == {"connects": "ok\n", "refreshes": "1\n", "closes": ""}[ending]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_process_leaves_a_cache_that_the_next_one_starts_from(number: signal.Signals, stage: Any) -> None:
    program = stage.start(PREAMBLE + "    pins = make().start()\n    sys.stdin.readline()\n")
    until(lambda: len(stage.server.paths) > 3)
    program.send_signal(number)
    assert program.wait(PROGRAM_SECONDS) == -number
    told = stage.run(
        PREAMBLE
        + """
    pins = make()
    print(pins.status().version, call(context_of(pins)))
    """
    )
    assert told == "1 ok\n"


REPORTING = (
    PREAMBLE
    + """
    pins = make(ca_file=os.environ["STAGE_RECEIVER_CA"])
    pins.refresh()
    print(call(context_of(pins)), flush=True)
    sys.stdin.readline()
"""
)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    """A receiver of reports."""
    made = Receiver(tmp_path)
    yield made
    made.close()


def test_what_waits_to_be_reported_is_sent_at_the_end_of_the_process(stage: Any, receiver: Receiver) -> None:
    stage.publish(b"x" * 32, report_to=receiver.url)
    program = stage.start(REPORTING, STAGE_RECEIVER_CA=str(receiver.ca_file))
    assert program.stdout.readline() == "PinMismatchError\n"
    told, complained = program.communicate("go\n", timeout=PROGRAM_SECONDS)
    assert (program.returncode, told, complained) == (0, "", "")
    assert [(body["hostname"], body["outcome"]) for body in receiver.wait_for(1)] == [(HOST, "blocked")]


def test_a_receiver_that_hangs_does_not_keep_a_process_from_ending(
    stage: Any, raw_server: Any, receiver: Receiver
) -> None:
    release = Event()
    with raw_server(lambda line: release.wait(PROGRAM_SECONDS)) as silent:
        stage.publish(b"x" * 32, report_to=f"https://127.0.0.1:{silent.port}/")
        program = stage.start(REPORTING, STAGE_RECEIVER_CA=str(receiver.ca_file))
        try:
            assert program.stdout.readline() == "PinMismatchError\n"
            told, complained = program.communicate("go\n", timeout=PROGRAM_SECONDS)
            assert silent.connections == 1
        finally:
            end(program)
            release.set()
    assert (program.returncode, told, complained) == (0, "", "")


def test_a_forked_child_sends_what_it_found_itself_and_the_parent_the_rest(stage: Any, receiver: Receiver) -> None:
    stage.publish(b"x" * 32, report_to=receiver.url)
    told = stage.run(
        PREAMBLE
        + """
    pins = make(ca_file=os.environ["STAGE_RECEIVER_CA"])
    pins.refresh()
    context = context_of(pins)
    print(call(context))
    if os.fork() == 0:
        call(context)
        pins.close()
        os._exit(0)
    os.wait()
    """,
        STAGE_RECEIVER_CA=str(receiver.ca_file),
    )
    assert told == "PinMismatchError\n"
    first, second = receiver.wait_for(2)
    assert first["instance"] != second["instance"]
    assert (first["outcome"], second["outcome"], len(receiver.reports)) == ("blocked", "blocked", 2)
