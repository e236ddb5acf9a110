"""Estimates of time: relative costs of steps times a speed that finished steps have shown."""

from __future__ import annotations

import json

from harness.bench.plan import Plan
from harness.bench.steps import Step
from harness.bench.store import Store

# Seconds per unit of cost where nothing is measured yet: a training token of `nano` on one core.
_UNMEASURED = {"backbone": 2.5e-4, "source": 6e-5, "fit": 6e-5, "predict": 6e-5}


def estimate(
    plan: Plan, store: Store, done: set[tuple[str, str]]
) -> tuple[dict[tuple[str, str], float], bool]:
    """Seconds of one worker for every step, and whether any of it rests on measurements."""
    speeds = dict(_UNMEASURED)
    measured = False
    for kind in speeds:
        pairs = [
            (step.cost, _wall_seconds(store, step))
            for step in plan.steps.values()
            if step.kind == kind and step.id in done and step.cost  # copies have none
        ]
        if pairs:
            measured = True
            speeds[kind] = sum(wall for _, wall in pairs) / max(1e-9, sum(c for c, _ in pairs))
    return {step.id: step.cost * speeds[step.kind] for step in plan.steps.values()}, measured


def _wall_seconds(store: Store, step: Step) -> float:
    costs = json.loads((store.path(step.kind, step.key) / "costs.json").read_bytes())
    return float(costs["wall_seconds"])
