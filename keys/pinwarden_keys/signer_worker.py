"""
The thread that talks to a keeper of keys: an HSM, a key service, whatever may hang.

It may import ``threading`` and this package's errors. No caller waits longer than
ANSWER_SECONDS, and no two calls to the same keeper run at once: PKCS#11 modules do not promise to survive that.
"""

from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeVar

from pinwarden_keys.errors import KeeperAwayError

T = TypeVar("T")

# A publication makes two calls, and the client of the admin API waits 60 s for it.
ANSWER_SECONDS = 15.0


class Worker:
    """
    One daemon thread that makes calls in the order in which they came.

    A call that hangs keeps the thread, and the calls behind it are given up in time as well. It is a daemon because a
    process must be able to end while its HSM hangs.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._lock = Lock()
        self._started = False

    def call(self, function: Callable[[], T], *, what: str) -> T:
        """
        Return what *function* returns, or raise what it raises.

        Raises:
            KeeperAwayError: *what* gives no answer within 15 s, the wait for earlier calls included. A call that had
                not begun never will; the answer of one that had is dropped.
        """
        future = self.after(function)
        wait([future], timeout=ANSWER_SECONDS)
        if not future.done():
            future.cancel()  # has no effect on a call that runs already
            raise _late(what)
        return future.result()

    def after(self, function: Callable[[], T]) -> Future[T]:
        """Have *function* run after the calls before it; wait for nothing."""
        future: Future[T] = Future()
        self._start()
        self._calls.put((future, function))
        return future

    def finish(self, function: Callable[[], object]) -> None:
        """Have *function* run as :meth:`after` does, and wait for it, 15 s at most."""
        wait([self.after(function)], timeout=ANSWER_SECONDS)

    def stop(self) -> None:
        """Let the thread end once the calls before this one are done; nobody waits for it."""
        self._calls.put(None)

    def _start(self) -> None:
        with self._lock:
            if not self._started:
                Thread(target=self._serve, name=self._name, daemon=True).start()
                self._started = True

    def _serve(self) -> None:
        while (item := self._calls.get()) is not None:
            future, function = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001  # the caller's thread is where it is raised
                future.set_exception(error)
            del item, future, function  # a signer that nobody uses must not live on in the frame of an idle thread


def _late(what: str) -> KeeperAwayError:
    return KeeperAwayError(
        f"{what} does not answer",
        expected=f"an answer within {ANSWER_SECONDS:g} s",
        holds="An answer that comes later is dropped; nothing is signed with it.",
        hint="Look at its state, then repeat.",
    )
