"""Records of real runs: what they say of data, selection, sizes and files is so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from safetensors.numpy import load_file

import harness.bench.data
from harness.bench.record_data import RecordData
from harness.canonical import file_digest
from harness.data import Dataset, Overlap, PairExample, TextExample, make_dataset
from harness.model import check_backbone
from harness.results import parse_signature
from tests.bench.conftest import Results, Runner, write_catalog, xstilts

_SOURCE = """
name: tiny.LANGUAGE
description: "NLI from 24 examples."
task: nli
language: LANGUAGE
format: pair_classification
labels: [entailment, neutral, contradiction]
train: {reader: world, options: {task: nli, split: train, count: 24}}
dev: {reader: world, options: {task: nli, split: dev, count: DEV}}
training: {epochs: 2, learning_rate: 2e-3, batch_size: 8}
split: world-train
licence: Apache-2.0
world: true
"""
_DEV = {"A0": 7, "B0": 9, "C0": 8}
_EXTRA = {
    **{
        f"sources/tiny.{code}.yaml": _SOURCE.replace("LANGUAGE", code).replace("DEV", str(count))
        for code, count in _DEV.items()
    },
    "source_sets/tiny-mixed.yaml": 'name: tiny-mixed\ndescription: "Hub and another."\n'
    "sources: [tiny.A0, tiny.B0]\n",
    "source_sets/tiny-away.yaml": 'name: tiny-away\ndescription: "Not the hub."\n'
    "sources: [tiny.B0, tiny.C0]\n",
    "targets/tiny-ret.yaml": """
name: tiny-ret
description: "Translations of 8 sentences."
task: ret
format: bitext_retrieval
languages: [B0, D0]
train_language: A0
test: {reader: world, options: {task: ret, split: test, count: 8}}
settings: {adapters: {epochs: 2, learning_rate: 2e-3, fusion_learning_rate: 2e-3, batch_size: 8}}
split: world-test
licence: Apache-2.0
world: true
""",
    "backbones/made.yaml": """
name: made
description: "Pretrained here, on text of which a part is scored too."
kind: pretrain
reduction_factor: 4
licence: Apache-2.0
world: true
pretrain:
  vocabulary: 300
  hidden_size: 16
  layers: 2
  heads: 2
  intermediate_size: 32
  max_positions: 130
  steps: 2
  batch_tokens: 512
  learning_rate: 1e-3
  texts:
    - languages: [A0]
      split:
        - {reader: text, options: {reader: world, options: {task: nli, split: train, count: 60}}}
        - {reader: text, options: {reader: world, options: {task: nli, split: test, count: 12}}}
""",
    "suites/made.yaml": """
name: made
description: "A backbone made here, fits with and without a target's data."
backbones: [made]
settings: [adapters]
seeds: [1]
low_resource: none, this is a test
low_resource_languages: [B0]
blocks:
  - {recipes: [direct], targets: [tiny-nli, tiny-ret]}
  - {recipes: [stack], targets: [tiny-nli, tiny-ret], source_sets: [tiny-one], row: one}
  - {recipes: [fuse], targets: [tiny-ret], source_sets: [tiny-mixed, tiny-away]}
