"""Passes without gradients over many features: batches of like length that shrink to fit memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

import torch

from harness.errors import WorkError
from harness.formats import Batch, Feature, collate
from harness.model import Numerics
from harness.train.batches import padded_tokens, sorted_batches

T = TypeVar("T")
# Another pass costs as much as so many more tokens, on a CPU and at any width (docs/decisions.md).
_PASS_TOKENS = 50
log = logging.getLogger(__name__)


def passes(
    features: Sequence[Feature],
    compute: Callable[[Batch], T],
    numerics: Numerics,
    pad_id: int,
    batch_tokens: int,
) -> Iterator[tuple[list[int], Batch, T]]:
    """What a function without gradients gives for all features, in batches sorted by length.

    With the indices of each batch; batches shrink when memory runs out.
    """
    padding = _PASS_TOKENS if numerics.device == "cpu" else None
    pending = sorted_batches(features, batch_tokens, most_padding=padding)
    while pending:
        chosen = [features[i] for i in pending[0]]
        outputs: T | None = None
        # Suppressed, not handled: in a handler the traceback would still hold the tensors.
        with suppress(torch.OutOfMemoryError), torch.inference_mode(), numerics.autocast():
            batch = collate(chosen, pad_id, device=numerics.device)
            outputs = compute(batch)
        if outputs is None:
            batch_tokens = _smaller(chosen, numerics)
            left = (index for indices in pending for index in indices)
            pending = sorted_batches(features, batch_tokens, left, padding)
            continue
        yield pending.pop(0), batch, outputs


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
