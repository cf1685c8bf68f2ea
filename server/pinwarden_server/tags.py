"""Versions as text: ``<epoch>.<version>``, in ETags, addresses and file names. It may import ``errors`` only."""

import re

from pinwarden_server.errors import BadDraft, Tag, Violation

_TAG = re.compile(r"([1-9][0-9]{0,15})\.([1-9][0-9]{0,15})", re.ASCII)


def format_tag(tag: Tag) -> str:
    """Return ``"1.5"`` for epoch 1, version 5."""
    return f"{tag[0]}.{tag[1]}"


def parse_tag(text: str) -> Tag:
    """
    Return (epoch, version).

    Raises:
        BadDraft: any other spelling, leading zeros among them.
    """
    match = _TAG.fullmatch(text)
    if match is None:
        what = "not a version"
        hint = "Versions are spelt <epoch>.<version>, as in the ETag of the answer."
        raise BadDraft(
            what, expected="<epoch>.<version>", got=repr(text[:40]), violations=[Violation("DRAFT", "", what, hint)]
        )
    return int(match[1]), int(match[2])
