"""
Logs: one JSON object per line on stderr, ours and those of every library alike.

It may import structlog. No line carries a token, a passphrase or an Authorization header: what looks like one is cut
out here, whoever logged it.
"""

import logging
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_TOKEN = re.compile(r"(pw[sl]?)_[A-Za-z0-9]+_[A-Za-z0-9_-]+")  # tokens, sessions, one-time links
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")  # ID tokens: JSON begins so in base64
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+\S+")
_URL_PASSWORD = re.compile(r"(://[^:/@\s]*):[^@/\s]+@")
_SECRET_FIELDS = frozenset({"authorization", "passphrase", "password", "secret", "token", "cookie"})


def configure(level: str) -> None:
    """Send everything that is logged in this process to stderr as JSON lines, from *level* upwards."""
    shared = _processors()
    renderer = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            without_secrets,
            structlog.processors.JSONRenderer(sort_keys=False),
        ],
    )
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(renderer)
    root = logging.getLogger()
    root.handlers[:] = [stream]
    root.setLevel(level.upper())
    for name in ("gunicorn.error", "gunicorn.access", "werkzeug", "alembic"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    logging.getLogger("alembic").setLevel("WARNING")
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def without_secrets(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Replace what looks like a secret, in every field, however deep it stands."""
    return {name: "***" if name.lower() in _SECRET_FIELDS else _cleaned(value) for name, value in event.items()}


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        text = _JWT.sub("***", _TOKEN.sub(r"\1_***", value))
        return _URL_PASSWORD.sub(r"\1:***@", _BEARER.sub(r"\1 ***", text))
    if isinstance(value, dict):
        return without_secrets(None, "", value)
    if isinstance(value, (list, tuple)):
        return [_cleaned(part) for part in value]
    return value if isinstance(value, (int, float, bool, type(None))) else _cleaned(repr(value))
