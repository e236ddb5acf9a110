"""Estimates of time: costs or operations of steps times a speed that finished steps have shown.

Recomputing is no part of a step's key, so finished ones say whether they did.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from harness.bench.flops import compute
from harness.bench.gpus import Gpu
from harness.bench.plan import Plan
from harness.bench.steps import Settings, Step
from harness.bench.store import Store

StepId = tuple[str, str]

# Seconds per unit of cost where nothing is measured yet: a training token of `nano` on one core,
# whose layers have so many weights.
_NANO_MATRICES = 3 * (4 * 128 * 128 + 2 * 128 * 256)
_UNMEASURED = {"backbone": 2.5e-4, "source": 3e-5, "fit": 3e-5, "predict": 3e-5}


def estimate(
    plan: Plan, store: Store, done: frozenset[StepId], settings: Settings
) -> tuple[dict[StepId, float], frozenset[str]]:
    """Seconds of one worker for every step, and the kinds whose speed was measured."""

    def cost(step: Step, recompute: bool) -> float:
        more = _recomputing(plan, step, settings) if recompute else 1.0
        return step.cost * _beside_nano(plan, step) * more

    measured = _speeds(plan, store, done, cost, None)
    speeds = {**_UNMEASURED, **measured}
    seconds = {
        step.id: cost(step, settings.recompute) * speeds[step.kind] for step in plan.steps.values()
    }
    return seconds, frozenset(measured)


def estimate_on(
    gpu: Gpu,
    plan: Plan,
    store: Store,
    done: frozenset[StepId],
    settings: Settings,
    flops: Mapping[StepId, float],
) -> tuple[dict[StepId, float], frozenset[str]]:
    """Seconds of the steps of those kinds of which such a GPU has done some, and these kinds.

    They go by operations, which know what a long row and a recipe take.
    """

    def operations(step: Step, recompute: bool) -> float:
        return compute(plan, step, replace(settings, recompute=recompute)).flops

    speeds = _speeds(plan, store, done, operations, gpu)
    seconds = {
        (kind, key): flops[kind, key] * speeds[kind] for kind, key in flops if kind in speeds
    }
    return seconds, frozenset(speeds)


def _speeds(
    plan: Plan,
    store: Store,
    done: frozenset[StepId],
    amount: Callable[[Step, bool], float],
    gpu: Gpu | None,
) -> dict[str, float]:
    """Seconds per unit of this amount by kind, of the finished steps (that such a GPU did).

    The amount is of a step, with recomputing or without.
    """
    walls: dict[str, float] = defaultdict(float)
    units: dict[str, float] = defaultdict(float)
    for step in plan.steps.values():
        if step.id not in done:
            continue
        costs = _costs(store, step)
        unit = amount(step, bool(costs.get("recompute")))
        if unit and (gpu is None or gpu.calls_itself(costs.get("gpu"))):  # copies have none
            walls[step.kind] += float(costs["wall_seconds"])
            units[step.kind] += unit
    return {kind: walls[kind] / units[kind] for kind in units}


def _recomputing(plan: Plan, step: Step, settings: Settings) -> float:
    """How much more a step computes if its training recomputes."""
    once, again = (
        compute(plan, step, replace(settings, recompute=wanted)).flops for wanted in (False, True)
    )
    return again / once if once else 1.0


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
