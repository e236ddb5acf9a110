"""AdapterFusion over frozen bottleneck adapters without any tensor of shape [tokens, N, d].

AdapterFusion (Pfeiffer et al. 2021) attends, for a token with query h, to the outputs
u_i = s_i (U_i z_i + b_i) of N adapters, z_i = act(W_i x + c_i):

    score_i = (Q h + b_q) . (K u_i + b_k),  p = softmax(dropout(score)),  out = V sum_i p_i u_i

p_i is one number, so K and V can act before or after the sum, and K can be moved to the query's
side: with B = [s_1 U_1 .. s_N U_N | s_1 b_1 .. s_N b_N], which is d x (N r + N),

    score_i = t_i . z_i + t_bi + k,  (t, t_b) = B^T K^T (Q h + b_q),  k = b_k . (Q h + b_q)
    out     = V B [p_1 z_1 .. p_N z_N, p]

Folded, the products B^T K^T Q and V B are made once and each token costs 3 N r d multiply-adds;
pushed back they are not, and it costs 3 d^2 more. The library's order costs 2 N d^2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from adapters.methods.modeling import Adapter, BertFusion
from torch import Tensor
from torch.nn import functional

Activation = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class PackedAdapters:
    """N adapters as one: narrower ones are padded with zeros, which change no output."""

    down: Tensor  # [N r, d]
    down_bias: Tensor  # [N r]
    basis: Tensor  # [d, N r + N]: B
    count: int
    activation: Activation

    @property
    def width(self) -> int:
        """N r."""
        return int(self.down.shape[0])

    def bottlenecks(self, hidden: Tensor) -> Tensor:
        """z of all adapters: [.., d] -> [.., N r]."""
        return self.activation(functional.linear(hidden, self.down, self.down_bias))


@dataclass(frozen=True, slots=True)
class FoldedScores:
    """Query to (t, t_b, k): the products of a fusion's query and key matrices with a basis."""

    weight: Tensor  # [N r + N + 1, d]; without a key bias one row less
    bias: Tensor | None


def pack(adapters: Sequence[Adapter]) -> PackedAdapters:
    """The adapters' weights side by side, scaled."""
    widest = max(adapter.down_sample for adapter in adapters)
    downs, biases, ups, up_biases = [], [], [], []
    for adapter in adapters:
        down, up = adapter.adapter_down[0], adapter.adapter_up
        missing = widest - adapter.down_sample
        downs.append(_padded(down.weight, (0, 0, 0, missing)))
        biases.append(_padded(down.bias, (0, missing)))
        ups.append(_padded(_scaled(up.weight, adapter), (0, missing)))
        up_biases.append(_scaled(up.bias, adapter)[:, None])
    return PackedAdapters(
        torch.cat(downs),
        torch.cat(biases),
        torch.cat([*ups, *up_biases], dim=1),
        len(adapters),
        adapters[0].non_linearity,
    )


def _padded(tensor: Tensor, widths: tuple[int, ...]) -> Tensor:
    return functional.pad(tensor, widths) if any(widths) else tensor


def _scaled(tensor: Tensor, adapter: Adapter) -> Tensor:
    return tensor if adapter.scaling == 1.0 else tensor * adapter.scaling


def fold_scores(fusion: BertFusion, packed: PackedAdapters) -> FoldedScores:
    """Query, key and basis multiplied, in float32 at least, whatever autocast says."""
    with torch.autocast(packed.basis.device.type, enabled=False):
        keys = _wide(packed.basis)
        if _has(fusion, "key"):
            keys = torch.cat([_wide(fusion.key.weight) @ keys, _wide(fusion.key.bias)[:, None]], 1)
        if not _has(fusion, "query"):
            return FoldedScores(keys.T, None)
        return FoldedScores(keys.T @ _wide(fusion.query.weight), keys.T @ _wide(fusion.query.bias))


def fold_output(fusion: BertFusion, packed: PackedAdapters) -> Tensor:
    """V B, or B where the fusion has no value matrix."""
    if not _has(fusion, "value"):
        return packed.basis
    with torch.autocast(packed.basis.device.type, enabled=False):
        return _wide(fusion.value.weight) @ _wide(packed.basis)


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _has(fusion: BertFusion, name: str) -> bool:
    return bool(fusion.config[name])


