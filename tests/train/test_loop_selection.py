"""Evaluation and stopping: when the dev score is asked for, which weights stay, dev rows only."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.bench import scoring
from harness.bench.steps import BackboneRef, FitWork, Settings, SourceRef, SourceWork, Step
from harness.bench.store import Store
from harness.bench.work import Worker
from harness.catalog import Recipe, Source, SplitSpec, Target, Training
from harness.data import Dataset, make_dataset
from harness.formats import EncodeOptions
from harness.model import Assembly, Numerics
from harness.train import Interrupted, Progress, predict
from tests.nano import NANO, encode, examples_of, goal_of
from tests.train.conftest import TRAINING, Gradients, assemble, features_of, task_of, trainer_of

pytestmark = pytest.mark.usefixtures("one_thread")


def scripted(
    assembly: Assembly, scores: Sequence[float]
) -> tuple[Callable[[], float], list[Gradients]]:
    """An evaluation that gives these scores in turn, and the weights that it was asked about."""
    seen: list[Gradients] = []

    def evaluate() -> float:
        assert not assembly.model.training
        seen.append(assembly.snapshot())
        return scores[len(seen) - 1]

    return evaluate, seen


@pytest.mark.parametrize(
    ("scores", "patience", "asked", "best", "early"),
    [
        ([10, 30, 20, 25, 26, 99], 3, 5, 1, True),
        ([10, 30, 20, 25, 26, 99], 4, 6, 5, False),
        ([10, 30, 20, 25, 26, 27], 0, 6, 1, False),
        ([5, 5, 5, 5, 5, 5], 2, 3, 0, True),  # equal is not better: the first stays
        ([-3, -2, -4, -1, -5, -6], 4, 6, 3, False),
    ],
)
def test_stopping_keeps_the_best_weights(
    scores: list[float], patience: int, asked: int, best: int, early: bool, base: Any
) -> None:
    assembly = assemble(base, "nli")
    evaluate, seen = scripted(assembly, scores)
    training = replace(TRAINING, epochs=6, patience=patience)
    tasks = [task_of("nli", features_of("nli", 8))]
    result = trainer_of(assembly, tasks, training, evaluate=evaluate).run()
    assert len(seen) == asked
    assert result.planned_steps == 12
    assert result.steps == 2 * asked
    assert result.best_step == 2 * (best + 1)
    assert result.best_score == scores[best]
    assert result.stopped_early is early
    assert result.history == [[2 * (i + 1), score] for i, score in enumerate(scores[:asked])]
    now = assembly.snapshot()
    assert all(torch.equal(now[name], tensor) for name, tensor in seen[best].items())
    others = [i for i in range(asked) if i != best]
    assert all(any(not torch.equal(now[n], seen[i][n]) for n in now) for i in others)
    assert not assembly.model.training


@pytest.mark.parametrize(
    ("more", "steps", "expected"),
    [
        ({"epochs": 3}, 6, [2, 4, 6]),
        ({"epochs": 3, "evaluations": 2}, 6, [3, 6]),
        ({"epochs": 1, "evaluations": 9}, 2, [1, 2]),
        ({"epochs": 1, "min_steps": 5}, 6, [2, 4, 6]),  # epochs are repeated whole
        ({"epochs": 2, "min_steps": 5, "evaluations": 1}, 6, [6]),
    ],
)
def test_evaluations_are_spread_and_the_last_step_is_one(
    more: dict[str, int], steps: int, expected: list[int], base: Any
) -> None:
    assembly = assemble(base, "nli")
    evaluate, _ = scripted(assembly, list(range(20)))
    training = replace(TRAINING, **more)
    tasks = [task_of("nli", features_of("nli", 8))]
    seen: list[Progress] = []
    result = trainer_of(assembly, tasks, training, evaluate=evaluate, on_step=seen.append).run()
    assert [step for step, _ in result.history] == expected
    assert [progress.step for progress in seen] == list(range(1, steps + 1))
    assert [p.step for p in seen if p.dev_score is not None] == expected


def test_without_evaluation_the_last_weights_stay(base: Any) -> None:
    assembly = assemble(base, "nli")
    result = trainer_of(
        assembly, [task_of("nli", features_of("nli", 8))], replace(TRAINING, epochs=2)
    ).run()
    assert (result.steps, result.best_step, result.best_score) == (4, 4, None)
    assert result.history == []


class _Spied:
    """Data sets without their scored sets, whose `dev` is known from `train` by its rows."""

    def source(self, source: Source, split: str) -> Dataset:
        return self._rows(source.name, split)

    def drawn(self, work: SourceWork) -> Dataset:
        return self._rows(work.name, "train")

    def target(self, target: Target, split: str) -> Dataset:
        return self._rows(target.name, split)

    def _rows(self, name: str, split: str) -> Dataset:
        return make_dataset(f"{name}/{split}", "A0", examples_of("nli", "A0", 12, split), {})

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"training asked for {name}")


@pytest.mark.parametrize("kind", ["source", "target", "mixture"])
def test_selection_sees_dev_rows_only(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predicted: list[set[tuple[tuple[int, ...], ...]]] = []
    original = predict

    def spied(assembly: Any, head: str, form: Any, features: Any, **more: Any) -> Any:
        predicted.append({feature.rows for feature in features})
        return original(assembly, head, form, features, **more)

    monkeypatch.setattr(scoring, "predict", spied)
    goal = goal_of("nli")
    labels = goal.labels
    nowhere = SplitSpec("world")
    training = replace(TRAINING, epochs=2, max_length=100)
    ref = BackboneRef("nano", "0" * 64, 4, folder=NANO)
    source = Source(
        name="nli.A0", description="", task="nli", language="A0", format="pair_classification",
        labels=labels, train=nowhere, dev=nowhere, training=training, split="", licence="",
    )  # fmt: skip
    Store(tmp_path).create()
    worker = Worker(Settings(tmp_path, None, "refuse", Numerics()), _Spied())  # type: ignore[arg-type]
    key = "a" * 64
    assert worker.run(
        Step("source", key, "", (), SourceWork(ref, source, training, 1, source.name), 1.0, 12)
    )
    if kind != "source":
        predicted.clear()
        form = "pair_classification" if kind == "target" else "bitext_retrieval"
        target = Target(
            name="world-x", description="", task="x", format=form, languages=("A0",),
            train_language="A0", labels=labels if kind == "target" else (), test=nowhere,
            train=nowhere, dev=nowhere, split="", licence="",
        )  # fmt: skip
        recipe = Recipe(name="fuse", description="", kind="fuse", sources="many")
        fit = FitWork(
            ref,
            recipe,
            (SourceRef(SourceWork(ref, source, training, 1, source.name), key),),
            target,
            training,
            kind,
            1,
        )
        assert worker.run(Step("fit", "b" * 64, "", (), fit, 1.0, 12))
    rows = {}
    for split in ("train", "dev"):
        examples = examples_of("nli", "A0", 12, split)
        features = encode(goal, examples, EncodeOptions(max_length=100), training=False)
        rows[split] = {feature.rows for feature in features}
    assert not rows["train"] & rows["dev"]
    assert predicted == [rows["dev"]] * 2  # once an epoch


def source_step(training: Training) -> Step:
    """The training of a source adapter."""
    nowhere = SplitSpec("world")
    source = Source(
        name="nli.A0", description="", task="nli", language="A0", format="pair_classification",
        labels=goal_of("nli").labels, train=nowhere, dev=nowhere, training=training, split="",
        licence="",
    )  # fmt: skip
    ref = BackboneRef("nano", "0" * 64, 4, folder=NANO)
    return Step(
        "source", "a" * 64, "", (), SourceWork(ref, source, training, 1, source.name), 1.0, 12
    )


def test_a_stop_is_noticed_between_two_batches_of_dev(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, data = source_step(replace(TRAINING, epochs=2, max_length=100)), _Spied()
    batches: list[int] = []
    module = importlib.import_module("harness.train.passes")
    original = module.collate

    def counted(features: Any, *rest: Any, **more: Any) -> Any:
        batches.append(len(features))
        return original(features, *rest, **more)

    monkeypatch.setattr(module, "collate", counted)
    trained = {}
    for name in ("whole", "stopped"):
        run_settings = Settings(tmp_path / name, None, "refuse", Numerics(), predict_tokens=60)
        Store(tmp_path / name).create()
        if name == "stopped":
            assert len(batches) > 4  # so that a whole evaluation is more than the one batch below
            batches.clear()
            with pytest.raises(Interrupted):
                Worker(run_settings, data, should_stop=lambda: bool(batches)).run(step)  # type: ignore[arg-type]
            assert len(batches) == 1
        assert Worker(run_settings, data).run(step)  # type: ignore[arg-type]
        folder = Store(tmp_path / name).path(*step.id)
        trained[name] = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and path.name not in ("costs.json", "manifest.json")
        }
    assert trained["stopped"] == trained["whole"]
    assert "training.json" in trained["whole"]


def test_costs_are_those_of_the_whole_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it was stopped and another process went on from its checkpoint."""
    step = source_step(TRAINING)
    run_settings, data = Settings(tmp_path, None, "refuse", Numerics()), _Spied()
    Store(tmp_path).create()
    clock = time.perf_counter
    with monkeypatch.context() as patch:
        patch.setattr(time, "perf_counter", lambda: 1e6 * clock())  # a slow machine
        with pytest.raises(Interrupted):
            Worker(run_settings, data, should_stop=lambda: True).run(step)  # type: ignore[arg-type]
    started = clock()
    assert Worker(run_settings, data).run(step)  # type: ignore[arg-type]
    spent = clock() - started
    costs = json.loads((Store(tmp_path).path(*step.id) / "costs.json").read_bytes())
    assert spent < 1e4 < costs["wall_seconds"]
    assert 0 < costs["cpu_seconds"] < 1e4
