"""How much a fusion attends to each of its sources: means over the tokens of real rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from adapters import XLMRobertaAdapterModel
from torch import Tensor

from harness.model.fused_layers import attentions_to


@dataclass(slots=True)
class AttentionMeans:
    """Sums of p over the tokens that were no padding, by layer from 0."""

    sums: dict[int, Tensor] = field(default_factory=dict)
    tokens: int = 0

    def by_layer(self) -> list[list[float]]:
        """[layers that fuse][N]: means in the order of the fusion, which add up to 1."""
        return [(total / self.tokens).tolist() for _, total in sorted(self.sums.items())]


@contextmanager
def mean_attentions(model: XLMRobertaAdapterModel) -> Iterator[AttentionMeans]:
    """Within it, passes of the model are counted; the model must have one active fusion."""
    means, mask = AttentionMeans(), torch.empty(0)

    def note_mask(_: Any, __: Any, given: dict[str, Any]) -> None:
        nonlocal mask
        mask = given["attention_mask"].double()
        means.tokens += int(mask.sum())

    def add(layer: int, p: Tensor) -> None:
        found = torch.einsum("bln,bl->n", p.double(), mask)
        means.sums[layer] = means.sums.get(layer, 0) + found

    hook = model.roberta.register_forward_pre_hook(note_mask, with_kwargs=True)
    try:
        with attentions_to(model, add):
            yield means
    finally:
        hook.remove()