""",
}


def record_of(results: Results, target: str, recipe: str, name: str | None = None) -> Any:
    """The only record of a recipe (and source set) on a target."""
    (found,) = [
        record
        for record in results.records(whole=True).values()
        if (record["target"]["name"], record["recipe"]["name"]) == (target, recipe)
        and name in (None, (record["source_set"] or {}).get("name"))
    ]
    return found


def fit_of(results: Results, target: str, recipe: str, *sources: str) -> Path:
    """The artifact of a fit, by what its model says of itself."""
    (found,) = [
        path.parent.parent
        for path in results.store.glob("fit/*/trained/about.json")
        if (about := json.loads(path.read_bytes()))["recipe"] == recipe
        and (about["name"], about["sources"]) == (target, list(sources))
    ]
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return Runner(write_catalog(tmp_path_factory.mktemp("made"), extra=_EXTRA), "made")


@pytest.fixture(scope="module")
def results(made: Runner, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return made.finish(tmp_path_factory.mktemp("records") / "out")


# --- how it was trained and chosen ---


def test_a_mixture_is_selected_on_the_dev_set_in_the_targets_language(results: Results) -> None:
    record = record_of(results, "tiny-ret", "fuse", "tiny-mixed")
    assert record["selection"]["language"] == "A0"
    # Accuracy on 7 examples in A0; a mean with the 9 in B0 has another denominator.
    training = fit_of(results, "tiny-ret", "fuse", "tiny.A0", "tiny.B0") / "training.json"
    scores = [score for _, score in json.loads(training.read_bytes())["history"]]
    assert scores
    for score in [record["selection"]["best"], *scores]:
        assert score * 7 / 100 == pytest.approx(round(score * 7 / 100), abs=1e-9)


def test_a_mixture_without_that_language_is_not_selected(results: Results) -> None:
    assert record_of(results, "tiny-ret", "fuse", "tiny-away")["selection"] is None
    fit = fit_of(results, "tiny-ret", "fuse", "tiny.B0", "tiny.C0")
    training = json.loads((fit / "training.json").read_bytes())
    assert training["history"] == []
    assert training["best_step"] == training["steps"] == training["planned_steps"]


def test_how_sources_were_trained_is_in_id_and_name(tmp_path: Path) -> None:
    """Two runs of a target without training of its own, whose source was trained differently."""
    out, extra = tmp_path / "out", dict(_EXTRA)
    only = ("--only", "recipe=stack", "--only", "target=tiny-ret")
    Runner(write_catalog(tmp_path / "one", extra=extra), "made").finish(out, *only)
    name = "sources/tiny.A0.yaml"
    extra[name] = extra[name].replace("learning_rate: 2e-3", "learning_rate: 1e-3")
    Runner(write_catalog(tmp_path / "two", extra=extra), "made").finish(out, *only)
    records = Results(out).records(whole=True)
    assert len(records) == 2
    rates = set()
    for file, record in records.items():
        assert file.endswith(f"--seed1--{record['id'][:8]}.json")
        assert record["setting"]["hyperparameters"] == {}
        (source,) = record["setting"]["sources"].items()
        assert (source[0], source[1]["reduction_factor"]) == ("tiny.A0", 4)
        rates.add(source[1]["learning_rate"])
    assert rates == {1e-3, 2e-3}
    assert len({record["signature"] for record in records.values()}) == 2


def test_other_arithmetic_overwrites_no_record(tiny: Runner, tmp_path: Path) -> None:
    only = ("--only", "recipe=direct")
    first = tiny.finish(tmp_path / "out", *only).records(whole=True)
    both = tiny.finish(tmp_path / "out", *only, "--dtype", "bf16").records(whole=True)
    assert (len(first), len(both)) == (1, 2)
    assert first.items() <= both.items()
    assert {record["numerics"]["dtype"] for record in both.values()} == {"fp32", "bf16"}


# --- the backbone and the sizes ---


def test_the_digest_of_a_backbone_made_here_is_that_of_its_files(results: Results) -> None:
    (folder,) = results.store.glob("backbone/*")
    for record in results.records(whole=True).values():
        assert record["backbone"]["digest"] == check_backbone(folder) != folder.name


def test_stored_parameters_count_every_weight_once(results: Results) -> None:
    def stored(*arguments: str) -> int:
        return int(record_of(results, *arguments)["costs"]["stored_parameters"])

    backbone = record_of(results, "tiny-nli", "direct")["backbone"]
    width, bottleneck = backbone["hidden_size"], backbone["hidden_size"] // 4
    adapter = backbone["layers"] * (2 * width * bottleneck + bottleneck + width)
    head = stored("tiny-nli", "direct") - adapter
    files = fit_of(results, "tiny-nli", "direct").glob("trained/heads/**/*.safetensors")
    assert head == sum(array.size for file in files for array in load_file(file).values()) > 0
    assert stored("tiny-nli", "stack") == 2 * adapter + head
    assert stored("tiny-ret", "stack") == adapter
    assert stored("tiny-ret", "direct") == 0
    fusion = stored("tiny-ret", "fuse", "tiny-mixed") - 2 * adapter
    assert fusion == backbone["layers"] * (3 * width * width + 2 * width)


# --- the data ---


def test_the_text_of_a_backbone_made_here_is_in_the_record(results: Results) -> None:
    data = record_of(results, "tiny-ret", "direct")["data"]
    assert set(data["fingerprints"]) == {"made/texts", "tiny-ret/test/B0", "tiny-ret/test/D0"}
    # 12 of its examples are scored by tiny-nli; each is one run of text.
    assert data["counts"]["made/texts"]["overlap_dropped"] >= 12
    assert data["counts"]["made/texts"]["examples"] >= 48


def test_overlap_says_zero_for_every_training_set_and_language(results: Results) -> None:
    overlap = record_of(results, "tiny-nli", "stack")["data"]["overlap"]
    names = {"made/texts", "tiny-nli/train", "tiny-nli/dev", "tiny.A0/train", "tiny.A0/dev"}
    assert overlap == {code: dict.fromkeys(names, 0) for code in ("A0", "B0")}


def test_overlap_is_counted_where_rows_were_not_dropped(
    made: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text holds the 12 scored examples in A0, whose translations in B0 are other text."""

    def keep(dataset: Dataset, *_: object) -> Dataset:
        return dataset

    monkeypatch.setattr(harness.bench.data, "drop_overlap", keep)
    found = made.finish(tmp_path / "out", "--only", "recipe=direct", "--only", "target=tiny-nli")
    record = record_of(found, "tiny-nli", "direct")
    assert record["data"]["overlap"]["A0"]["made/texts"] == 12
    assert record["data"]["overlap"]["A0"]["tiny-nli/train"] == 0
    assert record["scores"]["A0"]["seen"] == "data"


