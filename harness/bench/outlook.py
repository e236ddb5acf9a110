"""What a plan takes: time, memory, disk and device time of its steps, alone and by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.bench.estimate import StepId, estimate, estimate_on
from harness.bench.flops import Compute, compute
from harness.bench.footprint import Footprint, footprint
from harness.bench.gpus import Speed
from harness.bench.plan import Plan
from harness.bench.steps import BackboneWork, FitWork, PredictWork, Settings, Step
from harness.bench.store import Store


@dataclass(frozen=True, slots=True)
class Outlook:
    """A plan with what each of its steps is estimated to take.

    `seconds` are those of one worker here; `measured` are the kinds whose speed finished steps have
    shown. With a `speed` there is what the steps compute, and their seconds on that GPU: computed,
    or for kinds of which such a GPU has done steps, `measured_there`, the measured ones.
    """

    plan: Plan
    done: frozenset[StepId]
    seconds: Mapping[StepId, float]
    measured: frozenset[str]
    sizes: Mapping[StepId, Footprint]
    speed: Speed | None = None
    computes: Mapping[StepId, Compute] = field(default_factory=dict)
    seconds_there: Mapping[StepId, float] = field(default_factory=dict)
    measured_there: frozenset[str] = frozenset()

    def device_seconds(self, step: StepId, speed: Speed | None = None) -> float:
        """Seconds of a step on the GPU of the outlook, or computed at another speed."""
        kind, _ = step
        if speed is None and kind in self.measured_there:
            return self.seconds_there[step]
        speed = speed or self.speed
        assert speed is not None, "an outlook without a GPU"
        return speed.seconds(self.computes[step].flops)

    @property
    def missing(self) -> list[Step]:
        """The steps that are left to do."""
        return [step for step in self.plan.steps.values() if step.id not in self.done]

    def formats(self) -> list[str]:
        """The formats of the rows that are left to read, sorted."""
        return sorted({name for step in self.missing for name in _formats(step)})

    def groups(self) -> list[Group]:
        """The steps by kind and recipe, in the order of the plan."""
        found: dict[tuple[str, str], list[Step]] = {}
        for step in self.plan.steps.values():
            found.setdefault((step.kind, _recipe(step)), []).append(step)
        return [Group(self, kind, recipe, steps) for (kind, recipe), steps in found.items()]

    def whole(self) -> Group:
        """All steps."""
        return Group(self, "all", "", list(self.plan.steps.values()))


@dataclass(frozen=True, slots=True)
class Group:
    """Steps of one kind and recipe; all sums are over those that are left to do."""

    outlook: Outlook
    kind: str
    recipe: str
    steps: Sequence[Step]

    @property
    def left(self) -> list[StepId]:
        """The steps that are left to do."""
        return [step.id for step in self.steps if step.id not in self.outlook.done]

    @property
    def seconds(self) -> float:
        """Time of one worker here."""
        return sum(self.outlook.seconds[i] for i in self.left)

    @property
    def memory(self) -> int:
        """The most that a step takes, in bytes."""
        return max((self.outlook.sizes[i].memory for i in self.left), default=0)

    @property
    def checkpoint(self) -> int:
        """The largest checkpoint, in bytes."""
        return max((self.outlook.sizes[i].checkpoint for i in self.left), default=0)

    @property
    def disk(self) -> int:
        """Bytes of all artifacts."""
        return sum(self.outlook.sizes[i].disk for i in self.left)

    @property
    def compute(self) -> Compute:
        """Tokens and operations."""
        return sum((self.outlook.computes[i] for i in self.left), Compute())

    def device_hours(self, speed: Speed | None = None) -> float:
        """Hours of the GPU of the outlook, or at another speed."""
        return sum(self.outlook.device_seconds(i, speed) for i in self.left) / 3600


def look_at(
    plan: Plan, done: frozenset[StepId], settings: Settings, speed: Speed | None
) -> Outlook:
    """The outlook of a plan of which these steps are done."""
    store = Store(settings.store)
    seconds, measured = estimate(plan, store, done, settings)
    steps = plan.steps.values()
    there = (
        settings
        if speed is None
        else replace(settings, numerics=replace(settings.numerics, device="cuda"))
    )
    sizes = {step.id: footprint(plan, step, there) for step in steps}
    if speed is None:
        return Outlook(plan, done, seconds, measured, sizes)
    computes = {step.id: compute(plan, step, settings) for step in steps}
    flops = {step: one.flops for step, one in computes.items()}
    on_it = estimate_on(speed.gpu, plan, store, done, settings, flops)
    return Outlook(plan, done, seconds, measured, sizes, speed, computes, *on_it)


def _formats(step: Step) -> set[str]:
    if isinstance(step.work, BackboneWork):
        return {"masked_lm"}
    if isinstance(step.work, PredictWork):
        return {step.work.target.format}
    return {one.format for one in step.reads}


def _recipe(step: Step) -> str:
    return step.work.recipe.name if isinstance(step.work, FitWork | PredictWork) else ""
