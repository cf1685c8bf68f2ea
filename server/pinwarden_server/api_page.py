"""
The HTTP API as a page for people, made of the same table as its description, and the addresses that serve it.

It may import Flask, Jinja and the tables. The page has no script and asks nothing of any other address; nothing in the
server reads it.
"""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pinwarden_server.api_words import EXAMPLES, WAYS_OUT, Example
from pinwarden_server.openapi import document
from pinwarden_server.operation import Operation
from pinwarden_server.operations import OPERATIONS

PAGE_ADDRESS, STYLE_ADDRESS = "/docs/api", "/docs/api.css"
SERVER = "https://pins.example.com"
POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_FOLDER = Path(__file__).parent / "pages"
_REF = "#/components/schemas/"
# Which addresses stand together on the page: the first beginning that fits.
_GROUPS = (
    ("/admin/v1/pinsets", "Pin sets"),
    ("/admin/v1/changes", "Changes that wait for people"),
    ("/admin/v1/audit", "Audit log"),
    ("/admin/v1/roots", "Roots"),
    ("/admin/v1/tokens", "Tokens"),
    ("/admin/v1/one-time-links", "Logins and sessions"),
    ("/admin/v1/logins", "Logins and sessions"),
    ("/admin/v1/sessions", "Logins and sessions"),
    ("/v1/", "What clients fetch"),
    ("/", "Description, health and metrics"),
)


@dataclass(frozen=True, slots=True)
class Field:
    """One member of a body or an answer: its place, its type in words, what is said of it."""

    path: str
    type: str
    required: bool
    says: str


@dataclass(frozen=True, slots=True)
class Section:
    """One operation, ready to be shown."""

    operation: Operation
    parameters: list[dict[str, Any]]
    fields: tuple[Field, ...]
    answers: list[tuple[int, list[str]]]
    example: Example
    curl: str
    body: str

    @property
    def refusals(self) -> list[tuple[int, str, str, str]]:
        """Status, kind, title and way out of every refusal."""
        return [(kind.status, kind.slug, kind.title, WAYS_OUT[kind.slug]) for kind in self.operation.problems]


def api_page() -> Blueprint:
    """Return the addresses of the page and its style; they are open to everyone."""
    pages = Blueprint("pages", __name__)

    @pages.get(PAGE_ADDRESS)
    def page() -> Response:
        headers = {"Content-Security-Policy": POLICY}
        return Response(page_text(), headers=headers, content_type="text/html; charset=utf-8")

    @pages.get(STYLE_ADDRESS)
    def style() -> Response:
        return Response(style_text(), content_type="text/css; charset=utf-8")

    return pages


@cache
def style_text() -> str:
    """Return the style of the page."""
    return (_FOLDER / "api.css").read_text("utf-8")


@cache
def page_text(*, inline: bool = False) -> str:
    """
    Return the page.

    Args:
        inline: with its style in it, for a file that lies alone.
    """
    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    described = document()
    schemas = described["components"]["schemas"]
    answers = {name: tuple(_fields(schemas[name], schemas)) for name in _answered(schemas)}
    return environment.get_template("api.html").render(
        about=described["info"]["description"],
        version=described["info"]["version"],
        groups=_grouped(described),
        answers={name: fields for name, fields in sorted(answers.items()) if fields},
        style=style_text() if inline else None,
        style_address=STYLE_ADDRESS,
        reasons=_REASONS,
    )


_REASONS = {
    200: "done",
    201: "it is there now",
    202: "it waits, as a change",
    304: "what is held is in force",
    503: "nothing can be served",
}


def _answered(schemas: dict[str, Any]) -> Iterator[str]:
    return (name for operation in OPERATIONS for _, answer in operation.answers for name in _either(answer, schemas))


def _either(name: str, schemas: dict[str, Any]) -> list[str]:
    """Return the schemas of which an answer *name* is one: most are one alone."""
    return [each["$ref"].removeprefix(_REF) for each in schemas[name].get("anyOf", ())] or [name]


def _grouped(described: dict[str, Any]) -> list[tuple[str, str, list[Section]]]:
    found: dict[str, list[Section]] = {title: [] for _, title in _GROUPS}
    for operation in OPERATIONS:
        title = next(title for start, title in _GROUPS if operation.path.startswith(start))
        found[title].append(_section(operation, described))
    return [(title, title.lower().replace(" ", "-").replace(",", ""), sections) for title, sections in found.items()]


def _section(operation: Operation, described: dict[str, Any]) -> Section:
    example = EXAMPLES[operation.id]
    schemas = described["components"]["schemas"]
    fields = tuple(_fields(schemas[operation.body], schemas)) if operation.body else ()
    parameters = described["paths"][operation.path][operation.method.lower()]["parameters"]
    body = json.dumps(example.body, indent=2) if example.body is not None else ""
    shown = [{**each, "type": _type(each["schema"])} for each in parameters]
    answers = [(status, _either(name, schemas)) for status, name in operation.answers]
    return Section(operation, shown, fields, answers, example, _curl(operation, example), body)


def _curl(operation: Operation, example: Example) -> str:
    lines = [f"curl {shlex.quote(SERVER + operation.path.format(**example.values))}"]
    if operation.method != "GET":
        lines[0] = lines[0].replace("curl ", f"curl -X {operation.method} ")
    if operation.right is not None:
        lines.append('-H "Authorization: Bearer $TOKEN"')
    lines += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in example.headers.items()]
    if example.body is not None:
        lines += ["-H 'Content-Type: application/json'", "--data @body.json"]
    return " \\\n  ".join(lines)


def _fields(schema: dict[str, Any], schemas: dict[str, Any], before: str = "") -> Iterator[Field]:
    schema = _followed(schema, schemas)
    required = set(schema.get("required", ()))
    for name, member in schema.get("properties", {}).items():
        path, inner = f"{before}{name}", _followed(member, schemas)
        yield Field(path, _type(inner), name in required, _says(inner))
        items = _followed(inner.get("items", {}), schemas)
        if before.count(".") < 3:
            yield from _fields(items, schemas, f"{path}[].") if items else _fields(inner, schemas, f"{path}.")


def _followed(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    alternatives = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if len(alternatives) == 1:
        return {**_followed(alternatives[0], schemas), "nullable": True}
    if "$ref" in schema:
        return {**schemas[schema["$ref"].removeprefix(_REF)], **{k: v for k, v in schema.items() if k != "$ref"}}
    return schema


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    word = {"string": "text", "boolean": "true | false", "array": "list"}.get(schema.get("type", ""), "")
    word = word or schema.get("type", "any")
    return f"{word} or null" if schema.get("nullable") else word


def _says(schema: dict[str, Any]) -> str:
    parts = [schema.get("description", "")]
    if "minimum" in schema and "maximum" in schema:
        parts.append(f"{schema['minimum']} to {schema['maximum']}")
    if "maxLength" in schema:
        parts.append(f"at most {schema['maxLength']} characters")
    if "maxItems" in schema:
        parts.append(f"at most {schema['maxItems']}")
    if schema.get("default") not in (None, "", []):
        parts.append(f"default {schema['default']}")
    return "; ".join(part for part in parts if part)
