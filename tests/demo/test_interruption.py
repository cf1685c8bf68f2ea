"""An interruption is never lost, wherever in the program it arrives."""

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys, time, weakref
from pinwarden_demo.environment import interruptible, undisturbed

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)

def finalize(function, *arguments):
    weakref.finalize(set(), function, *arguments)

def busily():
    interrupt_is_due = time.monotonic() + 0.5
    while time.monotonic() < interrupt_is_due:
        pass

def complain():
    raise ValueError("a finalizer's own")

try:
    with interruptible():
        exec(sys.argv[1])
except KeyboardInterrupt:
    print("interrupted")
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
print(signal.getsignal(signal.SIGALRM) is signal.SIG_DFL)
print(sys.unraisablehook is sys.__unraisablehook__)
"""
AS_BEFORE = ["True", "True", "True"]


def run(block):
    """Run *block* as a program that may be interrupted; return the lines that it printed, and its errors."""
    command = [sys.executable, "-P", "-c", PROGRAM, block]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.stdout.splitlines(), done.stderr


@pytest.mark.parametrize(
    "block",
    [
        "interrupt(); time.sleep(50); print('never')",
        "finalize(interrupt); time.sleep(50); print('never')",
        # The second one arrives in a finalizer again.
        "finalize(interrupt); finalize(busily); time.sleep(50); print('never')",
    ],
    ids=["at rest", "in a finalizer", "in two finalizers"],
)
def test_an_interruption_ends_the_block_wherever_it_arrives(block):
    assert run(block) == (["interrupted", *AS_BEFORE], "")


def test_an_interruption_that_somebody_swallowed_ends_the_block_at_its_end():
    block = "try: interrupt()\nexcept BaseException: print('swallowed')"
    assert run(block) == (["swallowed", "interrupted", *AS_BEFORE], "")


def test_an_interruption_that_was_dropped_does_not_cut_a_clean_up_short():
    block = "with undisturbed():\n  print('begun')\n  busily()\n  print('cleaned')\nprint('never')"
    assert run(f"finalize(interrupt)\n{block}")[0] in (
        ["begun", "cleaned", "never", "interrupted", *AS_BEFORE],  # the alarm fell into the clean-up
        ["interrupted", *AS_BEFORE],  # or came before it
    )


def test_what_else_a_finalizer_raises_is_told_as_ever():
    printed, errors = run("finalize(complain); print('goes on')")
    assert printed == ["goes on", *AS_BEFORE]
    assert errors.splitlines()[-1] == "ValueError: a finalizer's own"
