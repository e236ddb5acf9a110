"""Floating-point operations of steps, counted by algebra from shapes, rows and mean lengths.

A multiply-add is two operations. What is no matrix product (norms, softmax, embeddings) and heads
are left out: together below 1 % at XLM-R Large's width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.bench.lengths import epochs, example_tokens, mean_tokens
from harness.bench.plan import Plan
from harness.bench.scoring import target_format
from harness.bench.steps import (
    BackboneWork,
    ExternalWork,
    FitWork,
    JointWork,
    PredictWork,
    Reads,
    Settings,
    SourceWork,
    Step,
    adapter_steps,
)
from harness.catalog import Shape, Training
from harness.formats import get_format
from harness.model import output_pays, scores_pay
from harness.recipes import get_recipe


@dataclass(frozen=True, slots=True)
class Compute:
    """What a step computes in all its epochs: tokens that go through the model, operations."""

    tokens: float = 0.0
    flops: float = 0.0

    def __add__(self, other: Compute) -> Compute:
        return Compute(self.tokens + other.tokens, self.flops + other.flops)


@dataclass(frozen=True, slots=True)
class Parts:
    """What stands on the backbone of a step's model, and what of it is trained."""

    bottleneck: int  # of its adapters
    frozen: int = 0  # adapters below
    fused: bool = False  # the frozen ones by a trained AdapterFusion
    trained: int = 0  # adapters on top
    full: bool = False  # the backbone itself is trained
    below: int = 0  # layers below all of these

    def forward(
        self,
        shape: Shape,
        length: float,
        layers: int | None = None,
        batch: float | None = None,
    ) -> float:
        """Operations of a token in a row of `length` tokens, through so many layers.

        In a training pass of `batch` tokens; or in evaluation, where fusions are folded once.
        """
        layers = shape.layers if layers is None else layers
        each = self.trained * self._adapter(shape)
        if self.fused:
            each += self._folded(shape) if batch is None else self._fusion(shape, batch).forward
        else:
            each += self.frozen * self._adapter(shape)
        on_backbone = layers * (_linears(shape) + _attention(shape, length))
        return on_backbone + max(0, layers - self.below) * each

    def backward(self, shape: Shape, length: float, batch: float = math.inf) -> float:
        """The same for the gradients.

        A product needs its forward's operations again for the gradient of its input, and again for
        that of its weights. On a frozen backbone only inputs have gradients (both factors of
        attention's products), and nothing below the lowest trained weights.
        """
        linears, attention, adapter = _linears(shape), _attention(shape, length), 0.0
        if self.full:
            return shape.layers * 2 * (linears + attention)
        adapter = self._adapter(shape)
        upper = linears + 2 * attention + 2 * self.trained * adapter
        # In the lowest layer the inputs of what is trained first need no gradient.
        lowest = self.trained * (2.0 if self.fused else 1.5) * adapter
        above = shape.layers - self.below - 1
        if self.fused:
            fusion = self._fusion(shape, batch)
            return above * (upper + fusion.upper) + lowest + fusion.lowest
        return above * (upper + self.frozen * adapter) + lowest

    def again(self, shape: Shape, length: float, batch: float = math.inf) -> float:
        """What recomputing adds: all but the layers below, which have no gradients."""
        below = self.below * (_linears(shape) + _attention(shape, length))
        return self.forward(shape, length, batch=batch) - below

    def _adapter(self, shape: Shape) -> float:
        """Down and up."""
        return 2 * 2 * shape.hidden_size * self.bottleneck

    def _folded(self, shape: Shape) -> float:
        """Down-projections, scores and output of a folded fusion."""
        return 2 * folded_weights(shape, self.bottleneck, self.frozen)

    def _fusion(self, shape: Shape, batch: float) -> _Fusion:
        """Frozen adapters and their fusion in a training pass, as `fusion_algebra.fuse` does."""
        d, width = shape.hidden_size, self.frozen * self.bottleneck
        basis = width + self.frozen
        down, outer, square = 2 * width * d, 2 * basis * d, 2 * d * d
        scores = outer + 2 * d  # b_k is one more column
        found = _Fusion(down, down, 0.0)
        if scores_pay(batch, d, width, grad=True):
            keys, whole = square * basis / batch, square * (basis + 1) / batch
            found += _Fusion(scores, 2 * scores, scores)
            found += _Fusion(keys + whole, keys + 2 * whole, keys + 2 * whole)
        else:
            found += _Fusion(outer, outer, outer)
            found += _Fusion(2 * square + 2 * d, 4 * square + 4 * d, 3 * square + 4 * d)
        if output_pays(batch, d, width, grad=True):
            product = square * basis / batch
            return found + _Fusion(outer + product, *(2 * [2 * outer + product]))
        return found + _Fusion(outer + square, *(2 * [outer + 2 * square]))


