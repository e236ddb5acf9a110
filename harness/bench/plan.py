"""What a plan is: steps, the cells whose records they make, and what part of a suite to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.bench.steps import BackboneRef, SourceRef, Step
from harness.bench.store import Store
from harness.catalog import Backbone, Recipe, Shape, SourceSet, Target, Training


@dataclass(frozen=True, slots=True)
class Cell:
    """What one record is about, and the steps behind it."""

    backbone: BackboneRef
    recipe: Recipe
    source_set: SourceSet | None
    target: Target
    setting: str
    training: Training | None
    seed: int
    sources: tuple[SourceRef, ...]
    fit: str | None
    predict: str
    row: str  # its row in the summary
    joint: Training | None = None  # of the adapter that its sources train together
    mixes: bool = False  # whether anything is trained on a mixture of the sources' rows


@dataclass(slots=True)
class Plan:
    """Steps in an order in which they can be done, and the cells whose records they make."""

    steps: dict[tuple[str, str], Step] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)  # of the backbones, by name

    def done(self, store: Store) -> set[tuple[str, str]]:
        """The steps whose artifacts are in the store, whole; changes nothing there."""
        return {step.id for step in self.steps.values() if store.has(step.kind, step.key)}


@dataclass(frozen=True, slots=True)
class Selection:
    """What part of a suite to run; empty means all. `seeds` replaces the suite's."""

    only: Mapping[str, Sequence[str]] = field(default_factory=dict)  # recipe, set, target, setting
    seeds: Sequence[int] = ()
    backbone: Backbone | None = None
