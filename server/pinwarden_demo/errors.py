"""
The two ways in which the demo itself fails, as opposed to what it demonstrates.

It may import the SDK's errors. Neither is ever raised for what a step measured: that is for the judge.
"""

from pinwarden.errors import PinwardenError


class CannotStart(PinwardenError):
    """A part that the demo needs is missing or did not start; nothing was measured."""


class CannotMeasure(PinwardenError):
    """A part that had started does not do its work any more, so that the step under way did not hold."""
