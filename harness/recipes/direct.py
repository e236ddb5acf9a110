"""`direct`: the target's own adapter and head, no source; untrained targets: the bare backbone."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model import Assembly
from harness.recipes.base import Goal, Recipe, TrainedSource, add_target


class Direct(Recipe):
    """Trained: t. Active: t. Untrained targets: the bare backbone."""

    kind = "direct"

    def _assemble_trained(
        self,
        assembly: Assembly,
        goal: Goal,
        sources: Sequence[TrainedSource],
        reduction_factor: int,
    ) -> None:
        add_target(assembly, goal, reduction_factor)
        assembly.activate(goal.name)
        assembly.train_groups({"adapter": [goal.name], "head": [goal.name]})

    def _assemble_untrained(self, assembly: Assembly, sources: Sequence[TrainedSource]) -> None:
        assembly.activate(None)
        assembly.train_groups({})
