"""Prediction: logits for features in batches sorted by length, whatever the batch size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from harness.formats import Batch, Feature, Format, Logits
from harness.model import Assembly, Numerics, folded
from harness.train.passes import passes
from harness.train.prefix import States, entering


def predict(
    assembly: Assembly,
    head: str,
    task_format: Format[Any],
    features: Sequence[Feature],
    *,
    numerics: Numerics,
    pad_id: int,
    batch_tokens: int,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
    states: States | None = None,
) -> Sequence[Logits]:
    """Logits of each feature, in order, without padding; batches shrink when memory runs out.

    With `states` the model starts from what is known of the rows.
    """
    logits = task_format.storage(len(features))
    model = assembly.model.eval()

    def outputs_of(batch: Batch) -> dict[str, torch.Tensor]:
        with entering(model, states, batch):
            return task_format.forward(model, head, batch)

    done = 0
    with folded(model):
        for indices, batch, outputs in passes(features, outputs_of, numerics, pad_id, batch_tokens):
            for index, value in zip(indices, task_format.split(outputs, batch), strict=True):
                logits[index] = value
            done += len(indices)
            on_batch(done, len(features))
    return logits
