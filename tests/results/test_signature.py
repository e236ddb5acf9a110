"""Signatures: their one form, round trips, and that every field that matters is in a record's."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.results import parse_signature, record_signature, signature

keys = st.from_regex(r"[a-z][a-z0-9_.-]{0,8}", fullmatch=True).filter(lambda k: k != "version")
values = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
pairs = st.lists(st.tuples(keys, values), unique_by=lambda p: p[0], max_size=6)


@given(pairs, values)
def test_round_trip(items: list[tuple[str, str]], version: str) -> None:
    items = [*items, ("version", version)]
    text = signature(items)
    assert parse_signature(text) == items
    assert len(text.splitlines()) == 1
    assert text.count("|") == len(items) - 1


@given(st.text(max_size=30))
def test_parse_takes_only_what_signature_writes(text: str) -> None:
    try:
        items = parse_signature(text)
    except ValueError:
        return
    assert signature(items) == text


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([("version", "1")], "version:1"),
        ([("a", "x"), ("version", "0.1.0")], "a:x|version:0.1.0"),
        ([("a", "x|y:z 50%"), ("version", "1")], "a:x%7Cy%3Az%2050%25|version:1"),
        ([("a", "日本"), ("version", "1")], "a:日本|version:1"),
    ],
)
def test_form(items: list[tuple[str, str]], expected: str) -> None:
    assert signature(items) == expected


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "ends with version"),
        ([("version", "1"), ("a", "x")], "ends with version"),
        ([("a", ""), ("version", "1")], "empty value"),
        ([("a", "x"), ("a", "y"), ("version", "1")], "appears twice"),
        ([("A", "x"), ("version", "1")], "allowed is text"),
        ([("a|b", "x"), ("version", "1")], "allowed is text"),
        ([("a:b", "x"), ("version", "1")], "allowed is text"),
    ],
)
def test_refused_pairs(items: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        signature(items)


@pytest.mark.parametrize(
    "text",
    ["", "a", "a:x", "version:1|a:x", "a:x||version:1", "a:%zz|version:1", "a:%41|version:1",
     "a:%7c|version:1", "a:%FF|version:1", "a:x:y|version:1", "a:x y|version:1", "version:"],
)  # fmt: skip
def test_refused_texts(text: str) -> None:
    with pytest.raises(ValueError, match="signature"):
        parse_signature(text)


def test_of_a_record(record: dict[str, Any]) -> None:
    assert record_signature(record) == (
        "backbone:nano@abababab|recipe:fuse|set:multi-family@90468d71|budget:none"
        "|mixture:none|stand-ins:none|target:world-nli|split:test"
        "|train:A0|languages:3@3e04ef65|data:2b09229b|setting:adapters@02bec578|seed:1|device:cpu"
        "|dtype:float32|threads:2|tf32:no|deterministic:yes|pair.max-length:128"
        "|low-resource:3a16ad0d|version:0.1.0"
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("version", "0.2.0"),
        ("seed", 2),
        ("source_set", None),
        ("backbone.name", "micro"),
        ("backbone.digest", "cd" * 32),
        ("recipe.name", "stack"),
        ("recipe.options", {"fuse": "own"}),
        ("source_set.name", "other"),
        ("source_set.sources", ["nli.A0"]),
        ("source_set.budget", "examples=90"),
        ("source_set.mixture", "temperature,2.0,cap=10"),
        ("source_set.stand_ins", ["nli.A0"]),
        ("setting.joint", {"epochs": 3}),
        ("target.name", "world-pos"),
        ("target.split", "dev"),
        ("target.train_language", "B0"),
        ("target.languages", ["A0", "A2"]),
        ("target.options", {"max-length": 64}),
        ("target.options", {"max-length": 128, "layer": 7}),
        ("target.options", {"max-length": 128, "lower": False}),
        ("setting.name", "jiant"),
        ("setting.hyperparameters", {"learning_rate": 5e-5}),
        ("setting.sources", {"nli.A0": {"learning_rate": 1e-4}, "pos.B0": {"epochs": 3}}),
        ("numerics.device", "cuda"),
        ("numerics.dtype", "bfloat16"),
        ("numerics.threads", 4),
        ("numerics.tf32", True),
        ("numerics.deterministic", False),
        ("data.fingerprints", {}),
        ("averages.low_resource_definition", None),
    ],
)
def test_what_can_change_a_number_changes_the_signature(
    record: dict[str, Any], path: str, value: object
) -> None:
    changed = copy.deepcopy(record)
    *parents, last = path.split(".")
    block = changed
    for parent in parents:
        block = block[parent]
    assert block[last] != value
    block[last] = value
    assert record_signature(changed) != record_signature(record)
    parse_signature(record_signature(changed))


def test_an_option_cannot_take_the_name_of_another_key(record: dict[str, Any]) -> None:
    record["target"]["options"] = {"seed": 5, "version": "x"}
    text = record_signature(record)
    assert "|seed:1|" in text
    assert "|pair.seed:5|pair.version:x|" in text
