"""
Whether whoever asks is still trusted at the end of what they asked for.

It may import the store and the errors. A request is let in once; what it does happens later, perhaps after a signature
was made, and a revocation that was answered meanwhile has to hold for it too.
"""

from pinwarden_server.errors import Unauthenticated
from pinwarden_server.site import Act
from pinwarden_server.store import Transaction


def check_unrevoked(transaction: Transaction, by: Act) -> None:
    """
    Return when the token or session that asks was not revoked since it was let in; ask within the deed's transaction.

    Raises:
        Unauthenticated: it was.
    """
    if transaction.is_revoked(by.actor):
        raise Unauthenticated(
            "your token or session was revoked while this was being done",
            expected="a token or session that nobody has revoked",
            got="one that was revoked after it was let in",
            hint="Log in again, or ask an administrator for another token; then repeat the request.",
        )
