"""Attention without copies, and on CPUs less that is kept for the backward pass; same values.

The library copies query, key and value once more for its Parallel block, also without one.
With dropout, torch's `scaled_dot_product_attention` on a CPU keeps the probabilities before and
after it: at length 128 more than anything else in a frozen layer. Here they are computed again,
with the same random numbers. And of the floats of torch's dropout mask only booleans are kept.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from adapters import XLMRobertaAdapterModel
from adapters.context import ForwardContext
from adapters.models.xlm_roberta.modeling_xlm_roberta import XLMRobertaSdpaSelfAttentionWithAdapters
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def use_lean_layers(model: XLMRobertaAdapterModel) -> None:
    """Make the model's layers, and those of its copies, copy and keep less."""
    for layer in model.roberta.encoder.layer:
        attention = layer.attention.self
        if isinstance(attention, XLMRobertaSdpaSelfAttentionWithAdapters):
            attention.forward = _LeanAttention(attention).forward
        for output in (layer.attention.output, layer.output):
            output.dropout.forward = _LeanDropout(output.dropout).forward


class _LeanAttention:
    """The place of an attention module's `forward`."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def forward(
        self, hidden: Tensor, attention_mask: Tensor | None = None, *given: Any, **more: Any
    ) -> tuple[Any, ...]:
        """[B, L, d] -> [B, L, d]; whatever is no plain self-attention is the library's."""
        module = self._module
        plain = (
            module.position_embedding_type == "absolute"
            and not module.is_decoder
            and (attention_mask is None or len(attention_mask) == len(hidden))  # not in Parallel
            and not any(one is not None and one is not False for one in (*given, *more.values()))
            and module.prefix_tuning.get_active_setup() is None
            and getattr(ForwardContext.get_context(), "prompt_tokens_length", None) is None
        )
        if not plain:
            library = type(module).forward
            result: tuple[Any, ...] = library(module, hidden, attention_mask, *given, **more)
            return result
        query, key, value = (
            part(hidden)
            .view(*hidden.shape[:2], module.num_attention_heads, module.attention_head_size)
            .transpose(1, 2)
            for part in (module.query, module.key, module.value)
        )
        dropout = module.dropout_prob if module.training else 0.0
        attend = partial(
            nn.functional.scaled_dot_product_attention,
            attn_mask=attention_mask,
            dropout_p=dropout,
        )
        again = dropout > 0 and _keeps(hidden)
        found = (
            checkpoint(attend, query, key, value, use_reentrant=False)
            if again
            else attend(query, key, value)
        )
        return found.transpose(1, 2).reshape(hidden.shape), None


class _LeanDropout:
    """The place of a dropout module's `forward`."""

    def __init__(self, module: nn.Dropout) -> None:
        self._module = module

    def forward(self, hidden: Tensor) -> Tensor:
        """The same values as torch's, from the same random numbers."""
        rate = self._module.p
        if not (self._module.training and 0 < rate < 1 and _keeps(hidden)):
            return nn.functional.dropout(hidden, rate, self._module.training)
        kept: Tensor = _Dropout.apply(hidden, rate)  # type: ignore[no-untyped-call]
        return kept


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, hidden: Tensor, rate: float) -> Tensor:
        noise = torch.empty_like(hidden).bernoulli_(1 - rate)  # as torch draws it on a CPU
        context.rate = rate
        context.save_for_backward(noise.bool())
        return hidden * noise.div_(1 - rate)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (kept,) = context.saved_tensors
        return gradients[0] * kept.to(gradients[0].dtype).div_(1 - context.rate), None


def _keeps(hidden: Tensor) -> bool:
    """Whether something is kept of it for a backward pass on a CPU."""
    return hidden.requires_grad and torch.is_grad_enabled() and hidden.device.type == "cpu"
