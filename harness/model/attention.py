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
    """Sums of means of p over fusions of a layer, weighed by tokens that were no padding."""

    sums: dict[int, Tensor] = field(default_factory=dict)
    tokens: int = 0

    def by_layer(self) -> list[list[float]]:
        """[layers that fuse][N]: means in the order of the fusion, which add up to 1."""
        return [(total / self.tokens).tolist() for _, total in sorted(self.sums.items())]


@contextmanager
def mean_attentions(model: XLMRobertaAdapterModel) -> Iterator[AttentionMeans]:
    """Within it, passes of the model that come to their end are counted."""
    means, found = AttentionMeans(), dict[int, list[Tensor]]()

    def begin(*_: Any) -> None:
        found.clear()  # of a pass that ran out of memory

    def note(layer: int, p: Tensor) -> None:
        found.setdefault(layer, []).append(p)

    def end(_: Any, __: Any, given: dict[str, Any], ___: Any) -> None:
        if not found:  # a pass through the layers below the fusions alone
            return
        mask = given["attention_mask"].double()
        means.tokens += int(mask.sum())
        for layer, parts in found.items():  # several where adapters stand in several places
            p = torch.stack(parts).double().mean(0)
            means.sums[layer] = means.sums.get(layer, 0) + torch.einsum("bln,bl->n", p, mask)

    hooks = (
        model.roberta.register_forward_pre_hook(begin),
        model.roberta.register_forward_hook(end, with_kwargs=True),
    )
    try:
        with attentions_to(model, note):
            yield means
    finally:
        for hook in hooks:
            hook.remove()
