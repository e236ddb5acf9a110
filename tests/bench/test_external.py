"""Runs with an adapter from elsewhere as a source: predictions, records, keys, refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters.composition import Fuse, Stack
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file

from harness.bench import Bench, Plan, Settings
from harness.catalog import Catalog, default_directory
from harness.errors import InputError
from harness.formats import EncodeOptions
from harness.formats.batching import collate
from harness.model import Numerics, load_assembly, load_tokenizer, read_adapter
from harness.results import read_record, validate_record
from tests.bench.conftest import Results, Runner, write_catalog, xstilts
from tests.bench.test_bad_input import refused
from tests.bench.test_plan import RETRIEVAL
from tests.cli.test_docker import job_of, loaded
from tests.external import NARROW, WEIGHTS, plain_nano, save
from tests.nano import examples_of, goal_of, load_model

pytestmark = pytest.mark.usefixtures("one_thread")
LABELS = ["entailment", "neutral", "contradiction"]
SOURCE = """
name: ext.B0
description: "An adapter from elsewhere."
task: nli
language: B0
format: pair_classification
adapter: {folder: ../adapter}
licence: MIT
get: "ask its maker"
world: true
"""
EXTRA = {
    "sources/ext.B0.yaml": SOURCE,
    "source_sets/ext-one.yaml": 'name: ext-one\ndescription: "It."\nsources: [ext.B0]\n',
    "source_sets/ext-two.yaml": 'name: ext-two\ndescription: "It and another."\n'
    "sources: [tiny.A0, ext.B0]\n",
    "targets/tiny-ret.yaml": RETRIEVAL,
    "suites/ext.yaml": """
name: ext
description: "An adapter from elsewhere, stacked and fused."
backbones: [noisy]
settings: [adapters]
seeds: [1, 2]
seed_note: Two seeds.
low_resource: none, this is a test
low_resource_languages: [B0]
blocks:
  - {recipes: [stack], targets: [tiny-nli, tiny-ret], source_sets: [ext-one]}
  - {recipes: [fuse], targets: [tiny-nli], source_sets: [ext-two]}
""",
}
MIXED = """
  - {recipes: [fuse], targets: [tiny-ret], source_sets: [ext-two], row: mixed}
