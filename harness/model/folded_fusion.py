"""AdapterFusion in evaluation: two matrices, made once from a fusion and its adapters."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from adapters.methods.modeling import Adapter, BertFusion
from torch import Tensor
from torch.nn import functional

from harness.model.fusion_algebra import (
    PackedAdapters,
    by_adapter,
    fold_output,
    fold_scores,
    pack,
    softmax_scores,
)


@dataclass(slots=True)
class FoldedFusion:
    """All that a fusion computes in evaluation as two matrices, and what they were made from."""

    fusion: BertFusion
    adapters: list[Adapter]
    packed: PackedAdapters
    inner: Tensor  # [2 N r + N, d] or, for a query of its own, [N r + N, d]: hidden to (z, t, t_b)
    inner_bias: Tensor
    outer: Tensor  # [N r + N, d]
    versions: list[int]  # of all weights: what loads them raises these, fused AdamW does not

    def is_of(self, fusion: BertFusion, adapters: list[Adapter]) -> bool:
        """Whether it was made from these very modules as they are, for this arithmetic."""
        return (
            self.fusion is fusion
            and len(self.adapters) == len(adapters)
            and all(mine is other for mine, other in zip(self.adapters, adapters, strict=True))
            and self.versions == _versions(fusion, adapters)
            and self.inner.dtype == _dtype(self.packed.basis)
        )


def _versions(fusion: BertFusion, adapters: list[Adapter]) -> list[int]:
    weights = (one for module in (fusion, *adapters) for one in module.parameters())
    return [0 if one.is_inference() else one._version for one in weights]


def _dtype(weight: Tensor) -> torch.dtype:
    """In what folded weights are kept: autocast's type, or the weights'."""
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


def folded_fusion(fusion: BertFusion, adapters: list[Adapter], one_input: bool) -> FoldedFusion:
    """Fold a fusion for evaluation; `one_input` where the query is the adapters' input."""
    packed = pack(adapters)
    scores, count = fold_scores(fusion, packed), packed.width + packed.count
    # Without dropout the last row, b_k's, adds the same to all scores.
    inner, bias = scores.weight[:count], scores.bias
    bias = inner.new_zeros(count) if bias is None else bias[:count]
    if one_input:
        inner = torch.cat([packed.down.to(inner.dtype), inner])
        bias = torch.cat([packed.down_bias.to(bias.dtype), bias])
    outer = fold_output(fusion, packed).T
    dtype = _dtype(packed.basis)
    inner, bias, outer = (one.to(dtype).contiguous() for one in (inner, bias, outer))
    return FoldedFusion(fusion, adapters, packed, inner, bias, outer, _versions(fusion, adapters))


def evaluate(
    fold: FoldedFusion, hidden: Tensor, query: Tensor, residual: Tensor
) -> tuple[Tensor, Tensor]:
    """Output and attention from two products with folded weights."""
    count, width = fold.packed.count, fold.packed.width
    mapped = functional.linear(query, fold.inner, fold.inner_bias)
    if query is hidden:
        z, mapped = fold.packed.activation(mapped[..., :width]), mapped[..., width:]
    else:
        z = fold.packed.bottlenecks(hidden)
    p = softmax_scores(fold.fusion, count, z, mapped)
    shares = z.new_empty((*z.shape[:-1], width + count))
    torch.mul(
        by_adapter(z, count),
        p[..., None],
        out=by_adapter(shares[..., :width], count),
    )
    shares[..., width:] = p
    if residual.dtype != shares.dtype:  # under autocast the residual keeps its precision
        return functional.linear(shares, fold.outer.T) + residual, p
    rows = torch.addmm(residual.flatten(0, -2), shares.flatten(0, -2), fold.outer)
    return rows.view_as(residual), p
