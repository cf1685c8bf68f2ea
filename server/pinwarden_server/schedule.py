"""
Changes whose time has come: published by the one worker that renews, without anybody's deed.

It may import what publishes a waiting change. It judges again what was judged before, against what is in force now;
what does not pass is not published, and says why in the change, the audit log, the log and the alerts.
"""

import logging
from collections.abc import Callable, Iterator
from datetime import datetime

from pinwarden import failpoints
from pinwarden.errors import PinwardenError
from pinwarden_server import audit
from pinwarden_server.approvals_checked import check_vouched_for
from pinwarden_server.changes_answered import MovedMeanwhile
from pinwarden_server.changes_publishing import publish_change, standing_of
from pinwarden_server.errors import ChangeClosed, StoreUnavailable
from pinwarden_server.site import Act, Site
from pinwarden_server.store import ChangeRow

SCHEDULE = "system:schedule"
log = logging.getLogger("pinwarden.server")

failpoints.register("schedule.blocking", "schedule.blocked")


def publish_due(site: Site, now: datetime, *, is_stopping: Callable[[], bool] = lambda: False) -> dict[int, str]:
    """
    Publish the changes that lack nothing at *now*, and return why others of them were not, by number.

    One that was missed, because no server ran at its time, is published late.

    Raises:
        StoreUnavailable: nothing could be looked up.
    """
    blocked: dict[int, str] = {}
    for number in _due(site, now):
        if is_stopping():
            break
        row = site.store.reader.change(number)
        try:
            _publish_if_complete(site, row, now)
        except (ChangeClosed, MovedMeanwhile):
            continue  # somebody closed it, or another version came into force; the next look finds what is left
        except StoreUnavailable:
            raise
        except PinwardenError as error:
            blocked[number] = str(error)
            block(site, row, str(error), now)
    return blocked


def _due(site: Site, now: datetime) -> Iterator[int]:
    """Yield all of them: whoever proposes thousands that nobody approves must not keep a later one from its time."""
    after = 0
    while numbers := site.store.reader.due_changes(now, after=after):
        yield from numbers
        after = numbers[-1]


def block(site: Site, row: ChangeRow, why: str, now: datetime) -> None:
    """Keep *why* the change is not published, once for each reason."""
    by = Act(SCHEDULE, now)
    with site.store.writer.transaction() as transaction:
        if not transaction.block_change(row.id, why):
            return
        detail = {"change": row.id, "why": why}
        audit.append(transaction, at=now, actor=by.actor, action="change.block", subject=row.name, detail=detail)
        failpoints.hit("schedule.blocking")
    failpoints.hit("schedule.blocked")
    log.error("change %d of pin set %s is due and was not published: %s", row.id, row.name, why)


def _publish_if_complete(site: Site, row: ChangeRow, now: datetime) -> None:
    found = standing_of(site, row, now)
    if not found.is_complete:
        return
    # The commit asks this again; asked here too, so that a thief's proposal is not signed at every look.
    check_vouched_for(row, row.approvers, site.store.reader.is_revoked)
    publish_change(site, row, found, Act(SCHEDULE, now))
