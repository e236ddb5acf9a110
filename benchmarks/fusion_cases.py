"""What bench_fusion measures: training steps, evaluation passes, single fusions, on any device."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from adapters import XLMRobertaAdapterModel
from adapters.composition import Fuse
from adapters.methods.bottleneck import BottleneckLayer, BottleneckState
from common import Clock, resident_bytes
from models import (
    REAL_VOCABULARY,
    SMALL_VOCABULARY,
    SPECIALS,
    Shape,
    full,
    fused,
    random_model,
    source_names,
)
from torch import Tensor

from harness.catalog import Training
from harness.model import Assembly, Numerics, folded, resolve_numerics, speed_up
from harness.train import GroupedAdamW

Call = Callable[[], Any]
# Rates do not matter for time; the norm to clip at is that of harness.catalog.Training.
_TRAINING = Training(epochs=1, learning_rate=1e-4, fusion_learning_rate=5e-5, batch_size=32)


@dataclass(frozen=True, slots=True)
class Case:
    """A model and a batch of one length; `variant` is one of VARIANTS."""

    variant: str
    sources: int
    layers: int
    batch: int
    length: int
    device: str = "cpu"
    dtype: str = "fp32"

    @property
    def numerics(self) -> Numerics:
        """Device and precision, as a run of xstilts has them."""
        threads = torch.get_num_threads()
        return resolve_numerics(self.device, self.dtype, threads, deterministic=False)

    def build(self) -> Assembly:
        """The model, on its device, in evaluation mode."""
        vocabulary = REAL_VOCABULARY if self.variant == "full ft + embeddings" else SMALL_VOCABULARY
        shape = Shape(self.layers, vocabulary=vocabulary)
        if self.variant in ("full ft", "full ft + embeddings"):
            model = random_model(shape, 0)
            assembly = full(model, embeddings=self.variant == "full ft + embeddings")
        else:
            model = random_model(shape, self.sources)
            if self.variant == "xstilts":
                speed_up(model, self.numerics.frozen_dtype)
            assembly = fused(model, self.sources)
        model.to(self.numerics.torch_device)
        return assembly

    def rows(self, count: int | None = None, length: int | None = None) -> dict[str, Tensor]:
        """Random ids, nothing padded."""
        generator = torch.Generator().manual_seed(1)
        size = (count or self.batch, length or self.length)
        ids = torch.randint(SPECIALS, SMALL_VOCABULARY, size, generator=generator)
        ids = ids.to(self.numerics.torch_device)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


VARIANTS = ("xstilts", "adapters", "full ft", "full ft + embeddings")


class TrainingStep:
    """An optimizer step as harness.train does it, the same for every variant."""

    def __init__(self, case: Case, assembly: Assembly) -> None:
        self.case, self.assembly = case, assembly
        self.optimizer = GroupedAdamW(assembly, _TRAINING, fused=True)

    def __call__(self, count: int | None = None, length: int | None = None) -> None:
        """Forward, backward, the fusion's regulariser, clipping, AdamW."""
        model, rows = self.assembly.model.train(), self.case.rows(count, length)
        labels = torch.arange(len(rows["input_ids"]), device=rows["input_ids"].device) % 3
        self.optimizer.zero_grad()
        with self.case.numerics.autocast():
            logits = model(**rows, head="t").logits
        torch.nn.functional.cross_entropy(logits.float(), labels).backward()
        if "fusion" in self.assembly.trained:
            model.get_fusion_regularization_loss().backward()
        self.optimizer.step(1.0)


@contextmanager
def evaluation(case: Case, assembly: Assembly, *, bare: bool = False) -> Iterator[Call]:
    """A forward pass as harness.train.predict does it; `bare`: of the encoder alone."""
    model, rows = assembly.model.eval(), case.rows()

    def forward() -> None:
        with torch.inference_mode(), case.numerics.autocast():
            model.roberta(**rows) if bare else model(**rows, head="t")

    active = assembly.active
    if bare:
        assembly.activate(None)
    try:
        with folded(model):
            yield forward
    finally:
        assembly.activate(active)


