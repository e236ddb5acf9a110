"""The fast check never accepts what jsonschema refuses, and accepts every shipped file."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.catalog import default_directory, quick, read_yaml
from harness.catalog.check import _quick, _validator
from harness.catalog.quick import Quick

KINDS = {
    "backbones": "backbone",
    "sources": "source",
    "source_sets": "source_set",
    "targets": "target",
    "recipes": "recipe",
    "suites": "suite",
}
DOCUMENTS = [
    (kind, read_yaml(file))
    for folder, kind in KINDS.items()
    for file in sorted((default_directory() / folder).glob("*.yaml"))
] + [("languages", read_yaml(default_directory() / "languages.yaml"))]
VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1, 2.0, 0.5, 1e9, "", "x", "en", "a,b", "../x", [], ["x"], ["x", "x"], {}]
).map(copy.deepcopy)  # a document is changed in place: one list must not stand in two of them


@pytest.mark.parametrize("kind", [*KINDS.values(), "languages"])
def test_shipped_files_pass_both(kind: str) -> None:
    for _, document in (entry for entry in DOCUMENTS if entry[0] == kind):
        assert _quick(kind)(document)
        assert _validator(kind).is_valid(document)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all parts of a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [path] if path else []
    if isinstance(value, (dict, list)):
        for key, part in inner:
            found += places(part, (*path, key)) if isinstance(part, (dict, list)) else []
            found.append((*path, key))
    return found


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_files_are_never_accepted_by_the_fast_check_alone(data: st.DataObject) -> None:
    kind, document = data.draw(st.sampled_from(DOCUMENTS))
    damaged = copy.deepcopy(document)
    for _ in range(data.draw(st.integers(1, 3))):
        *above, last = data.draw(st.sampled_from(places(damaged)))
        part = damaged
        for key in above:
            part = part[key]
        action = data.draw(st.sampled_from(["replace", "remove", "add"]))
        if action == "replace":
            part[last] = data.draw(VALUES)
        elif action == "remove":
            del part[last]
        elif isinstance(part, dict):
            part[data.draw(st.sampled_from(["x", "part", "options", "Bad name"]))] = data.draw(
                VALUES
            )
        if not places(damaged):
            break
    if _quick(kind)(damaged):
        assert _validator(kind).is_valid(damaged)


def test_each_part_of_a_document_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice per level is 16 times at the fourth level, and every command loads the catalog."""
    seen: list[str] = []

    def count(_: Quick, schema: Any, __: str) -> Callable[[Any], bool]:
        def rule(value: Any) -> bool:
            seen.append(value)
            return True

        return rule

    monkeypatch.setattr(quick, "_RULES", {**quick._RULES, "pattern": count})
    schema: dict[str, Any] = {"type": "string", "pattern": "."}
    document: Any = "leaf"
    for _ in range(4):
        schema = {
            "type": "object",
            "properties": {"inner": schema},
            "additionalProperties": False,
            "if": {"required": ["inner"]},
            "then": {"required": ["inner"]},
        }
        document = {"inner": document}
    valid = Quick(lambda name: schema).compile("any")
    assert valid(document)
    assert seen == ["leaf"]
    document["inner"]["other"] = 1
    assert not valid(document)
