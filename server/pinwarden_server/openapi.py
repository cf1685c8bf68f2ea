"""
The description of the HTTP API in OpenAPI 3.1, made of the table of operations, and the address that serves it.

It may import Flask and the tables. It describes what tests hold the server to; nothing in the server reads it.
"""

import json
from functools import cache
from itertools import groupby
from typing import Any

import msgspec
from flask import Blueprint, Response

from pinwarden.bundle import BUNDLE_MEDIA_TYPE
from pinwarden.envelope import ROOT_TYPE
from pinwarden.history import HISTORY_MEDIA_TYPE
from pinwarden_server.bodies import MAX_BODY_BYTES
from pinwarden_server.change_drafts import CHANGE_BODIES
from pinwarden_server.drafts import DRAFT_BODIES
from pinwarden_server.health import EXPOSITION_TYPE
from pinwarden_server.json_schema import Schema, ref
from pinwarden_server.login_drafts import LOGIN_BODIES
from pinwarden_server.openapi_answers import ANSWERS
from pinwarden_server.openapi_parameters import headers_of, parameters_of, refusal_headers
from pinwarden_server.operation import Operation
from pinwarden_server.operations import OPERATIONS
from pinwarden_server.problems import PROBLEM_MEDIA_TYPE, Kind
from pinwarden_server.public_files import ENVELOPE_MEDIA_TYPE
from pinwarden_server.root_offers import ROOT_BODIES
from pinwarden_server.token_drafts import TOKEN_BODIES

API_VERSION = "1"
ADDRESS = "/openapi.json"
_REF = "#/components/schemas/{name}"
_ABOUT = (
    "Every refusal changes nothing and is a problem document (RFC 9457). Bodies are one JSON object in UTF-8, at most "
    f"{MAX_BODY_BYTES} bytes, without duplicate keys, floats or unknown members. Unknown query parameters are refused. "
    "Every GET may be a HEAD. An address that exists answers other methods with 405 and Allow, another address 404. "
    "What gunicorn refuses by itself (414, 431, what is no HTTP) is no problem document and not described here. "
    "Clients should ignore members of answers that are not named here."
)
_MEDIA_TYPES = {
    "Bundle": BUNDLE_MEDIA_TYPE,
    "Envelope": ENVELOPE_MEDIA_TYPE,
    "History": HISTORY_MEDIA_TYPE,
    "Metrics": EXPOSITION_TYPE,
    "Page": "text/html; charset=utf-8",
    "Style": "text/css; charset=utf-8",
}
# Members that problems of a kind have beside the seven of all.
_MORE: dict[str, dict[str, Any]] = {
    "stale-version": {"current": "1.7"},
    "change-closed": {"state": "published"},
    "step-up-needed": {"max_age": 900},
    "not-served-yet": {"version": "1.7"},
    "internal": {"id": "5f0c2a5e2d5b4f0e"},
}


def openapi() -> Blueprint:
    """Return the address of the description; it is open to everyone, as the documentation is."""
    described = Blueprint("openapi", __name__)

    @described.get(ADDRESS)
    def describe() -> Response:
        return Response(document_bytes(), content_type="application/json")

    return described


@cache
def document_bytes() -> bytes:
    """Return the description as it is served."""
    return json.dumps(document(), separators=(",", ":")).encode()


def document() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of this version's HTTP API."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    kinds = {kind.slug: kind for operation in OPERATIONS for kind in operation.problems}
    bearer = {"type": "http", "scheme": "bearer"}
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {"title": "Pinwarden", "version": API_VERSION, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    **bearer,
                    "description": "of POST /admin/v1/tokens (pw_<id>_<secret>) or of a login (pws_<id>_<secret>)",
                },
                "metricsToken": {**bearer, "description": "the content of the file that metrics_token_file names"},
            },
            "schemas": {**_body_schemas(), **ANSWERS},
            "examples": {slug: _example(kinds[slug]) for slug in sorted(kinds)},
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "security": _security(operation),
        "parameters": parameters_of(operation),
        "responses": _responses(operation),
    }
    if operation.right is not None:
        recent = " A person must have logged in recently." if operation.step_up else ""
        described["description"] = f"Right: `{operation.right.value}`; {operation.reach.value}.{recent}"
    if operation.body is not None:
        content = {"application/json": {"schema": ref(operation.body)}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _security(operation: Operation) -> list[dict[str, list[str]]]:
    if operation.right is None:
        return []
    schemes = ("token", "metricsToken") if operation.metrics_token else ("token",)
    return [{scheme: []} for scheme in schemes]


def _responses(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, schema in operation.answers:
        media_type = _MEDIA_TYPES.get(schema, "application/json")
        found[str(status)] = {
            "description": operation.summary if status == 200 else _STATUSES[status],
            "headers": headers_of(operation, status, schema),
            "content": {media_type: {"schema": ref(schema)}},
        }
    if operation.is_published:
        found["304"] = {"description": "What is held is in force", "headers": headers_of(operation, 304)}
    for status, kinds in groupby(operation.problems, key=lambda kind: kind.status):
        found[str(status)] = _refusal(list(kinds))
    return dict(sorted(found.items()))


_STATUSES = {201: "It is there now", 202: "It waits as a change", 503: "Nothing can be served"}


def _refusal(kinds: list[Kind]) -> dict[str, Any]:
    examples = {kind.slug: {"$ref": f"#/components/examples/{kind.slug}"} for kind in kinds}
    return {
        "description": "; or: ".join(kind.title for kind in kinds),
        "headers": refusal_headers(kinds),
        "content": {PROBLEM_MEDIA_TYPE: {"schema": ref("Problem"), "examples": examples}},
    }


def _example(kind: Kind) -> dict[str, Any]:
    value = {
        "type": f"urn:pinwarden:problem:{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": "What happened, what still holds, and what to do.",
        "expected": None,
        "got": None,
        "violations": [],
        **_MORE.get(kind.slug, {}),
    }
    return {"summary": kind.title, "value": value}


def _body_schemas() -> dict[str, Schema]:
    _, found = msgspec.json.schema_components(
        (*DRAFT_BODIES, *CHANGE_BODIES, *ROOT_BODIES, *TOKEN_BODIES, *LOGIN_BODIES), ref_template=_REF
    )
    # Names of the classes are private to their rooms; \Z is Python's, and in a JSON Schema $ ends the text as well.
    text = json.dumps(found).replace("/schemas/_", "/schemas/").replace(r"\\Z", "$")
    schemas = {name.removeprefix("_"): schema for name, schema in json.loads(text).items()}
    of_root = {"properties": {"payloadType": {"const": ROOT_TYPE}}}
    schemas["RootBody"]["properties"]["root"] = {**ref("Envelope"), **of_root}
    return {name: {**schema, "title": name} for name, schema in sorted(schemas.items())}