"""


def catalog_in(folder: Path, **adapter: Any) -> Path:
    """The catalog, with the adapter in it."""
    write_catalog(folder, epochs=1, extra=EXTRA)
    save(folder / "adapter", **adapter)
    return folder


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return Runner(catalog_in(tmp_path_factory.mktemp("ext"), safe=False, head=True), "ext")


@pytest.fixture(scope="module")
def results(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return runner.finish(tmp_path_factory.mktemp("results") / "out", "--seeds", "1")


def record_of(results: Results, recipe: str, target: str = "tiny-nli") -> tuple[Path, Any]:
    (path,) = (p for p in (results.out / "records").iterdir() if f"{target}--{recipe}--" in p.name)
    return path, read_record(path)


@pytest.mark.parametrize("recipe", ["stack", "fuse"])
def test_predictions_are_those_of_composing_it_by_hand(
    runner: Runner, results: Results, recipe: str
) -> None:
    """The adapter as its maker saved it; of the run only what it trained."""
    path, record = record_of(results, recipe)
    predictions = (path.parent / record["files"]["predictions"]["path"]).read_text().splitlines()
    sources = ["ext_B0"] if recipe == "stack" else ["tiny_A0", "ext_B0"]
    trained = next(
        folder for folder in results.store.glob("fit/*/trained")
        if (folder / "fusion").is_dir() == (recipe == "fuse")
    )  # fmt: skip
    model = plain_nano()
    for name in [*sources, "tiny-nli"]:
        folder = trained / "adapters" / name if name != "ext_B0" else runner.catalog / "adapter"
        model.load_adapter(str(folder), load_as=name, with_head=False, use_safetensors=True)
    lower: Any = "ext_B0"
    if recipe == "fuse":
        model.load_adapter_fusion(str(trained / "fusion"), use_safetensors=True)
        lower = Fuse(*sources)
    model.load_head(str(trained / "heads" / "tiny-nli"), use_safetensors=True)
    model.set_active_adapters(Stack(lower, "tiny-nli"))
    model.eval().requires_grad_(False)
    ours = load_assembly(load_model(), trained)
    goal = goal_of("nli", "tiny-nli")
    tokenizer = load_tokenizer(runner.catalog.with_name(f"{runner.catalog.name}_noisy"))
    for language in ("A0", "B0"):
        examples = examples_of("nli", language, 12, "test")
        features = goal.format.encode(
            examples, tokenizer, goal.labels, EncodeOptions(), training=False
        )  # fmt: skip
        batch = collate(features, 1)
        given = {"attention_mask": batch.attention_mask, "head": "tiny-nli"}
        with torch.no_grad():
            by_hand = model(batch.input_ids, **given)["logits"]
            torch.testing.assert_close(
                ours.model(batch.input_ids, **given)["logits"], by_hand, rtol=0, atol=1e-6
            )
        found = {
            row["id"]: row["prediction"]
            for row in map(json.loads, predictions) if row["language"] == language
        }  # fmt: skip
        wanted = [LABELS[int(place)] for place in by_hand.argmax(-1)]
        assert found == {example.id: label for example, label in zip(examples, wanted, strict=True)}


def test_records_say_what_it_is_and_that_its_rows_are_not_known(
    runner: Runner, results: Results
) -> None:
    digest = read_adapter("ext.B0", runner.catalog / "adapter").digest
    for recipe in ("stack", "fuse"):
        _, record = record_of(results, recipe)
        data = record["data"]
        assert data["external"] == {"ext.B0": {"digest": digest, "hub": None, "licence": "MIT"}}
        assert record["setting"]["sources"]["ext.B0"] == {"adapter": digest}
        names = {name for counts in data["overlap"].values() for name in counts}
        assert names == {"tiny-nli/train", "tiny-nli/dev"} | (
            {"tiny.A0/train", "tiny.A0/dev"} if recipe == "fuse" else set()
        )
        assert not any("ext.B0" in name for name in data["fingerprints"])
        assert {code: one["seen"] for code, one in record["scores"].items()} == {
            "A0": "task", "B0": "task",
        }  # fmt: skip
    _, retrieval = record_of(results, "stack", "tiny-ret")
    assert {one["seen"] for code, one in retrieval["scores"].items() if code == "B0"} == {
        "language"
    }
    assert retrieval["costs"]["stored_parameters"] == 3 * (2 * 128 * 8 + 8 + 128)


def test_a_record_that_hides_it_is_refused(results: Results) -> None:
    _, record = record_of(results, "fuse")
    for change in ({}, {"external": {}}, {"external": {"tiny.A0": {
        "digest": "a" * 64, "hub": None, "licence": "MIT"}}}):  # fmt: skip
        data = {key: one for key, one in record["data"].items() if key != "external"}
        with pytest.raises(InputError, match="external"):
            validate_record({**record, "data": {**data, **change}}, "record")


def plan(catalog: Path, tmp_path: Path) -> Plan:
    loaded = Catalog.load([default_directory(), catalog])
    settings = Settings(tmp_path / "store", None, "refuse", Numerics())
    return Bench(loaded, loaded.suite("ext"), settings, tmp_path / "out").plan()


def copies(made: Plan) -> list[str]:
    return [step.key for step in made.steps.values() if step.label == "copy ext.B0"]


def test_its_step_is_one_for_all_seeds_and_another_for_other_weights(
    runner: Runner, tmp_path: Path
) -> None:
    before = plan(runner.catalog, tmp_path)
    assert len(copies(before)) == 1
    assert len({cell.seed for cell in before.cells}) == 2
    catalog = Path(shutil.copytree(runner.catalog, tmp_path / "catalog"))
    assert copies(plan(catalog, tmp_path)) == copies(before)  # wherever it lies
    save(catalog / "adapter", safe=True, seed=5)
    other = plan(catalog, tmp_path)
    assert len(copies(other)) == 1
    assert copies(other) != copies(before)
    fits = [{k for kind, k in one.steps if kind == "fit"} for one in (before, other)]
    assert len(fits[0]) == len(fits[1]) == 4
    assert not fits[0] & fits[1]


def test_other_weights_are_another_record(results: Results) -> None:
    _, record = record_of(results, "stack")
    other = json.loads(json.dumps(record).replace(record["data"]["external"]["ext.B0"]["digest"],
                                                  "b" * 64))  # fmt: skip
    with pytest.raises(InputError, match=r"record: (id|signature): "):
        validate_record(other, "record")


# --- refusals, before anything runs ---


def test_fusion_for_retrieval_wants_rows(tmp_path: Path) -> None:
    catalog = catalog_in(tmp_path / "catalog")
    with (catalog / "suites/ext.yaml").open("a") as file:
        file.write(MIXED.strip("\n"))
    out = tmp_path / "out"
    done = Runner(catalog, "ext").run(out)
    refused(done, out, "source 'ext.B0'", "recipe 'fuse'", "target 'tiny-ret'", "train and dev")


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        ({"shape": NARROW}, ["hidden_size: got 32", "128, the width of backbone 'noisy'"]),
        ({"config": "lora"}, ["config.architecture", "lora", "bottleneck"]),
        ({"config": "double_seq_bn"}, ["config.mh_adapter", "source 'tiny.A0'", "recipe 'fuse'"]),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, adapter: dict[str, Any], said: list[str]
) -> None:
    out = tmp_path / "out"
    done = Runner(catalog_in(tmp_path / "catalog", **adapter), "ext").run(out)
    refused(done, out, "source 'ext.B0'", "adapter_config.json", *said)


@pytest.mark.parametrize("order", ["tiny.A0, ext.B0", "ext.B0, tiny.A0"])
def test_it_must_be_like_what_is_trained_here_wherever_it_stands(
    tmp_path: Path, order: str
) -> None:
    catalog, out = catalog_in(tmp_path / "catalog", config="double_seq_bn"), tmp_path / "out"
    file = catalog / "source_sets/ext-two.yaml"
    file.write_text(file.read_text().replace("tiny.A0, ext.B0", order))
    done = Runner(catalog, "ext").run(out)
    refused(done, out, "source 'ext.B0'", "config.mh_adapter", "as in source 'tiny.A0'")


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    catalog, out = catalog_in(tmp_path / "catalog"), tmp_path / "out"
    shutil.rmtree(catalog / "adapter")
    said = [str(catalog / "adapter"), "no such folder", "get it: ask its maker"]
    refused(Runner(catalog, "ext").run(out), out, *said)


def test_weights_that_change_during_the_run_stop_it(runner: Runner, tmp_path: Path) -> None:
    from harness.bench.work import Worker
    from harness.errors import WorkError

    catalog = Path(shutil.copytree(runner.catalog, tmp_path / "catalog"))
    made = plan(catalog, tmp_path)
    (step,) = (step for step in made.steps.values() if step.label == "copy ext.B0")
    save(catalog / "adapter", safe=False, seed=9)
    loaded = Catalog.load([default_directory(), catalog])
    settings = Settings(tmp_path / "store", None, "refuse", Numerics())
    bench = Bench(loaded, loaded.suite("ext"), settings, tmp_path / "out")
    worker = Worker(settings, bench.data)
    (tmp_path / "store/locks").mkdir(parents=True)
    with pytest.raises(WorkError, match="changed during the run"):
        worker.run(step)
    assert not (tmp_path / "store/source").exists()


# --- other commands ---


def test_train_copies_it(runner: Runner, tmp_path: Path) -> None:
    out = tmp_path / "out"
    catalog = ["--catalog", runner.catalog, "--suite", "ext"]
    done = xstilts("train", "ext.B0", "--out", out, "--store", tmp_path / "store", "--workers", "0",
                   *catalog)  # fmt: skip
    assert done.code == 0, done.err
    assert "nothing was trained" in done.out
    copied = load_file(out / "adapters/ext_B0" / WEIGHTS)
    given = torch.load(runner.catalog / "adapter/pytorch_adapter.bin", weights_only=True)
    assert {key.replace("ext_B0", "elsewhere"): one.tolist() for key, one in copied.items()} == {
        key: one.tolist() for key, one in given.items()
    }
    assert not (out / "heads").exists()
    scored = xstilts("evaluate", out, "--target", "tiny-ret", "--json", "--backbone", "noisy",
                     *catalog)  # fmt: skip
    assert scored.code == 0, scored.err
    (result,) = json.loads(scored.out)["targets"]
    assert {code: one["seen"] for code, one in result["scores"].items()}["B0"] == "language"


def test_data_lists_and_checks_it(runner: Runner, tmp_path: Path) -> None:
    catalog = ["--suite", "ext", "--catalog"]
    listed = json.loads(xstilts("data", "ls", "--json", *catalog, runner.catalog).out)["rows"]
    (row,) = (row for row in listed if row["name"] == "ext.B0")
    assert (row["split"], row["licence"], row["hub"]) == ("adapter", "MIT", [])
    assert [(Path(one["file"]).name, one["present"]) for one in row["files"]] == [
        ("adapter_config.json", True), ("pytorch_adapter.bin", True),
    ]  # fmt: skip
    checked = xstilts("data", "check", "--json", *catalog, runner.catalog)
    assert checked.code == 0, checked.err
    (row,) = (row for row in json.loads(checked.out)["rows"] if row["name"] == "ext.B0")
    assert row["status"] == "ok"
    assert row["fingerprint"] == read_adapter("ext.B0", runner.catalog / "adapter").digest

    other = Path(shutil.copytree(runner.catalog, tmp_path / "catalog"))
    save(other / "adapter", "lora", safe=False)
    wrong = xstilts("data", "check", *catalog, other)
    assert wrong.code == 2
    assert "0 files missing, 1 splits wrong" in wrong.errors[0]
    assert "wrong: source 'ext.B0'" in wrong.out
    assert 'config.architecture: got "lora"' in wrong.out
    shutil.rmtree(other / "adapter")
    missing = xstilts("data", "check", *catalog, other)
    assert missing.code == 2
    assert "2 files missing" in missing.errors[0]
    assert f"missing: {other / 'adapter' / 'adapter_config.json'}" in missing.out
    assert "get them: ask its maker" in missing.out
    tables = xstilts("data", "check", "--markdown", *catalog, runner.catalog)
    assert tables.code == 0, tables.err
    assert "tiny.A0" in tables.out
    assert "ext.B0" not in tables.out  # the tables are of rows


def test_data_check_reports_all_where_the_hub_does_not_answer(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Path(shutil.copytree(runner.catalog, tmp_path / "catalog"))
    hub = f"{{hub: acme/adapter, revision: {'ab' * 20}}}"
    (catalog / "sources/ext.B0.yaml").write_text(SOURCE.replace("{folder: ../adapter}", hub))

    def snapshot(*_: Any, **__: Any) -> str:
        raise LocalEntryNotFoundError("no connection")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    done = xstilts("data", "check", "--json", "--suite", "ext", "--catalog", catalog)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "0 files missing, 1 splits wrong" in done.errors[0]
    rows = {(row["name"], row["split"]): row for row in json.loads(done.out)["rows"]}
    assert rows["tiny.A0", "train"]["status"] == "ok"
    assert rows["ext.B0", "adapter"]["status"] == "wrong"
    assert "no connection" in rows["ext.B0", "adapter"]["problem"]


def test_a_container_sees_its_folder_and_what_links_in_it_lead_to(tmp_path: Path) -> None:
    catalog = catalog_in(tmp_path / "catalog")
    file = catalog / "adapter/adapter_config.json"
    file.rename(tmp_path / "blob")
    file.symlink_to(tmp_path / "blob")
    arguments = ["ext", "--catalog", str(catalog), "--out", str(tmp_path / "out")]
    job = job_of(arguments)
    assert {catalog / "adapter", tmp_path / "blob"} <= set(job.readable)
    assert not job.network
    shutil.rmtree(catalog / "adapter")
    loaded.cache_clear()
    with pytest.raises(InputError, match=r"source 'ext\.B0': .*adapter is not a folder"):
        job_of(arguments)
    hub = f"{{hub: acme/adapter, revision: {'ab' * 20}}}"
    (catalog / "sources/ext.B0.yaml").write_text(SOURCE.replace("{folder: ../adapter}", hub))
    loaded.cache_clear()
    assert job_of(arguments).network
