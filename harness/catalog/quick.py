"""A schema as one fast yes-or-no function, so that loading valid files takes tens of milliseconds.

It answers "surely valid" or "let jsonschema look": a valid document costs no import of jsonschema
(a tenth of a second) and no walk of it (a third of a second for the shipped catalog).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Valid = Callable[[Any], bool]
Schema = Mapping[str, Any]

_ANNOTATIONS = ("$schema", "$id", "$defs", "title", "description")
# Keywords that the rule of another one, where it is given, checks with its own: once, not twice.
_PART_OF = {"then": "if", "else": "if", "additionalProperties": "properties"}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_TYPES: Mapping[str, Valid] = {
    "string": lambda v: isinstance(v, str),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": _is_number,
    "boolean": lambda v: isinstance(v, bool),
    "array": lambda v: isinstance(v, list),
    "object": lambda v: isinstance(v, dict),
}


def _all(rules: Sequence[Valid]) -> Valid:
    def valid(value: Any) -> bool:
        for rule in rules:  # noqa: SIM110  (a generator costs more than most rules)
            if not rule(value):
                return False
        return True

    return valid


class Quick:
    """Compiles the schemas of a set of files that refer to each other; each part once."""

    def __init__(self, read: Callable[[str], Schema]) -> None:
        self._read = read  # the schema of a file name
        self._refs: dict[str, Valid] = {}

    def compile(self, file: str) -> Valid:
        """A function that is true for valid documents only (it may be false for odd valid ones)."""
        return self._schema(self._read(file), file)

    def _schema(self, schema: Schema, file: str) -> Valid:
        rules = []
        for keyword in schema:
            if keyword in _ANNOTATIONS or _PART_OF.get(keyword) in schema:
                continue
            # A keyword that is not known here must not pass unseen: KeyError, found by the tests.
            rules.append(_RULES[keyword](self, schema, file))
        if len(rules) == 1:
            return rules[0]
        return _all(rules)

    def _ref(self, schema: Schema, file: str) -> Valid:
        path, _, pointer = schema["$ref"].partition("#")
        name = f"{path or file}#{pointer}"
        if name not in self._refs:
            # Parts may refer to themselves: what is called is looked up when it is called.
            self._refs[name] = lambda value: False
            part: Any = self._read(path or file)
            for key in pointer.split("/")[1:]:
                part = part[key]
            self._refs[name] = self._schema(part, path or file)
        return lambda value: self._refs[name](value)  # noqa: PLW0108  (bound late)

    def _type(self, schema: Schema, file: str) -> Valid:
        types = schema["type"]
        if isinstance(types, str):
            return _TYPES[types]
        tests = [_TYPES[one] for one in types]
        return lambda value: any(test(value) for test in tests)

    def _object(self, schema: Schema, file: str) -> Valid:
        properties = {
            key: self._schema(part, file) for key, part in schema.get("properties", {}).items()
        }
        rest = schema.get("additionalProperties", True)
        others: Valid = self._schema(rest, file) if isinstance(rest, Mapping) else lambda _: rest

        def valid(value: Any) -> bool:
            if isinstance(value, dict):
                for key, part in value.items():
                    rule = properties.get(key, others)
                    if not rule(part):
                        return False
            return True

        return valid

    def _if(self, schema: Schema, file: str) -> Valid:
        asked = self._schema(schema["if"], file)
        then = self._schema(schema.get("then", {}), file)
        otherwise = self._schema(schema.get("else", {}), file)
        return lambda value: (then if asked(value) else otherwise)(value)

    def _all_of(self, schema: Schema, file: str) -> Valid:
        return _all([self._schema(part, file) for part in schema["allOf"]])

    def _items(self, schema: Schema, file: str) -> Valid:
        item = self._schema(schema["items"], file)
        return lambda value: not isinstance(value, list) or all(item(part) for part in value)

    def _names(self, schema: Schema, file: str) -> Valid:
        name = self._schema(schema["propertyNames"], file)
        return lambda value: not isinstance(value, dict) or all(name(key) for key in value)

    def _required(self, schema: Schema, file: str) -> Valid:
        keys = schema["required"]
        return lambda value: not isinstance(value, dict) or all(key in value for key in keys)

    def _dependent(self, schema: Schema, file: str) -> Valid:
        needs = schema["dependentRequired"]
        return lambda value: (
            not isinstance(value, dict)
            or all(key in value for given, keys in needs.items() if given in value for key in keys)
        )

    def _enum(self, schema: Schema, file: str) -> Valid:
        values = schema.get("enum", [schema.get("const")])
        return lambda value: isinstance(value, str) and value in values

    def _pattern(self, schema: Schema, file: str) -> Valid:
        found = re.compile(schema["pattern"]).search
        return lambda value: not isinstance(value, str) or found(value) is not None

    def _unique(self, schema: Schema, file: str) -> Valid:
        return lambda value: (
            not isinstance(value, list)
            or not any(part in value[:place] for place, part in enumerate(value))
        )

    def _not(self, schema: Schema, file: str) -> Valid:
        refused = self._schema(schema["not"], file)
        return lambda value: not refused(value)


def _limit(keyword: str, applies: Valid, holds: Callable[[Any, Any], bool]) -> Any:
    def rule(_: Quick, schema: Schema, __: str) -> Valid:
        limit = schema[keyword]
        return lambda value: not applies(value) or holds(value, limit)

    return rule


_RULES: Mapping[str, Callable[[Quick, Schema, str], Valid]] = {
    "$ref": Quick._ref,
    "type": Quick._type,
    "properties": Quick._object,
    "additionalProperties": Quick._object,
    "if": Quick._if,
    "allOf": Quick._all_of,
    "items": Quick._items,
    "propertyNames": Quick._names,
    "required": Quick._required,
    "dependentRequired": Quick._dependent,
    "enum": Quick._enum,
    "const": Quick._enum,
    "pattern": Quick._pattern,
    "uniqueItems": Quick._unique,
    "not": Quick._not,
    "minimum": _limit("minimum", _is_number, lambda v, limit: v >= limit),
    "maximum": _limit("maximum", _is_number, lambda v, limit: v <= limit),
    "exclusiveMinimum": _limit("exclusiveMinimum", _is_number, lambda v, limit: v > limit),
    "exclusiveMaximum": _limit("exclusiveMaximum", _is_number, lambda v, limit: v < limit),
    "minLength": _limit("minLength", _TYPES["string"], lambda v, limit: len(v) >= limit),
    "maxLength": _limit("maxLength", _TYPES["string"], lambda v, limit: len(v) <= limit),
    "minItems": _limit("minItems", _TYPES["array"], lambda v, limit: len(v) >= limit),
    "maxItems": _limit("maxItems", _TYPES["array"], lambda v, limit: len(v) <= limit),
    "minProperties": _limit("minProperties", _TYPES["object"], lambda v, limit: len(v) >= limit),
}
