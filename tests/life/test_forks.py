"""Processes that are made from a pinned one: by fork, by multiprocessing in each of its ways, by exec."""

from typing import Any

import pytest

from tests.life.conftest import finish

PREAMBLE = """
    import os, sys, time
    from application import call, context_of, make, refresh_threads, until
"""


def test_workers_forked_from_a_started_client_learn_of_new_pins_by_themselves(stage: Any) -> None:
    program = stage.start(
        PREAMBLE
        + """
    pins = make().start()
    context = context_of(pins)
    until(lambda: pins.status().version)

    def work():
        threads = refresh_threads()
        call(context)
        until(lambda: pins.status().version == 2)  # by this process's own background refresh
        os.write(1, f"{threads} {refresh_threads()} {call(context)}\\n".encode())  # whole, beside the others'

    for _ in range(4):
        if os.fork() == 0:
            work()
            os._exit(0)
    print(call(context))
    assert [os.wait()[1] for _ in range(4)] == [0] * 4
    until(lambda: pins.status().version == 2)
    print(refresh_threads(), call(context))
    """
    )
    assert program.stdout.readline() == "ok\n"
    stage.publish(b"x" * 32)  # the service's key is pinned no more
    assert finish(program).splitlines() == ["0 1 PinMismatchError"] * 4 + ["1 PinMismatchError"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_each_way_of_multiprocessing_gives_workers_that_are_pinned(method: str, stage: Any) -> None:
    told = stage.run(
        PREAMBLE
        + """
    import multiprocessing

    pins = context = None

    def begin():
        global pins, context
        pins = pins or make()  # inherited after a fork, else made here
        context = context_of(pins)

    def work(number):
        return os.getpid(), call(context)

    if __name__ == "__main__":
        if sys.argv[1] == "fork":
            pins = make().start()
            until(lambda: pins.status().version)
        with multiprocessing.get_context(sys.argv[1]).Pool(3, begin) as pool:
            answers = pool.map(work, range(12), chunksize=1)
            pool.close()
            pool.join()
        print({answer for _, answer in answers}, os.getpid() in {pid for pid, _ in answers})
    """,
        method,
    )
    assert told == "{'ok'} False\n"


def test_a_client_given_to_a_process_that_is_not_forked_says_what_to_do_instead(stage: Any) -> None:
    told = stage.run(
        PREAMBLE
        + """
    import pickle
    try:
        pickle.dumps(make())
    except TypeError as error:
        print(error)
    """
    )
    assert told == (
        "a PinClient belongs to one process and cannot be pickled. Make one in each process that is not forked from "
        "this one; clients of one cache folder share what they trust.\n"
    )


def test_a_process_that_executes_itself_anew_starts_from_its_cache_and_inherits_no_connection(stage: Any) -> None:
    """uWSGI and others reload like this: the same process, another program."""
    told = stage.run(
        PREAMBLE
        + """
    def sockets():
        found = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
        return sum(os.path.islink(path) and os.readlink(path).startswith("socket:") for path in found)

    inherited = sockets()
    pins = make()
    kept = pins.status().version
    pins.start()
    context = context_of(pins)
    until(lambda: pins.status().last_refresh)
    print(inherited, kept, call(context), sockets() > 0)
    if len(sys.argv) == 1:
        os.execv(sys.executable, [sys.executable, *sys.argv, "again"])
    """
    )
    assert told.splitlines() == ["0 None ok True", "0 1 ok True"]


def test_a_program_that_makes_itself_a_daemon_is_pinned_in_its_second_child(stage: Any) -> None:
    told = stage.run(
        PREAMBLE
        + """
    pins = make().start()
    context = context_of(pins)
    until(lambda: pins.status().version)
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(writing, f"{refresh_threads()} {call(context)} {refresh_threads()}".encode())
        os._exit(0)
    os.wait()
    os.close(writing)
    with open(reading, "rb") as stream:
        print(stream.read().decode())
    """
    )
    assert told == "0 ok 1\n"
