"""
How the command line of this package says no, beyond what every part of Pinwarden shares.

It may import the shared part and the errors.
"""

from typing import ClassVar

from pinwarden.cli.refusals import WAITING, ExitCodes
from pinwarden.cli.refusals import RefusingGroup as SharedGroup
from pinwarden_keys.errors import MissingSignaturesError


class RefusingGroup(SharedGroup):
    """A group whose commands raise PinwardenError to refuse; a root that waits for signatures is no refusal."""

    exit_codes: ClassVar[ExitCodes] = ((MissingSignaturesError, WAITING), *SharedGroup.exit_codes)
