"""
What the answers of the HTTP API look like, in the words of ``json_schema``.

It may import vocabularies alone: those words, roles, states of changes. Tests hold every answer that they see against
these, and nothing else may be in it; clients should ignore members that are not named here.
"""

from pinwarden_server.auth import Role
from pinwarden_server.changes_view import STATES
from pinwarden_server.json_schema import (
    ANYTHING,
    BASE64,
    COUNT,
    FLAG,
    TEXT,
    Schema,
    also,
    by_key,
    each,
    or_null,
    partly,
    record,
    ref,
    word,
)
from pinwarden_server.one_time_links import LinkState

TIME: Schema = {"type": "string", "format": "date-time", "description": "UTC, whole seconds, with Z"}
TAG: Schema = {"type": "string", "pattern": r"^[1-9][0-9]{0,15}\.[1-9][0-9]{0,15}$", "description": "epoch.version"}
DIGEST: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
PIN: Schema = {"type": "string", "pattern": "^[A-Za-z0-9+/]{43}=$", "description": "base64 of a SHA-256"}

_CHANGED = by_key(record(**{"from": {}, "to": {}}))
_LIFE = {"issued": TIME, "expires": TIME}
_VERSION = record(name=TEXT, version=TAG, **_LIFE, published_at=TIME, actor=TEXT, reason=TEXT, forced=each(TEXT))
_GRANT = {"role": word(*(role.value for role in Role)), "names": each(TEXT)}
_TOKEN = record(
    id=TEXT,
    label=TEXT,
    owner=TEXT,
    **_GRANT,
    created_at=TIME,
    created_by=TEXT,
    expires_at=TIME,
    last_used_at=or_null(TIME),
    revoked_at=or_null(TIME),
)
_SESSION = record(
    id=TEXT,
    owner=TEXT,
    way=word("link", "account", "oidc"),
    **_GRANT,
    authenticated_at=TIME,
    expires_at=TIME,
    revoked_at=or_null(TIME),
)
_LINK = record(
    id=TEXT,
    owner=TEXT,
    **_GRANT,
    created_at=TIME,
    created_by=TEXT,
    expires_at=TIME,
    redeemed_at=or_null(TIME),
    state=word(*(state.value for state in LinkState)),
)
_APPROVALS = record(key=DIGEST, threshold=COUNT, approved=each(DIGEST), missing=each(DIGEST), says=TEXT)
_TALLY = record(threshold=COUNT, signed=each(DIGEST), missing=each(DIGEST), says=TEXT)
_DEED = {"owner": TEXT, "actor": TEXT, "at": TIME, "reason": TEXT}
_CHANGE = record(
    id=COUNT,
    name=TEXT,
    action=word(
        "pinset.create", "pinset.publish", "pinset.rollback", "pinset.renew", "pinset.lifetime", "policy.lower"
    ),
    state=word(*STATES),
    waiting_for=each(word("signatures", "approvals", "time")),
    version=or_null(TAG),
    published_as=or_null(TAG),
    base=or_null(TAG),
    **_LIFE,
    proposed_at=TIME,
    actor=TEXT,
    owner=TEXT,
    reason=TEXT,
    forced=each(TEXT),
    warnings=each(ref("Violation")),
    wait_for=each(DIGEST),
    signer=word("people", "server"),
    not_before=or_null(TIME),
    waits_until=TIME,
    blocked=or_null(TEXT),
    tally=or_null(_TALLY),
    approvals=or_null(each(_APPROVALS)),
    approved=record(required=COUNT, given=each(record(**_DEED, counts=FLAG)), says=TEXT),
    review=or_null(record(**_DEED, verdict=word("approved", "objected"))),
    closed=or_null(record(at=TIME, actor=TEXT, reason=TEXT)),
)
_LEFT = record(id=COUNT, name=TEXT, action=TEXT, actor=TEXT, owner=TEXT, reason=TEXT, approvals=TEXT, what=TEXT)
_DIFF = record(
    hosts_added=each(TEXT),
    hosts_removed=each(TEXT),
    hosts_changed=each(
        record(
            host=TEXT,
            pins_added=each(PIN),
            pins_removed=each(PIN),
            backups_added=each(PIN),
            backups_removed=each(PIN),
            fields=_CHANGED,
        )
    ),
    deny_added=each(PIN),
    deny_removed=each(PIN),
    fields=_CHANGED,
)
_BLAST_RADIUS = record(
    unexpired_versions=each(TAG), held_until=or_null(TIME), hosts_without_common_pin=by_key(each(TAG))
)
_TIMESTAMP = record(
    type=TEXT,
    spec=TEXT,
    authority=TEXT,
    name=TEXT,
    epoch=COUNT,
    version=COUNT,
    **_LIFE,
    root=record(version=COUNT),
    pinset=record(epoch=COUNT, version=COUNT, sha256=PIN, length=COUNT),
)
_ROOT = record(version=COUNT, authority=TEXT, **_LIFE, envelope=ref("Envelope"))
_COMPONENTS = record(reads=TEXT, store=TEXT, signers=TEXT, floors=TEXT, renewal=TEXT)
_PENDING = {"change": COUNT, "name": TEXT, "actor": TEXT, "since": TIME}
_STATUS_PINSET = record(name=TEXT, version=TAG, expires=TIME, timestamp_version=COUNT, timestamp_expires=TIME)

