"""
What a request about a change is answered with, and the same answer when the same request comes again.

It may import ``commit`` and ``publishing``, which keep and replay answers. It changes nothing.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError

from pinwarden_server.commit import kept_answer
from pinwarden_server.errors import ApprovalRefused, Conflict, SignatureRefused
from pinwarden_server.publishing import replayed
from pinwarden_server.site import Act, Published, Site
from pinwarden_server.store import ChangeRow

_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Waiting:
    """A change that was not published now; *replayed*: this very request was answered before, nothing was done now."""

    row: ChangeRow
    replayed: bool = False


Outcome = Published | Waiting


class MovedMeanwhile(Exception):
    """A renewal moved the change along to a new version of the same content: judge it again."""


def once(site: Site, by: Act, first: Callable[[], Outcome]) -> Outcome:
    """Return what *first* does, or the answer that the same request got before or meanwhile."""
    answered = _answered(site, by)
    if answered:
        return answered
    try:
        return first()
    except (Conflict, SignatureRefused, ApprovalRefused):
        # A request that is sent again before its first answer came finds its own change, or deed, in the way.
        answered = _answered(site, by)
        if answered is None:
            raise
        return answered


def repeatedly(number: int, attempt: Callable[[], Outcome | None]) -> Outcome:
    """Return what *attempt* does to the change *number*; None: somebody moved it, and all is judged again. Conflict."""
    for _ in range(_ROUNDS):
        with suppress(MovedMeanwhile):
            outcome = attempt()
            if outcome:
                return outcome
    raise Conflict(f"change {number} or its pin set moved {_ROUNDS} times meanwhile", hint="Repeat the request.")


@contextmanager
def twice_at_once() -> Iterator[None]:
    """Make a conflict of what the database refuses to store twice: answers are kept in the transaction of the deed."""
    try:
        yield
    except IntegrityError as error:
        raise Conflict("the same Idempotency-Key came twice at once", hint="Repeat the request.") from error


def _answered(site: Site, by: Act) -> Outcome | None:
    kept = kept_answer(site, by)
    if kept is None:
        return None
    value = json.loads(kept)
    return Waiting(site.store.reader.change(value["change"]), True) if "change" in value else replayed(site, by)
