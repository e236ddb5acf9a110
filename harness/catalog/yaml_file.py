"""One YAML file as plain data, read strictly: no duplicate keys, no surprising conversions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from harness.errors import InputError

_TEXT = "tag:yaml.org,2002:str"
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is ten times faster


class _Loader(_Base):  # type: ignore[misc]
    """YAML 1.2's scalars: in 1.1 the language code `no` is a boolean and `1e-4` is text."""

    # Without this the C parser would use YAML 1.1's table of the base class.
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        # What the base class comes to, for most scalars, without its table of patterns.
        if kind is yaml.ScalarNode and not (
            implicit[0] and value[:1] in self.yaml_implicit_resolvers
        ):
            return _TEXT
        return super().resolve(kind, value, implicit)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.tag != _TEXT:
                shown = key.value if isinstance(key.value, str) else "a list or mapping"
                raise _at(key, f"key {shown}: got a key that is not text; put it in quotes")
            if key.value in seen:
                raise _at(key, f"key '{key.value}' stands twice; keep one of them")
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _at(node: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+\.", "-+.0123456789"),
    ("null", r"~|null|", "~n\0"),
    ("merge", r"<<", "<"),
):
    _first_characters = ["" if c == "\0" else c for c in _first]
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first_characters
    )
_Loader.add_constructor(
    "tag:yaml.org,2002:float", lambda loader, node: float(loader.construct_scalar(node))
)


def shown_path(path: Path) -> str:
    """The path as messages show it: relative to the working directory where it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (OSError, ValueError):
        return str(path)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; InputError (one line with the place) for anything else."""
    try:
        document = _parsed(path)
    except InputError as error:
        raise InputError(f"{shown_path(path)}: {error}") from error.__cause__
    return document


def _parsed(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"byte {error.start} is not UTF-8; save the file with UTF-8 encoding"
        ) from error
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror}); check the path") from error
    try:
        document = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"line {mark.line + 1}: " if mark else ""
        at = text.splitlines()[mark.line : mark.line + 1] if mark else []
        todo = "put text with braces in quotes" if "{" in "".join(at) else "correct it"
        raise InputError(f"{line}{error.problem}; not valid YAML, {todo}") from error
    except (yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"not valid YAML ({reason}); correct it") from error
    if document is None:
        raise InputError("the file is empty; allowed: a mapping (key: value); fill it in")
    if not isinstance(document, dict):
        raise InputError(f"got {shown(document)}; allowed: a mapping (key: value)")
    if _cyclic(document, ()):
        raise InputError("an alias (*) refers to a part that holds it; write it out")
    return document


def shown(value: Any) -> str:
    """A value as messages show it, at most 60 characters."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _cyclic(value: Any, above: tuple[int, ...]) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    if id(value) in above:
        return True
    inner = value.values() if isinstance(value, dict) else value
    return any(_cyclic(part, (*above, id(value))) for part in inner)
