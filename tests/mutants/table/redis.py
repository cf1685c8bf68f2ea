# ruff: noqa: E501  (a row is one line, so that the table reads as one)
"""Mutants of the cache that a fleet shares in Redis: what is written over what, what is read, and who believes it."""

from functools import partial

from tests.mutants.mutant import Mutant

cache, scripts, line, link, fleet, hints = (
    partial(Mutant, f"cache_redis/{room}") for room in ("cache", "scripts", "line", "link", "fleet", "hints")
)

REDIS = [
    scripts("C4", "a lower pin set over a higher one", "    local pins = npe > pe or (npe == pe and npv >= pv)", "    local pins = true"),
    scripts("C4", "a lower timestamp over a higher one", "    local times = nte > te or (nte == te and ntv >= tv)", "    local times = true"),
    scripts("C4", "a write that overtakes another unseen", "    if not (pins and times) or ARGV[2] == there then return 0 end", "    if ARGV[2] == there then return 0 end"),
    scripts("C4", "a value of any size, read whole", "  elseif size > tonumber(ARGV[at]) then", "  elseif false then"),
    scripts("C4", "a value that nobody can read, left for ever", "elseif redis.call('STRLEN', KEYS[1]) > tonumber(ARGV[7]) then", "elseif false then"),
    scripts("C4", "documents that never end", "redis.call('EXPIREAT', KEYS[1], ARGV[4])", ""),
    scripts("C6", "evidence that later evidence replaces", "if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end", ""),
    cache("C4", "a writer that is overtaken, and does not read again", "            for _ in range(_ROUNDS):", "            for _ in range(1):"),
    cache("C4", "documents that no reader would take, written", "        if len(newest) > MAX_NEWEST_BYTES:", "        if False:"),
    cache("C4", "pin sets of one name in the place of another", '        self._tag = f"pinwarden:1:{{{authority}/{name}}}"', '        self._tag = f"pinwarden:1:{{{authority}}}"'),
    line("C4", "an answer without an end", "        if self._left < 0:", "        if False:"),
    line("C4", "bytes that drip for as long as they like", "        self._socket.settimeout(self._deadline.check())", "        self._socket.settimeout(0.25)"),
    line("C4", "calls that add up", "        return Deadline(min(seconds, self.call.check()) if self.call else seconds)", "        return Deadline(seconds)"),
    link("C4", "a server with any certificate", "        context = ssl.create_default_context(cafile=address.ca_file)", "        context = ssl._create_unverified_context(cafile=address.ca_file)"),
    link("E10", "a connection to Redis that pins judge", "    return tls.exempt(context)", "    return context"),
    fleet("C5", "news that spare a client each of its questions", "        self._was_spared = self._news.is_set() and not self._was_spared", "        self._was_spared = self._news.is_set()"),
    fleet("C6", "two contents of one version, unsaid", '            self.testimony.give("split-view", view)', "            pass"),
    hints("C5", "a look for every hint", "any(head.promises_more_than(held) for head in map(Head.parse, heard) if head)", "any(map(Head.parse, heard))"),
    hints("C5", "a flood of promises, each looked at", "self._pause = MIN_PAUSE_SECONDS if found else min(2 * self._pause, MAX_PAUSE_SECONDS)", "self._pause = 0.0"),
]  # fmt: skip
