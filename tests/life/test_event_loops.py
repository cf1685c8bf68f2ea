"""Event loops: they turn while a client refreshes, and are told what to do when they would have to stop."""

import asyncio
import itertools
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import trio
import uvloop

from pinwarden import PinClient, PinMismatchError, PinsUnavailableError, PinwardenError, State, find_pin_error
from tests.life.conftest import HOST, PROGRAM_SECONDS, Stage

Connect = Callable[[ssl.SSLContext, int], Awaitable[bytes]]


async def connect_by_asyncio(context: ssl.SSLContext, port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=HOST)
    try:
        return await reader.read(100)
    finally:
        writer.close()


async def connect_by_trio(context: ssl.SSLContext, port: int) -> bytes:
    stream = trio.SSLStream(
        await trio.open_tcp_stream("127.0.0.1", port), context, server_hostname=HOST, https_compatible=True
    )
    try:
        return bytes(await stream.receive_some(100))
    finally:
        await stream.aclose()


class Loop:
    """One kind of event loop: how it runs a coroutine, sleeps, connects, and asks a thread."""

    def __init__(self, name: str) -> None:
        self.is_trio = name == "trio"
        self.connect: Connect = connect_by_trio if self.is_trio else connect_by_asyncio
        self._name = name

    def run(self, main: Callable[[], Awaitable[Any]]) -> Any:
        """Run *main* to its end on a loop of this kind."""
        if self.is_trio:
            return trio.run(main)
        factory = uvloop.new_event_loop if self._name == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main())

    async def sleep(self) -> None:
        """Let the loop turn."""
        await (trio.sleep(0.001) if self.is_trio else asyncio.sleep(0.001))

    async def in_thread(self, work: Callable[[], Any]) -> Any:
        """Have another thread do what blocks."""
        return await (trio.to_thread.run_sync(work) if self.is_trio else asyncio.to_thread(work))


@pytest.fixture(params=["asyncio", "uvloop", "trio"])
def loop(request: pytest.FixtureRequest) -> Loop:
    """Each kind of loop in turn."""
    return Loop(request.param)


@pytest.fixture
def make(stage: Stage) -> Iterator[Callable[..., PinClient]]:
    """Return a function that makes clients of the stage; every one is closed afterwards."""
    made: list[PinClient] = []

    def one(**options: Any) -> PinClient:
        arguments = {"url": stage.server.url, "cache": stage.folder / f"cache{len(made)}", **options}
        made.append(PinClient(arguments.pop("url"), pinset="app", root=stage.authority.root_json, **arguments))
        return made[-1]

    yield one
    for client in made:
        client.close()


async def refused(loop: Loop, context: ssl.SSLContext, port: int) -> PinwardenError | None:
    """Return the refusal inside whatever the loop's library raises."""
    with pytest.raises((ssl.SSLError, trio.BrokenResourceError)) as raised:
        await loop.connect(context, port)
    return find_pin_error(raised.value)


def pinned(client: PinClient, stage: Stage) -> ssl.SSLContext:
    return client.ssl_context(ssl.create_default_context(cafile=str(stage.folder / "ca.pem")))


def until_turned(loop: Loop, turned: threading.Semaphore, times: int) -> Callable[[], Awaitable[None]]:
    """Return a watchdog that lets the loop turn *times*, and says so to whoever waits for it."""

    async def watch() -> None:
        for _ in range(times):
            await loop.sleep()
            turned.release()

    return watch


def test_the_loop_turns_while_a_refresh_hangs_and_connections_are_judged_meanwhile(
    loop: Loop, stage: Stage, make: Any, raw_server: Any
) -> None:
    asked, turned = threading.Event(), threading.Semaphore(0)
    waited: list[bool] = []

    def answer_after_twenty_turns(line: Any) -> None:
        line.head()
        asked.set()
        # A loop that waits for this answer never turns; the answer then never comes, and the list says so.
        waited.append(all(turned.acquire(timeout=PROGRAM_SECONDS) for _ in range(20)))
        line.send(b"HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n")

    with raw_server(answer_after_twenty_turns) as server:
        client = make(url=server.url, bootstrap=stage.authority.bundle().to_bytes())
        context = pinned(client, stage)

        async def main() -> bytes:
            first = await loop.connect(context, stage.service.port)  # asks for a refresh in passing
            while not asked.is_set():
                await loop.sleep()
            second = await loop.connect(context, stage.service.port)
            await until_turned(loop, turned, 20)()
            while not waited:
                await loop.sleep()
            return first + second

        assert loop.run(main) == b"okok"
        client.close()
    assert waited == [True]


def test_a_client_with_nothing_trusted_refuses_on_a_loop_without_fetching_and_names_the_way_out(
    loop: Loop, stage: Stage, make: Any
) -> None:
    client = make()
    context = pinned(client, stage)
    fetching: list[str] = []
    real = client._refresher.updater.update

    def noted(*arguments: Any) -> Any:
        fetching.append(threading.current_thread().name)
        return real(*arguments)

    client._refresher.updater.update = noted

    async def main() -> bytes:
        refusal = await refused(loop, context, stage.service.port)
        assert isinstance(refusal, PinsUnavailableError)
        assert "`await asyncio.to_thread(pins.refresh)` before the first connection" in str(refusal)
        await loop.in_thread(client.refresh)
        return await loop.connect(context, stage.service.port)

    assert loop.run(main) == b"ok"
    assert threading.main_thread().name not in fetching
    assert client.status().refused == 1


def test_a_changed_key_is_refused_at_once_and_accepted_when_the_background_has_learnt_it(
    loop: Loop, stage: Stage, make: Any
) -> None:
    stage.publish(b"x" * 32)
    client = make(poll_seconds=300)
    client.refresh()
    stage.publish(stage.service.pin)
    context = pinned(client, stage)
    client._refresher._last_attempt -= 10  # as if some time had passed since

    async def main() -> bytes:
        assert isinstance(await refused(loop, context, stage.service.port), PinMismatchError)
        while client.status().version != 3:
            await loop.sleep()
        return await loop.connect(context, stage.service.port)

    assert loop.run(main) == b"ok"
    assert client.status().refused == 1


def test_a_loop_may_start_and_close_a_client(loop: Loop, stage: Stage, make: Any) -> None:
    client = make(poll_seconds=0.05)
    context = pinned(client, stage)

    async def main() -> bytes:
        with client:
            while client.status().state is not State.FRESH:
                await loop.sleep()
            return await loop.connect(context, stage.service.port)

    assert loop.run(main) == b"ok"
    assert not client._refresher.background.is_running


def test_sixteen_threads_with_a_loop_each_share_one_client(stage: Stage, make: Any) -> None:
    client = make(poll_seconds=0.05).start()
    client.refresh()
    context, loop = pinned(client, stage), Loop("asyncio")
    answers = itertools.count()

    def work() -> None:
        async def main() -> None:
            for _ in range(5):
                assert await loop.connect(context, stage.service.port) == b"ok"
                next(answers)

        loop.run(main)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert next(answers) == 80
    assert client.status().refused == 0
