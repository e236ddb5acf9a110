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
_NUMERICS = ("device", "dtype", "threads", "tf32", "deterministic")
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
    `@` and 8 hex digits of what it meant follow it; a setting means how target and sources were
    trained.
    """
    recipe, sources, setting = record["recipe"], record["source_set"], record["setting"]
    options = recipe["options"]
    trained = [setting[name] for name in ("hyperparameters", "sources", "joint")]
    return signature(
        [
            ("backbone", _named(record["backbone"])),
            *_place(setting),
            ("recipe", f"{recipe['name']}@{short(options)}" if options else recipe["name"]),
            ("set", f"{sources['name']}@{short(sources['sources'])}" if sources else "none"),
            ("budget", (sources and sources["budget"]) or "none"),
            ("mixture", (sources and sources["mixture"]) or "none"),
            ("stand-ins", ",".join(sources["stand_ins"] if sources else ()) or "none"),
            *_scored(record["target"]),
            ("data", short(record["data"]["fingerprints"])),
            ("setting", f"{setting['name']}@{short(trained)}"),
            ("seed", _text(record["seed"])),
            *_rest(record),
        ]
    )


def evaluation_signature(evaluation: Mapping[str, Any]) -> str:
    """The signature of a saved model's scores on one target.

    Of what it was trained on only its own digest is known. `evaluation` has the blocks that a
    record has, but `model` instead of recipe, source set, setting and seed.
    """
    return signature(
        [
            ("backbone", _named(evaluation["backbone"])),
            ("model", _named(evaluation["model"])),
            *_scored(evaluation["target"]),
            # Not `data`: that of a record covers the training sets too.
            ("test-data", short(evaluation["data"]["fingerprints"])),
            *_rest(evaluation),
        ]
    )


def files_signature(
    *,
    task: str,
    languages: Sequence[str],
    gold: Mapping[str, str],
    options: Mapping[str, str],
    version: str,
) -> str:
    """The signature of scores of prediction files, of whose making nothing is known.

    `gold` has a digest of each label file; `options` are those of the format, with its prefix.
    """
    return signature(
        [
            ("task", task),
            ("languages", f"{len(languages)}@{short(languages)}"),
            ("gold", short(gold)),
            *sorted(options.items()),
            ("version", version),
        ]
    )


def short(value: Any) -> str:
    """First 8 hex digits of the digest of a value."""
    return digest(value)[:8]


def _named(block: Mapping[str, Any]) -> str:
    return f"{block['name']}@{block['digest'][:8]}"


def _place(setting: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Where adapters begin and whether what is below drops out, if it is not everywhere and so."""
    for used in (setting["hyperparameters"], setting["joint"], *setting["sources"].values()):
        if used and "first_adapter_layer" in used:
            below = [] if used.get("prefix_dropout", True) else [("prefix-dropout", "no")]
            return [("adapters-from", _text(used["first_adapter_layer"])), *below]
    return []


def _scored(target: Mapping[str, Any]) -> list[tuple[str, str]]:
    languages = target["languages"]
    return [
        ("target", target["name"]),
        ("split", target["split"]),
        ("train", target["train_language"]),
        ("languages", f"{len(languages)}@{short(languages)}"),
    ]


def _rest(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Arithmetic, the format's options, the definition of low-resource, version."""
    target, numerics = document["target"], document["numerics"]
    low = document["averages"]["low_resource_definition"]
    return [
        *((key, _text(numerics[key])) for key in _NUMERICS),
        # The prefix keeps an option from taking the name of another key.
        *((f"{target['format']}.{key}", _text(v)) for key, v in sorted(target["options"].items())),
        ("low-resource", low["id"] if low else "none"),
        ("version", document["version"]),
    ]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if value != "" else "none"


def _escape(value: str) -> str:
    return _SPECIAL.sub(lambda m: "".join(f"%{b:02X}" for b in m.group().encode("utf-8")), value)
