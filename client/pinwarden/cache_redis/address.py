"""
Redis URLs: one server, a service that sentinels watch, or a cluster.

It may import errors and the standard library's parsing. It never resolves a name, and never shows a URL or a password.
"""

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote

from pinwarden.errors import ConfigError

Route = Literal["direct", "sentinel", "cluster"]
Endpoint = tuple[str, int]

SCHEMES = (
    "redis://",
    "rediss://",
    "redis+sentinel://",
    "rediss+sentinel://",
    "redis+cluster://",
    "rediss+cluster://",
)
FORMS = "redis://HOST:PORT/DB, redis+sentinel://HOST,HOST/SERVICE/DB or redis+cluster://HOST,HOST (rediss: over TLS)"
MAX_HOSTS = 16
_PORTS = {"direct": 6379, "sentinel": 26379, "cluster": 6379}
_HOST = re.compile(r"(?:\[([0-9a-fA-F:.%]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
_SERVICE = re.compile(r"[A-Za-z0-9._-]{1,128}")
_DATABASE = re.compile(r"[0-9]{1,5}")
# As redis-py spells them, so that URLs which other programs use can be taken over.
_TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")


@dataclass(frozen=True, slots=True)
class Login:
    """What Redis or a sentinel is told by AUTH; never shown."""

    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """
    Where a Redis is found.

    Attributes:
        route: ask *hosts* themselves, ask them as sentinels for the master of *service*, or follow a cluster.
        secure: TLS, with certificates that the system or *ca_file* vouches for.
        login, sentinel_login: how to log in; sentinels have users of their own.
    """

    route: Route
    secure: bool
    hosts: tuple[Endpoint, ...]
    service: str | None = None
    database: int = 0
    login: Login = Login()
    sentinel_login: Login = Login()
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None

    @property
    def shown(self) -> str:
        """The address without anything secret, for people."""
        scheme = ("rediss" if self.secure else "redis") + ("" if self.route == "direct" else f"+{self.route}")
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        service = f"/{self.service}" if self.service else ""
        return f"{scheme}://{hosts}{service}" + ("" if self.route == "cluster" else f"/{self.database}")


def parse_address(url: str) -> RedisAddress:
    """
    Return the parts of *url*.

    Raises:
        ConfigError: it is no such URL, or asks for what is not offered; the message never repeats it.
    """
    scheme, _, rest = url.partition("://")
    if f"{scheme}://" not in SCHEMES or not url.isprintable() or "#" in url or " " in url:
        raise _refusal("it does not have one of the forms")
    place, _, query = rest.partition("?")
    authority, _, path = place.partition("/")
    login, at, hosts = authority.rpartition("@")
    secure, route = _scheme(scheme)
    options = _options(query, secure=secure, route=route)
    service, database = _path(path, route)
    return RedisAddress(
        route=route,
        secure=secure,
        hosts=_hosts(hosts, route),
        service=service,
        database=database,
        login=_login(login) if at else Login(),
        sentinel_login=Login(options.get("sentinel_username"), options.get("sentinel_password")),
        ca_file=options.get("ssl_ca_certs"),
        certificate_file=options.get("ssl_certfile"),
        key_file=options.get("ssl_keyfile"),
    )


def _scheme(scheme: str) -> tuple[bool, Route]:
    base, _, kind = scheme.partition("+")
    route: Route = "sentinel" if kind == "sentinel" else "cluster" if kind == "cluster" else "direct"
    return base == "rediss", route


def _login(text: str) -> Login:
    username, separator, password = text.partition(":")
    if not separator or not password:
        raise _refusal("what stands before @ is not USER:PASSWORD or :PASSWORD")
    return Login(unquote(username) or None, unquote(password))


def _hosts(text: str, route: Route) -> tuple[Endpoint, ...]:
    found = []
    for part in text.split(","):
        match = _HOST.fullmatch(part)
        port = int(match[3] or _PORTS[route]) if match else 0
        if match is None or not 0 < port < 65536:
            raise _refusal("a host or a port in it is none")
        found.append((match[1] or match[2], port))
    if len(found) > (1 if route == "direct" else MAX_HOSTS):
        raise _refusal("it names several hosts" if route == "direct" else f"it names more than {MAX_HOSTS} hosts")
    return tuple(found)


def _path(path: str, route: Route) -> tuple[str | None, int]:
    service, database = None, path.removesuffix("/")
    if route == "sentinel":
        service, _, database = database.partition("/")
        if not _SERVICE.fullmatch(service):
            raise _refusal("it names no service of the sentinels")
    if database and not _DATABASE.fullmatch(database):
        raise _refusal("its database is not a number")
    if route == "cluster" and database.strip("0"):
        raise _refusal("a cluster has no database but 0")
    return service, int(database or "0")


def _options(query: str, *, secure: bool, route: Route) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, strict_parsing=True, keep_blank_values=True) if query else []
    except ValueError:
        raise _refusal("what follows ? cannot be read") from None
    offered = (*(_TLS_OPTIONS if secure else ()), *(_SENTINEL_OPTIONS if route == "sentinel" else ()))
    for name, value in pairs:
        if name not in offered:
            # Only a name that can hold no secret is repeated.
            shown = repr(name) if re.fullmatch(r"[a-z_]{1,30}", name) else "something"
            raise _refusal(f"it has the option {shown}", expected=" or ".join(offered) or "no option")
        if not value:
            raise _refusal(f"its option {name} is empty")
    if len(dict(pairs)) < len(pairs):
        raise _refusal("it has an option twice")
    return dict(pairs)


def _refusal(why: str, *, expected: str = FORMS) -> ConfigError:
    return ConfigError(
        f"the Redis URL of the cache is not usable: {why}",
        expected=expected,
        hint="It is not shown, because it may hold a password. In names and passwords, write / @ # ? % as %2F %40 %23 "
        "%3F %25.",
    )
