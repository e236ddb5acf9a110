"""The layers of a model whose fusions, averages and Parallel run by our algebra.

Parameters, files and `state_dict` stay the library's. What the algebra does not cover (see
`FusedLayer.reason`) runs in the library, and the log says why.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from adapters import XLMRobertaAdapterModel
from adapters.composition import Average, Fuse, Parallel
from adapters.context import ForwardContext
from adapters.methods.bottleneck import BottleneckLayer, BottleneckState
from adapters.methods.modeling import Adapter, BertFusion
from torch import Tensor, nn

from harness.model.folded_fusion import FoldedFusion, evaluate, folded_fusion
from harness.model.fusion_algebra import (
    adapter_reason,
    by_adapter,
    fuse,
    fusion_reason,
    pack,
    run_each,
)

log = logging.getLogger(__name__)
OnAttention = Callable[[int, Tensor], None]  # layer from 0, p [.., N]


@dataclass(slots=True)
class FusedLayer:
    """Takes the place of the `compose_*` methods of one of the library's bottleneck layers."""

    layer: BottleneckLayer
    folds: dict[str, FoldedFusion] | None = None  # by fusion; None: nothing is kept between calls
    on_attention: OnAttention | None = None
    _said: set[tuple[str, str]] = field(default_factory=set)  # shared by the layers of a model

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        """What a copy has: not what a scope around the original keeps in it."""
        kept = {"folds": None, "on_attention": None}
        return None, {"layer": self.layer, "_said": self._said, **kept}

    def fuse(self, setup: Fuse, state: BottleneckState, lvl: int = 0) -> BottleneckState:
        """`compose_fuse`: hidden [B, L, d] to the fused hidden."""
        layer = self.layer
        if not any(name in layer.adapters for name in setup.flatten()):
            return state  # as in a Stack; the library's own would stop with a KeyError
        config, _ = layer.adapters_config.get_fusion(setup.name)
        reason = self.reason(setup) or fusion_reason(config)
        if reason:
            return self._by_library("fuse", setup, state, lvl, reason)
        fusion: BertFusion = layer.adapter_fusion_layer[setup.name]
        adapters = [layer.adapters[name] for name in setup if name in layer.adapters]
        hidden, query, residual = layer.adapters[setup.last()].pre_forward(
            state.hidden_states, state.input_tensor, state.layer_norm, fusion_config=config
        )
        if self.folds is not None and not torch.is_grad_enabled() and not fusion.training:
            fold = self._fold(setup.name, fusion, adapters, query is hidden)
            output, p = evaluate(fold, hidden, query, residual)
        else:
            output, p = fuse(fusion, pack(adapters), hidden, query, residual)
        if self.on_attention is not None:
            self.on_attention(layer.layer_idx, p)
        context = ForwardContext.get_context()
        if context is not None and context.output_adapter_fusion_attentions:
            layer._store_fusion_attentions(setup.name, p.detach().cpu().numpy())
        return state._replace(hidden_states=output, adapter_residual=residual, last=setup.last())

    def average(self, setup: Average, state: BottleneckState, lvl: int = 0) -> BottleneckState:
        """`compose_average`: all adapters as one, each with its weight in its up-projection."""
        reason = self.reason(setup)
        if reason:
            return self._by_library("average", setup, state, lvl, reason)
        adapters = [self.layer.adapters[name] for name in setup]
        state = self.layer.pre_block(setup, state)
        packed = pack(adapters)
        weights = torch.tensor(setup.weights, dtype=packed.basis.dtype, device=packed.basis.device)
        z = packed.bottlenecks(state.hidden_states)
        shares = (by_adapter(z, packed.count) * weights[:, None]).flatten(-2)
        bias = packed.basis[:, packed.width :] @ weights
        up = nn.functional.linear(shares, packed.basis[:, : packed.width], bias)
        output = up + state.adapter_residual * sum(setup.weights)
        return state._replace(hidden_states=output, bottleneck_up=up, last=setup.last())

    def parallel(self, setup: Parallel, state: BottleneckState, lvl: int = 0) -> BottleneckState:
        """`compose_parallel`: each adapter on its own copy of the rows, all in two products."""
        layer, count = self.layer, len(setup.children)
        reason = self.reason(setup)
        context = ForwardContext.get_context()
        if reason or context is None:
            return self._by_library("parallel", setup, state, lvl, reason or "no model runs it")
        if not context.adapters_parallelized:  # the lowest layer with adapters copies the rows
            context.original_batch_size = len(state.hidden_states)
            context.adapters_parallelized = True
            state = layer.repeat(state, count)
        elif len(state.hidden_states) % count:  # other Parallels below: the library refuses that
            return self._by_library("parallel", setup, state, lvl, "")
        state = layer.pre_block(setup, state)
        packed = pack([layer.adapters[name] for name in setup])
        hidden = state.hidden_states
        up = run_each(packed, hidden.view(count, -1, hidden.shape[-1])).view_as(hidden)
        output = up + state.adapter_residual
        return state._replace(hidden_states=output, bottleneck_up=up, last=setup.last())

    def _fold(
        self, name: str, fusion: BertFusion, adapters: list[Adapter], one_input: bool
    ) -> FoldedFusion:
        assert self.folds is not None
        if name not in self.folds or not self.folds[name].is_of(fusion, adapters):
            self.folds[name] = folded_fusion(fusion, adapters, one_input)
        return self.folds[name]

    def reason(self, setup: Fuse | Average | Parallel) -> str:
        """Why the library must compose these adapters; empty if it need not."""
        modules = self.layer.adapters
        if not all(isinstance(child, str) for child in setup):
            return "a part of it is a composition itself"
        adapters = [modules[name] for name in setup if name in modules]
        if setup.last() not in modules or (
            not isinstance(setup, Fuse) and len(adapters) < len(setup.children)
        ):
            return "a layer lacks one of its adapters"
        for adapter in adapters:
            reason = adapter_reason(adapter)
            if reason:
                return f"adapter '{adapter.name}' {reason}"
        kinds = {
            self.layer.adapters_config.get(adapter.name)["non_linearity"] for adapter in adapters
        }
        return "its adapters have different activations" if len(kinds) > 1 else ""

    def _by_library(
        self, kind: str, setup: Any, state: BottleneckState, lvl: int, reason: str
    ) -> BottleneckState:
        said = (str(setup), reason)
        if reason and said not in self._said:
            self._said.add(said)
            log.warning("%s is computed by the adapters library: %s", setup, reason)
        library = getattr(type(self.layer), f"compose_{kind}")
        result: BottleneckState = library(self.layer, setup, state, lvl)
        return result


