"""Prediction: logits for features in batches sorted by length, whatever the batch size."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import torch

from harness.errors import WorkError
from harness.formats import Feature, Format, Logits, collate
from harness.model import Assembly, Numerics, folded
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
) -> Sequence[Logits]:
    """Logits of each feature, in order, without padding; batches shrink when memory runs out."""
    logits = task_format.storage(len(features))
    model = assembly.model.eval()
    pending = sorted_batches(features, batch_tokens)
    done = 0
    with folded(model):
        while pending:
            chosen = [features[i] for i in pending[0]]
            outputs = None
            # Suppressed, not handled: in a handler the traceback would still hold the tensors.
            with suppress(torch.OutOfMemoryError), torch.inference_mode(), numerics.autocast():
                batch = collate(chosen, pad_id, device=numerics.device)
                outputs = task_format.forward(model, head, batch)
            if outputs is None:
                batch_tokens = _smaller(chosen, numerics)
                left = (index for indices in pending for index in indices)
                pending = sorted_batches(features, batch_tokens, left)
                continue
            indices = pending.pop(0)
            for index, value in zip(indices, task_format.split(outputs, batch), strict=True):
                logits[index] = value
            done += len(indices)
            on_batch(done, len(features))
    return logits


def _smaller(chosen: Sequence[Feature], numerics: Numerics) -> int:
    """The budget after these did not fit into memory: half of their padded tokens."""
    tokens = padded_tokens(chosen)
    if len(chosen) == 1:
        raise WorkError(
            f"out of memory on {numerics.device} with a single example of {tokens} tokens; "
            "use a smaller max_length or a device with more memory"
        )
    torch.cuda.empty_cache()
    log.warning("out of memory on %s: now %d tokens a pass", numerics.device, tokens // 2)
    return tokens // 2