@pytest.mark.parametrize("with_sentence", [True, False])
def test_a_scored_sentence_inside_longer_text_is_counted(with_sentence: bool) -> None:
    """Neither id nor whole text are equal: only a sentence of the running text is."""
    sentence = "The third river runs under a bridge of stone."
    pair = PairExample("t-1", "A0", None, premise=sentence, hypothesis="No.", label="x")
    scored = make_dataset("t/test", "A0", [pair], {})
    running = f"Something else stands first here. {sentence if with_sentence else ''} More follows."
    text = TextExample(id="d-9#0", language="A0", group=None, segments=(running,))
    data: Any = SimpleNamespace(
        tests=lambda _: {"A0": scored}, tunings=lambda _: {}, scored=lambda: Overlap((scored,)),
        texts=lambda _: make_dataset("made/texts", "*", [text], {}),
        catalog=SimpleNamespace(backbone=lambda name: SimpleNamespace(name=name)),
    )  # fmt: skip
    cell: Any = SimpleNamespace(
        target=SimpleNamespace(name="t", languages=("A0",), train=None), fit=None, sources=(),
        backbone=SimpleNamespace(name="made", step="key"),
    )  # fmt: skip
    assert RecordData(data).block(cell)["overlap"] == {"A0": {"made/texts": int(with_sentence)}}


# --- its files ---


def test_paths_of_files_are_true_wherever_the_store_is(
    made: Runner, results: Results, tmp_path: Path
) -> None:
    real, link = tmp_path / "deep" / "real", tmp_path / "link"
    real.mkdir(parents=True)
    link.symlink_to(real)
    made.finish(link, "--store", results.store)
    for out in (results.out, link):
        paths = sorted((out / "records").iterdir())
        assert len(paths) == 6
        for path in paths:
            for entry in json.loads(path.read_bytes())["files"].values():
                assert file_digest(path.parent / entry["path"]) == entry["sha256"]
    assert xstilts("validate", link).code == 0


def test_validate_sees_a_file_that_is_not_the_records(results: Results, tmp_path: Path) -> None:
    out = Path(shutil.copytree(results.out, tmp_path / "out"))
    path = next((out / "records").glob("*tiny-nli--stack*"))
    entry = json.loads(path.read_bytes())["files"]["predictions"]
    file = path.parent / entry["path"]
    file.write_bytes(file.read_bytes().replace(b"A0", b"A1", 1))
    done = xstilts("validate", out)
    assert done.code == 2
    (line,) = done.out.splitlines()
    for text in (str(path), "files.predictions", entry["sha256"], file_digest(file)):
        assert text in line
    shutil.rmtree(out / "store")
    assert xstilts("validate", out).code == 0


# --- the signature ---


@pytest.mark.parametrize(
    ("target", "recipe", "sources"),
    [
        ("tiny-nli", "direct", []),
        ("tiny-nli", "stack", ["tiny.A0"]),
        ("tiny-ret", "fuse", ["tiny.B0", "tiny.C0"]),
    ],
)
def test_evaluate_signs_as_records_do(
    made: Runner, results: Results, target: str, recipe: str, sources: list[str]
) -> None:
    folder = fit_of(results, target, recipe, *sources)
    arguments = ("--target", target, "--suite", "made", "--catalog", made.catalog, "--json")
    done = xstilts("evaluate", folder, *arguments, "--device", "cpu")
    assert done.code == 0, done.err
    (result,) = json.loads(done.out)["targets"]
    name = "tiny-away" if len(sources) == 2 else None
    record = record_of(results, target, recipe, name)
    ours, theirs = (dict(parse_signature(one["signature"])) for one in (record, result))
    shared = ours.keys() & theirs.keys()
    trained = {"recipe", "set", "budget", "mixture", "stand-ins", "data", "setting", "seed"}
    assert ours.keys() - shared == trained
    assert theirs.keys() - shared == {"model", "test-data"}
    assert {key: ours[key] for key in shared} == {key: theirs[key] for key in shared}
    assert list(filter(shared.__contains__, ours)) == list(filter(shared.__contains__, theirs))


# --- the tables of a run as JSON ---


def test_json_has_the_languages_where_they_are_asked_for(made: Runner, results: Results) -> None:
    plain, full = (
        json.loads(made.run(results.out, "--json", *more).out) for more in ([], ["--languages"])
    )
    languages = full.pop("languages")
    assert full == plain
    assert {target: set(rows) for target, rows in languages.items()} == {
        "tiny-nli": {"direct", "stack [one]"},
        "tiny-ret": {"direct", "stack [one]", "fuse [tiny-mixed]", "fuse [tiny-away]"},
    }
    scores = record_of(results, "tiny-nli", "stack")["scores"]
    shown = languages["tiny-nli"]["stack [one]"]
    assert list(shown) == ["A0", "B0"]
    for code, entry in scores.items():
        assert shown[code] == {
            "mean": entry["score"], "sd": None, "min": entry["score"], "max": entry["score"],
            "per_seed": {"1": entry["score"]}, "n": 12, "seen": entry["seen"],
            "floor": entry["floor"]["score"], "above_floor": int(entry["above_floor"]["beats"]),
            "scored": 1,
        }  # fmt: skip
    records = {str(results.out / "records" / name) for name in results.records()}
    assert set(full["records"]) == records
