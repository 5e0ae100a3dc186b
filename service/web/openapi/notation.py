"""A short way to write what a JSON object looks like: `id:uuid app.name:text targets[].state:pending|done note*:text?`.

A dot goes into an object, `[]` into each element of a list. `?` after a kind or an object says that it may be null, `*`
after a name that it may be absent. Nothing else may be in the object.
"""

from typing import Any, Final

Schema = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string"}
_KINDS: Final[dict[str, Schema]] = {
    "uuid": {"type": "string", "format": "uuid"},
    "time": {"type": "string", "format": "date-time"},
    "text": _TEXT,
    "bool": {"type": "boolean"},
    "int": {"type": "integer"},
    "number": {"type": "number"},
    "object": {"type": "object"},
    "list": {"type": "array"},
    "texts": {"type": "array", "items": _TEXT},
    "map": {"type": "object", "additionalProperties": _TEXT},
    "any": {},
}


def described(attributes: str) -> Schema:
    """Write attributes out as a JSON schema of an object."""
    root = _object()
    for attribute in attributes.split():
        path, _, kind = attribute.partition(":")
        *parents, leaf = path.split(".")
        here = root
        for parent in parents:
            here = _child(here, parent)
        name = _declare(here, leaf)
        here["properties"][name] = _kind(kind)
    return root


def _object() -> Schema:
    return {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


def _declare(parent: Schema, segment: str) -> str:
    """Name a property; it is required unless it is marked by `*`."""
    name = segment.rstrip("*?[]")
    if "*" not in segment and name not in parent["required"] and name not in parent["properties"]:
        parent["required"].append(name)
    return name


def _child(parent: Schema, segment: str) -> Schema:
    """The object inside a property, made at its first mention, which carries its marks."""
    name = _declare(parent, segment)
    properties: Schema = parent["properties"]
    if name not in properties:
        inner = _object()
        if segment.endswith("[]"):
            properties[name] = {"type": "array", "items": inner}
            return inner
        if "?" in segment:
            inner["type"] = ["object", "null"]
        properties[name] = inner
    known: Schema = properties[name]
    return known["items"] if known["type"] == "array" else known


def _kind(kind: str) -> Schema:
    bare = kind.removesuffix("?")
    nullable = bare != kind
    if bare in _KINDS:
        schema = dict(_KINDS[bare])
        if nullable:
            schema["type"] = [schema["type"], "null"]
        return schema
    words: list[str | None] = [*bare.split("|"), *([None] if nullable else [])]
    return {"enum": words}