@dataclass(frozen=True, slots=True)
class _Fusion:
    """Operations of a token: forward, and of its gradients in an upper and in the lowest layer."""

    forward: float
    upper: float
    lowest: float

    def __add__(self, other: _Fusion) -> _Fusion:
        return _Fusion(
            self.forward + other.forward, self.upper + other.upper, self.lowest + other.lowest
        )


def compute(plan: Plan, step: Step, settings: Settings) -> Compute:
    """What one step computes, in all epochs: early stopping is left out."""
    work = step.work
    shape = plan.shapes[work.backbone.name]
    if isinstance(work, BackboneWork):
        return _pretraining(work, settings, shape)
    bottleneck = bottleneck_width(shape, work.backbone.reduction_factor)
    below = work.backbone.first_adapter_layer
    if isinstance(work, SourceWork | JointWork):
        parts = Parts(bottleneck, trained=1, below=below)
        return _training(step.reads, work.training, settings, shape, parts)
    if isinstance(work, ExternalWork):
        return Compute()
    parts = _composition(work, bottleneck)
    if isinstance(work, FitWork):
        return _training(step.reads, work.training, settings, shape, parts)
    task_format = target_format(work.target, shape.layers)
    length = mean_tokens(work.target.format, work.target.max_length)
    tokens = step.rows * example_tokens(work.target.format, work.target.max_length)
    layers = task_format.layers_run(shape.layers)
    return Compute(tokens, tokens * parts.forward(shape, length, layers))


def bottleneck_width(shape: Shape, reduction_factor: int) -> int:
    """r, as the library rounds it."""
    return max(1, shape.hidden_size // reduction_factor)


def folded_weights(shape: Shape, bottleneck: int, adapters: int) -> int:
    """What evaluation makes of a fusion in one layer: three products of N adapters' weights."""
    return adapters * (3 * bottleneck + 2) * shape.hidden_size


def _composition(work: FitWork | PredictWork, bottleneck: int) -> Parts:
    if get_recipe(work.recipe.kind).full:
        return Parts(bottleneck, full=True)
    count = len(adapter_steps(work.sources))
    trained = int(get_format(work.target.format).trained)
    return Parts(bottleneck, count, count > 1, trained, below=work.backbone.first_adapter_layer)


def _training(
    reads: tuple[Reads, ...], training: Training, settings: Settings, shape: Shape, parts: Parts
) -> Compute:
    count = epochs(reads, training)
    total = Compute()
    for one in reads:
        length = mean_tokens(one.format, one.max_length)
        tokens = example_tokens(one.format, one.max_length)
        trained = count * one.train * tokens
        scored = (training.evaluations or count) * one.dev * tokens
        batch = training.batch_tokens or (training.batch_size or 1) * tokens
        batch = min(batch, settings.micro_tokens)  # of one pass
        each = parts.forward(shape, length, batch=batch) + parts.backward(shape, length, batch)
        if settings.recompute:
            each += parts.again(shape, length, batch)
        flops = trained * each + scored * parts.forward(shape, length)
        total += Compute(trained + scored, flops)
    return total


def _pretraining(work: BackboneWork, settings: Settings, shape: Shape) -> Compute:
    spec = work.backbone.pretrain
    assert spec is not None
    tokens, d = float(spec.steps * spec.batch_tokens), shape.hidden_size
    length = mean_tokens("masked_lm", spec.max_positions)
    head = spec.mask_rate * 2 * d * (d + shape.vocabulary)  # of masked tokens only
    whole = Parts(1, full=True)
    each = whole.forward(shape, length) + whole.backward(shape, length) + 3 * head
    if settings.recompute:
        each += whole.again(shape, length)
    return Compute(tokens, tokens * each)


def _linears(shape: Shape) -> float:
    """Query, key, value, output, and the feed-forward layers, of one layer."""
    return 2 * (4 * shape.hidden_size**2 + 2 * shape.hidden_size * shape.intermediate_size)


def _attention(shape: Shape, length: float) -> float:
    """Scores and weighted sum of a token in a row of this length, in one layer."""
    return 2 * 2 * length * shape.hidden_size
