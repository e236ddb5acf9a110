"""Floating-point operations of steps, counted by algebra from shapes, rows and mean lengths.

A multiply-add is two operations. What is no matrix product (norms, softmax, embeddings) and heads
are left out: together below 1 % at XLM-R Large's width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.bench.plan import Plan
from harness.bench.scoring import target_format
from harness.bench.steps import (
    BackboneWork,
    ExternalWork,
    FitWork,
    JointWork,
    PredictWork,
    Reads,
    SourceWork,
    Step,
    adapter_steps,
)
from harness.catalog import Shape, Training
from harness.formats import get_format
from harness.recipes import get_recipe

# Tokens of a row with its specials. Characters were counted on files, most of them English (NLI,
# PAWS-X 130 to 230; SQuAD, XQuAD, MLQA 800 to 1,100; HellaSwag 200, CommonsenseQA 80, with a
# choice; UD 100 to 120, PAN-X 40; Tatoeba 25 to 50; BUCC's zh-en 75) and divided by 4, which is
# assumed.
MEAN_TOKENS = {
    "pair_classification": 44,
    "span_qa": 230,
    "multiple_choice": 42,
    "tagging": 26,
    "bitext_retrieval": 12,
    "bitext_mining": 24,
    "masked_lm": 64,
}


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

    def forward(self, shape: Shape, length: float, layers: int | None = None) -> float:
        """Operations of a token in a row of `length` tokens, through so many layers."""
        layers = shape.layers if layers is None else layers
        each = (self.frozen + self.trained) * self._adapter(shape)
        if self.fused:
            each += sum(self._fusion(shape))
        on_backbone = layers * (_linears(shape) + _attention(shape, length))
        return on_backbone + max(0, layers - self.below) * each

    def backward(self, shape: Shape, length: float) -> float:
        """The same for the gradients.

        A product needs its forward's operations again for the gradient of its input, and again for
        that of its weights. On a frozen backbone only inputs have gradients (both factors of
        attention's products), and nothing below the lowest trained weights.
        """
        linears, attention, adapter = _linears(shape), _attention(shape, length), 0.0
        if self.full:
            return shape.layers * 2 * (linears + attention)
        adapter, (projections, mixing) = self._adapter(shape), (0.0, 0.0)
        if self.fused:
            projections, mixing = self._fusion(shape)
        upper = linears + 2 * attention + self.frozen * adapter
        upper += 2 * (projections + mixing + self.trained * adapter)
        # In the lowest layer the inputs of what is trained first need no gradient.
        on_trained = 2.0 if self.fused else 1.5
        lowest = projections + 2 * mixing + self.trained * on_trained * adapter
        return (shape.layers - self.below - 1) * upper + lowest

    def _adapter(self, shape: Shape) -> float:
        """Down and up."""
        return 2 * 2 * shape.hidden_size * self.bottleneck

    def _fusion(self, shape: Shape) -> tuple[float, float]:
        """Query, and key and value of every adapter; scores and sum (as the library computes)."""
        d = shape.hidden_size
        return 2 * (1 + 2 * self.frozen) * d * d, 2 * 2 * self.frozen * d


def compute(plan: Plan, step: Step) -> Compute:
    """What one step computes, in all epochs: early stopping is left out."""
    work = step.work
    shape = plan.shapes[work.backbone.name]
    if isinstance(work, BackboneWork):
        return _pretraining(work, shape)
    bottleneck = max(1, shape.hidden_size // work.backbone.reduction_factor)
    below = work.backbone.first_adapter_layer
    if isinstance(work, SourceWork | JointWork):
        parts = Parts(bottleneck, trained=1, below=below)
        return _training(step.reads, work.training, shape, parts)
    if isinstance(work, ExternalWork):
        return Compute()
    parts = _composition(work, bottleneck)
    if isinstance(work, FitWork):
        return _training(step.reads, work.training, shape, parts)
    task_format = target_format(work.target, shape.layers)
    length = mean_tokens(work.target.format, work.target.max_length)
    tokens = step.rows * task_format.typical_rows * length
    layers = task_format.layers_run(shape.layers)
    return Compute(tokens, tokens * parts.forward(shape, length, layers))


def mean_tokens(task_format: str, max_length: int) -> float:
    """Tokens of a row of this format, cut at `max_length`."""
    return min(MEAN_TOKENS[task_format], max_length)


def _composition(work: FitWork | PredictWork, bottleneck: int) -> Parts:
    if get_recipe(work.recipe.kind).full:
        return Parts(bottleneck, full=True)
    count = len(adapter_steps(work.sources))
    trained = int(get_format(work.target.format).trained)
    return Parts(bottleneck, count, count > 1, trained, below=work.backbone.first_adapter_layer)


def _training(reads: tuple[Reads, ...], training: Training, shape: Shape, parts: Parts) -> Compute:
    epochs = _epochs(reads, training)
    total = Compute()
    for one in reads:
        length = mean_tokens(one.format, one.max_length)
        row_tokens = get_format(one.format).typical_rows * length
        trained = epochs * one.train * row_tokens
        scored = (training.evaluations or epochs) * one.dev * row_tokens
        forward, backward = parts.forward(shape, length), parts.backward(shape, length)
        total += Compute(trained + scored, trained * (forward + backward) + scored * forward)
    return total


def _epochs(reads: tuple[Reads, ...], training: Training) -> int:
    """As many whole epochs as `min_steps` asks for, or those of the training if that is more."""
    steps = 0
    for one in reads:
        row_tokens = get_format(one.format).typical_rows * mean_tokens(one.format, one.max_length)
        if training.batch_size is not None:
            steps += math.ceil(one.train / training.batch_size)
        else:
            assert training.batch_tokens is not None
            steps += math.ceil(one.train * row_tokens / training.batch_tokens)
    return max(training.epochs, math.ceil(training.min_steps / max(1, steps)))


def _pretraining(work: BackboneWork, shape: Shape) -> Compute:
    spec = work.backbone.pretrain
    assert spec is not None
    tokens, d = float(spec.steps * spec.batch_tokens), shape.hidden_size
    length = mean_tokens("masked_lm", spec.max_positions)
    head = spec.mask_rate * 2 * d * (d + shape.vocabulary)  # of masked tokens only
    whole = Parts(1, full=True)
    each = whole.forward(shape, length) + whole.backward(shape, length) + 3 * head
    return Compute(tokens, tokens * each)


def _linears(shape: Shape) -> float:
    """Query, key, value, output, and the feed-forward layers, of one layer."""
    return 2 * (4 * shape.hidden_size**2 + 2 * shape.hidden_size * shape.intermediate_size)


def _attention(shape: Shape, length: float) -> float:
    """Scores and weighted sum of a token in a row of this length, in one layer."""
    return 2 * 2 * length * shape.hidden_size