def map_query(
    fusion: BertFusion, packed: PackedAdapters, query: Tensor, scores: FoldedScores | None
) -> Tensor:
    """(t, t_b, k) of the query [.., d]: folded, or through Q, then K, then B."""
    if scores is not None:
        return functional.linear(query, scores.weight, scores.bias)
    if _has(fusion, "query"):
        query = fusion.query(query)
    if not _has(fusion, "key"):
        return functional.linear(query, packed.basis.T)
    mapped = functional.linear(functional.linear(query, fusion.key.weight.T), packed.basis.T)
    return torch.cat([mapped, functional.linear(query, fusion.key.bias[None])], -1)


def run_each(packed: PackedAdapters, hidden: Tensor) -> Tensor:
    """Each adapter on rows of its own, without residuals: [N, T, d] -> [N, T, d]."""
    count, width = packed.count, packed.width
    down = packed.down.view(count, width // count, -1)
    up = packed.basis[:, :width].view(-1, count, width // count).permute(1, 2, 0)
    z = torch.baddbmm(packed.down_bias.view(count, 1, -1), hidden, down.mT)
    return torch.baddbmm(packed.basis[:, None, width:].permute(2, 1, 0), packed.activation(z), up)


def by_adapter(z: Tensor, count: int) -> Tensor:
    """[.., N r] as [.., N, r]."""
    return z.view(*z.shape[:-1], count, -1)


def softmax_scores(fusion: BertFusion, count: int, z: Tensor, mapped: Tensor) -> Tensor:
    """p: [.., N], from z and (t, t_b, k)."""
    width = z.shape[-1]
    # Split, not sliced: gradients of slices are padded to the whole, each on its own.
    t, *offsets = torch.split(mapped, [width, count, mapped.shape[-1] - width - count], dim=-1)
    raw = by_adapter(t * z, count).sum(-1)
    for offset in offsets:  # t_b, and k: the same for all, so only dropout makes it matter
        if offset.shape[-1]:
            raw = raw + offset
    return functional.softmax(fusion.dropout(raw), dim=-1)


def mix(
    fusion: BertFusion, packed: PackedAdapters, z: Tensor, p: Tensor, output: Tensor | None
) -> Tensor:
    """V B [p z, p]: [.., d]; `output` is V B if it is folded."""
    shares = torch.cat([(by_adapter(z, packed.count) * p[..., None]).flatten(-2), p], -1)
    if output is not None:
        return functional.linear(shares, output)
    mixed = functional.linear(shares, packed.basis)
    return functional.linear(mixed, fusion.value.weight) if _has(fusion, "value") else mixed


def fuse(
    fusion: BertFusion, packed: PackedAdapters, hidden: Tensor, query: Tensor, residual: Tensor
) -> tuple[Tensor, Tensor]:
    """Output and attention, with what pays for so many tokens folded in this pass."""
    tokens, grad = hidden.numel() // hidden.shape[-1], torch.is_grad_enabled()
    z = packed.bottlenecks(hidden)
    d, width = packed.down.shape[1], packed.width
    scores = fold_scores(fusion, packed) if scores_pay(tokens, d, width, grad=grad) else None
    output = fold_output(fusion, packed) if output_pays(tokens, d, width, grad=grad) else None
    mapped = map_query(fusion, packed, query, scores)
    p = softmax_scores(fusion, packed.count, z, mapped)
    return mix(fusion, packed, z, p, output) + residual, p


def scores_pay(tokens: int | float, d: int, width: int, *, grad: bool) -> bool:
    """Whether a pass of so many tokens has fewer multiply-adds with Q, K and B folded.

    With gradients folding takes 5 products of N r d^2 and saves 2 d^2 a token, three times, but the
    gradient of what is folded takes N r d a token.
    """
    return tokens * (6 * d - width) > 5 * width * d if grad else tokens > width


def output_pays(tokens: int | float, d: int, width: int, *, grad: bool) -> bool:
    """The same for V and B: 2 products of N r d^2 against d^2 a token."""
    return tokens * (3 * d - width) > 2 * width * d if grad else tokens > width


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
    """In what folded weights are kept: autocast's type, or the weights', float32 at least."""
    kind = weight.device.type
    if torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return torch.promote_types(weight.dtype, torch.float32)


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
