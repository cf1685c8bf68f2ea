# ruff: noqa: E501  (a row is one line, so that the table reads as one)
"""Mutants of several servers, of what a report says and where it goes, and of waiting over forks and sleep."""

from functools import partial

from tests.mutants.mutant import Mutant

background, delivery, once, reports, servers, witness = (
    partial(Mutant, room) for room in ("background", "delivery", "once", "reports", "servers", "witness")
)

LIFE = [
    servers("HTTP", "an ETag of another server", "        own = etag if etag == server.etag else None", "        own = etag"),
    servers("V10", "a refused answer that ends the search", "            except (UntrustedError, FetchError) as error:", "            except FetchError as error:"),
    servers("HTTP", "a server that fails, asked first for ever", "        return server.rested if server.rested > elapsed.seconds() else 0.0", "        return 0.0"),
    servers("HTTP", "a copy that confirms stale pins, taken for an answer", "            if is_enough:", "            if True:"),
    servers("V10", "a refusal behind a failure", "        if isinstance(error, UntrustedError):", "        if False:"),
    servers("HTTP", "a Retry-After that one of several asks for", "    if isinstance(first, FetchError):\n        first.retry_after = min(waits) if len(waits) == len(errors) else None\n", ""),
    background("HTTP", "a refresh that the machine slept over, much later", "            if wake.wait(min(left, MAX_STRETCH_SECONDS)):", "            if wake.wait(left):"),
    background("HTTP", "all children of one parent at once", "first_wait=_random(0.0, self._interval) if self._failures == 0 else 0.0", "first_wait=0.0"),
    background("HTTP", "a child that keeps its pins for ever", "        if self.is_lost:\n", "        if False:\n"),
    once("HTTP", "a lock that a forked child waits for", "        value = instance.__dict__[self._name] = self._compute(instance)", "        with self.__dict__.setdefault('lock', __import__('threading').RLock()):\n            value = instance.__dict__[self._name] = self._compute(instance)"),
    witness("E7", "a report that nobody asked for", "if self._report is None or policy.pinset.report_to is None or rule is None:", "if self._report is None or rule is None:"),
    witness("E3", "a denied key, reported as an unknown one", '"denied" if refusal.denied else "blocked"', '"blocked"'),
    reports("E7", "a report for each connection", "(last is not None and now - last < REPEAT_SECONDS)", "(last is not None and now - last < 0)"),
    reports("E7", "reports without number, while the receiver is away", "        if len(self._queue) >= MAX_WAITING or not", "        if not"),
    reports("E7", "hosts without number, remembered for an hour", "            if len(self._last) >= MAX_KEYS:\n                return False\n", ""),
    reports("E7", "a receiver that is away, asked without a pause", "            self._due = now + max(pause, result.retry_after or 0.0)", "            self._due = now"),
    reports("E7", "certificates that the application did not offer", "finding if self._certificates else finding.without_certificates()", "finding"),
    delivery("E10", "a receiver with any certificate", "context.wrap_socket(line, server_hostname=connection.host)", "ssl._create_unverified_context().wrap_socket(line)"),
    delivery("E7", "a redirect taken for an answer", "not 200 <= status < 300", "not 200 <= status < 400"),
    delivery("E7", "a report lost because the receiver is busy", "                if status >= 500 or status in _LATER:", "                if False:"),
]  # fmt: skip
