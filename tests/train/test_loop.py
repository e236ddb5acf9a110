"""The training loop: exact gradients, an independent plain loop, schedules, stopping, resuming."""

from __future__ import annotations

import copy
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import XLMRobertaAdapterModel
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from transformers import XLMRobertaConfig, get_linear_schedule_with_warmup

from harness.bench import scoring
from harness.bench.steps import BackboneRef, FitWork, Settings, SourceRef, SourceWork, Step
from harness.bench.store import Store
from harness.bench.work import Worker
from harness.catalog import Recipe, Source, SplitSpec, Target, Training
from harness.data import Dataset, make_dataset
from harness.data.world import TASKS, World, generate
from harness.data.world import __file__ as world_file
from harness.errors import InputError, WorkError
from harness.formats import Batch, EncodeOptions, Feature, Format, collate, get_format
from harness.formats.pair_classification import PairClassification
from harness.model import (
    Assembly,
    BackboneFiles,
    Numerics,
    add_adapter,
    add_fusion,
    load_backbone,
    load_tokenizer,
    remove_pooler,
)
from harness.recipes import Goal, get_recipe
from harness.train import (
    Checkpointer,
    GroupedAdamW,
    Interrupted,
    Progress,
    Trainer,
    TrainResult,
    TrainTask,
    learning_rate_factor,
    predict,
)

NANO = Path(world_file).parent / "nano"
FORMATS = {"nli": "pair_classification", "pos": "tagging", "qa": "span_qa", "mc": "multiple_choice"}
TRAINING = Training(epochs=1, learning_rate=1e-2, batch_size=4, warmup=0.0, patience=0)
Gradients = dict[str, torch.Tensor]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Models as small as these lose time in threads, and sums in threads may differ."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def base() -> Any:
    """nano: no dropout."""
    return load_backbone(BackboneFiles("nano", NANO, "", 4), torch.device("cpu"))


@pytest.fixture(scope="module")
def noisy_base() -> Any:
    """A tiny encoder with dropout, so that random numbers matter in training."""
    torch.manual_seed(5)
    config = XLMRobertaConfig(
        vocab_size=918, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=132, type_vocab_size=1, pad_token_id=1,
        initializer_range=0.2, hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2,
    )  # fmt: skip
    model = XLMRobertaAdapterModel(config)
    remove_pooler(model)
    return model.requires_grad_(False).eval()


def goal_of(task: str) -> Goal:
    kind = TASKS[task]
    labels = kind.labels or tuple(map(str, range(kind.choices)))
    return Goal(f"t-{task}", get_format(FORMATS[task]), labels, 3)


def features_of(task: str, count: int, split: Any = "train", seed: int = 0) -> list[Feature]:
    goal = goal_of(task)
    return goal.format.encode(
        list(generate(World(0), task, "A0", count, split, seed)),
        load_tokenizer(NANO),
        goal.labels,
        EncodeOptions(max_length=100, doc_stride=20),
        training=True,
    )


def assemble(base: Any, task: str, recipe: str = "direct") -> Assembly:
    return get_recipe(recipe).assemble(base, goal_of(task), [], 4)


def with_fusion(base: Any, task: str = "nli") -> Assembly:
    """A fusion of two random adapters below the target's own, its values far from the identity."""
    assembly = assemble(base, task)
    goal = goal_of(task)
    for name in ("a", "b"):
        add_adapter(assembly.model, name, 4)
    fusion = add_fusion(assembly.model, ["a", "b"])
    assembly.activate(["stack", ["fuse", "a", "b"], goal.name])
    assembly.train_groups({"fusion": [fusion], "adapter": [goal.name], "head": [goal.name]})
    with torch.no_grad():
        for _, value in value_matrices(assembly):
            value.add_(torch.randn(value.shape) * 0.02)
    return assembly


def value_matrices(assembly: Assembly) -> list[tuple[str, torch.nn.Parameter]]:
    return [
        (name, parameter)
        for name, parameter in assembly.model.named_parameters()
        if "adapter_fusion_layer" in name and name.endswith("value.weight")
    ]


