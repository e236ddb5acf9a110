"""Checked documents to the frozen dataclasses of `specs`."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from harness.catalog.specs import SplitSpec

T = TypeVar("T")


def build(cls: type[T], document: Mapping[str, Any]) -> T:
    """An instance of a spec dataclass; the document must have passed its schema."""
    hints = _hints(typing.cast(Hashable, cls))
    return cls(**{key: _convert(hints[key], value) for key, value in document.items()})


def split_spec(value: Any) -> SplitSpec:
    """A split from YAML's mapping, or from a list of mappings whose rows follow each other."""
    if isinstance(value, list):
        first, *rest = (split_spec(piece) for piece in value)
        return dataclasses.replace(first, then=tuple(rest))
    return build(SplitSpec, value)


@lru_cache
def _hints(cls: Hashable) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _convert(hint: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return tuple(_convert(arguments[0], part) for part in value)
    if origin is Mapping:
        return {key: _convert(arguments[1], part) for key, part in value.items()}
    if origin in (types.UnionType, typing.Union):
        kinds = [kind for kind in arguments if kind is not types.NoneType]
        return _convert(kinds[0], value) if len(kinds) == 1 else value
    if hint is SplitSpec:
        return split_spec(value)
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value)
    if hint is int:  # a schema takes 3.0 for an integer
        return int(value)
    if hint is float:  # 1 and 1.0 must give the same key
        return float(value)
    return value
