"""Signatures in sacrebleu's habit: `key:value|key:value|...|version:x`, beside every number."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from harness.canonical import digest

_KEY = re.compile(r"[a-z][a-z0-9_.-]*")
# What would break the line apart, or make it more than one line or word; escaped as in a URL.
_SPECIAL = re.compile(r"[%|:\s\x00-\x1f\x7f]")
_ESCAPE = re.compile(r"%(?![0-9A-F]{2})")


def signature(pairs: Sequence[tuple[str, str]]) -> str:
    """Join pairs in order; the last key is `version`. Special characters of values are %-escaped.

    Raises ValueError for a key that is malformed or repeated, an empty value, or a missing version.
    """
    keys = [key for key, _ in pairs]
    if not keys or keys[-1] != "version":
        raise ValueError(f"a signature ends with version, not with {keys[-1:] or 'nothing'}")
    for key, value in pairs:
        if not _KEY.fullmatch(key):
            raise ValueError(f"signature key {key!r}: allowed is text that matches {_KEY.pattern}")
        if keys.count(key) > 1:
            raise ValueError(f"signature key {key!r} appears twice")
        if not value:
            raise ValueError(f"signature key {key!r} has an empty value")
    return "|".join(f"{key}:{_escape(value)}" for key, value in pairs)


def parse_signature(text: str) -> list[tuple[str, str]]:
    """The pairs of a signature; ValueError where `signature` could not have written the text."""
    pairs: list[tuple[str, str]] = []
    for part in text.split("|"):
        key, colon, value = part.partition(":")
        if not colon:
            raise ValueError(f"signature part {part!r}: allowed is key:value")
        if _ESCAPE.search(value):
            raise ValueError(f"signature part {part!r}: % is not followed by two hex digits")
        try:
            pairs.append((key, unquote(value, errors="strict")))
        except UnicodeDecodeError as error:
            raise ValueError(f"signature part {part!r}: its escapes are not UTF-8") from error
    if signature(pairs) != text:
        raise ValueError(f"signature {text!r} is not in the one form that xstilts writes")
    return pairs


def record_signature(record: Mapping[str, Any]) -> str:
    """The signature of a record, from its own fields alone.

    Where a name may come to mean something else (backbone, recipe options, source set, setting),
    `@` and 8 hex digits of what it meant follow it.
    """
    backbone, target, numerics = record["backbone"], record["target"], record["numerics"]
    recipe, sources, setting = record["recipe"], record["source_set"], record["setting"]
    low = record["averages"]["low_resource_definition"]
    options = recipe["options"]
    pairs = [
        ("backbone", f"{backbone['name']}@{backbone['digest'][:8]}"),
        ("recipe", f"{recipe['name']}@{short(options)}" if options else recipe["name"]),
        ("set", f"{sources['name']}@{short(sources['sources'])}" if sources else "none"),
        ("target", target["name"]),
        ("split", target["split"]),
        ("train", target["train_language"]),
        ("languages", f"{len(target['languages'])}@{short(target['languages'])}"),
        ("data", short(record["data"]["fingerprints"])),
        ("setting", f"{setting['name']}@{short(setting['hyperparameters'])}"),
        ("seed", _text(record["seed"])),
        ("device", numerics["device"]),
        ("dtype", numerics["dtype"]),
        ("threads", _text(numerics["threads"])),
        ("tf32", _text(numerics["tf32"])),
        ("deterministic", _text(numerics["deterministic"])),
        # The prefix keeps an option from taking the name of one of the keys above.
        *((f"{target['format']}.{key}", _text(v)) for key, v in sorted(target["options"].items())),
        ("low-resource", low["id"] if low else "none"),
        ("version", record["version"]),
    ]
    return signature(pairs)


def short(value: Any) -> str:
    """First 8 hex digits of the digest of a value."""
    return digest(value)[:8]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if value != "" else "none"


def _escape(value: str) -> str:
    return _SPECIAL.sub(lambda m: "".join(f"%{b:02X}" for b in m.group().encode("utf-8")), value)
