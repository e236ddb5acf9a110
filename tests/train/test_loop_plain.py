"""The training loop against an independent one: plain torch and the library's own losses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import get_linear_schedule_with_warmup

from harness.formats import Feature, collate
from harness.model import Assembly
from tests.nano import TRAINED_TASKS
from tests.train.conftest import TRAINING, assemble, features_of, task_of, trainer_of

pytestmark = pytest.mark.usefixtures("one_thread")


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


@pytest.mark.parametrize("task", TRAINED_TASKS)
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