ANSWERS: dict[str, Schema] = {
    "Violation": record(code=TEXT, pointer=TEXT, message=TEXT, hint=TEXT),
    "Problem": partly(
        record(
            type={"type": "string", "pattern": "^urn:pinwarden:problem:[a-z-]+$"},
            title=TEXT,
            status={"type": "integer", "minimum": 400, "maximum": 599},
            detail=TEXT,
            expected=or_null(TEXT),
            got=or_null(TEXT),
            violations=each(ref("Violation")),
        ),
        current=or_null(TAG),
        max_age=COUNT,
        state=TEXT,
        version=TEXT,
        id=TEXT,
    ),
    "Envelope": record(payloadType=TEXT, payload=BASE64, signatures=each(record(keyid=DIGEST, sig=BASE64))),
    "Pin": record(sha256=PIN, kind=word("leaf", "ca")),
    "Host": record(
        host=TEXT,
        pins=each(ref("Pin")),
        backups=each(ref("Pin")),
        mode=word("enforce", "report"),
        enforce_percent={"type": "integer", "minimum": 1, "maximum": 100},
        on_expiry=word("refuse", "platform"),
    ),
    "Content": partly(
        record(hosts=each(ref("Host")), on_stale=word("enforce", "refuse")), deny=each(PIN), report_to=TEXT
    ),
    "PinSet": also(
        _VERSION,
        timestamp=_TIMESTAMP,
        content=ref("Content"),
        approvals_required=COUNT,
        open_reviews=each(COUNT),
    ),
    "Policy": record(name=TEXT, approvals_required=COUNT),
    "PinSetList": record(
        pinsets=each(record(name=TEXT, version=TAG, **_LIFE, timestamp_expires=TIME, published_at=TIME, actor=TEXT))
    ),
    "Version": _VERSION,
    "WholeVersion": also(_VERSION, content=ref("Content"), envelope=ref("Envelope")),
    "VersionList": record(versions=each(ref("Version"))),
    "Published": record(
        name=TEXT, version=TAG, timestamp_version=COUNT, **_LIFE, created=FLAG, warnings=each(ref("Violation"))
    ),
    "Preview": record(
        name=TEXT,
        current=or_null(TAG),
        publishable=FLAG,
        violations=each(ref("Violation")),
        warnings=each(ref("Violation")),
        diff=_DIFF,
        blast_radius=_BLAST_RADIUS,
    ),
    "Change": _CHANGE,
    "ProposedPolicy": also(_CHANGE, left_waiting=each(_LEFT)),
    "WholeChange": also(
        _CHANGE,
        left_waiting=each(_LEFT),
        payload=BASE64,
        base_envelope=or_null(ref("Envelope")),
        signatures=each(record(keyid=DIGEST, sig=BASE64, at=TIME, actor=TEXT)),
    ),
    "Approved": {"anyOf": [ref("Published"), ref("Change")]},
    "ChangeList": record(changes=each(ref("Change")), next=or_null(COUNT)),
    "AuditPage": record(
        rows=each(
            record(
                seq=COUNT,
                at=TIME,
                actor=TEXT,
                action=TEXT,
                subject=TEXT,
                detail=ANYTHING,
                previous=DIGEST,
                hash=DIGEST,
            )
        ),
        next=COUNT,
    ),
    "CheckpointPage": record(
        checkpoints=each(record(size=COUNT, hash=DIGEST, issued=TIME, root=COUNT, envelope=ref("Envelope"))),
        next=COUNT,
    ),
    "Root": _ROOT,
    "RootList": record(roots=each(ref("Root"))),
    "PublishedRoot": record(
        version=COUNT,
        authority=TEXT,
        **_LIFE,
        created=FLAG,
        pinsets=each(record(name=TEXT, version=TAG, timestamp_version=COUNT, signed=each(word("pinset", "timestamp")))),
        warnings=each(ref("Violation")),
    ),
    "RootPreview": record(
        version=COUNT,
        authority=TEXT,
        created=FLAG,
        publishable=FLAG,
        pinsets=each(record(name=TEXT, version=TAG, signs=each(word("pinset", "timestamp")))),
        violations=each(ref("Violation")),
        warnings=each(ref("Violation")),
    ),
    "Token": _TOKEN,
    "TokenList": record(tokens=each(ref("Token"))),
    "IssuedToken": also(_TOKEN, token=or_null(TEXT)),
    "Session": _SESSION,
    "SessionList": record(sessions=each(ref("Session"))),
    "BegunSession": also(_SESSION, token=TEXT),
    "Link": _LINK,
    "LinkList": record(links=each(ref("Link"))),
    "IssuedLink": also(_LINK, url=TEXT),
    "Bundle": record(roots=each(ref("Envelope")), timestamp=ref("Envelope"), pinset=ref("Envelope")),
    "History": record(
        type=TEXT,
        spec=TEXT,
        authority=TEXT,
        name=TEXT,
        entries=each(
            record(
                seq=COUNT,
                epoch=COUNT,
                version=COUNT,
                sha256=DIGEST,
                length=COUNT,
                **_LIFE,
                published_at=TIME,
                previous=DIGEST,
                hash=DIGEST,
            )
        ),
    ),
    "Description": ANYTHING,
    "Page": TEXT,
    "Style": TEXT,
    "Alive": record(alive=FLAG),
    "Ready": record(ready=FLAG, publishing=FLAG, components=_COMPONENTS),
    "Status": record(
        now=TIME,
        components=_COMPONENTS,
        store_trouble=or_null(TEXT),
        signers=each(DIGEST),
        signers_trouble=or_null(TEXT),
        last_renewal_of_this_worker=or_null(TIME),
        alerts=each(
            record(
                subject=TEXT,
                level=word("info", "notice", "warning", "critical"),
                expires=TIME,
                message=TEXT,
                hint=TEXT,
            )
        ),
        pending=or_null(
            record(
                approvals=each(record(**_PENDING)),
                reviews=each(record(**_PENDING)),
                blocked=each(record(**_PENDING, why=TEXT)),
            )
        ),
        root=or_null(record(authority=TEXT, version=COUNT, expires=TIME)),
        pinsets=each(_STATUS_PINSET),
    ),
    "Metrics": TEXT,
}
