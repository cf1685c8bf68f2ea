"""The one way in which the demo says that it cannot begin. It may import the SDK's errors."""

from pinwarden.errors import PinwardenError


class CannotStart(PinwardenError):
    """A part that the demo needs is missing or did not start; nothing was measured."""
