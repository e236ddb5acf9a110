"""One adapter for sources of every format: killed and resumed, saved, evaluated, refused."""

from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from harness.bench import Bench, Selection, Settings
from harness.bench.data import encode_options
from harness.bench.flops import compute
from harness.bench.steps import JointWork
from harness.catalog import Catalog, default_directory
from harness.formats import get_format
from harness.model import Numerics, load_tokenizer
from harness.train import Trainer, TrainTask
from tests.bench.conftest import Results, Runner, running, write_catalog, xstilts
from tests.bench.test_source_sets import POS, RETRIEVAL
from tests.nano import NANO

FOUR = ("tiny.A0", "pos.B0", "qa2.A0", "mc2.A0")
SET = f"""
name: four-formats
description: "Every format that is trained."
sources: [{", ".join(FOUR)}]
budget: {{examples: 96}}
mixture: {{sampling: temperature, temperature: 0.5, cap: 20}}
settings: {{adapters: {{epochs: 10, learning_rate: 2e-3, batch_size: 8, patience: 0}}}}
"""
SUITE = """
name: formats
description: "One adapter, four formats."
backbones: [noisy]
settings: [adapters]
seeds: [1]
seed_note: One seed.
low_resource: none, this is a test
low_resource_languages: [B0]
blocks:
  - {recipes: [multitask], targets: [tiny-nli, tiny-ret], source_sets: [four-formats]}
"""


FILES = {
    "sources/pos.B0.yaml": POS,
    "targets/tiny-ret.yaml": RETRIEVAL,
    "source_sets/four-formats.yaml": SET,
    "suites/formats.yaml": SUITE,
}


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    folder = write_catalog(tmp_path_factory.mktemp("catalog"), epochs=1, extra=FILES)
    return Runner(folder, "formats")


