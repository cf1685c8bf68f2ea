"""
Clients that each lack one check, to prove that the suite notices.

It may import the plain client. What stands here must never be taken as an example of anything.
"""

import hashlib
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

from tests.conformance.clients.plain.client import KeepingClient
from tests.vectors.plain_client import Envelope, Held, read_root

LONG_AGO = datetime.min.replace(tzinfo=UTC)


class NoTimestampSignature(KeepingClient):
    """Takes a timestamp from anybody."""

    def role(self, kind: str, root: Any = None) -> Any:
        role = super().role(kind, root)
        return {**role, "threshold": 0} if kind == "timestamp" else role


class NoThreshold(KeepingClient):
    """Is content with one signature."""

    def role(self, kind: str, root: Any = None) -> Any:
        return {**super().role(kind, root), "threshold": 1}


class NoRollbackCheck(KeepingClient):
    """Has no floors."""

    @property
    def floors(self) -> dict[str, Held]:
        return {}

    @floors.setter
    def floors(self, floors: dict[str, Held]) -> None:
        """Forget them."""


class NoExpiry(KeepingClient):
    """Lives in the year 1, but for times of issue."""

    def _judge(self, envelope: Envelope, now: datetime, effective: datetime) -> Held:
        return super()._judge(envelope, now, LONG_AGO)


class NoDigest(KeepingClient):
    """Compares the numbers of a pin set with its timestamp, and not its bytes."""

    def _judge(self, envelope: Envelope, now: datetime, effective: datetime) -> Held:
        held = super()._judge(envelope, now, effective)
        if envelope.kind == "timestamp":
            self._stamped = held
        else:
            digest = b64encode(hashlib.sha256(envelope.payload).digest()).decode()
            self._stamped.document["pinset"].update(sha256=digest, length=len(envelope.payload))
        return held


class OneSidedRotation(KeepingClient):
    """Asks only the old root keys."""

    def take_root(self, envelope: Envelope) -> None:
        envelope.check_signed(self.chain[-1]["roles"]["root"])
        self.chain.append(read_root(envelope.payload, self.small_order))
        self.root_envelopes.append(envelope)


class EarlyFloor(KeepingClient):
    """Keeps the floor of a timestamp whose pin set was not judged yet."""

    def _judge(self, envelope: Envelope, now: datetime, effective: datetime) -> Held:
        held = super()._judge(envelope, now, effective)
        self.floors[envelope.kind] = held
        return held


class ForgetfulClient(KeepingClient):
    """Believes nothing of its cache, not even floors."""

    def load(self, roots: list[Envelope], timestamps: list[Envelope], pinsets: list[Envelope]) -> None:
        for envelope in roots:
            self.take_root(envelope)


class OldKeysStayGood(KeepingClient):
    """Judges what it holds by the root under which it came."""

    def vouched(self, held: Held, root: Any = None) -> bool:
        return any(super(OldKeysStayGood, self).vouched(held, each) for each in self.chain)
