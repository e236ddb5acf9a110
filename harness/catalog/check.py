"""Documents against the schemas in `schemas/`, with each violation as one readable line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.catalog.problems import Problem, did_you_mean, names, problem
from harness.catalog.quick import Quick, Valid
from harness.catalog.yaml_file import shown
from harness.resources import resource_dir

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError

_TYPES = {
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping (key: value)",
}
_LIMITS = {
    "minimum": "a number of at least {}",
    "exclusiveMinimum": "a number above {}",
    "maximum": "a number of at most {}",
    "exclusiveMaximum": "a number below {}",
    "minItems": "a list of at least {}",
    "maxItems": "a list of at most {}",
    "minProperties": "a mapping with at least {} key",
    "minLength": "text of at least {} character",
    "maxLength": "text of at most {} characters",
}


def check_document(kind: str, document: Mapping[str, Any], file: Path) -> list[Problem]:
    """Violations of `schemas/<kind>.schema.json`, in the order of the document's keys."""
    if _quick(kind)(document):
        return []
    errors = sorted(_validator(kind).iter_errors(document), key=lambda e: [str(p) for p in e.path])
    return [found for error in errors for found in _problems(error, file)]


def known_formats() -> list[str]:
    """The formats that the schemas know."""
    return list(_schema("common")["$defs"]["format"]["enum"])


@lru_cache
def _schema(name: str) -> dict[str, Any]:
    path = resource_dir("schemas") / f"{name}.schema.json"
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema


@lru_cache
def _quick(kind: str) -> Valid:
    def read(file: str) -> dict[str, Any]:
        return _schema(file.removesuffix(".schema.json"))

    return Quick(read).compile(f"{kind}.schema.json")


@lru_cache
def _validator(kind: str) -> Draft202012Validator:
    # Imported here: it costs a tenth of a second, and only invalid documents need it.
    from jsonschema import Draft202012Validator  # noqa: PLC0415
    from referencing import Registry, Resource  # noqa: PLC0415

    common = Resource.from_contents(_schema("common"))
    registry: Registry[Any] = Registry().with_resource("common.schema.json", common)
    return Draft202012Validator(_schema(kind), registry=registry)


def _problems(error: ValidationError, file: Path) -> Iterator[Problem]:
    key = key_path(error.absolute_path)
    rule = str(error.validator)
    value: Any = error.validator_value
    got: Any = error.instance
    schema = error.schema if isinstance(error.schema, Mapping) else {}
    if rule == "additionalProperties":
        known = list(schema.get("properties", {}))
        for extra in (name for name in got if name not in known):
            todo = did_you_mean(extra, known, "remove it")
            yield problem(file, _join(key, extra), "an unknown key", names(known), todo)
    elif rule == "required":
        for missing in (name for name in value if name not in got):
            yield problem(file, _join(key, missing), "nothing", _meaning(schema, missing), "add it")
    elif rule == "dependentRequired":
        for given, needed in value.items():
            for missing in (n for n in needed if given in got and n not in got):
                allowed = f"a value wherever '{given}' is given"
                yield problem(file, _join(key, missing), "nothing", allowed, "add it")
    elif rule == "not":  # what goes with another kind of document
        yield problem(file, key, shown(got), str(schema["description"]), "remove it")
    else:
        allowed, todo = _allowed(rule, value, got, schema)
        if isinstance(got, str) and "propertyNames" in error.absolute_schema_path:
            key = _join(key, got)  # the key itself is what is wrong
        yield problem(file, key, shown(got), allowed, todo)


def _allowed(rule: str, value: Any, got: Any, schema: Mapping[str, Any]) -> tuple[str, str]:
    if rule == "type":
        types = [value] if isinstance(value, str) else list(value)
        allowed = " or ".join(_TYPES[t] for t in types)
        quotable = "string" in types and isinstance(got, (bool, int, float))
        return allowed, "put it in quotes" if quotable else "correct the value"
    if rule == "enum":
        options = [str(option) for option in value]
        return f"one of {names(options)}", did_you_mean(str(got), options, "choose one of these")
    if rule == "pattern":
        return str(schema.get("description", f"text like {value}")), "correct the value"
    if rule == "uniqueItems":
        return "each entry once", "remove the repeated entry"
    if rule in _LIMITS:
        return _LIMITS[rule].format(value), "correct the value"
    return f"{rule} {value}", "correct the value"


def _meaning(schema: Mapping[str, Any], missing: str) -> str:
    described = schema.get("properties", {}).get(missing, {})
    if "$ref" in described and "description" not in described:
        described = _schema("common")["$defs"].get(described["$ref"].rpartition("/")[2], {})
    return str(described.get("description", "a value")).rstrip(".")


def key_path(parts: Any) -> str:
    """`blocks[1].recipes[0]` from the parts of a path."""
    text = ""
    for part in parts:
        text = f"{text}[{part}]" if isinstance(part, int) else _join(text, str(part))
    return text


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
