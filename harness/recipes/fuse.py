"""`fuse`: AdapterFusion (Pfeiffer et al. 2021) over frozen sources, the target's adapter on top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.formats import Format
from harness.model import Assembly, add_fusion, load_head
from harness.recipes.base import Goal, Recipe, TrainedSource, add_target


class FuseMany(Recipe):
    """Trained: fusion, t. Active: Stack(Fuse(S), t).

    Untrained targets: Fuse(S), its weights trained on the sources' own training mixture through the
    sources' own heads, which stay as they were trained.
    """

    kind = "fuse"
    fuses = True

    def fit(self, goal_format: Format[Any]) -> str | None:
        """Fusion always has weights to train, also for targets without data of their own."""
        return "target" if goal_format.trained else "mixture"

    def _assemble_trained(
        self,
        assembly: Assembly,
        goal: Goal,
        sources: Sequence[TrainedSource],
        reduction_factor: int,
    ) -> None:
        modules = [source.module for source in sources]
        fusion = add_fusion(assembly.model, modules)
        add_target(assembly, goal, reduction_factor)
        assembly.activate(["stack", ["fuse", *modules], goal.name])
        assembly.train_groups({"fusion": [fusion], "adapter": [goal.name], "head": [goal.name]})

    def _assemble_untrained(self, assembly: Assembly, sources: Sequence[TrainedSource]) -> None:
        modules = [source.module for source in sources]
        fusion = add_fusion(assembly.model, modules)
        for source in sources:
            load_head(assembly.model, source.folder / "heads" / source.module, source.module)
        assembly.activate(["fuse", *modules])
        assembly.train_groups({"fusion": [fusion]})
