"""
A client whose pins come from an authority in the same process: no server, no cache on disk, no network.

It may import PinClient and the authority. What it fetches is judged like anybody's bundle, so a test that publishes
something bad sees the refusal that an application would see.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pinwarden.bundle import MAX_BUNDLE_ROOTS
from pinwarden.cache import MemoryCache
from pinwarden.client import PinClient
from pinwarden.documents import Host
from pinwarden.errors import FetchError
from pinwarden.status import Status
from pinwarden.testing.authority import ThrowawayAuthority
from pinwarden.update import Updater

_NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing here ever asks it


class ThrowawayPins(PinClient):
    """
    A PinClient for tests: give it hosts and pins, and hand it to the code under test.

    ``refresh()`` brings what its authority has published last, through every check.

    Args:
        hosts: what to publish at once, as for :meth:`ThrowawayAuthority.publish`; None leaves the client empty, in the
            state of an application that never reached its pin server.
        authority: who signs; default: a new ThrowawayAuthority.
        options: those of PinClient (``unpinned=``, ``when_empty=``, ``clock=``, ...), and ``cache=``.

    Attributes:
        authority: signs and publishes; use it for what :meth:`publish` does not do.
    """

    def __init__(
        self,
        hosts: Iterable[Host] | Mapping[str, Sequence[bytes]] | None = None,
        *,
        authority: ThrowawayAuthority | None = None,
        **options: Any,
    ) -> None:
        self.authority: ThrowawayAuthority = authority or ThrowawayAuthority()
        options.setdefault("cache", MemoryCache())
        super().__init__(_NOWHERE, pinset=self.authority.name, root=self.authority.root_json, **options)
        self._refresher.updater = Updater(
            _Published(self.authority), self._cache, adopt=self._adopt, health=self._health
        )
        if hosts is not None:
            self.publish(hosts)

    def publish(self, hosts: Iterable[Host] | Mapping[str, Sequence[bytes]], **changes: Any) -> Status:
        """
        Publish *hosts* as the next version, have this client adopt it, and return its status.

        Raises:
            UntrustedError: *changes* made it a pin set that no client accepts.
        """
        self.authority.publish(hosts, **changes)
        return self.refresh()


class _Answer(NamedTuple):
    """A 200 answer, for ``update.Source``."""

    body: bytes
    etag: str | None = None


class _Published:
    """What an authority has published, as ``update.Source``."""

    def __init__(self, authority: ThrowawayAuthority) -> None:
        self._authority = authority

    def bundle(self, name: str, root_version: int, *, held: tuple[int, int] | None, etag: str | None) -> _Answer | None:
        """Return the current bundle; FetchError 404 where there is none that fits, as a server would answer."""
        if self._authority.current is None:
            raise FetchError("the authority of this test has published nothing", status=404)
        if len(self._authority.roots) - root_version > MAX_BUNDLE_ROOTS:
            raise FetchError(f"root {root_version} is too old for one bundle", status=404)
        return _Answer(self._authority.bundle(root=root_version).to_bytes())

    def root(self, version: int) -> bytes | None:
        """Return the envelope of a root, or None."""
        roots = self._authority.roots
        return roots[version - 1].to_bytes() if version <= len(roots) else None
