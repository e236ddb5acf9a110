"""The catalog that comes with the package, its schemas, and what loading gives."""

from __future__ import annotations

import dataclasses
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from harness.canonical import digest
from harness.catalog import Catalog, SplitSpec, default_directory, split_spec
from harness.data.load import READERS
from harness.data.world import TASKS
from harness.errors import InputError
from harness.resources import resource_dir

KINDS = ("backbones", "sources", "source_sets", "targets", "recipes", "suites", "languages")
SCHEMAS = ["backbone", "common", "languages", "recipe", "source", "source_set", "suite", "target"]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load()


def schema(name: str) -> dict[str, Any]:
    text = (resource_dir("schemas") / f"{name}.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_valid_closed_and_described(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))

    def walk(part: Any, place: str) -> None:
        if isinstance(part, list):
            for number, inner in enumerate(part):
                walk(inner, f"{place}[{number}]")
        if not isinstance(part, dict):
            return
        if part.get("type") == "object" and "properties" in part:
            assert part.get("additionalProperties") is False, place
            for key, described in part["properties"].items():
                assert "description" in described or "$ref" in described, f"{place}.{key}"
        for key, inner in part.items():
            walk(inner, f"{place}.{key}")

    walk(schema(name), name)


def test_every_shipped_file_is_loaded(catalog: Catalog) -> None:
    for kind in KINDS[:-1]:
        files = {file.stem for file in (default_directory() / kind).iterdir()}
        assert files == set(getattr(catalog, kind)), kind
    assert len([one for one in catalog.languages.values() if not one.world]) == 56
    assert len([one for one in catalog.languages.values() if one.world]) == 12


def test_everything_is_frozen_and_travels_to_workers(catalog: Catalog) -> None:
    for kind in KINDS:
        one = next(iter(getattr(catalog, kind).values()))
        with pytest.raises(dataclasses.FrozenInstanceError):
            one.name = "other"
    with pytest.raises(dataclasses.FrozenInstanceError):
        catalog.sources = {}  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(catalog)) == catalog
    assert digest(catalog) == digest(Catalog.load())


def test_readers_and_world_tasks_are_those_of_the_code(catalog: Catalog) -> None:
    piece = schema("common")["$defs"]["split_piece"]
    assert sorted(piece["properties"]["reader"]["enum"]) == sorted(READERS)
    options = schema("common")["$defs"]["world_options"]["properties"]
    assert options["task"]["enum"] == list(TASKS)
    for source in catalog.sources.values():
        if source.world:
            answers = ("answerable", "unanswerable") if source.task == "qa2" else ()
            assert source.labels == (TASKS[source.task].labels or answers)
    for target in catalog.targets.values():
        if target.world:
            assert target.labels == TASKS[target.task].labels


def test_default_suite_needs_nothing(catalog: Catalog) -> None:
    suite = catalog.suite("default")
    assert not suite.needs_data
    assert [catalog.backbone(name).kind for name in suite.backbones] == ["builtin"]


@pytest.mark.parametrize("kind", ["suite", "source", "target", "recipe", "backbone", "language"])
def test_getters_list_what_exists(catalog: Catalog, kind: str) -> None:
    known = next(iter(getattr(catalog, f"{kind}s")))
    assert getattr(catalog, kind)(known)
    with pytest.raises(InputError, match=rf"{kind} '{known}x' is unknown; known: .*{known}"):
        getattr(catalog, kind)(f"{known}x")


def test_pieces_resolve_overrides_and_lists() -> None:
    spec = split_spec(
        [
            {
                "reader": "jsonl",
                "files": ["a"],
                "overrides": {"de": [{"reader": "text"}, {"reader": "squad"}]},
            },
            {"reader": "tagged"},
        ]
    )
    assert [piece.reader for piece in spec.pieces("en")] == ["jsonl", "tagged"]
    assert [piece.reader for piece in spec.pieces("de")] == ["text", "squad", "tagged"]
    assert spec.pieces("en")[0] == SplitSpec("jsonl", ("a",))


def test_settings_of_a_source(catalog: Catalog) -> None:
    source = catalog.source("files-nli.en")
    assert source.training_for("adapters").learning_rate == 1e-4
    assert source.training_for("small") == source.training


def test_hub_backbones_are_pinned() -> None:
    for file in (default_directory() / "backbones").glob("*.yaml"):
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
        assert document["kind"] != "hub" or len(document["revision"]) == 40


def test_loading_imports_nothing_heavy() -> None:
    code = (
        "import sys; from harness.catalog import Catalog; Catalog.load();"
        "print([name for name in ('torch', 'jsonschema') if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_source_says_which_target_trains_on_its_files(catalog: Catalog) -> None:
    def files(split: SplitSpec | None, language: str) -> set[str]:
        pieces = () if split is None else (split, *split.then)
        return {
            file.replace("{language}", language) for piece in pieces for file in piece.files or ()
        }

    told = 0
    for source in catalog.sources.values():
        trained = files(source.train, source.language)
        targets = [
            target.name
            for target in catalog.targets.values()
            if trained & files(target.train, target.train_language or "")
        ]
        if targets:
            told += 1
            assert any(name in source.description for name in targets), (source.name, targets)
    assert told > 10


def test_non_commercial_licences_say_so_in_one_word(catalog: Catalog) -> None:
    for named in (catalog.backbones, catalog.sources, catalog.targets):
        for one in named.values():
            if "-NC" in one.licence:
                assert "non-commercial" in one.licence, one.name
