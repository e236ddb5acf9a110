"""AdapterFusion in evaluation: two matrices, made once from a fusion and its adapters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from adapters.methods.modeling import Adapter, BertFusion
from torch import Tensor, nn
from torch.nn import functional

from harness.model.fusion_algebra import (
    Activation,
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
    count: int  # N
    width: int  # N r
    activation: Activation
    inner: Tensor  # [2 N r + N, d] or, for a query of its own, [N r + N, d]: hidden to (z, t, t_b)
    inner_bias: Tensor
    down: tuple[Tensor, Tensor] | None  # weight [N r, d] and bias, for a query of its own
    outer: Tensor  # [N r + N, d]
    # With versions: what loads weights replaces them or raises these; fused AdamW and writes
    # through `.data` do neither.
    made_from: list[tuple[nn.Parameter, int]]

    def is_of(self, fusion: BertFusion, adapters: Sequence[Adapter]) -> bool:
        """Whether it was made from these very weights as they are, for this arithmetic."""
        weights = _weights(fusion, adapters)
        return (
            len(weights) == len(self.made_from)
            and all(
                one is mine and one._version == version
                for one, (mine, version) in zip(weights, self.made_from, strict=True)
            )
            and self.inner.dtype == _dtype(weights[0])
        )


def _weights(fusion: BertFusion, adapters: Sequence[Adapter]) -> list[nn.Parameter]:
    return [one for module in (fusion, *adapters) for one in module.parameters()]


def _versions(weights: Sequence[nn.Parameter]) -> list[tuple[nn.Parameter, int]]:
    if any(one.is_inference() for one in weights):
        return []  # which have no versions: what is folded of them serves one pass
    return [(one, one._version) for one in weights]


def _dtype(weight: Tensor) -> torch.dtype:
    """In what folded weights are kept: autocast's type, or the weights'."""
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


def folded_fusion(fusion: BertFusion, adapters: Sequence[Adapter], one_input: bool) -> FoldedFusion:
    """Fold a fusion for evaluation; `one_input` where the query is the adapters' input."""
    packed, weights = pack(adapters), _weights(fusion, adapters)
    scores, count = fold_scores(fusion, packed), packed.width + packed.count
    # Without dropout the last row, b_k's, adds the same to all scores.
    inner, bias = scores.weight[:count], scores.bias
    bias = inner.new_zeros(count) if bias is None else bias[:count]
    if one_input:
        inner = torch.cat([packed.down.to(inner.dtype), inner])
        bias = torch.cat([packed.down_bias.to(bias.dtype), bias])
    outer = fold_output(fusion, packed).T
    dtype = _dtype(weights[0])
    inner, bias, outer = (one.to(dtype).contiguous() for one in (inner, bias, outer))
    return FoldedFusion(
        fusion,
        packed.count,
        packed.width,
        packed.activation,
        inner,
        bias,
        None if one_input else (packed.down.to(dtype), packed.down_bias.to(dtype)),
        outer,
        _versions(weights),
    )


def evaluate(
    fold: FoldedFusion, hidden: Tensor, query: Tensor, residual: Tensor
) -> tuple[Tensor, Tensor]:
    """Output and attention from two products with folded weights."""
    count, width = fold.count, fold.width
    mapped = functional.linear(query, fold.inner, fold.inner_bias)
    if fold.down is None:
        z, mapped = mapped[..., :width], mapped[..., width:]
    else:
        z = functional.linear(hidden, *fold.down)
    z = fold.activation(z)
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
