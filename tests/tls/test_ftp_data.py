"""FTP opens a second connection for each file: it is judged by itself, whatever was said on the first one."""

from collections.abc import Callable
from typing import Any

import pytest
from pinned_clients_mail import fetch_by_ftp, store_by_ftp
from pinned_dialogues import Lines
from pinned_peers import Peer
from pinned_service import SECRET

from pinwarden import PinMismatchError

HOST = "localhost"


def swallow(stream: Any) -> None:
    """Take a file that is uploaded."""
    while stream.recv():
        pass
    stream.say_farewell()  # ftplib waits for it


def offer(stream: Any) -> None:
    """Send a file that is downloaded."""
    stream.sendall(SECRET)
    stream.say_farewell()


@pytest.fixture
def file_server(serve: Any) -> Callable[[Any, Any], tuple[Peer, Peer]]:
    """Return a function that starts the service's control connection and, behind *chain*, its data connection."""

    def start(chain: Any, dialogue: Any) -> tuple[Peer, Peer]:
        data_peer = serve(chain, dialogue)
        said = Lines(
            "220 ready",
            {
                "AUTH": "234 go",
                "USER": "331 go on",
                "PASS": "230 in",
                "PBSZ": "200 so",
                "PROT": "200 private",
                "TYPE": "200 so",
                "PASV": f"227 here (127,0,0,1,{data_peer.port >> 8},{data_peer.port & 255})",
                "STOR": "150 come\r\n226 taken",
                "RETR": "150 here\r\n226 given",
            },
            "AUTH",
        )
        return serve(dialogue=said, prelude=said.prelude), data_peer

    return start


@pytest.mark.parametrize("process_wide", [False, True], ids=["one context", "whole process"])
def test_an_upload_over_an_intercepted_data_connection_sends_nothing(
    world: Any, pin: Any, everywhere: Any, file_server: Any, process_wide: bool
) -> None:
    pins, ordinary = pin({HOST: [world.leaf.pin]}), world.client_context()
    control, intercepted = file_server(world.bought, swallow)
    store_by_ftp(control.port, ordinary, SECRET)
    assert intercepted.finish() == SECRET  # ordinary checks are content
    context = ordinary if process_wide else pins.context()
    if process_wide:
        everywhere(pins)
    control, intercepted = file_server(world.bought, swallow)
    with pytest.raises(PinMismatchError) as refused:
        store_by_ftp(control.port, context, SECRET)
    assert (refused.value.host, intercepted.finish(), intercepted.connections) == (HOST, b"", 1)
    assert b"STOR" in control.finish()
    control, honest = file_server(world.honest, swallow)
    store_by_ftp(control.port, context, SECRET)
    assert (honest.finish(), pins.client.status().refused) == (SECRET, 1)


def test_a_download_over_an_intercepted_data_connection_gives_nothing(world: Any, pin: Any, file_server: Any) -> None:
    context = pin({HOST: [world.leaf.pin]}).context()
    control, _ = file_server(world.bought, offer)
    assert fetch_by_ftp(control.port, world.client_context()) == SECRET
    control, _ = file_server(world.bought, offer)
    with pytest.raises(PinMismatchError):
        fetch_by_ftp(control.port, context)
    control, _ = file_server(world.honest, offer)
    assert fetch_by_ftp(control.port, context) == SECRET
