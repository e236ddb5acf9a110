"""Records: values worked out by hand, every kind of violation, files."""

from __future__ import annotations

import copy
import hashlib
import importlib
import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.canonical import digest
from harness.errors import InputError, WorkError
from harness.resources import resource_dir
from harness.results import (
    Margin,
    build_record,
    environment,
    language_score,
    low_resource_definition,
    read_record,
    reproducible,
    validate_file,
    validate_record,
    write_record,
)

Make = Callable[..., dict[str, Any]]
DROP = object()


def edited(record: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    result = copy.deepcopy(record)
    *parents, last = path.split("/")
    block = result
    for parent in parents:
        block = block[parent]
    if value is DROP:
        del block[last]
    else:
        block[last] = value
    return result


def test_averages_by_hand(record: dict[str, Any]) -> None:
    assert record["averages"] == {
        "all": {"score": 56.0, "languages": ["A0", "A2", "B2"], "n_languages": 3},
        "zero_shot": {"score": 43.5, "languages": ["A2", "B2"], "n_languages": 2},
        "train_language": {"score": 81.0, "languages": ["A0"], "n_languages": 1},
        "low_resource": {"score": 43.5, "languages": ["A2", "B2"], "n_languages": 2},
        "low_resource_definition": {
            "id": "3a16ad0d", "text": "the third of each family", "languages": ["A2", "B2"],
        },
    }  # fmt: skip


def test_what_was_seen_is_not_zero_shot(make: Make) -> None:
    scores = {"A0": 90.0, "A1": 10.0, "A2": 20.0, "B1": 40.0, "B2": 60.0}
    found = make(scores, seen={"A1": "language", "B1": "task", "B2": "data"})["averages"]
    assert found["all"]["score"] == 44.0
    assert found["zero_shot"] == {"score": 15.0, "languages": ["A1", "A2"], "n_languages": 2}
    assert found["low_resource"] == {"score": 20.0, "languages": ["A2"], "n_languages": 1}


def test_averages_of_nothing_are_null(make: Make) -> None:
    only_home = make({"A0": 90.0}, low="", low_languages=())["averages"]
    assert only_home["zero_shot"] is None
    assert only_home["low_resource"] is None
    assert only_home["low_resource_definition"] is None
    assert make({"B1": 90.0})["averages"]["train_language"] is None


def test_id_is_that_of_the_identity(record: dict[str, Any], make: Make) -> None:
    keys = ["backbone", "recipe", "source_set", "target", "setting", "seed", "numerics"]
    identity = {key: record[key] for key in keys}
    identity["fingerprints"] = record["data"]["fingerprints"]
    identity["low_resource"] = record["averages"]["low_resource_definition"]
    assert record["id"] == digest(identity)
    other_scores = make({"A0": 1.0, "A2": 2.0, "B2": 3.0}, seconds=99)
    assert other_scores["id"] == record["id"]
    assert make({"A0": 81.0, "A2": 50.0, "B2": 37.0}, seed=2)["id"] != record["id"]


def test_how_a_source_was_trained_is_part_of_id_and_signature(parts: Make) -> None:
    def built(**changes: Any) -> dict[str, Any]:
        values = parts({"A2": 10.0})
        values["setting"]["sources"]["pos.B0"] |= changes
        return build_record(values)

    record, same = built(), built()
    assert (record["id"], record["signature"]) == (same["id"], same["signature"])
    for changes in ({"learning_rate": 1e-3}, {"epochs": 9}, {"reduction_factor": 8}):
        other = built(**changes)
        assert other["id"] != record["id"]
        assert other["signature"] != record["signature"]


def test_only_costs_and_environment_are_volatile(make: Make) -> None:
    scores = {"A0": 81.0, "A2": 50.0}
    first, second = make(scores, seconds=1), make(scores, seconds=2)
    assert first != second
    assert reproducible(first) == reproducible(second)
    assert set(first) - set(reproducible(first)) == {"costs", "environment"}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("schema_version", 2, "schema_version: got 2; allowed is 1"),
        ("seed", DROP, "seed: is missing; required are schema_version, version"),
        ("note", "x", "note: is not a known key; allowed are averages, backbone"),
        ("seed", -1, "seed: got -1; allowed is 0 or more"),
        ("seed", 1.5, "seed: got 1.5; allowed is integer"),
        ("seed", True, "seed: got true; allowed is integer"),
        ("backbone/digest", "abc", 'backbone.digest: got "abc"; allowed is text that matches'),
        ("backbone/note", 1, "backbone.note: is not a known key; allowed are digest, hidden_size"),
        ("recipe/name", "", 'recipe.name: got ""; allowed is text of 1 or more'),
        ("source_set", "english", 'source_set: got "english"; allowed is object or null'),
        ("source_set/sources", [], "source_set.sources: got []; allowed are 1 or more items"),
        ("source_set/sources", ["a", "a"], "allowed are items that differ"),
        ("target/options", {"layer": None}, "target.options.layer: got null; allowed is string"),
        ("target/options", {"Layer": 1}, 'target.options: key "Layer" is not allowed'),
        ("scores", {}, "scores: got {}; allowed are 1 or more entries"),
        ("scores/A2/n", 0, "scores.A2.n: got 0; allowed is 1 or more"),
        ("scores/A2/score", 100.5, "scores.A2.score: got 100.5; allowed is 100 or less"),
        ("scores/A2/score", math.nan, "scores.A2.score: got nan; allowed are finite numbers"),
        ("scores/A2/metrics/accuracy", -0.1, "scores.A2.metrics.accuracy: got -0.1; allowed is 0"),
        ("scores/A2/metrics", {}, "scores.A2.metrics: got {}; allowed are 1 or more entries"),
        ("scores/A2/seen", "some", "allowed are \"nothing\", \"language\", \"task\", \"data\""),
        ("scores/A2/floor", DROP, "scores.A2.floor: is missing"),
        ("scores/A2/above_floor/confidence", 0.9, "confidence: got 0.9; allowed is 0.95"),
        ("scores/A2/above_floor/lower_bound", -101, "got -101; allowed is -100 or more"),
        ("selection/on", "test", 'selection.on: got "test"; allowed is "dev"'),
        ("trials", {"count": 0}, "trials.count: got 0; allowed is 1 or more"),
        ("trials/seconds", 5, "trials.seconds: is not a known key; allowed are count"),
        ("data/overlap", {"A2": {"x": -1}}, "data.overlap.A2.x: got -1; allowed is 0 or more"),
        ("files/statistics/path", "/etc/x", "files.statistics.path: got"),
        ("files/statistics/path", "a/../../x", "files.statistics.path: got"),
        ("files/statistics/path", "..", "files.statistics.path: got"),
        ("files/statistics/path", "../../..", "files.statistics.path: got"),
        ("files/statistics/path", "..//x", "files.statistics.path: got"),
        ("files/statistics/path", "../~x", "files.statistics.path: got"),
        ("files/statistics/path", "a\\b", "files.statistics.path: got"),
        ("costs/steps", 1.5, "costs.steps: got 1.5; allowed is integer"),
        ("costs/wall_seconds", -1, "costs.wall_seconds: got -1; allowed is 0 or more"),
        ("environment/git", {"commit": "x", "dirty": True}, "environment.git.commit: got"),
        ("environment/created", "yesterday", "environment.created: got"),
        ("setting/sources", DROP, "setting.sources: is missing; required are name, hyperparam"),
        ("setting/sources", {"a": {}}, "setting.sources.a: got {}; allowed are 1 or more entries"),
        # What the schema cannot see.
        ("setting/sources", {"nli.A0": {"epochs": 1}}, "setting.sources: pos.B0 is in only one of"),
        ("source_set", None, "setting.sources: nli.A0 is in only one of it and source_set.sources"),
        ("target/languages", ["A0", "A2"], "scores: B2 is in only one of scores and target.lang"),
        ("target/languages", ["A0", "A2", "B2", "C2"], "scores: C2 is in only one"),
        ("scores/A2/floor/score", 34.0, "A2.above_floor.margin: got 17.0; the rest of the record"),
        ("scores/A2/above_floor/beats", False, "A2.above_floor.beats: got false; the rest"),
        ("scores/A2/above_floor/lower_bound", 0, "A2.above_floor.beats: got true; the rest"),
        ("averages/all/score", 56.1, "averages.all.score: got 56.1; the rest of the record"),
        ("averages/all/n_languages", 2, "averages.all.n_languages: got 2; the rest"),
        ("averages/zero_shot", None, "averages.zero_shot: got null; the rest of the record gives"),
        ("averages/zero_shot/languages", ["A2", "A0"], "averages.zero_shot.languages: got"),
        ("averages/low_resource", None, "averages.low_resource: got null"),
        ("averages/low_resource_definition/text", "x", "averages.low_resource_definition: got"),
        ("scores/A2/seen", "task", "averages.zero_shot.languages: got"),
        ("data/overlap", {"A2": {"x": 1}}, 'A2.seen: got "nothing"; allowed is "data"'),
        ("data/overlap", {"C2": {}}, "data.overlap.C2: is not scored; allowed are A0, A2, B2"),
        ("id", "0" * 64, "id: got"),
        ("seed", 7, "id: got"),
        ("data/fingerprints", {}, "id: got"),
        ("signature", "version:1", 'signature: got "version:1"; the rest'),
        ("version", "9", "signature: got"),
    ],
)  # fmt: skip
def test_violations(record: dict[str, Any], path: str, value: object, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        validate_record(edited(record, path, value), "r.json")
    text = str(caught.value)
    assert text.startswith("r.json: ")
    assert "\n" not in text


def test_differences_in_the_last_digits_are_no_violation(record: dict[str, Any]) -> None:
    validate_record(edited(record, "averages/all/score", 56.0 + 5e-10), "r.json")
    with pytest.raises(InputError, match=r"averages\.all\.score"):
        validate_record(edited(record, "averages/all/score", 56.0 + 5e-9), "r.json")


@pytest.mark.parametrize("document", [None, [], "x", 3, {}])
def test_other_documents(document: object) -> None:
    with pytest.raises(InputError, match=r"^r\.json: "):
        validate_record(document, "r.json")


def test_untrained_and_sourceless(parts: Make) -> None:
    values = parts({"A2": 10.0}, source_set=None)
    values.update(selection=None, trials=None)
    values["setting"]["hyperparameters"] = {}
    assert values["setting"]["sources"] == {}
    assert build_record(values)["averages"]["low_resource"] is None


def test_build_refuses_what_is_derived_or_missing(parts: Make) -> None:
    values = parts({"A2": 10.0})
    with pytest.raises(InputError, match="id: is derived"):
        build_record({**values, "id": "x"})
    del values["target"]
    with pytest.raises(InputError, match="target: is missing"):
        build_record(values)


def test_build_leaves_its_input_alone(parts: Make) -> None:
    values = parts({"A2": 10.0})
    before = copy.deepcopy(values)
    build_record(values)["scores"]["A2"]["score"] = 3
    assert values == before


def test_rounding_beyond_100_is_mended_and_no_more() -> None:
    def score(value: float) -> float:
        margin = Margin(0.0, -1.0, False, 0.95, "x")
        entry = language_score(
            metrics={"f1": value}, score=value, n=1, seen="nothing", floor=0, margin=margin
        )
        return float(entry["score"])

    assert score(100.00000000000001) == 100.0
    assert score(-1e-15) == 0.0
    assert score(100.1) == 100.1


def test_a_definition_is_about_a_set() -> None:
    first = low_resource_definition("x", ["sw", "yo", "sw"])
    assert first == low_resource_definition("x", ["yo", "sw"])
    assert first != low_resource_definition("y", ["yo", "sw"])
    assert low_resource_definition("", []) is None


def test_file_round_trip(record: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_record(path, record)
    assert read_record(path) == record
    validate_file(path)
    text = path.read_text(encoding="utf-8")
    assert text == json.dumps(record, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
    write_record(path, {**record, "costs": {**record["costs"], "steps": 61}})
    assert read_record(path)["costs"]["steps"] == 61
    assert os.listdir(tmp_path) == ["r.json"]


def test_the_hashes_of_files_that_are_there_are_checked(parts: Make, tmp_path: Path) -> None:
    values = parts({"A2": 10.0})
    content, other = hashlib.sha256(b"rows").hexdigest(), hashlib.sha256(b"row").hexdigest()
    for name in ("predictions", "statistics"):
        values["files"][name] = {"path": f"../store/{name}", "sha256": content}
    path = tmp_path / "records" / "r.json"
    path.parent.mkdir()
    write_record(path, build_record(values))
    validate_file(path)  # the store is not there
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "predictions").write_bytes(b"rows")
    validate_file(path)
    (tmp_path / "store" / "statistics").write_bytes(b"row")
    with pytest.raises(InputError) as caught:
        validate_file(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: files.statistics: {tmp_path / 'records'}/../store/statistics ")
    assert content in text
    assert other in text
    assert "\n" not in text


def test_an_invalid_record_is_not_written(record: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_record(path, record)
    with pytest.raises(InputError):
        write_record(path, {**record, "seed": 9})
    assert read_record(path) == record


def test_a_failed_write_leaves_the_old_file(
    record: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.json"
    write_record(path, record)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorkError, match=r"r\.json: cannot be written: No space left on device"):
        write_record(path, {**record, "costs": {**record["costs"], "steps": 61}})
    assert os.listdir(tmp_path) == ["r.json"]
    assert read_record(path) == record


def test_a_folder_that_is_not_there(record: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="No such file"):
        write_record(tmp_path / "no" / "r.json", record)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not valid JSON"),
        (b"", "not valid JSON"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": 1, "a": 2}', "key 'a' appears twice"),
        (b"\xff{}", "not UTF-8 at byte 0"),
        (b"[" * 100_000, "not valid JSON"),
        (b"{}", "is missing"),
    ],
)
def test_broken_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        validate_file(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"r\.json: cannot be read: No such file"):
        validate_file(tmp_path / "r.json")


def test_every_field_of_the_schema_is_described_and_closed() -> None:
    path = resource_dir("schemas") / "record.schema.json"
    schema = json.loads(path.read_text(encoding="utf-8"))

    def walk(block: dict[str, Any], place: str) -> None:
        for name, field in block.get("properties", {}).items():
            assert field.get("description"), f"{place}.{name}"
            walk(field, f"{place}.{name}")
        if "properties" in block:
            assert block["additionalProperties"] is False, place
        if isinstance(block.get("additionalProperties"), dict):
            walk(block["additionalProperties"], f"{place}.*")

    walk(schema, "record")
    for name, block in schema["$defs"].items():
        walk(block, name)


def test_every_field_of_the_schema_is_documented() -> None:
    schemas = resource_dir("schemas")
    schema = json.loads((schemas / "record.schema.json").read_text(encoding="utf-8"))
    text = (schemas.parent / "docs" / "record-format.md").read_text(encoding="utf-8")

    def names(block: dict[str, Any]) -> set[str]:
        inner = block.get("properties", {})
        more = block.get("additionalProperties")
        found = set(inner).union(*(names(field) for field in inner.values()))
        return found | names(more) if isinstance(more, dict) else found

    fields = names(schema).union(*(names(block) for block in schema["$defs"].values()))
    assert not sorted(name for name in fields if f"`{name}`" not in text)


def test_environment_of_this_process_is_valid(record: dict[str, Any]) -> None:
    block = environment()
    validate_record({**record, "environment": block}, "r.json")
    assert {"numpy", "xstilts"} <= set(block["packages"])
    assert environment(gpu="NVIDIA X")["hardware"]["gpu"] == "NVIDIA X"


def test_environment_in_an_image_is_what_the_image_says(
    record: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commit, base, lock and packages stand in a file of the image, its digest comes from outside."""
    git = {"commit": "c" * 40, "dirty": True}
    told = {
        "variant": "cpu",
        "base": {"kind": "debian", "name": "Debian bookworm", "digest": "sha256:" + "1" * 64},
        "lock": "sha256:" + "2" * 64,
        "packages": "sha256:" + "3" * 64,
    }
    (tmp_path / "image.json").write_text(json.dumps({**told, "git": git}))
    module = importlib.import_module("harness.results.environment")
    monkeypatch.setattr(module, "_IMAGE_FILE", tmp_path / "image.json")
    for digest in (None, "sha256:" + "0" * 64):
        if digest:
            monkeypatch.setenv("XSTILTS_IMAGE", digest)
        block = environment()
        assert block["image"] == {"digest": digest, **told}
        assert block["git"] == git
        validate_record({**record, "environment": block}, "r.json")
    with pytest.raises(InputError, match=r"environment\.image\.base\.kind"):
        broken = {**told, "base": {**told["base"], "kind": "none"}, "digest": None}
        validate_record({**record, "environment": {**block, "image": broken}}, "r.json")
