# ruff: noqa: E501  (a row is one line, so that the table reads as one)
"""Mutants of what a fetch accepts, of what a cache believes, and of what an update keeps."""

from functools import partial

from tests.mutants.mutant import Mutant

address, answer, cache, deadline, fetch, files, update = (
    partial(Mutant, room) for room in ("address", "answer", "cache", "deadline", "fetch", "owned_files", "update")
)

NETWORK = [
    answer("P1", "a body of any size", "        if len(body) > limit or received > limit + PIECE:", "        if False:"),
    answer("P1", "a body one byte too large", "        if len(body) > limit or", "        if len(body) > limit + 1 or"),
    answer("P1", "a bomb of gzip", "        inflated = inflater.decompress(piece, room)", "        inflated = inflater.decompress(piece)"),
    answer("P1", "half a body", "    if response.length or (inflater and not inflater.eof):", "    if False:"),
    answer("P1", "half a body of gzip", " or (inflater and not inflater.eof):", ":"),
    answer("P1", "what follows a gzip stream", "    if inflater.unused_data:", "    if False:"),
    answer("P1", "a head of any size", "        if self._left < 0:", "        if False:"),
    answer("HTTP", "another encoding", '    if encoding not in ("identity", "gzip"):', "    if False:"),
    answer("HTTP", "control characters in a log", 'character if character.isprintable() else "?"', "character"),
    deadline("HTTP", "an answer that drips for ever", "        self._line.settimeout(self._deadline.check())\n", ""),
    deadline("HTTP", "a step after the time is over", "        if left <= 0:", "        if False:"),
    fetch("P1", "a root of any size", "{version}\", ENVELOPE_LIMITS[ROOT_TYPE])", "{version}\", MAX_BUNDLE_BYTES)"),
    fetch("HTTP", "an error or a redirect taken for an answer", "            if response.status == 200:", "            if response.status != 304:"),
    fetch("HTTP", "a web page", '        if response.headers.get_content_type() == "text/html":', "        if False:"),
    fetch("HTTP", "Retry-After beyond an hour", "    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)", "    return max(seconds, 0.0)"),
    fetch("E10", "its own connection, judged by the document it fetches", "    return tls.exempt(context)  # spec E10", "    return context"),
    fetch("HTTP", "a server with any certificate", ".wrap_socket(line, server_hostname=self._address.host)", ".__class__(ssl.PROTOCOL_TLS).wrap_socket(line)"),
    fetch("HTTP", "plaintext to an https address", "                if self._address.secure:", "                if False:"),
    address("HTTP", "plain http beyond loopback", "    if not secure and not allow_http and not _is_loopback(host):", "    if False:"),
    address("HTTP", "any address taken for loopback", "        return ipaddress.ip_address(host).is_loopback", "        return bool(ipaddress.ip_address(host))"),
    address("HTTP", "credentials in an address", 'for mark in "@?# ")', 'for mark in "?# ")'),
    address("HTTP", "a password in a message", '    shown = repr(re.sub(r"//.*@", "//***@", url))', "    shown = repr(url)"),
    address("HTTP", "another scheme", '        parts.scheme not in ("https", "http")\n        or not host', "        not host"),
    files("C1", "a file of any size", "    if facts.st_size > limit:", "    if False:"),
    files("C3", "a file of someone else", "    if facts.st_uid not in (os.geteuid(), 0):", "    if False:"),
    files("C3", "a file that others may write", "    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):", "    if False:"),
    files("C3", "a file that the group may write", "(stat.S_IWGRP | stat.S_IWOTH)", "stat.S_IWOTH"),
    files("C3", "a device or a pipe", "    if not stat.S_ISREG(facts.st_mode):", "    if False:"),
    files("C3", "a link", "os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK", "os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK"),
    files("C3", "a write without a lock", "        _lock(descriptor)\n        yield", "        yield"),
    files("C3", "a lock without an end", "            if time.monotonic() >= end:", "            if False:"),
    files("C3", "a file that everyone may read and write", "os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)", "os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)"),
    files("C3", "a half-written file after a failure", "        with suppress(OSError):\n            temporary.unlink(missing_ok=True)\n        raise", "        raise"),
    files("C3", "a file written in part", "        while left:", "        if left:"),
    files("C3", "what a killed process left, for ever in the way", "        except FileExistsError:", "        except ZeroDivisionError:"),
    cache("C1", "a cache of another format", '    if value.get("format") != FORMAT:', "    if False:"),
    cache("C1", "a damaged cache that ends the start", "        except UntrustedError as error:\n            log.warning(\"cache %s is damaged", "        except ConfigError as error:\n            log.warning(\"cache %s is damaged"),
    cache("C1", "a cache that cannot be read, as another error", "        except OSError as error:\n            log.warning(\"cache %s cannot be read", "        except ConfigError as error:\n            log.warning(\"cache %s cannot be read"),
    cache("C3", "a write over what others kept", "                wanted = merge(found)", "                wanted = merge(KeptDocuments())"),
    cache("C3", "one file for all authorities", 'f"{authority}\\n{name}".encode()', "name.encode()"),
    cache("C3", "one file for all names", 'f"{authority}\\n{name}".encode()', "authority.encode()"),
    cache("C5", "a cache that cannot be written, as another error", "        except OSError as error:\n            raise CacheError(\n", "        except ConfigError as error:\n            raise CacheError(\n"),
    cache("C6", "evidence without a bound", "                    if len(list(self._folder.glob(f\"{self._path.stem}.*.evidence\"))) >= MAX_EVIDENCE:", "                    if False:"),
    cache("C6", "the first evidence, overwritten", "                if not path.exists():", "                if True:"),
    cache("E7", "an installation id of any length", "    if len(value) != INSTALLATION_BYTES:", "    if False:"),
    update("HTTP", "an ETag for another state", "if self._etag and self._etag[1] is state else None", "if self._etag else None"),
    update("V10", "the roots of a refused answer, lost", "            if error.state is not None and error.state.root.version > state.root.version:\n                self._keep(error.state)\n", ""),
    update("C5", "an update that waits for its cache", "        self._adopt(state)\n\n        def merge", "        def merge"),
    update("C5", "a cache that fails, in place of the update", "        except CacheError as error:\n            self.health", "        except ZeroDivisionError as error:\n            self.health"),
    update("C2", "what other processes kept, overwritten", "    raised = absorb(state, found)\n", "    raised = state\n"),
    update("C6", "what another client kept, displaced", "    if any(is_vouched_for(raised, view.shown) for view in views):", "    if False:"),
    update("C6", "good pins kept out by a retired key", "    if any(is_vouched_for(raised, view.shown) for view in views):", "    if views:"),
    update("C6", "a split view that nobody is told of", "        for view in views:\n            self.testimony.give(\"split-view\", view)\n", ""),
    update("V7", "two contents, and the evidence thrown away", "            if isinstance(error, EquivocationError):", "            if False:"),
    update("V4", "a walk without an end", "        for _ in range(MAX_ROOT_WALK):", "        while True:"),
    update("V4", "no walk", "            reached = self._walk_roots(state)", "            reached = state"),
]  # fmt: skip
