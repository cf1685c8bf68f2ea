"""Celery's prefork pool: the client is made in the master, the tasks run in children that billiard forks."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.life.conftest import PROGRAM_SECONDS, end
from tests.waiting import until

TASKS = """
import os
from celery import Celery
from application import call, context_of, make, refresh_threads

folder = os.environ["STAGE_QUEUES"]
app = Celery("tasks", broker="filesystem://", backend=f"file://{folder}/results")
app.conf.broker_transport_options = {"data_folder_in": f"{folder}/in", "data_folder_out": f"{folder}/in"}
app.conf.worker_send_task_events = False
pins = make().start()
context = context_of(pins)


@app.task
def connect():
    return [os.getpid(), pins.status().version, call(context), refresh_threads()]
"""

SEND = """
import json, sys
from tasks import connect, pins

pins.close()
waiting = [connect.delay() for _ in range(8)]
print(json.dumps([one.get(timeout=30, interval=0.05) for one in waiting]))
"""


def test_the_children_of_a_prefork_pool_are_pinned_and_learn_of_new_pins(stage: Any, tmp_path: Path) -> None:
    for name in ("in", "results"):
        (tmp_path / "queues" / name).mkdir(parents=True)
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "send.py").write_text(SEND)
    environ = {**stage.environ, "STAGE_QUEUES": str(tmp_path / "queues"), "PYTHONWARNINGS": ""}
    command = [sys.executable, "-m", "celery", "--app", "tasks", "worker", "--pool", "prefork", "--concurrency", "2"]
    log = tmp_path / "celery.log"
    with log.open("wb") as stream:
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO"]
        worker = subprocess.Popen([*command, *quiet], cwd=tmp_path, env=environ, stdout=stream, stderr=stream)

    def answers() -> list[list[Any]]:
        done = subprocess.run(
            [sys.executable, "send.py"],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        told: list[list[Any]] = json.loads(done.stdout)
        return told

    try:
        first = answers()
        stage.publish(b"x" * 32)
        until(lambda: {tuple(answer[1:]) for answer in answers()} == {(2, "PinMismatchError", 1)})
        worker.terminate()
        assert worker.wait(PROGRAM_SECONDS) == 0
    except AssertionError as error:
        error.add_note(log.read_text())
        raise
    finally:
        end(worker)
    assert {tuple(answer[1:]) for answer in first} == {(1, "ok", 1)}
    assert worker.pid not in {answer[0] for answer in first}
    assert "Traceback" not in log.read_text()
