"""
The description that a server gives of itself, as a judge of requests and answers.

Stricter than a client should be: an answer may have no member, no status and no media type that is not described.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator


@dataclass
class Description:
    """An OpenAPI document."""

    document: dict[str, Any]

    def operation(self, method: str, path: str) -> tuple[str, dict[str, Any]]:
        """Return the operation that answers *path*, and how it is called; an address without parameters goes first."""
        for template in sorted(self.document["paths"], key=lambda template: template.count("{")):
            pattern = "[^/]+".join(map(re.escape, re.split(r"\{[a-z_]+\}", template)))
            if re.fullmatch(pattern, path.partition("?")[0]) and method.lower() in self.document["paths"][template]:
                return f"{method} {template}", self.document["paths"][template][method.lower()]
        raise AssertionError(f"{method} {path} is not described")

    def judge(self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Return when that answer is a described one to its last member, and has the headers that must be there."""
        name, operation = self.operation(method, path)
        assert str(status) in operation["responses"], (name, status, body)
        answer = operation["responses"][str(status)]
        sent = {header.lower() for header in dict(headers)}
        needed = {header.lower() for header, each in answer["headers"].items() if each["required"]}
        assert needed - sent == set(), (name, status)
        if status == 304:
            assert body == b""
            return
        ((media_type, content),) = answer["content"].items()
        assert headers["Content-Type"] == media_type
        value = body.decode() if media_type.startswith("text/") else json.loads(body)
        errors = self.validator(content["schema"]).iter_errors(value)
        found = [f"{error.json_path}: {error.message}" for error in errors]
        assert found == [], (name, status, found)
        if media_type == "application/problem+json":
            assert value["type"].rpartition(":")[2] in content["examples"], (name, value["type"])

    def accepts(self, method: str, path: str, body: Any) -> bool:
        """Tell whether *body* fits the schema of that request."""
        content = self.operation(method, path)[1]["requestBody"]["content"]
        validator: Draft202012Validator = self.validator(content["application/json"]["schema"], strictly=False)
        return bool(validator.is_valid(body))

    def validator(self, schema: dict[str, Any], *, strictly: bool = True) -> Draft202012Validator:
        """Return what judges values by *schema*; *strictly*: no member may be there that is not named."""
        schemas = self.document["components"]["schemas"]
        root = {"components": {"schemas": closed(schemas) if strictly else schemas}}
        return Draft202012Validator({**root, **(closed(schema) if strictly else schema)})


def closed(schema: Any) -> Any:
    """Return *schema* with every object closed whose members are named."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(each) for name, each in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        inner.setdefault("additionalProperties", False)
    return inner
