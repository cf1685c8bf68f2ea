"""
How the command line of this package says no, beyond what every part of Pinwarden shares.

It may import the shared part and the errors.
"""

from typing import ClassVar

from pinwarden.cli.refusals import UNAVAILABLE, WAITING, ExitCodes
from pinwarden.cli.refusals import RefusingGroup as SharedGroup
from pinwarden_keys.errors import KeeperAwayError, MissingSignaturesError


class RefusingGroup(SharedGroup):
    """A group whose commands raise PinwardenError to refuse; neither what waits nor what is away is a refusal."""

    exit_codes: ClassVar[ExitCodes] = (
        (MissingSignaturesError, WAITING),
        (KeeperAwayError, UNAVAILABLE),
        *SharedGroup.exit_codes,
    )
