# ruff: noqa: E501  (a row is one line, so that the table reads as one)
"""Mutants of the gate on sockets, of contexts and of hooks; the holes are those of docs/enforcement.md."""

from functools import partial

from tests.mutants.mutant import Mutant

gate, contexts, hooks = (partial(Mutant, f"tls/{room}") for room in ("gate", "contexts", "hooks"))

TLS = [
    gate("E4", "a socket that is not judged after its handshake", "        self._pw_judge(may_block=self.gettimeout() != 0.0)", "        self._pw_guard, self._pw_token = _FREE, None"),
    gate("E4", "an SSL object that is not judged after its handshake", "        self._pw_judge(may_block=True)", "        self._pw_guard, self._pw_token = _FREE, None"),
    gate("E4", "bytes that pass no gate", "        if self._pw_token is not self._pw_guard.token:\n            self._pw_gate()\n", ""),
    gate("hole 1", "a handshake inside the first read", "        if self._pw_guard is _UNDECIDED:\n            self._pw_first_byte()\n", "        if self._pw_guard is _UNDECIDED:\n            return\n"),
    gate("hole 2", "plaintext before any handshake", "            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))", "            self._pw_guard, self._pw_token = _FREE, None"),
    gate("hole 2", "bytes after a refusal", "            raise _fresh(self._pw_failure)\n        if self._pw_guard is _UNDECIDED:", "            pass\n        if self._pw_guard is _UNDECIDED:"),
    gate("hole 2", "a failure that is forgotten", "        self._pw_failure = _fresh(failure)\n", ""),
    gate("hole 2", "a refused socket that stays open", "        with suppress(OSError, ValueError):\n            base.shutdown(socket.SHUT_RDWR)  # makefile() objects may keep the descriptor open after close()\n        with suppress(OSError):\n            base.close()", "        return"),
    gate("hole 2", "a failed handshake that is forgotten", "            if not self.server_side:\n                self._pw_fail(failure)\n            raise", "            raise"),
    gate("hole 2", "a socket refused once, tried again", "            raise _fresh(self._pw_failure)\n        try:\n            self._pw_plain_do_handshake", "            pass\n        try:\n            self._pw_plain_do_handshake"),
    gate("hole 2", "a refusal hidden by the closed socket's own error", "        self.settimeout = self.setblocking = repeat", "        pass"),
    gate("hole 2", "an SSL object refused once, tried again", "            raise _fresh(self._pw_failure)\n        super().do_handshake()", "            pass\n        super().do_handshake()"),
    gate("E4", "a guard that fails in another way", "        except Exception as failure:\n            self._pw_fail(failure)\n            raise\n        self._pw_guard = guard", "        except Exception as failure:\n            self._pw_fail(failure)\n        self._pw_guard = guard"),
    gate("E8", "open connections, never judged again", "            self._pw_judge(may_block=False)", "            self._pw_token = self._pw_guard.token"),
    gate("E5", "a chain that nobody verified, taken for verified", "        verified = self._pw_weakest != 0 and mode_of(self.context) != 0", "        verified = True"),
    gate("E5", "an unverified leaf, taken for verified", "            return Chain((leaf,) if leaf else (), False, ", "            return Chain((leaf,) if leaf else (), True, "),
    gate("hole 6", "a mode that was weaker at the beginning", "        verified = self._pw_weakest != 0 and mode_of(self.context) != 0", "        verified = mode_of(self.context) != 0"),
    gate("hole 6", "a mode that is weaker at the check", "        verified = self._pw_weakest != 0 and mode_of(self.context) != 0", "        verified = self._pw_weakest != 0"),
    gate("hole 6", "a mode that was weaker when the socket was made", "            self._pw_weakest = min(mode, mode_of(context))\n        if do_handshake_on_connect:", "            pass\n        if do_handshake_on_connect:"),
    gate("hole 6", "a mode that was weaker before the socket was made", "        if mode != _REQUIRED or mode_of(context) != _REQUIRED:", "        if mode_of(context) != _REQUIRED:"),
    gate("hole 6", "a mode that was weaker after the socket was made", "        if mode != _REQUIRED or mode_of(context) != _REQUIRED:", "        if mode != _REQUIRED:"),
    gate("E4", "a socket that is not judged as soon as it connects", "            self._pw_token = guard.admit(self.server_hostname, self._pw_read_chain, True, self._pw_read_key)\n            self._pw_guard = guard\n        except", "            self._pw_guard, self._pw_token = _FREE, None\n        except"),
    gate("E4", "a subclass whose own handshake is left out", "            if type(self).do_handshake is not _SocketGate.do_handshake:", "            if False:"),
    gate("hole 6", "a mode that was weaker when gevent's socket was made", "        self._pw_weakest = min(self._pw_weakest, mode, mode_of(context))\n", ""),
    gate("hole 6", "a mode that was weaker when the object was made", "        if guard is not None:\n            self._pw_weakest = min(mode, mode_of(context))\n        return self", "        return self"),
    gate("hole 6", "a mode that was weaker at the connect", "        self._pw_note_mode(self.context)\n        return super()._real_connect(*args)", "        return super()._real_connect(*args)"),
    gate("E6", "a resumed session as a verified chain", "self._sslobj is None or self._sslobj.session_reused:", "self._sslobj is None:"),
    gate("E2", "the chain as it was sent", "self._sslobj.get_verified_chain()", "self._sslobj.get_unverified_chain()"),
    gate("E2", "the leaf alone of a verified chain", "self._sslobj.get_verified_chain()", "self._sslobj.get_verified_chain()[:1]"),
    gate("hole 7", "a session of a weaker mode on a socket", "            session = prepare(context, guard, server_hostname, session)\n", ""),
    gate("hole 7", "a session of a weaker mode on gevent's socket", "        _prepare_arguments(context, guard, kwargs)\n        at_once", "        at_once"),
    gate("hole 7", "a session of a weaker mode on an SSL object", "        if guard is not None:\n            _prepare_arguments(context, guard, kwargs)\n        mode", "        mode"),
    # recvmsg(), recvmsg_into() and sendmsg() of ssl.SSLSocket refuse always.
    *(
        gate("E4", f"bytes that pass no gate through {name}()", f'    "{name}",\n', "")
        for name in (
            "read", "recv", "recv_into", "recvfrom", "recvfrom_into", "send", "sendall", "sendfile", "sendto", "write",
        )
    ),
    gate("E4", "bytes that pass no gate of an SSL object", '_OBJECT_METHODS = ("read", "write")', '_OBJECT_METHODS = ("write",)'),
    gate("E4", "bytes written that pass no gate of an SSL object", '_OBJECT_METHODS = ("read", "write")', '_OBJECT_METHODS = ("read",)'),
    contexts("E10", "the pin server's own connection, judged", "    if _EXEMPT in own:\n        return None\n", ""),
    contexts("E10", "an exempt context whose inner one is judged", "    for inner in with_inner(context):\n        inner.__dict__[_EXEMPT] = True", "    context.__dict__[_EXEMPT] = True"),
    contexts("E4", "a second guard that takes the first one's place", "    if guard is not None and _process_guard is not None and _process_guard is not guard:", "    if False:"),
    contexts("E4", "a context's own guard behind the process's", "own.get(_GUARD, _process_guard)", "_process_guard or own.get(_GUARD)"),
    contexts("E4", "a process's guard that judges nothing", "own.get(_GUARD, _process_guard)", "own.get(_GUARD)"),
    contexts("hole 5", "renegotiation", "    if not options & NO_RENEGOTIATION:", "    if False:"),
    contexts("hole 5", "renegotiation in a context of the process", "    forbid_renegotiation(context)\n    return None if session", "    return None if session"),
    contexts("hole 7", "sessions that were made under a weaker mode", "    return None if session is not None and guard.expects(_as_text(host)) else session", "    return session"),
    contexts("hole 7", "sessions for hosts that nobody pins, lost", "    return None if session is not None and guard.expects(_as_text(host)) else session", "    return None"),
    contexts("hole 3", "an inner context without a guard", "    if isinstance(inner, real_context_class()):\n        yield inner", "    if False:\n        yield inner"),
    hooks("E10", "exempt contexts whose sockets are armed", "        return base if is_exempt(context) else armed(base)", "        return armed(base)"),
    hooks("E4", "contexts of the process whose sockets are not armed", "        return base if is_exempt(context) else armed(base)", "        return base"),
    hooks("hole 3", "a class set on one context", "        base = context.__dict__.get(self.name) or self.original", "        base = self.original"),
    hooks("hole 4", "subclasses of SSLContext with a class of their own", "        queue.extend(owner.__subclasses__())\n", ""),
    hooks("hole 4", "a class attribute that nobody hooks", "            setattr(owner, name, _ClassHook(name, own))", "            pass"),
    hooks("hole 4", "classes that are defined after installation", "    _hook(cls)\n", ""),
    hooks("hole 4", "a context class that escapes, unsaid", "        if any(name in owner.__dict__ and not isinstance(owner.__dict__[name], _ClassHook) for name in _HOOKED)", "        if False"),
    hooks("E4", "a server's context, armed", "    if context.protocol == ssl.PROTOCOL_TLS_SERVER:", "    if False:"),
    hooks("E4", "an armed context without its guard", "        put_guard(inner, guard)\n", ""),
    hooks("E4", "an armed context with plain sockets", "            setattr(inner, name, armed(getattr(inner, name)))", "            pass"),
    hooks("E4", "a process without a guard", "    check_platform()\n    set_process_guard(guard)\n", "    check_platform()\n"),
]  # fmt: skip
