"""
mitmproxy, whose CA the client trusts, reads everything; from a client with a pin it gets no byte.

It runs as its users run it, as a program, in an environment of its own, and tells what it could read.
"""

import asyncio
import json
import queue
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import requests
from pinned_clients import ContextAdapter
from pinned_dialogues import Http
from pinned_environments import environment, surroundings
from pinned_libraries import LOCKS

from pinwarden import PinMismatchError, find_pin_error

pytestmark = pytest.mark.xdist_group("mitmproxy")  # one of it will do

HOST = "localhost"
PATIENCE_SECONDS = 30.0


class Mitmproxy:
    """
    A mitmdump that listens on loopback.

    Attributes:
        url: where it listens.
        cafile: the CA that it signs its certificates with.
    """

    def __init__(self, program: Path, folder: Path, upstream_cafile: Path) -> None:
        options = {
            "confdir": folder,
            "listen_host": "127.0.0.1",
            "listen_port": 0,
            "ssl_verify_upstream_trusted_ca": upstream_cafile,
        }
        settings = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
        self._process = subprocess.Popen(
            [program, "--quiet", *settings, "--scripts", Path(__file__).with_name("intercepting.py")],
            env=surroundings(),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._said: queue.SimpleQueue[tuple[str, Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        event, port = self._next()
        assert event == "listening"
        self.url = f"http://127.0.0.1:{port}"
        self.cafile = folder / "mitmproxy-ca-cert.pem"

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_SECONDS)

    def read_from_one_client(self) -> tuple[str, list[str]]:
        """Wait until the next client has come and gone; return the first bytes that could be read from it, and URLs."""
        event, client = self._next()
        assert event == "connected"
        read, urls = "", []
        while (told := self._next()) != ("gone", client):
            read += told[1] if told[0] == "bytes" else ""
            urls += [told[1]] if told[0] == "request" else []
        return read, urls

    def _listen(self) -> None:
        for line in self._process.stdout:
            self._said.put(tuple(json.loads(line)))
        self._said.put(None)

    def _next(self) -> tuple[str, Any]:
        said = self._said.get(timeout=PATIENCE_SECONDS)
        assert said is not None, "mitmdump has ended"
        return said


@pytest.fixture(scope="module")
def mitmproxy(world: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mitmproxy]:
    lock = LOCKS.joinpath("mitmproxy.txt").read_text()
    program = environment("mitmproxy", lock, [sys._base_executable]) / "mitmdump"
    running = Mitmproxy(program, tmp_path_factory.mktemp("mitmproxy"), world.cafile)
    yield running
    running.stop()


def _requests(url: str, proxy: str, context: ssl.SSLContext) -> bytes:
    with requests.Session() as session:
        session.mount("https://", ContextAdapter(context))
        return session.get(url, proxies={"https": proxy}, timeout=10).content


def _httpx(url: str, proxy: str, context: ssl.SSLContext) -> bytes:
    with httpx.Client(verify=context, proxy=proxy) as client:
        return client.get(url).content


async def _aiohttp(url: str, proxy: str, context: ssl.SSLContext) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(url, proxy=proxy, ssl=context) as response:
        return await response.read()


CLIENTS: dict[str, Callable[[str, str, ssl.SSLContext], bytes]] = {
    "requests": _requests,
    "httpx": _httpx,
    "aiohttp": lambda *arguments: asyncio.run(_aiohttp(*arguments)),
}


@pytest.mark.parametrize("process_wide", [False, True], ids=["one context", "whole process"])
@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_mitmproxy_reads_what_has_no_pin_and_nothing_of_what_has_one(
    world: Any, serve: Any, pin: Any, everywhere: Any, mitmproxy: Mitmproxy, client: Any, process_wide: bool
) -> None:
    service, pins, context = (
        serve(dialogue=Http()),
        pin({"other.example.com": [world.leaf.pin]}),
        world.client_context(),
    )
    context.load_verify_locations(mitmproxy.cafile)
    url = f"https://{HOST}:{service.port}/"
    if process_wide:
        everywhere(pins)
    else:
        pins.client.ssl_context(context)

    assert client(url, mitmproxy.url, context) == b"hello"
    read, urls = mitmproxy.read_from_one_client()
    assert (read.partition(" ")[0], urls) == ("GET", [url])

    pins.switch({HOST: [world.leaf.pin]})
    so_far = bytes(service.received)
    with pytest.raises((OSError, httpx.ConnectError, aiohttp.ClientError)) as raised:
        client(url, mitmproxy.url, context)
    assert isinstance(find_pin_error(raised.value), PinMismatchError)
    assert mitmproxy.read_from_one_client() == ("", [])
    assert (service.finish(), pins.client.status().refused) == (so_far, 1)
