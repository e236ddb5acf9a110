"""Gradients of the training loop: those of the whole batch, whatever fits into memory."""

from __future__ import annotations

import math
import weakref
from dataclasses import replace
from typing import Any

import pytest
import torch

from harness.errors import WorkError
from harness.formats import Batch, Format, collate
from harness.formats.pair_classification import PairClassification
from harness.train import Progress, TrainTask
from tests.nano import TRAINED_TASKS
from tests.train.conftest import (
    TRAINING,
    Recorder,
    assemble,
    assert_same_gradients,
    features_of,
    task_of,
    trainer_of,
    value_matrices,
    with_fusion,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("recipe", ["direct", "full-ft"])
@pytest.mark.parametrize("task", TRAINED_TASKS)
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
        self.failed: list[weakref.ref[torch.Tensor]] = []

    def forward(self, model: Any, head: str, batch: Batch) -> dict[str, torch.Tensor]:
        self.passes.append(len(batch.features))
        outputs = super().forward(model, head, batch)
        if len(batch.features) > self.rows:
            self.failed.append(weakref.ref(outputs["logits"]))
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


def test_memory_is_freed_once_nothing_holds_what_was_too_large(
    base: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    form, assembly = _Cramped(3), assemble(base, "nli")
    held: list[bool] = []

    def empty_cache() -> None:
        held.append(any(one() is not None for one in form.failed))
        held.append(any(p.grad is not None for _, p in assembly.trainable()))

    monkeypatch.setattr(torch.cuda, "empty_cache", empty_cache)
    training = replace(TRAINING, batch_size=16)
    trainer_of(assembly, [TrainTask("t-nli", form, features_of("nli", 16))], training).run()
    assert held == [False, False] * len(form.failed) != []


def test_a_single_example_too_large_is_told(base: Any) -> None:
    task = TrainTask("t-nli", _Cramped(0), features_of("nli", 8))
    with pytest.raises(WorkError, match="one example"):
        trainer_of(assemble(base, "nli"), [task]).run()


@pytest.mark.parametrize("fused", [False, True])
def test_layers_computed_again_give_the_same_weights(base: Any, fused: bool) -> None:
    """Bit by bit, as the dropout of the second time is that of the first; and less is kept."""
    trained, kept = [], []
    for again in (False, True):
        assembly = with_fusion(base) if fused else assemble(base, "nli")
        sizes: list[int] = []

        def keep(tensor: torch.Tensor, into: list[int] = sizes) -> torch.Tensor:
            into.append(tensor.numel())
            return tensor

        task = task_of("nli", features_of("nli", 12))
        hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
        with assembly.recomputing(again), hooks:
            trainer_of(assembly, [task]).run()
        trained.append(assembly.snapshot())
        kept.append(sum(sizes))
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])
    assert kept[1] < kept[0] / 2


def test_layers_below_what_is_trained_have_no_graph_either(base: Any) -> None:
    """And nothing of it stays behind; so there is nothing to compute again."""
    assembly = assemble(base, "nli")
    embeddings = assembly.model.get_input_embeddings()
    for name, parameter in assembly.model.named_parameters():
        if ".layer.0." in name or ".layer.1." in name:
            parameter.requires_grad_(False)
    assembly.model.train()
    graphs: list[bool] = []
    for layer in assembly.model.roberta.encoder.layer:
        layer.register_forward_hook(lambda _, __, out: graphs.append(out[0].requires_grad))
    for _ in range(2):
        with assembly.recomputing(True):
            assembly.model.roberta(torch.arange(10, 40).reshape(2, 15))
    assert graphs == 2 * [False, False, True]
    assert not embeddings._forward_hooks
