"""Estimates of time: costs or operations of steps times a speed that finished steps have shown."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from harness.bench.gpus import Gpu
from harness.bench.plan import Plan
from harness.bench.steps import Step
from harness.bench.store import Store

StepId = tuple[str, str]

# Seconds per unit of cost where nothing is measured yet: a training token of `nano` on one core,
# whose layers have so many weights.
_NANO_MATRICES = 3 * (4 * 128 * 128 + 2 * 128 * 256)
_UNMEASURED = {"backbone": 2.5e-4, "source": 3e-5, "fit": 3e-5, "predict": 3e-5}


def estimate(
    plan: Plan, store: Store, done: frozenset[StepId]
) -> tuple[dict[StepId, float], frozenset[str]]:
    """Seconds of one worker for every step, and the kinds whose speed was measured."""
    costs = {step.id: step.cost * _beside_nano(plan, step) for step in plan.steps.values()}
    measured = _speeds(plan, store, done, costs, None)
    speeds = {**_UNMEASURED, **measured}
    return {(kind, key): costs[kind, key] * speeds[kind] for kind, key in costs}, frozenset(
        measured
    )


def estimate_on(
    gpu: Gpu, plan: Plan, store: Store, done: frozenset[StepId], flops: Mapping[StepId, float]
) -> tuple[dict[StepId, float], frozenset[str]]:
    """Seconds of the steps of those kinds of which such a GPU has done some, and these kinds.

    They go by operations, which know what a long row and a recipe take.
    """
    speeds = _speeds(plan, store, done, flops, gpu)
    seconds = {
        (kind, key): flops[kind, key] * speeds[kind] for kind, key in flops if kind in speeds
    }
    return seconds, frozenset(speeds)


def _speeds(
    plan: Plan,
    store: Store,
    done: frozenset[StepId],
    amounts: Mapping[StepId, float],
    gpu: Gpu | None,
) -> dict[str, float]:
    """Seconds per unit of these amounts by kind, of the finished steps (that such a GPU did)."""
    walls: dict[str, float] = defaultdict(float)
    units: dict[str, float] = defaultdict(float)
    for step in plan.steps.values():
        if step.id not in done or not amounts[step.id]:  # copies have none
            continue
        costs = _costs(store, step)
        if gpu is None or gpu.calls_itself(costs.get("gpu")):
            walls[step.kind] += float(costs["wall_seconds"])
            units[step.kind] += amounts[step.id]
    return {kind: walls[kind] / units[kind] for kind in units}


def _beside_nano(plan: Plan, step: Step) -> float:
    """How much more a token costs in the step's encoder than in nano, by their matrices."""
    if step.kind == "backbone":  # that speed is of a model of its own size
        return 1.0
    shape = plan.shapes[step.work.backbone.name]
    d, wide = shape.hidden_size, shape.intermediate_size
    return shape.layers * (4 * d * d + 2 * d * wide) / _NANO_MATRICES


def _costs(store: Store, step: Step) -> dict[str, Any]:
    costs: dict[str, Any] = json.loads(
        (store.path(step.kind, step.key) / "costs.json").read_bytes()
    )
    return costs
