"""The optimizer: its schedule, a learning rate per group, clipping."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import get_linear_schedule_with_warmup
from transformers.trainer_pt_utils import get_parameter_names

from harness.train import GroupedAdamW, learning_rate_factor
from tests.train.conftest import TRAINING, assemble, features_of, task_of, trainer_of, with_fusion

pytestmark = pytest.mark.usefixtures("one_thread")


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


def decayed_by_transformers(model: torch.nn.Module) -> set[str]:
    """The parameters that transformers' own Trainer decays: no bias, nothing of a layer norm."""
    names = get_parameter_names(model, [torch.nn.LayerNorm])
    return {name for name in names if "bias" not in name}


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(("decay", "beta2"), [(0.0, 0.999), (0.1, 0.999), (0.1, 0.9)])
def test_the_optimizer_is_adamw_with_a_rate_per_group(
    fused: bool, decay: float, beta2: float, base: Any
) -> None:
    training = replace(
        TRAINING, learning_rate=1e-2, fusion_learning_rate=2e-3, head_learning_rate=5e-3,
        weight_decay=decay, adam_beta2=beta2, clip_norm=0.7,
    )  # fmt: skip
    assembly = with_fusion(base)
    rates = {"adapters": 1e-2, "adapter_fusion_layer": 2e-3, "heads": 5e-3}
    plain = {name: tensor.clone() for name, tensor in assembly.snapshot().items()}
    decaying = decayed_by_transformers(assembly.model)
    groups = []
    for name, tensor in plain.items():
        (part,) = [part for part in rates if re.search(rf"(^|\.){part}\.", name)]
        groups.append(
            {"params": [tensor.requires_grad_(True)], "lr": rates[part],
             "weight_decay": decay if name in decaying else 0.0}
        )  # fmt: skip
    reference = torch.optim.AdamW(groups, betas=(0.9, beta2))
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


@pytest.mark.parametrize("recipe", ["direct", "full-ft"])
def test_weight_decay_spares_biases_and_layer_norms(recipe: str, base: Any) -> None:
    """Without a gradient, decay is all that moves a weight: by rate x decay of itself."""
    assembly = assemble(base, "nli", recipe)
    with torch.no_grad():
        for _, parameter in assembly.trainable():
            parameter.add_(torch.rand(parameter.shape) + 0.1)  # nothing is zero
    before = assembly.snapshot()
    training = replace(TRAINING, learning_rate=1e-2, weight_decay=0.1)
    optimizer = GroupedAdamW(assembly, training, fused=True)
    for _, parameter in assembly.trainable():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(1.0)
    decaying = decayed_by_transformers(assembly.model)
    spared = 0
    for name, after in assembly.snapshot().items():
        if name in decaying:
            torch.testing.assert_close(after, before[name] * (1 - 1e-2 * 0.1))
            assert not torch.equal(after, before[name])
        else:
            assert torch.equal(after, before[name])
            spared += 1
    assert 0 < spared < len(before)


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
