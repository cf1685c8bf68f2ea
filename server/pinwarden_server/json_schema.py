"""
The few words of JSON Schema (2020-12) that the HTTP API is described in.

It imports nothing of the server. It knows no answer; every word returns a new schema.
"""

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
BASE64: Schema = {"type": "string", "contentEncoding": "base64"}
ANYTHING: Schema = {"type": "object"}


def ref(name: str) -> Schema:
    """Return a reference to the schema *name*."""
    return {"$ref": f"#/components/schemas/{name}"}


def record(**members: Schema) -> Schema:
    """Return an object of which all *members* are always there."""
    return {"type": "object", "properties": members, "required": list(members)}


def partly(schema: Schema, **members: Schema) -> Schema:
    """Return the record *schema* with *members* that are there sometimes."""
    return {**schema, "properties": {**schema["properties"], **members}}


def also(schema: Schema, **members: Schema) -> Schema:
    """Return the record *schema* with more members."""
    return record(**schema["properties"], **members)


def each(schema: Schema) -> Schema:
    """Return an array of *schema*."""
    return {"type": "array", "items": schema}


def or_null(schema: Schema) -> Schema:
    """Return *schema*, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def word(*words: str) -> Schema:
    """Return one of *words*."""
    return {"type": "string", "enum": list(words)}


def by_key(schema: Schema) -> Schema:
    """Return an object whose keys are content, each with a value like *schema*."""
    return {"type": "object", "additionalProperties": schema}
