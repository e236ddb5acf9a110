"""`stack`: one frozen source adapter below the target's own (Poth et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model import Assembly
from harness.recipes.base import Goal, Recipe, TrainedSource, add_target


class StackOne(Recipe):
    """Trained: t. Active: Stack(s, t). Untrained targets: s."""

    kind = "stack"

    def _assemble_trained(
        self,
        assembly: Assembly,
        goal: Goal,
        sources: Sequence[TrainedSource],
        reduction_factor: int,
    ) -> None:
        (source,) = sources
        add_target(assembly, goal, reduction_factor)
        assembly.activate(["stack", source.module, goal.name])
        assembly.train_groups({"adapter": [goal.name], "head": [goal.name]})

    def _assemble_untrained(self, assembly: Assembly, sources: Sequence[TrainedSource]) -> None:
        (source,) = sources
        assembly.activate(source.module)
        assembly.train_groups({})
