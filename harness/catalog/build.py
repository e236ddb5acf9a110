"""Checked documents to the frozen dataclasses of `specs`."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from harness.catalog.specs import SplitSpec

T = TypeVar("T")


def build(cls: type[T], document: Mapping[str, Any]) -> T:
    """An instance of a spec dataclass; the document must have passed its schema."""
    converters = _converters(typing.cast(Hashable, cls))
    return cls(**{key: converters[key](value) for key, value in document.items()})


def split_spec(value: Any) -> SplitSpec:
    """A split from YAML's mapping, or from a list of mappings whose rows follow each other."""
    if isinstance(value, list):
        first, *rest = (split_spec(piece) for piece in value)
        return dataclasses.replace(first, then=tuple(rest))
    return build(SplitSpec, value)


@lru_cache
def _converters(cls: Hashable) -> dict[str, Callable[[Any], Any]]:
    return {key: _converter(hint) for key, hint in typing.get_type_hints(cls).items()}


@lru_cache
def _converter(hint: Hashable) -> Callable[[Any], Any]:
    """What makes a value of that type of a checked one."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        part = _converter(arguments[0])
        return lambda value: tuple(part(one) for one in value)
    if origin is Mapping:
        part = _converter(arguments[1])
        return lambda value: {key: part(one) for key, one in value.items()}
    if origin in (types.UnionType, typing.Union):
        kinds = [kind for kind in arguments if kind is not types.NoneType]
        return _converter(kinds[0]) if len(kinds) == 1 else _as_is
    if hint is SplitSpec:
        return split_spec
    if dataclasses.is_dataclass(hint):
        return lambda value: build(typing.cast(type, hint), value)
    # A schema takes 3.0 for an integer; 1 and 1.0 must give the same key.
    return typing.cast(type, hint) if hint in (int, float) else _as_is


def _as_is(value: Any) -> Any:
    return value
