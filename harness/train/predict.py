"""Prediction: logits for features in batches sorted by length, whatever the batch size."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch

from harness.errors import WorkError
from harness.formats import Feature, Format, Logits, collate
from harness.model import Assembly, Numerics
from harness.train.batches import padded_tokens, sorted_batches

log = logging.getLogger(__name__)


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
) -> list[Logits]:
    """Logits of each feature, in order, without padding; batches shrink when memory runs out."""
    logits: list[Logits | None] = [None] * len(features)
    model = assembly.model.eval()
    pending = sorted_batches(features, batch_tokens)
    done = 0
    while pending:
        indices = pending.pop(0)
        chosen = [features[i] for i in indices]
        try:
            with torch.inference_mode(), numerics.autocast():
                batch = collate(chosen, pad_id, device=numerics.device)
                outputs = task_format.forward(model, head, batch)
        except torch.OutOfMemoryError as error:
            if len(indices) == 1:
                raise WorkError(
                    f"out of memory on {numerics.device} with a single example of "
                    f"{padded_tokens(chosen)} tokens"
                ) from error
            torch.cuda.empty_cache()
            half = len(indices) // 2
            log.warning("out of memory on %s: batch of %d halved", numerics.device, len(indices))
            pending[:0] = [indices[:half], indices[half:]]
            continue
        for index, value in zip(indices, task_format.split(outputs, batch), strict=True):
            logits[index] = value
        done += len(indices)
        on_batch(done, len(features))
    return [value for value in logits if value is not None]
