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
from typing import Any

import torch
from adapters.methods.modeling import Adapter, BertFusion
from torch import Tensor, nn
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
    if scores is not None:  # which are wider than the weights of a model in half precision
        bias = None if scores.bias is None else scores.bias.to(query.dtype)
        return functional.linear(query, scores.weight.to(query.dtype), bias)
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
        return functional.linear(shares, output.to(shares.dtype))
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


def adapter_reason(adapter: Adapter) -> str:
    """What of an adapter the algebra does not cover; empty if nothing."""
    if type(adapter) is not Adapter:
        return "is no sequential one"
    if adapter.add_layer_norm_before or adapter.add_layer_norm_after:
        return "has a layer norm of its own"
    if adapter.use_gating:
        return "has a gate"
    if hasattr(adapter, "DropPath") or adapter.dropout.p:
        return "has dropout"
    if not isinstance(adapter.scaling, float):
        return "learns its scaling"
    if not isinstance(adapter.adapter_up, nn.Linear):
        return "has no linear projections"
    if torch.is_grad_enabled() and any(one.requires_grad for one in adapter.parameters()):
        return "is itself trained"
    return ""


def fusion_reason(config: Any) -> str:
    """What of a fusion's configuration the algebra does not cover; empty if nothing."""
    if config["temperature"]:
        return "its temperature falls from call to call"
    if config["residual_before"]:
        return "the residual is added before the attention"
    if not (config["query"] or config["key"] or config["value"]):
        return "it has neither query nor key nor value"
    return ""
