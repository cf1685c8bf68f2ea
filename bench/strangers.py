"""
Strangers who try to log in, each from ever new addresses of loopback, until standard input ends.

It may open sockets on loopback. It says once that everyone had an answer, and at its end how many attempts were judged
and how many were sent away.
"""

import json
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

BODIES = {
    "link": {"link": f"pwl_{'0' * 16}_{'A' * 43}"},
    "password": {"account": "breaker", "password": "correct horse battery"},
}
JUDGED, SENT_AWAY = 401, 429


def main(port: str, kind: str, number: str) -> None:
    """Try until standard input ends."""
    over, heard = threading.Event(), threading.Barrier(int(number) + 1)
    with ThreadPoolExecutor(int(number)) as seats:
        trying = [seats.submit(_try, int(port), kind, seat, over, heard) for seat in range(int(number))]
        heard.wait()
        sys.stdout.write("all were heard\n")
        sys.stdout.flush()
        sys.stdin.read()
        over.set()
        answers = sum((each.result() for each in trying), Counter[int]())
    if answers.keys() - {JUDGED, SENT_AWAY}:
        raise RuntimeError(f"logins were answered with {dict(answers)}")
    print(answers[JUDGED], answers[SENT_AWAY])


def _try(port: int, kind: str, seat: int, over: threading.Event, heard: threading.Barrier) -> Counter[int]:
    body, answers = json.dumps(BODIES[kind]), Counter[int]()
    while not over.is_set():
        count = answers.total()
        source = (f"127.{seat + 1}.{count // 250 % 250}.{count % 250 + 1}", 0)
        connection = HTTPConnection("127.0.0.1", port, timeout=60, source_address=source)
        connection.request("POST", "/admin/v1/logins", body, {"Content-Type": "application/json"})
        answers[connection.getresponse().status] += 1
        connection.close()
        if count == 0:
            heard.wait()
    return answers


if __name__ == "__main__":
    main(*sys.argv[1:])
