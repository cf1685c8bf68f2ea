"""
What a publication stands on: the roots, what the newest one grants, and what is in force.

It may import the site, and from ``commit`` the error of a version that is not in force. It reads and judges names and
versions; it signs and writes nothing.
"""

from pinwarden.documents import Grant, Root, check_name
from pinwarden.errors import MalformedError, WrongPinSetError
from pinwarden_server.commit import stale
from pinwarden_server.errors import BadDraft, Conflict, NotFound, Tag, Violation
from pinwarden_server.signing import Ground
from pinwarden_server.site import Site
from pinwarden_server.store import Current


def survey(site: Site, name: str) -> Ground:
    """
    Read what a publication of *name* stands on.

    Raises:
        BadDraft: not a name. Conflict: no root, or none that grants the name.
    """
    try:
        check_name(name)
    except MalformedError as error:
        violation = Violation("DRAFT", "", str(error.what), "Names are lower-case letters, digits and . _ -")
        raise BadDraft(error.what, expected=error.expected, got=error.got, violations=[violation]) from error
    roots = site.store.reader.roots()
    if not roots:
        raise Conflict("no root is published", hint="Run `pinwarden server init FOLDER --root root.json`.")
    ground = Ground(name, roots, Root.parse(roots[-1].payload), site.store.reader.find_current(name))
    grant_of(ground)
    return ground


def survey_at(site: Site, name: str, expected: Tag | None) -> Ground:
    """
    Read what a publication of *name* stands on, in place of version *expected*; None: of nothing.

    Raises:
        StaleVersion: another version is in force. NotFound: none is, and one is expected. Else as :func:`survey`.
    """
    ground = survey(site, name)
    if expected is not None:
        current_of(ground)
    if ground.tag != expected:
        raise stale(name, expected, ground.tag)
    return ground


def grant_of(ground: Ground) -> Grant:
    """Return what the newest root allows for this name; Conflict when that is nothing."""
    try:
        return ground.root.grant_for(ground.name)
    except WrongPinSetError as error:
        hint = "Choose another name, or let a new root grant this one."
        raise Conflict(error.what, expected=error.expected, hint=hint) from error


def current_of(ground: Ground) -> Current:
    """Return what is in force on *ground*; NotFound."""
    if ground.current is None:
        raise NotFound(f"no pin set {ground.name!r}", hint="GET /admin/v1/pinsets lists those that exist.")
    return ground.current


def approvals_required(site: Site, ground: Ground) -> int:
    """Return how many people have to approve what shall come into force on *ground*."""
    return ground.current.approvals_required if ground.current else site.policy.approvals_required


def is_signed_by_people(site: Site, ground: Ground) -> bool:
    """
    Tell whether the keys of this name lie elsewhere, while the timestamp key is here: pin sets become changes then.

    A server that has not even the timestamp key could publish nothing that people sign; it is broken, not careful.
    """
    return site.signers.can_sign(ground.root.timestamp) and not site.signers.can_sign(grant_of(ground))