class Block:
    """The fusion of one layer, alone: what `Fuse` adds to the layer's output."""

    def __init__(self, case: Case, model: XLMRobertaAdapterModel) -> None:
        self.case, self.model = case, model
        layers = (m for m in model.modules() if isinstance(m, BottleneckLayer))
        self.layer = next(layer for layer in layers if layer.adapter_fusion_layer)
        self.setup = Fuse(*source_names(case.sources))
        shape = (case.batch, case.length, model.config.hidden_size)
        generator = torch.Generator().manual_seed(2)
        device = case.numerics.torch_device
        self.hidden, self.input = (
            torch.randn(shape, generator=generator).to(device) for _ in range(2)
        )
        self.norm = torch.nn.LayerNorm(shape[-1], device=device)

    def forward(self) -> Tensor:
        """[B, L, d]."""
        state = BottleneckState(self.hidden, self.input, self.input, self.norm)
        with self.case.numerics.autocast():
            result: Tensor = self.layer.compose_fuse(self.setup, state).hidden_states
        return result

    def evaluate(self) -> None:
        """Without gradients."""
        with torch.inference_mode():
            self.forward()

    def train(self) -> None:
        """Forward and backward, with gradients of the fusion and of what is below it."""
        self.model.train()
        for tensor in (self.hidden, self.input):
            tensor.requires_grad_(True).grad = None
        self.model.zero_grad()
        self.forward().sum().backward()
        for tensor in (self.hidden, self.input):
            tensor.requires_grad_(False)
        self.model.eval()


def timed(call: Call, device: str) -> dict[str, float]:
    """Seconds of a call, to the end of what it started on the device."""
    _synchronize(device)
    clock = Clock.start()
    call()
    _synchronize(device)
    return clock.read()


def peak_bytes(case: Case) -> int:
    """By how much a training step's memory rises above weights and optimizer state."""
    step = TrainingStep(case, case.build())
    step(1, 8)  # makes the optimizer's state
    step.optimizer.zero_grad()
    if case.device != "cpu":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return int(torch.cuda.max_memory_allocated() - before)
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)  # what was freed is no weight and no state
    before = resident_bytes("VmRSS")
    step()
    return resident_bytes("VmHWM") - before


def matrix_rate(device: str, dtype: str) -> float:
    """Operations a second of a large matrix product: the most that this device does."""
    size = 8192 if device != "cpu" else 2048
    kind = torch.bfloat16 if dtype == "bf16" else torch.float32
    one, other = (torch.randn(size, size, dtype=kind, device=device) for _ in range(2))
    torch.mm(one, other)
    runs = [timed(lambda: torch.mm(one, other), device)["seconds"] for _ in range(20)]
    return 2 * size**3 / sorted(runs)[len(runs) // 2]


def training_flops(shape: Shape, sources: int, rows: int, length: int) -> float:
    """Operations of a training step of Stack(Fuse(S), t), by the folded algebra.

    A multiply-add is two. Frozen products cost as much again for the gradient of their input,
    trained ones twice as much; below the lowest fusion there is no gradient. Norms, softmax,
    embeddings, head and optimizer are left out.
    """
    d, r, tokens = shape.width, shape.bottleneck, rows * length
    linears, attention = 12 * d * d, 2 * length * d
    down, mapped, target = sources * r * d, 2 * sources * r * d, 2 * r * d
    folding = 7 * sources * r * d * d  # K B, its product with Q, V B; then the gradients of both
    forward = linears + attention + down + mapped + target
    backward = linears + 2 * attention + down + 2 * (mapped + target)
    lowest = mapped + 1.5 * target + 0.5 * mapped  # of V B both, of the scores the weights only
    per_token = shape.layers * forward + (shape.layers - 1) * backward + lowest
    return 2.0 * (per_token * tokens + shape.layers * folding)


def _synchronize(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()
