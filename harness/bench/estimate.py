"""Estimates of time: relative costs of steps times a speed that finished steps have shown."""

from __future__ import annotations

import json
from typing import Any

from harness.bench.gpus import Gpu
from harness.bench.plan import Plan
from harness.bench.steps import Step
from harness.bench.store import Store

# Seconds per unit of cost where nothing is measured yet: a training token of `nano` on one core,
# whose layers have so many weights.
_NANO_MATRICES = 3 * (4 * 128 * 128 + 2 * 128 * 256)
_UNMEASURED = {"backbone": 2.5e-4, "source": 6e-5, "fit": 6e-5, "predict": 6e-5}


def estimate(
    plan: Plan, store: Store, done: frozenset[tuple[str, str]], gpu: Gpu | None = None
) -> tuple[dict[tuple[str, str], float], frozenset[str]]:
    """Seconds of one worker for every step, and the kinds whose speed was measured.

    With a GPU only steps that such a GPU did are a measurement.
    """
    speeds = dict(_UNMEASURED)
    measured = set()
    for kind in speeds:
        costs = [
            (step.cost, _costs(store, step))
            for step in plan.steps.values()
            if step.kind == kind and step.id in done and step.cost  # copies have none
        ]
        pairs = [
            (cost, float(found["wall_seconds"]))
            for cost, found in costs
            if gpu is None or gpu.calls_itself(found.get("gpu"))
        ]
        if pairs:
            measured.add(kind)
            speeds[kind] = sum(wall for _, wall in pairs) / max(1e-9, sum(c for c, _ in pairs))
    seconds = {
        step.id: step.cost
        * speeds[step.kind]
        * (1.0 if step.kind in measured else _beside_nano(plan, step))
        for step in plan.steps.values()
    }
    return seconds, frozenset(measured)


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
