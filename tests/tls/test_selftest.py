"""The self-test: it holds where the gate closes, and fails wherever somebody broke it."""

import ssl
from typing import Any

import pytest
from pinned_service import WRONG

from pinwarden import tls
from pinwarden.selftest import SelfTestError

HOST = "localhost"


def test_the_selftest_holds_for_one_context_and_for_the_process(world: Any, pin: Any, everywhere: Any) -> None:
    pins = pin({HOST: [WRONG]}, options={"unpinned": "refuse"})
    alone = pins.client.selftest()
    everywhere(pins)
    assert pins.client.selftest()[: len(alone)] == alone
    assert "every SSLContext class of this process is hooked" in pins.client.selftest()


BREAKS = {
    "the judgement": ("_Gate._pw_judge", "SSLSocket"),
    "the judgement of sockets": ("_SocketGate._pw_judge", "SSLSocket"),
    "the judgement of objects": ("_ObjectGate._pw_judge", "SSLObject"),
}


@pytest.mark.parametrize(("broken", "kind"), BREAKS.values(), ids=BREAKS)
def test_the_selftest_fails_when_the_gate_does_not_close(
    pin: Any, monkeypatch: pytest.MonkeyPatch, broken: str, kind: str
) -> None:
    monkeypatch.setattr(f"pinwarden.tls.gate.{broken}", let_through, raising=False)
    with pytest.raises(SelfTestError, match=rf"wrong pin was let through \({kind}\)"):
        pin({HOST: [WRONG]}).client.selftest()


def let_through(gate: Any, *, may_block: bool) -> None:
    gate._pw_guard, gate._pw_token = gate, None
    gate.token = None


@pytest.mark.parametrize("kind", ["sslsocket_class", "sslobject_class"])
def test_the_selftest_fails_when_a_method_escapes_the_gate(
    pin: Any, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    armed = getattr(pin({HOST: [WRONG]}).client.ssl_context(), kind)
    name = "send" if kind == "sslsocket_class" else "write"
    monkeypatch.setattr(armed, name, getattr(armed.__bases__[1], name))
    with pytest.raises(SelfTestError, match="wrong pin was let through"):
        pin({HOST: [WRONG]}).client.selftest()


def test_the_selftest_fails_when_the_right_pin_would_be_refused(pin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pinwarden.tls.gate.pin_of", lambda certificate: bytes(31))
    with pytest.raises(SelfTestError, match="right pin was refused"):
        pin({HOST: [WRONG]}).client.selftest()


@pytest.mark.parametrize("kind", ["sslsocket_class", "sslobject_class"])
def test_the_selftest_fails_when_the_base_class_is_unhooked(
    pin: Any, everywhere: Any, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    pins = pin({HOST: [WRONG]})
    everywhere(pins)
    with monkeypatch.context() as patch:
        patch.setattr(ssl.SSLContext, kind, vars(ssl.SSLContext)[kind].original)
        with pytest.raises(SelfTestError, match=r"ssl\.SSLContext"):
            pins.client.selftest()
    assert "every SSLContext class of this process is hooked" in pins.client.selftest()


def test_the_selftest_fails_when_enforcement_was_lifted(pin: Any, everywhere: Any) -> None:
    pins = pin({HOST: [WRONG]})
    everywhere(pins)
    tls.lift_process()
    with pytest.raises(SelfTestError):
        pins.client.selftest()