def use_fused_layers(model: XLMRobertaAdapterModel) -> None:
    """Make fusions, averages and Parallel run by our algebra, in the model and its copies."""
    said: set[tuple[str, str]] = set()
    for layer in _bottleneck_layers(model):
        fused = FusedLayer(layer, _said=said)
        layer.fused = fused
        layer.compose_fuse, layer.compose_average = fused.fuse, fused.average
        layer.compose_parallel = fused.parallel
        layer.mean = _weighted_sum  # the library's divides by the number of adapters once more


@contextmanager
def folded(model: XLMRobertaAdapterModel) -> Iterator[None]:
    """Within it, evaluation keeps folded weights from call to call.

    A pass with gradients ends that. Loaded weights are noticed by identity and version; writes
    through `.data` are not.
    """
    layers = _fused(model)
    for layer in layers:
        layer.folds = {}
    # No closure: copies of the model have the hook, too, and in theirs the layers are their own.
    hook = model.roberta.register_forward_pre_hook(partial(_end_folds, layers))
    try:
        yield
    finally:
        hook.remove()
        for layer in layers:
            layer.folds = None


def _end_folds(layers: list[FusedLayer], *_: Any) -> None:
    if torch.is_grad_enabled():  # whoever has gradients may step
        for layer in layers:
            layer.folds = None


@contextmanager
def attentions_to(model: XLMRobertaAdapterModel, on_attention: OnAttention) -> Iterator[None]:
    """Within it, `on_attention` gets the attention [B, L, N] of every fusion, with its layer."""
    layers = _fused(model)
    for layer in layers:
        layer.on_attention = on_attention
    try:
        yield
    finally:
        for layer in layers:
            layer.on_attention = None


def library_reason(model: XLMRobertaAdapterModel) -> str:
    """Why the model's active fusion would be computed by the library; empty if it would not."""
    for fused, setup in _active_fusions(model):
        config, _ = fused.layer.adapters_config.get_fusion(setup.name)
        reason = fused.reason(setup) or fusion_reason(config)
        if reason:
            return reason
    return ""


def lowest_fusion(model: XLMRobertaAdapterModel) -> int | None:
    """The lowest layer, from 0, in which an active fusion has adapters; None if none has."""
    layers = (int(fused.layer.layer_idx) for fused, _ in _active_fusions(model))
    return min(layers, default=None)


def _active_fusions(model: XLMRobertaAdapterModel) -> Iterator[tuple[FusedLayer, Fuse]]:
    for fused in _fused(model):
        setup = fused.layer.get_active_setup()
        for part in [] if setup is None else [setup, *setup]:
            names = part.flatten() if isinstance(part, Fuse) else ()
            if any(name in fused.layer.adapters for name in names):
                yield fused, part


def _bottleneck_layers(model: XLMRobertaAdapterModel) -> list[BottleneckLayer]:
    return [module for module in model.modules() if isinstance(module, BottleneckLayer)]


def _fused(model: XLMRobertaAdapterModel) -> list[FusedLayer]:
    return [layer.fused for layer in _bottleneck_layers(model) if hasattr(layer, "fused")]


def _weighted_sum(states: Sequence[BottleneckState], weights: Tensor) -> BottleneckState:
    hidden = (torch.stack([state.hidden_states for state in states]) * weights).sum(0)
    return states[0]._replace(hidden_states=hidden, last=states[-1].last)