@pytest.fixture(scope="module")
def finished(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return runner.finish(tmp_path_factory.mktemp("run") / "out")


def joint(results: Results) -> Path:
    """The folder of the adapter that all sources trained together."""
    (found,) = results.store.glob("source/*/trained")
    return found


def test_each_source_has_a_head_and_its_rows(finished: Results) -> None:
    folder = joint(finished)
    names = {name.replace(".", "_") for name in FOUR}
    assert {path.name for path in (folder / "heads").iterdir()} == names
    assert [path.name for path in (folder / "adapters").iterdir()] == ["mixture-four-formats"]
    training = json.loads((folder.parent / "training.json").read_bytes())
    # 24 rows of each, of which 20 count: 10 epochs of 3 batches of each.
    assert training["steps"] == 10 * 4 * 3
    assert len(training["history"]) == 10
    for record in finished.records().values():
        counts = record["data"]["counts"]
        assert {counts[f"{name}/train"]["examples"] for name in FOUR} == {24}
        assert record["source_set"]["mixture"] == "temperature,0.5,cap=20"


def test_a_killed_joint_training_ends_as_one_that_was_not(
    runner: Runner, finished: Results, tmp_path: Path
) -> None:
    results = Results(tmp_path / "out")
    with running(runner, results.out, "--checkpoint-steps", "2") as run:
        assert run.until(lambda: any(n >= 14 for n in results.checkpoints().values())), run.err
        (begun,) = results.checkpoints()
        run.kill()
    assert begun.startswith("source-")
    done = runner.run(results.out)
    assert done.code == 0, done.err
    assert "continuing at step" in done.err
    results.assert_equal(finished)
    results.assert_nothing_half_written()


def test_it_is_evaluated_where_no_head_is_needed(runner: Runner, finished: Results) -> None:
    found = xstilts("evaluate", joint(finished), "--target", "tiny-ret", "--json",
                    "--catalog", runner.catalog)  # fmt: skip
    assert found.code == 0, found.err
    (scored,) = json.loads(found.out)["targets"]
    (record,) = [r for r in finished.records().values() if r["target"]["name"] == "tiny-ret"]
    for code, entry in record["scores"].items():
        assert scored["scores"][code]["metrics"] == entry["metrics"]


@pytest.mark.parametrize("target", ["tiny-nli", "tiny-pos"])
def test_it_is_no_model_of_a_trained_target(runner: Runner, finished: Results, target: str) -> None:
    refused = xstilts("evaluate", joint(finished), "--target", target, "--catalog", runner.catalog)
    assert refused.code == 2
    (line,) = refused.errors
    assert "4 heads (" in line
    assert f"target '{target}' needs exactly one" in line


def test_plans_count_the_examples_that_are_trained_on(tmp_path: Path) -> None:
    """Contexts are cut into several windows; examples are counted by both all the same."""
    source = (default_directory() / "sources" / "qa2.A0.yaml").read_text(encoding="utf-8")
    text = source.replace("qa2.A0", "own.A0").replace(
        "epochs:", "max_length: 20, doc_stride: 4, epochs:"
    )
    mixed = SET.replace("qa2.A0", "own.A0").replace(
        "temperature, temperature: 0.5, cap: 20", "uniform, cap: 22"
    )
    extra = {**FILES, "source_sets/four-formats.yaml": mixed, "sources/own.A0.yaml": text}
    folder = write_catalog(tmp_path / "catalog", epochs=1, extra=extra)
    catalog = Catalog.load([default_directory(), folder])
    settings = Settings(tmp_path, None, "refuse", Numerics())
    bench = Bench(catalog, catalog.suite("formats"), settings, tmp_path, Selection())
    (step,) = [one for one in bench.plan().steps.values() if one.kind == "source"]
    assert isinstance(step.work, JointWork)
    tokenizer, tasks = load_tokenizer(NANO), []
    for part in step.work.parts:
        task_format, rows = get_format(part.source.format), bench.data.drawn(part).examples
        features = task_format.encode(
            rows, tokenizer, part.source.labels, encode_options(part.training), training=True
        )
        tasks.append(TrainTask(part.name, task_format, features))
        assert {one.example for one in features} == set(range(len(rows)))
    assert len(tasks[2].features) > 1.5 * len(rows)
    nothing: Any = None  # a schedule needs no model
    trainer = Trainer(
        nothing, tasks, step.work.training, Numerics(), "s", 1, 10**6, step.work.mixture
    )
    schedule, epochs = trainer._schedule()
    trained = [Counter[int]() for _ in tasks]
    for task, batch in schedule:
        trained[task].update(tasks[task].features[i].example for i in batch)
    per_example = [Counter(one.example for one in task.features) for task in tasks]
    visits = [
        sum(Fraction(count, whole[example]) for example, count in found.items())
        for found, whole in zip(trained, per_example, strict=True)
    ]
    assert visits == [epochs * one.train for one in step.reads]
    assert [one.train for one in step.reads] == [22, 22, 22, 22]


def test_plans_count_each_sources_rows_at_its_own_length(tmp_path: Path) -> None:
    def tokens(length: int) -> float:
        source = (default_directory() / "sources" / "qa2.A0.yaml").read_text(encoding="utf-8")
        text = source.replace("qa2.A0", "own.A0").replace(
            "epochs:", f"max_length: {length}, epochs:"
        )
        extra = {**FILES, "source_sets/four-formats.yaml": SET.replace("qa2.A0", "own.A0"),
                 "sources/own.A0.yaml": text}  # fmt: skip
        folder = write_catalog(tmp_path / str(length), epochs=1, extra=extra)
        catalog = Catalog.load([default_directory(), folder])
        settings = Settings(tmp_path, None, "refuse", Numerics())
        plan = Bench(catalog, catalog.suite("formats"), settings, tmp_path, Selection()).plan()
        (step,) = [one for one in plan.steps.values() if one.kind == "source"]
        return compute(plan, step, settings).tokens

    # 20 of its rows in each of 10 epochs, and its 100 dev rows after each.
    assert tokens(120) - tokens(100) == (120 - 100) * 10 * (20 + 100)