def trainer_of(
    assembly: Assembly, tasks: Sequence[TrainTask], training: Training = TRAINING, **more: Any
) -> Trainer:
    settings_: dict[str, Any] = {"seed": "s", "pad_id": 1, "micro_tokens": 10**6} | more
    return Trainer(assembly, tasks, training, Numerics(), **settings_)


def task_of(task: str, features: Sequence[Feature]) -> TrainTask:
    goal = goal_of(task)
    return TrainTask(goal.name, goal.format, features)


class Recorder:
    """Notes the gradients that every optimizer step was given."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.steps: list[Gradients] = []
        recorder = self

        class Recording(GroupedAdamW):
            def __init__(self, assembly: Assembly, *rest: Any, **more: Any) -> None:
                super().__init__(assembly, *rest, **more)
                self.assembly = assembly

            def step(self, factor: float) -> None:
                recorder.steps.append(
                    {n: p.grad.clone() for n, p in self.assembly.trainable() if p.grad is not None}
                )
                super().step(factor)

        patch.setattr("harness.train.loop.GroupedAdamW", Recording)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    return Recorder(monkeypatch)


def assert_same_gradients(one: Gradients, other: Gradients, tolerance: float = 1e-5) -> None:
    assert one.keys() == other.keys()
    largest = max(float(gradient.abs().max()) for gradient in one.values())
    assert largest > 0
    worst = max(float((gradient - other[name]).abs().max()) for name, gradient in one.items())
    assert worst <= tolerance * largest, (worst, largest)


# --- gradients ---


@pytest.mark.parametrize("recipe", ["direct", "full-ft"])
@pytest.mark.parametrize("task", FORMATS)
def test_micro_batches_do_not_change_gradients(
    task: str, recipe: str, base: Any, recorder: Recorder
) -> None:
    features = features_of(task, 13)
    lengths = {feature.length for feature in features}
    assert len(lengths) > 3
    training = replace(TRAINING, batch_size=len(features))
    for micro in (1, 70, 333, 10**6):
        assembly = assemble(base, task, recipe)
        seen: list[Progress] = []
        trainer_of(
            assembly, [task_of(task, features)], training, micro_tokens=micro, on_step=seen.append
        ).run()
        assert len(seen) == 1
        if micro == 1:
            loss = seen[0].loss
        assert seen[0].loss == pytest.approx(loss, rel=1e-6)
    first, *others = recorder.steps
    assert len(others) == 3
    for other in others:
        assert_same_gradients(first, other)


def test_the_loss_is_the_mean_over_the_whole_batch(base: Any, recorder: Recorder) -> None:
    """Words of uneven sentences weigh alike, whichever micro-batch they are in."""
    features = features_of("pos", 9)
    assembly, own = assemble(base, "pos"), assemble(base, "pos")
    batch = collate(features, 1)
    labels = torch.full_like(batch.input_ids, -100)
    for row, feature in zip(labels, features, strict=True):
        row[list(feature.extra)] = torch.tensor(feature.target)
    logits = own.model.train()(
        batch.input_ids, attention_mask=batch.attention_mask, head="t-pos"
    ).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    torch.autograd.backward(loss)
    expected = {n: p.grad for n, p in own.trainable() if p.grad is not None}
    training = replace(TRAINING, batch_size=9)
    trainer_of(assembly, [task_of("pos", features)], training, micro_tokens=50).run()
    assert_same_gradients(recorder.steps[0], expected)


@pytest.mark.parametrize("micro", [1, 10**6])
def test_fusion_is_pulled_to_the_identity_once_a_step(
    micro: int, base: Any, recorder: Recorder
) -> None:
    features = features_of("nli", 8)
    assembly, own = with_fusion(base), with_fusion(base)
    own.restore(assembly.snapshot())
    batch = collate(features, 1)
    targets = torch.tensor([feature.target for feature in features])
    logits = own.model.train()(
        batch.input_ids, attention_mask=batch.attention_mask, head="t-nli"
    ).logits
    penalty = torch.zeros(())
    for _, value in value_matrices(own):
        penalty = penalty + 0.01 * ((value - torch.eye(value.shape[0])) ** 2).sum()
    assert len(value_matrices(own)) == 3
    torch.autograd.backward(torch.nn.functional.cross_entropy(logits, targets) + penalty)
    expected = {n: p.grad for n, p in own.trainable() if p.grad is not None}
    with_penalty = max(float(expected[name].abs().max()) for name, _ in value_matrices(own))
    assert with_penalty > 1e-4
    training = replace(TRAINING, batch_size=8)
    trainer_of(assembly, [task_of("nli", features)], training, micro_tokens=micro).run()
    assert len(recorder.steps) == 1
    assert_same_gradients(recorder.steps[0], expected)


def test_the_penalty_is_in_the_last_step_too(base: Any, recorder: Recorder) -> None:
    """(The library's own trainer adds it after zero_grad: the last one is lost.)"""
    assembly = with_fusion(base)
    silent = _Silent()
    task = TrainTask("t-nli", silent, features_of("nli", 8))
    training = replace(TRAINING, learning_rate=0.0)
    trainer_of(assembly, [task], training).run()
    assert len(recorder.steps) == 2
    for step in recorder.steps:
        for name, value in value_matrices(assembly):
            expected = 0.02 * (value.detach() - torch.eye(value.shape[0]))
            torch.testing.assert_close(step[name], expected, rtol=1e-5, atol=1e-8)


class _Silent(PairClassification):
    """A loss without gradient, to see what else there is."""

    def loss(self, logits: Any, batch: Batch) -> tuple[torch.Tensor, float]:
        total, weight = super().loss(logits, batch)
        return total * 0.0, weight


# --- an independent loop ---


def padding_free(task: str, features: list[Feature], count: int) -> list[Feature]:
    """Features of one length: the library's span loss also looks at padding."""
    if task != "qa":
        return features[:count]
    length, _ = Counter(feature.length for feature in features).most_common(1)[0]
    chosen = [feature for feature in features if feature.length == length][:count]
    assert len(chosen) == count
    return chosen


def library_loss(assembly: Assembly, task: str, features: Sequence[Feature]) -> torch.Tensor:
    """The loss that the `adapters` library's own head computes, a mean over the batch."""
    batch = collate(features, 1)
    ids, mask = batch.input_ids, batch.attention_mask
    arguments: dict[str, torch.Tensor] = {}
    if task == "qa":
        starts, ends = zip(*(feature.target for feature in features), strict=True)
        arguments = {
            "start_positions": torch.tensor(starts), "end_positions": torch.tensor(ends)
        }  # fmt: skip
    elif task == "pos":
        arguments["labels"] = torch.full_like(ids, -100)
        for row, feature in zip(arguments["labels"], features, strict=True):
            row[list(feature.extra)] = torch.tensor(feature.target)
    else:
        arguments["labels"] = torch.tensor([feature.target for feature in features])
        if task == "mc":
            ids, mask = (t.reshape(len(features), -1, t.shape[-1]) for t in (ids, mask))
    output = assembly.model(ids, attention_mask=mask, head=f"t-{task}", **arguments)
    loss: torch.Tensor = output.loss
    return loss


@pytest.mark.parametrize("task", FORMATS)
def test_training_agrees_with_a_plain_loop(
    task: str, base: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    monkeypatch.setattr("harness.train.loop.epoch_batches", lambda *_, **__: batches)
    features = padding_free(task, features_of(task, 120), 12)
    training = replace(TRAINING, epochs=2, learning_rate=3e-3, head_learning_rate=6e-3)
    ours, plain = assemble(base, task), assemble(base, task)
    losses: list[float] = []
    trainer_of(
        ours,
        [task_of(task, features)],
        training,
        micro_tokens=200,
        on_step=lambda progress: losses.append(progress.loss),
    ).run()

    heads = [p for n, p in plain.trainable() if n.startswith("heads.")]
    others = [p for n, p in plain.trainable() if not n.startswith("heads.")]
    optimizer = torch.optim.AdamW(
        [{"params": others, "lr": 3e-3}, {"params": heads, "lr": 6e-3}], weight_decay=0.0
    )
    schedule = get_linear_schedule_with_warmup(optimizer, 0, 8)
    expected = []
    plain.model.train()
    for chosen in batches * 2:
        optimizer.zero_grad()
        loss = library_loss(plain, task, [features[i] for i in chosen])
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(heads + others, 1.0)
        optimizer.step()
        schedule.step()
        expected.append(loss.item())
    assert losses == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert expected[-1] < expected[0]
    mine = ours.snapshot()
    for name, tensor in plain.snapshot().items():
        if tensor.numel() > 2:  # softmax does not see the last bias for choices and for spans
            torch.testing.assert_close(mine[name], tensor, rtol=0, atol=2e-5)


# --- optimizer and schedule ---


@pytest.mark.parametrize(("steps", "warmup"), [(10, 0.0), (10, 0.1), (37, 0.3), (1, 0.1)])
def test_the_schedule_is_linear_and_wastes_no_step(steps: int, warmup: float) -> None:
    """As transformers' own, but warm-up starts at its first rate that is not zero."""
    warm = round(warmup * steps)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    schedule = get_linear_schedule_with_warmup(optimizer, warm, steps)
    expected = []
    for _ in range(steps + 1):
        expected.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    for step in range(steps):
        theirs = expected[step + 1] if step < warm else expected[step]
        assert learning_rate_factor(step, steps, warmup) == pytest.approx(theirs)
    factors = [learning_rate_factor(step, steps, warmup) for step in range(steps)]
    assert min(factors) > 0
    assert max(factors) == 1.0


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_the_optimizer_is_adamw_with_a_rate_per_group(fused: bool, decay: float, base: Any) -> None:
    training = replace(
        TRAINING, learning_rate=1e-2, fusion_learning_rate=2e-3, head_learning_rate=5e-3,
        weight_decay=decay, clip_norm=0.7,
    )  # fmt: skip
    assembly = with_fusion(base)
    rates = {"adapters": 1e-2, "adapter_fusion_layer": 2e-3, "heads": 5e-3}
    plain = {name: tensor.clone() for name, tensor in assembly.snapshot().items()}
    groups: dict[str, list[torch.Tensor]] = {part: [] for part in rates}
    for name, tensor in plain.items():
        (part,) = [part for part in rates if re.search(rf"(^|\.){part}\.", name)]
        groups[part].append(tensor.requires_grad_(True))
    reference = torch.optim.AdamW(
        [{"params": group, "lr": rates[part]} for part, group in groups.items()],
        weight_decay=decay,
    )
    ours = GroupedAdamW(assembly, training, fused=fused)
    schedule = get_linear_schedule_with_warmup(reference, 0, 5)
    for step in range(5):
        scale = 10.0 ** (step - 3)  # norms below and above the clip
        for name, parameter in assembly.trainable():
            parameter.grad = torch.randn(parameter.shape) * scale
            plain[name].grad = parameter.grad.clone()
        gradients = [tensor.grad for tensor in plain.values() if tensor.grad is not None]
        assert len(gradients) == len(plain)
        norm = math.sqrt(sum(float((gradient**2).sum()) for gradient in gradients))
        for gradient in gradients:
            gradient.mul_(min(1.0, 0.7 / (norm + 1e-6)))
        ours.step(learning_rate_factor(step, 5, 0.0))
        reference.step()
        schedule.step()
    for name, parameter in assembly.trainable():
        torch.testing.assert_close(parameter.detach(), plain[name].detach(), rtol=1e-5, atol=1e-6)
    ours.zero_grad()
    assert all(parameter.grad is None for _, parameter in assembly.trainable())


@pytest.mark.parametrize(
    ("recipe", "given_rates", "expected"),
    [
        ("direct", {}, {"adapters": 1e-2, "heads": 1e-2}),
        ("direct", {"head_learning_rate": 3e-3}, {"adapters": 1e-2, "heads": 3e-3}),
        ("direct", {"full_learning_rate": 1e-3}, {"adapters": 1e-2, "heads": 1e-2}),
        ("full-ft", {"full_learning_rate": 1e-3}, {"roberta": 1e-3, "heads": 1e-3}),
        ("full-ft", {}, {"roberta": 1e-2, "heads": 1e-2}),
        (
            "full-ft",
            {"full_learning_rate": 1e-3, "head_learning_rate": 4e-3},
            {"roberta": 1e-3, "heads": 4e-3},
        ),
    ],
)
def test_each_group_moves_at_its_rate(
    recipe: str, given_rates: dict[str, float], expected: dict[str, float], base: Any
) -> None:
    """AdamW's first step is the learning rate wherever there is a gradient at all."""
    assembly = assemble(base, "nli", recipe)
    before = assembly.snapshot()
    training = replace(TRAINING, clip_norm=1e9, **given_rates)  # type: ignore[arg-type]
    trainer_of(assembly, [task_of("nli", features_of("nli", 4))], training).run()
    after = assembly.snapshot()
    for part, rate in expected.items():
        moves = [
            float((after[name] - before[name]).abs().max())
            for name in before
            if re.search(rf"(^|\.){part}\.", name)
        ]
        assert max(moves) == pytest.approx(rate, rel=1e-2)


def test_large_gradients_are_clipped_to_the_norm(
    base: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms: list[float] = []
    original = torch.optim.AdamW.step

    def step(self: Any, *arguments: Any) -> Any:
        gradients = [p.grad for group in self.param_groups for p in group["params"]]
        norms.append(math.sqrt(sum(float((g**2).sum()) for g in gradients if g is not None)))
        return original(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    tasks = [task_of("nli", features_of("nli", 8))]
    for clip, bound in ((1e-3, 1e-3), (1e9, math.inf)):
        norms.clear()
        trainer_of(assemble(base, "nli"), tasks, replace(TRAINING, clip_norm=clip)).run()
        assert len(norms) == 2
        assert all(norm <= bound * 1.001 for norm in norms)
    assert max(norms) > 0.1  # so that the first round did clip


# --- evaluation and stopping ---


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
        ({"epochs": 1, "min_steps": 5}, 6, [6]),  # epochs are repeated whole
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

    def target(self, target: Target, split: str) -> Dataset:
        return self._rows(target.name, split)

    def _rows(self, name: str, split: str) -> Dataset:
        examples = list(generate(World(0), "nli", "A0", 12, split))  # type: ignore[arg-type]
        return make_dataset(f"{name}/{split}", "A0", examples, {})

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
    labels = TASKS["nli"].labels
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
    assert worker.run(Step("source", key, "", (), SourceWork(ref, source, training, 1), 1.0))
    if kind != "source":
        predicted.clear()
        form = "pair_classification" if kind == "target" else "bitext_retrieval"
        target = Target(
            name="world-x", description="", task="x", format=form, languages=("A0",),
            train_language="A0", labels=labels if kind == "target" else (), test=nowhere,
            train=nowhere, dev=nowhere, split="", licence="",
        )  # fmt: skip
        recipe = Recipe(name="fuse", description="", kind="fuse", sources="many")
        fit = FitWork(ref, recipe, (SourceRef(source, key),), target, training, kind, 1)
        assert worker.run(Step("fit", "b" * 64, "", (), fit, 1.0))
    goal = goal_of("nli")
    rows = {}
    for split in ("train", "dev"):
        examples = list(generate(World(0), "nli", "A0", 12, split))
        features = goal.format.encode(
            examples, load_tokenizer(NANO), labels, EncodeOptions(max_length=100), training=False
        )
        rows[split] = {feature.rows for feature in features}
    assert not rows["train"] & rows["dev"]
    assert predicted == [rows["dev"]] * 2  # once an epoch


# --- mixtures ---


class _Noting(PairClassification):
    """Notes which features a loss was computed on."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Feature, ...]] = []

    def loss(self, logits: Any, batch: Batch) -> tuple[torch.Tensor, float]:
        self.seen.append(batch.features)
        return super().loss(logits, batch)


def test_a_mixture_takes_every_example_of_every_task_once_an_epoch(base: Any) -> None:
    assembly = assemble(base, "nli")
    note = _Noting()
    rows = {"one": features_of("nli", 10), "two": features_of("nli", 5, seed=1),
            "three": features_of("nli", 21, seed=2)}  # fmt: skip
    owner = {feature.rows: name for name, features in rows.items() for feature in features}
    tasks = [TrainTask("t-nli", note, features) for features in rows.values()]
    result = trainer_of(assembly, tasks, replace(TRAINING, epochs=2)).run()
    steps = 3 + 2 + 6
    assert result.steps == len(note.seen) == 2 * steps
    orders = []
    for epoch in (note.seen[:steps], note.seen[steps:]):
        names = [{owner[feature.rows] for feature in batch} for batch in epoch]
        assert all(len(name) == 1 for name in names)  # a batch has one task
        orders.append([next(iter(name)) for name in names])
        visits = Counter(feature.rows for batch in epoch for feature in batch)
        assert visits == Counter(owner.keys())
    for order in orders:  # tasks alternate
        changes = sum(a != b for a, b in pairwise(order))
        assert changes > 2
    assert orders[0] != orders[1]


def test_the_order_is_a_function_of_the_seed(base: Any) -> None:
    def order(seed: str) -> list[tuple[Feature, ...]]:
        note = _Noting()
        task = TrainTask("t-nli", note, features_of("nli", 24))
        torch.rand(len(seed))
        trainer_of(assemble(base, "nli"), [task], seed=seed).run()
        return note.seen

    assert order("a") == order("a")
    assert order("a") != order("b")


def test_nothing_to_train_on_is_refused(base: Any) -> None:
    with pytest.raises(InputError, match="t-nli"):
        trainer_of(
            assemble(base, "nli"), [task_of("nli", [])], replace(TRAINING, min_steps=3)
        ).run()


# --- interruption ---


class _Killed(Exception):
    pass


class _Run:
    """A training with dropout, fusion, two tasks and early stopping, to be made again and again."""

    def __init__(self, base: Any, evaluates: bool) -> None:
        self.template = with_fusion(base)
        self.evaluates = evaluates
        self.tasks = [task_of("nli", features_of("nli", 12)),
                      task_of("nli", features_of("nli", 8, seed=1))]  # fmt: skip
        self.training = Training(
            epochs=3, learning_rate=2e-2, fusion_learning_rate=1e-2, batch_size=4, warmup=0.2,
            patience=2, evaluations=7, weight_decay=0.01,
        )  # fmt: skip

    def trainer(self, folder: Path | None, **more: Any) -> Trainer:
        torch.manual_seed(torch.seed() % 1000)  # whatever was before must not matter
        assembly = Assembly(copy.deepcopy(self.template.model))
        assembly.activate(self.template.active)
        assembly.train_groups(self.template.trained)

        def evaluate() -> float:  # a function of the weights, with its best somewhere on the way
            tensors = assembly.snapshot()
            return round(math.sin(60 * sum(float(t.abs().mean()) for t in tensors.values())), 6)

        every = more.pop("every_steps", None)
        return trainer_of(
            assembly,
            self.tasks,
            self.training,
            micro_tokens=100,
            evaluate=evaluate if self.evaluates else None,
            checkpointer=Checkpointer(folder, None, every) if folder else None,
            **more,
        )


@pytest.fixture(scope="module", params=[True, False], ids=["with-dev", "without-dev"])
def whole(
    request: pytest.FixtureRequest, noisy_base: Any
) -> tuple[_Run, Gradients, TrainResult, list[float]]:
    """The run that nothing interrupts: what it trained, its result, its losses."""
    run = _Run(noisy_base, request.param)
    losses: list[float] = []
    trainer = run.trainer(None, on_step=lambda progress: losses.append(progress.loss))
    result = trainer.run()
    if request.param:
        assert result.stopped_early
        assert 1 < result.best_step < result.steps < result.planned_steps == 15
    return run, trainer.assembly.snapshot(), result, losses


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # shrinking would train for minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    stops=st.lists(st.integers(1, 15), max_size=4),
    kills=st.lists(st.integers(1, 15), max_size=3),
    every=st.one_of(st.none(), st.integers(1, 5)),
)
def test_an_interrupted_training_ends_as_if_it_had_not_been(
    whole: Any,
    tmp_path_factory: pytest.TempPathFactory,
    stops: list[int],
    kills: list[int],
    every: int | None,
) -> None:
    run, weights, result, losses = whole
    folder = tmp_path_factory.mktemp("checkpoint")
    waiting, deadly = set(stops), set(kills)
    found: dict[int, float] = {}
    now = 0

    def on_step(progress: Progress) -> None:
        nonlocal now
        now = progress.step
        found[now] = progress.loss
        if now in deadly:  # as a kill would: without a checkpoint
            deadly.discard(now)
            raise _Killed

    def should_stop() -> bool:
        if now in waiting:
            waiting.discard(now)
            return True
        return False

    for _ in range(len(stops) + len(kills) + 1):
        trainer = run.trainer(folder, on_step=on_step, should_stop=should_stop, every_steps=every)
        try:
            ended = trainer.run()
            break
        except (Interrupted, _Killed):
            continue
    else:
        raise AssertionError("never ended")
    assert ended == result
    assert [found[step] for step in sorted(found)] == losses
    mine = trainer.assembly.snapshot()
    assert mine.keys() == weights.keys()
    assert all(torch.equal(mine[name], tensor) for name, tensor in weights.items())


def test_dropout_is_on_in_training_and_follows_the_seed(noisy_base: Any) -> None:
    def losses(seed: str) -> list[float]:
        found: list[float] = []
        task = task_of("nli", features_of("nli", 4))  # one batch: the seed cannot change its order
        training = replace(TRAINING, epochs=3)
        trainer_of(
            assemble(noisy_base, "nli"), [task], training, seed=seed,
            on_step=lambda progress: found.append(progress.loss),
        ).run()  # fmt: skip
        return found

    assert losses("a") == losses("a")
    assert losses("a") != losses("b")


def test_a_finished_training_is_not_trained_again(noisy_base: Any, tmp_path: Path) -> None:
    run = _Run(noisy_base, True)
    first = run.trainer(tmp_path, every_steps=1)
    result = first.run()
    steps: list[Progress] = []
    again = run.trainer(tmp_path, on_step=steps.append)
    assert again.run() == result
    assert steps == []
    mine = again.assembly.snapshot()
    assert all(torch.equal(mine[n], tensor) for n, tensor in first.assembly.snapshot().items())


def test_a_checkpoint_of_another_model_is_refused(
    base: Any, noisy_base: Any, tmp_path: Path
) -> None:
    run = _Run(noisy_base, True)
    run.trainer(tmp_path, every_steps=1).run()
    trainer = trainer_of(
        assemble(noisy_base, "nli"), run.tasks, run.training, checkpointer=Checkpointer(tmp_path)
    )
    with pytest.raises(WorkError, match="work folder"):
        trainer.run()


# --- when it goes wrong ---


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_training(value: float, base: Any) -> None:
    assembly = assemble(base, "nli")
    with torch.no_grad():
        name, parameter = assembly.trainable()[-1]
        assert name.startswith("heads.")
        parameter.fill_(value)
    with pytest.raises(WorkError, match="learning rate"):
        trainer_of(assembly, [task_of("nli", features_of("nli", 8))]).run()


class _Cramped(PairClassification):
    """Runs out of memory on passes of more than some rows."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows
        self.passes: list[int] = []

    def forward(self, model: Any, head: str, batch: Batch) -> dict[str, torch.Tensor]:
        self.passes.append(len(batch.features))
        outputs = super().forward(model, head, batch)
        if len(batch.features) > self.rows:
            raise torch.OutOfMemoryError("simulated")
        return outputs


def test_out_of_memory_splits_the_batch_and_keeps_the_gradients(
    base: Any, recorder: Recorder
) -> None:
    features = features_of("nli", 16)
    training = replace(TRAINING, batch_size=16)
    losses = []
    for form in (PairClassification(), _Cramped(3)):
        form_: Format[Any] = form
        trainer_of(
            assemble(base, "nli"), [TrainTask("t-nli", form_, features)], training,
            on_step=lambda progress: losses.append(progress.loss),
        ).run()  # fmt: skip
    assert isinstance(form, _Cramped)
    assert form.passes[0] == 16
    assert max(form.passes[-6:]) <= 3
    assert len(recorder.steps) == 2
    assert_same_gradients(recorder.steps[0], recorder.steps[1])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_a_single_example_too_large_is_told(base: Any) -> None:
    task = TrainTask("t-nli", _Cramped(0), features_of("nli", 8))
    with pytest.raises(WorkError, match="one example"):
        trainer_of(assemble(base, "nli"), [task]).run()
