"""A training loop on nano: assemblies, tasks, a trainer, the gradients that it steps with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from harness.catalog import Training
from harness.formats import EncodeOptions, Feature
from harness.model import Assembly, Numerics, add_adapter, add_fusion
from harness.recipes import get_recipe
from harness.train import GroupedAdamW, Trainer, TrainTask
from tests.nano import encode, examples_of, goal_of

TRAINING = Training(epochs=1, learning_rate=1e-2, batch_size=4, warmup=0.0, patience=0)
OPTIONS = EncodeOptions(max_length=100, doc_stride=20)
Gradients = dict[str, torch.Tensor]


def features_of(task: str, count: int, seed: int = 0) -> list[Feature]:
    """Training features in the hub language."""
    examples = examples_of(task, "A0", count, seed=seed)
    return encode(goal_of(task), examples, OPTIONS, training=True)


def assemble(base: Any, task: str, recipe: str = "direct") -> Assembly:
    """A recipe without sources, ready to be trained."""
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
    """What the penalty of fusion pulls to the identity, by name."""
    return [
        (name, parameter)
        for name, parameter in assembly.model.named_parameters()
        if "adapter_fusion_layer" in name and name.endswith("value.weight")
    ]


def trainer_of(
    assembly: Assembly, tasks: Sequence[TrainTask], training: Training = TRAINING, **more: Any
) -> Trainer:
    """A trainer that takes whole batches at once, unless `micro_tokens` is given."""
    settings: dict[str, Any] = {"seed": "s", "pad_id": 1, "micro_tokens": 10**6} | more
    return Trainer(assembly, tasks, training, Numerics(), **settings)


def task_of(task: str, features: Sequence[Feature]) -> TrainTask:
    """The features with the head that `assemble` made for the task."""
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
    """The gradients of every optimizer step of this test."""
    return Recorder(monkeypatch)


def assert_same_gradients(one: Gradients, other: Gradients, tolerance: float = 1e-5) -> None:
    """Equal up to a share of the largest one."""
    assert one.keys() == other.keys()
    largest = max(float(gradient.abs().max()) for gradient in one.values())
    assert largest > 0
    worst = max(float((gradient - other[name]).abs().max()) for name, gradient in one.items())
    assert worst <= tolerance * largest, (worst, largest)
