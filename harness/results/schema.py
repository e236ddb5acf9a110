"""Checking a document against `schemas/`: one line with the place, the value, what is allowed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from harness.errors import InputError
from harness.resources import resource_dir

_SHOWN = 80  # characters of a value in a message


@cache
def _validator(name: str) -> Draft202012Validator:
    path = resource_dir("schemas") / f"{name}.schema.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def check_schema(document: Any, name: str, where: str) -> None:
    """Raise InputError for the first violation of `schemas/<name>.schema.json`, in path order."""
    _check_finite(document, where, ())
    errors = list(_validator(name).iter_errors(document))
    if errors:
        # Outermost first: a missing block explains more than what follows from it.
        first = min(
            errors, key=lambda e: (len(e.absolute_path), _dotted(e.absolute_path), e.message)
        )
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise InputError(f"{where}: {_explain(first)}{more}")


def load_json(path: Path) -> Any:
    """Strict JSON of a file: NaN, infinities, duplicate keys and bad UTF-8 are InputErrors."""
    try:
        return json.loads(
            path.read_bytes().decode("utf-8"),
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique_pairs,
        )
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not UTF-8 at byte {error.start}; allowed is UTF-8 JSON"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON: {error}") from error


def shown(value: Any) -> str:
    """A value for a message: JSON, cut to one short line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _check_finite(value: Any, where: str, path: tuple[str | int, ...]) -> None:
    # JSON Schema compares NaN with its limits and finds nothing wrong.
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{where}: {_dotted(path)}: got {value}; allowed are finite numbers")
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_finite(item, where, (*path, str(key)))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_finite(item, where, (*path, index))


def _explain(error: ValidationError) -> str:
    path, rule, value = list(error.absolute_path), error.validator_value, error.instance
    kind = str(error.validator)
    if kind == "required" and isinstance(rule, Sequence):
        missing = [key for key in rule if key not in _mapping(value)]
        return f"{_dotted([*path, missing[0]])}: is missing; required are {', '.join(rule)}"
    if kind == "additionalProperties" and rule is False:
        known = sorted(_mapping(error.schema).get("properties", {}))
        extra = sorted(set(_mapping(value)) - set(known))
        return f"{_dotted([*path, extra[0]])}: is not a known key; allowed are {', '.join(known)}"
    if "propertyNames" in error.absolute_schema_path:
        return f"{_dotted(path)}: key {shown(value)} is not allowed; {_allowed(kind, rule)}"
    return f"{_dotted(path)}: got {shown(value)}; {_allowed(kind, rule)}"


def _allowed(kind: str, rule: Any) -> str:
    texts: dict[str, Callable[[], str]] = {
        "type": lambda: "allowed is " + (rule if isinstance(rule, str) else " or ".join(rule)),
        "enum": lambda: "allowed are " + ", ".join(map(shown, rule)),
        "const": lambda: f"allowed is {shown(rule)}",
        "minimum": lambda: f"allowed is {rule} or more",
        "maximum": lambda: f"allowed is {rule} or less",
        "pattern": lambda: f"allowed is text that matches {rule}",
        "minLength": lambda: f"allowed is text of {rule} or more characters",
        "maxLength": lambda: f"allowed is text of {rule} or fewer characters",
        "minItems": lambda: f"allowed are {rule} or more items",
        "minProperties": lambda: f"allowed are {rule} or more entries",
        "uniqueItems": lambda: "allowed are items that differ",
    }
    return texts[kind]() if kind in texts else f"it breaks the rule {kind}: {shown(rule)}"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _dotted(path: Sequence[str | int] | Any) -> str:
    return ".".join(str(part) for part in path) or "(document)"


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(k for k in keys if keys.count(k) > 1)!r} appears twice")
    return result
