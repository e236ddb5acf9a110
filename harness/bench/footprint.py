"""Estimates of memory and disk: from the shape of the backbone and what a step trains.

The factors were fitted to the peaks of fresh processes at XLM-R Large's width, in fp32 on a CPU
(docs/decisions.md). Heads are left out: they are small beside the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from harness.bench.flops import bottleneck_width, folded_weights
from harness.bench.lengths import example_tokens
from harness.bench.plan import Plan
from harness.bench.scoring import TOGETHER
from harness.bench.steps import (
    BackboneWork,
    ExternalWork,
    FitWork,
    JointWork,
    PredictWork,
    Settings,
    SourceWork,
    Step,
    adapter_steps,
)
from harness.catalog import Shape, Training
from harness.formats import get_format
from harness.huge_pages import huge_pages
from harness.recipes import get_recipe

# Bytes of weights, gradients and moments; of frozen matrices in bf16 an overestimate.
_FLOAT = 4
_PROCESS = 500 << 20  # Python with torch, transformers, some data and their features
# Bytes for the backward pass per token, layer and hidden unit, with huge pages and without (where
# the heap keeps more than is alive); what each fused source adds; and what attention adds per head
# and token of length over the hidden size.
_TRAIN, _TRAIN_PLAIN, _TRAIN_SOURCE, _TRAIN_ATTENTION = 60.0, 100.0, 0.5, 2.0
_PREDICT = 85.0  # per token and hidden unit: one layer at a time
_MOMENTS = 2  # per trained weight (Adam)
_LOGITS = 3  # of masked words over the vocabulary: logits, softmax, gradient
_SCORED_ROW = 300  # bytes on disk: prediction, statistics and floor of one example
# Bytes in memory: an example with its prediction; an encoded row; what the model says of one.
_EXAMPLE, _ROW, _OUTPUT = 700, 1500, 3000


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes: memory of a worker, the artifact on disk, a checkpoint while it runs."""

    memory: int
    disk: int
    checkpoint: int = 0


def footprint(plan: Plan, step: Step, settings: Settings) -> Footprint:
    """What one step is estimated to take."""
    work = step.work
    shape = plan.shapes[work.backbone.name]
    if isinstance(work, BackboneWork):
        spec = work.backbone.pretrain
        assert spec is not None
        tokens = min(spec.batch_tokens, settings.micro_tokens)
        logits = tokens * spec.mask_rate * shape.vocabulary * _FLOAT * _LOGITS
        activations = logits + _activations(shape, tokens, spec.max_positions, 0, settings)
        return _training(shape, shape.weights, 0, activations)
    if isinstance(work, ExternalWork):
        return Footprint(_loaded(shape, work.weights), work.weights * _FLOAT)
    # Adapters and fusions stand in the upper layers alone, and only there activations are kept.
    upper = replace(shape, layers=shape.layers - work.backbone.first_adapter_layer)
    reduction = work.backbone.reduction_factor
    adapter = adapter_weights(upper, reduction)
    if isinstance(work, SourceWork | JointWork):
        return _training(shape, adapter, 0, _passes(upper, work.training, step, 0, settings))
    adapters = len(adapter_steps(work.sources))
    frozen, trained = adapters * adapter, adapter
    if not get_format(work.target.format).trained:
        trained = 0
    if get_recipe(work.recipe.kind).full:
        trained, upper = shape.weights, shape
    elif adapters > 1:
        trained += _fusion_weights(upper)
    if isinstance(work, FitWork):
        passes = _passes(upper, work.training, step, adapters, settings)
        return _training(shape, trained, frozen, passes)
    memory = _loaded(shape, frozen + trained) + _predicting(shape, work, step, settings)
    if adapters > 1:
        folded = folded_weights(upper, bottleneck_width(upper, reduction), adapters)
        memory += int(_FLOAT * _width(settings) * upper.layers * folded)
    return Footprint(memory, step.rows * _SCORED_ROW)


def worker_memory(plan: Plan, steps: Iterable[Step], settings: Settings) -> int:
    """The largest estimate for any of the steps, in bytes."""
    return max((footprint(plan, step, settings).memory for step in steps), default=0)


def _training(shape: Shape, trained: int, frozen: int, activations: float) -> Footprint:
    # Beside the weights: gradients, moments, and the best weights so far.
    beside = (1 + _MOMENTS + 1) * trained * _FLOAT
    memory = _loaded(shape, trained + frozen) + beside + int(activations)
    checkpoint = (1 + _MOMENTS + 1) * trained * _FLOAT  # as the Trainer saves it
    return Footprint(memory, (trained + frozen) * _FLOAT, checkpoint)


def _passes(
    shape: Shape, training: Training, step: Step, adapters: int, settings: Settings
) -> float:
    """Bytes of activations in a training step, whose batch is of the largest of its tasks."""
    longest = max(one.max_length for one in step.reads)
    example = max(one.max_length * get_format(one.format).typical_rows for one in step.reads)
    tokens = training.batch_tokens or (training.batch_size or 0) * example
    tokens = min(tokens, settings.micro_tokens)
    return _activations(shape, tokens, longest, adapters, settings)


def _predicting(shape: Shape, work: PredictWork, step: Step, settings: Settings) -> int:
    """Bytes of a pass, of the rows with outputs that are held at once, of all examples."""
    activations = _PREDICT * _width(settings) * settings.predict_tokens * shape.hidden_size
    task_format = get_format(work.target.format)
    output = _OUTPUT if task_format.trained else shape.hidden_size * _FLOAT  # or a vector
    example = example_tokens(work.target.format, work.target.max_length)
    held = max(step.largest, min(step.rows, int(TOGETHER / example)))
    rows = held * task_format.typical_rows * (_ROW + output)
    return int(activations) + rows + step.rows * _EXAMPLE


def _loaded(shape: Shape, added: int) -> int:
    """Bytes of a process with the backbone and what a composition adds to it."""
    return _PROCESS + (shape.weights + added) * _FLOAT


def _activations(shape: Shape, tokens: int, length: int, sources: int, settings: Settings) -> float:
    attention = _TRAIN_ATTENTION * shape.heads * length / shape.hidden_size
    plain = settings.numerics.device == "cpu" and not huge_pages()
    factor = (_TRAIN_PLAIN if plain else _TRAIN) + _TRAIN_SOURCE * sources + attention
    layer = factor * _width(settings) * tokens * shape.hidden_size
    if settings.recompute:  # all of one layer, and the inputs of layers: of norms, so float32
        return layer + tokens * shape.layers * shape.hidden_size * _FLOAT
    return layer * shape.layers


def _width(settings: Settings) -> float:
    """Size of an activation beside fp32's."""
    return 1.0 if settings.numerics.dtype == "fp32" else 0.5


def adapter_weights(shape: Shape, reduction_factor: int) -> int:
    """A bottleneck adapter in every layer (Pfeiffer et al. 2021)."""
    wide = bottleneck_width(shape, reduction_factor)
    return shape.layers * (2 * shape.hidden_size * wide + wide + shape.hidden_size)


def _fusion_weights(shape: Shape) -> int:
    """An AdapterFusion in every layer: query and key with biases, value without."""
    d = shape.hidden_size
    return shape.layers * (3 * d * d + 2 * d)
