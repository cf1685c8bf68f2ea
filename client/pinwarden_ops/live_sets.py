"""
Pin sets as an admin API tells them, read with suspicion.

It may import layer 0 and this package. What is read here is the server's word and was verified by nobody; who has to
believe it asks ``change show`` or a client. A wrong type is an error, and every text is printable and short.
"""

from dataclasses import dataclass
from typing import Any

from pinwarden.answer import printable
from pinwarden.documents import PinSet, check_name
from pinwarden.errors import MalformedError
from pinwarden.fields import Fields
from pinwarden.strict_json import decode_base64, parse_time
from pinwarden_ops.admin import AdminClient
from pinwarden_ops.contents import parse_content
from pinwarden_ops.errors import OpsRefused

PAGE = 100
NOT_FOUND = 404
LOWER_POLICY = "policy.lower"  # a change that lowers how many approvals are required, and has no content


@dataclass(frozen=True, slots=True)
class Line:
    """One pin set of a list: what is in force, until when, and who published it."""

    name: str
    version: str
    expires: str
    published_at: str
    actor: str


@dataclass(frozen=True, slots=True)
class Version:
    """
    One version.

    Attributes:
        version: ``epoch.version``.
        content: what it says, or None where a list leaves it out.
        told: the answer as it came, for --json.
    """

    name: str
    version: str
    issued: str
    expires: str
    published_at: str
    actor: str
    reason: str
    forced: tuple[str, ...]
    content: PinSet | None
    told: dict[str, Any]

    @property
    def lifetime_seconds(self) -> int:
        """How long it lives, in seconds."""
        ends, begins = parse_time(self.expires, what="expires"), parse_time(self.issued, what="issued")
        return int((ends - begins).total_seconds())

    @property
    def number(self) -> int:
        """The version without its epoch."""
        return int(self.version.rpartition(".")[2])

    def contained(self) -> PinSet:
        """Return the content; MalformedError when the server left it out."""
        if self.content is None:
            raise MalformedError(f"the answer on {self.name} {self.version} has no content")
        return self.content

    def told_by(self) -> str:
        """Return who published it, when and why, in words."""
        why = f": {self.reason}" if self.reason else ", without a reason"
        return f"{self.version} was published by {self.actor} at {self.published_at}{why}"


def fetch_list(api: AdminClient) -> list[Line]:
    """Return every pin set that the token reaches, by name; MalformedError when the answer is no list of them."""
    found = Fields(api.ask("GET", "/pinsets").value, "answer").each("pinsets", _read_line)
    return sorted(found, key=lambda line: line.name)


def fetch_current(api: AdminClient, name: str) -> Version | None:
    """Return what is in force with its content, or None when there is no such pin set."""
    try:
        answer = api.ask("GET", f"/pinsets/{check_name(name)}")
    except OpsRefused as error:
        if error.status == NOT_FOUND:
            return None
        raise
    return _checked(_read_version(answer.value, "answer"), name)


def fetch_version(api: AdminClient, name: str, version: str) -> Version:
    """Return one version, ``7`` or ``1.7``, with its content; OpsRefused when there is none."""
    return _checked(
        _read_version(api.ask("GET", f"/pinsets/{check_name(name)}/versions/{version}").value, "answer"), name
    )


def fetch_history(api: AdminClient, name: str, *, limit: int) -> list[Version]:
    """Return up to *limit* versions without their contents, newest first."""
    found: list[Version] = []
    while len(found) < limit:
        wanted = min(PAGE, limit - len(found))
        before = f"&before={found[-1].number}" if found else ""
        answer = api.ask("GET", f"/pinsets/{check_name(name)}/versions?limit={wanted}{before}")
        page = Fields(answer.value, "answer").each("versions", _read_version)
        if found and page and page[0].number >= found[-1].number:
            raise MalformedError("the server's history does not go back in time", holds="Nothing was changed.")
        found.extend(_checked(each, name) for each in page[:wanted])
        if len(page) < wanted:
            break
    return found


def fetch_changes(api: AdminClient, *, name: str | None = None, state: str | None = None) -> list[dict[str, Any]]:
    """Return every change that the token reaches, newest first, as the server tells it, page by page."""
    given = {"name": check_name(name) if name else None, "state": state, "limit": str(PAGE)}
    query = "&".join(f"{field}={value}" for field, value in given.items() if value)
    found: list[dict[str, Any]] = []
    before: int | None = None
    while True:
        answer = api.ask("GET", f"/changes?{query}" + (f"&before={before}" if before else "")).value
        rows = Fields(answer, "answer").get("changes", list)
        found += [row for row in rows if isinstance(row, dict)]
        following = answer.get("next")
        if following is None:
            return found
        if type(following) is not int or following < 1 or (before is not None and following >= before):
            raise MalformedError("the server's list of changes does not go back in time", got=repr(following)[:40])
        before = following


def fetch_waiting(api: AdminClient, name: str, base: str | None) -> list[tuple[int, PinSet]]:
    """Return number and content of each change of *name* that waits for people and replaces *base*."""
    waiting: list[tuple[int, PinSet]] = []
    for listed in fetch_changes(api, name=name, state="waiting"):
        if listed.get("action") == LOWER_POLICY:
            continue
        number = Fields(listed, "answer").integer("id")
        whole = Fields(api.ask("GET", f"/changes/{number}").value, "answer")
        if (whole.get("base", str) if base else None) == base:
            waiting.append((number, PinSet.parse(decode_base64(whole.text("payload"), what="payload"))))
    return waiting


def _read_line(value: object, path: str) -> Line:
    fields = Fields(value, path)
    name, version, expires, published_at, actor = (
        printable(fields.text(each)) for each in ("name", "version", "expires", "published_at", "actor")
    )
    return Line(name, version, expires, published_at, actor)


def _read_version(value: object, path: str) -> Version:
    fields = Fields(value, path)
    name, version, actor, reason = (printable(fields.text(each)) for each in ("name", "version", "actor", "reason"))
    for time in ("issued", "expires", "published_at"):
        fields.time(time)
    epoch, _, number = version.partition(".")
    if not (epoch + number).isascii() or not (epoch.isdigit() and number.isdigit()):
        raise MalformedError(f"{path}.version is no version", expected="epoch.version", got=repr(version))
    return Version(
        name=name,
        version=version,
        issued=fields.text("issued"),
        expires=fields.text("expires"),
        published_at=fields.text("published_at"),
        actor=actor,
        reason=reason,
        forced=tuple(printable(code) for code in fields.texts("forced")),
        content=parse_content(name, fields.get("content", dict)) if "content" in fields else None,
        told=dict(value) if isinstance(value, dict) else {},
    )


def _checked(found: Version, name: str) -> Version:
    if found.name != name:
        raise MalformedError("the server answers with another pin set", expected=name, got=found.name)
    return found
