"""
Bounded load on one address over a few kept connections: ``wrk`` where it is installed, else this process.

It may open sockets on loopback. It sends no more than it was asked to, and stops.
"""

import re
import selectors
import shutil
import socket
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 4
ANSWER_SECONDS = 10
WRK = shutil.which("wrk")


@dataclass(frozen=True, slots=True)
class Burst:
    """What one turn of load showed; *cpu* is the seconds that the worker used."""

    requests: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds

    @property
    def cpu_each(self) -> float:
        """The worker's CPU seconds for one request."""
        return self.cpu / self.requests


def burst(port: int, path: str, worker: int, requests: int) -> Burst:
    """Send *requests* requests (with wrk: half a second's worth of them) and return what it took."""
    before = cpu_seconds(worker)
    start = time.perf_counter()
    done = _wrk(port, path) if WRK else _send(port, path, requests)
    seconds = time.perf_counter() - start
    return Burst(done, seconds, cpu_seconds(worker) - before)


def cpu_seconds(process: int) -> float:
    """Return the CPU seconds of all threads of *process*, as the scheduler counts them, in nanoseconds inside."""
    total = 0
    for task in Path(f"/proc/{process}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def _wrk(port: int, path: str) -> int:
    assert WRK
    command = [WRK, "-t1", f"-c{CONNECTIONS}", "-d1s", f"http://127.0.0.1:{port}{path}"]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    match = re.search(r"(\d+) requests in ", report)
    if match is None or "Non-2xx" in report or "Socket errors" in report:
        raise RuntimeError(f"wrk met with errors:\n{report}")
    return int(match[1])


def _send(port: int, path: str, requests: int) -> int:
    """Keep one request under way on each connection until *requests* were answered."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nPinwarden-Held: 1.1\r\n\r\n".encode()
    selector = selectors.DefaultSelector()
    lines = [_connected(port) for _ in range(CONNECTIONS)]
    length = _first_answer(lines[0], request)
    buffer = bytearray(length)
    for line in lines:
        selector.register(line, selectors.EVENT_READ)
        line.sendall(request)
    sent, answered = len(lines), 0
    while answered < requests:
        ready = selector.select(ANSWER_SECONDS)
        if not ready:
            raise RuntimeError(f"no answer within {ANSWER_SECONDS} s")
        for key, _ in ready:
            line = key.fileobj
            assert isinstance(line, socket.socket)
            if line.recv_into(buffer, length, socket.MSG_WAITALL) != length:
                raise RuntimeError("the server closed a connection, or answered something else")
            answered += 1
            if sent < requests:
                line.sendall(request)
                sent += 1
    for line in lines:
        line.close()
    return answered


def _connected(port: int) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port))
    # Not settimeout(), under which MSG_WAITALL would not wait.
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", ANSWER_SECONDS, 0))
    return line


def _first_answer(line: socket.socket, request: bytes) -> int:
    """Return the length of an answer, which all have in common, after a look at one."""
    line.sendall(request)
    head, _, rest = line.recv(65536).partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"the server answered {head[:80]!r}")
    match = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    assert match
    while len(rest) < int(match[1]):
        rest += line.recv(65536)
    return len(head) + 4 + len(rest)
