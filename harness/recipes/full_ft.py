"""`full-ft`: full fine-tuning of the backbone, the yardstick that adapters are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.errors import WorkError
from harness.formats import Format
from harness.model import Assembly
from harness.recipes.base import Goal, Recipe, TrainedSource


class FullFineTuning(Recipe):
    """Trained: everything. Not defined for targets without training data."""

    kind = "full-ft"
    full = True

    def defined(self, goal_format: Format[Any]) -> bool:
        """Only targets with training data can be fine-tuned on."""
        return goal_format.trained

    def _assemble_trained(
        self,
        assembly: Assembly,
        goal: Goal,
        sources: Sequence[TrainedSource],
        reduction_factor: int,
    ) -> None:
        goal.format.add_head(assembly.model, goal.name, goal.labels)
        assembly.activate(None)
        assembly.train_groups({"backbone": [goal.name], "head": [goal.name]})

    def _assemble_untrained(self, assembly: Assembly, sources: Sequence[TrainedSource]) -> None:
        raise WorkError("full-ft is not defined for a target without training data")
