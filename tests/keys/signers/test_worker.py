"""One thread per keeper, whose callers never wait for ever."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from pinwarden_keys import signer_worker
from pinwarden_keys.errors import SignerError
from pinwarden_keys.signer_worker import Worker


@pytest.fixture
def worker():
    worker = Worker("test")
    yield worker
    worker.stop()


@pytest.fixture
def impatient(monkeypatch):
    """Gives calls up at once while it is entered; a loaded machine gets the usual time outside of it."""

    @contextmanager
    def enter():
        with monkeypatch.context() as patch:
            patch.setattr(signer_worker, "ANSWER_SECONDS", 0.05)
            yield

    return enter


@pytest.fixture
def stuck(worker, impatient):
    """Keeps the worker in a call that does not end before this event is set."""
    release = threading.Event()
    with impatient(), pytest.raises(SignerError, match=r"the keeper does not answer: expected an answer within 0.05 s"):
        worker.call(release.wait, what="the keeper")
    yield release
    release.set()


def test_all_calls_run_on_one_thread_that_is_not_the_callers_and_never_at_once(worker):
    with ThreadPoolExecutor(8) as pool:
        idents = set(pool.map(lambda _: worker.call(threading.get_ident, what="x"), range(40)))
    assert len(idents) == 1
    assert threading.get_ident() not in idents


@pytest.mark.parametrize("error", [SignerError("no"), TimeoutError("the socket's own"), OSError(5, "x"), SystemExit(3)])
def test_what_a_call_raises_is_raised_to_its_caller_as_it_is_and_the_thread_goes_on(worker, error):
    def fail():
        raise error

    with pytest.raises(type(error)) as raised:
        worker.call(fail, what="x")
    assert raised.value is error
    assert worker.call(lambda: 7, what="x") == 7


def test_calls_behind_one_that_hangs_are_given_up_and_never_run(worker, stuck, impatient):
    ran = []
    with impatient(), pytest.raises(SignerError, match="does not answer"):
        worker.call(lambda: ran.append("late"), what="the keeper")
    stuck.set()
    assert worker.call(lambda: ran, what="the keeper") == []


def test_a_worker_serves_again_once_the_call_that_hung_has_ended(worker, stuck):
    stuck.set()
    assert worker.call(lambda: "served", what="the keeper") == "served"


def test_the_thread_of_a_stopped_worker_ends_and_one_that_was_never_used_has_none():
    before = set(threading.enumerate())
    Worker("idle").stop()
    assert set(threading.enumerate()) == before
    used = Worker("used")
    thread = used.call(threading.current_thread, what="x")
    assert thread.daemon
    used.stop()
    thread.join(10)
    assert not thread.is_alive()
