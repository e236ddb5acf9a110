"""What a recipe is: the sources it takes, what it trains for a target, the model it assembles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from adapters import XLMRobertaAdapterModel

from harness.formats import Format
from harness.model import Assembly, adapter_name, add_adapter, fork_backbone, load_adapter


@dataclass(frozen=True, slots=True)
class TrainedSource:
    """A source adapter on disk (`adapters` library format), with what its head is for."""

    name: str
    folder: Path
    format: Format[Any]
    labels: tuple[str, ...]

    @property
    def module(self) -> str:
        """Its name inside a model."""
        return adapter_name(self.name)


@dataclass(frozen=True, slots=True)
class Goal:
    """The target as a recipe sees it: the name of its adapter and head, its format and labels.

    `seed` initialises the target's own adapter and head, so that all recipes start them alike.
    """

    name: str
    format: Format[Any]
    labels: tuple[str, ...]
    seed: int = 0


class Recipe(ABC):
    """A way to make a model for a target out of source adapters.

    `fit` says what is trained: `target` (on the target's English data), `mixture` (on the
    sources' own data, for targets without training data) or None (nothing).
    """

    kind: ClassVar[str]
    full: ClassVar[bool] = False  # trains the backbone itself
    joint: ClassVar[bool] = False  # takes one adapter that all sources train together

    def fit(self, goal_format: Format[Any]) -> str | None:
        """What is trained for a target of this format."""
        return "target" if goal_format.trained else None

    def defined(self, goal_format: Format[Any]) -> bool:
        """Whether the recipe gives a model for targets of this format."""
        return True

    def assemble(
        self,
        base: XLMRobertaAdapterModel,
        goal: Goal,
        sources: Sequence[TrainedSource],
        reduction_factor: int,
    ) -> Assembly:
        """A model with all added and the right parts active and trainable; leaves `base` alone."""
        torch.manual_seed(goal.seed)
        assembly = Assembly(fork_backbone(base, share=not self.full))
        for source in sources:
            load_adapter(assembly.model, source.folder / "adapters" / source.module, source.module)
        if goal.format.trained:
            self._assemble_trained(assembly, goal, sources, reduction_factor)
        else:
            self._assemble_untrained(assembly, sources)
        assembly.model.to(base.device)
        return assembly

    @abstractmethod
    def _assemble_trained(
        self,
        assembly: Assembly,
        goal: Goal,
        sources: Sequence[TrainedSource],
        reduction_factor: int,
    ) -> None:
        """Compose for a target with training data."""

    @abstractmethod
    def _assemble_untrained(self, assembly: Assembly, sources: Sequence[TrainedSource]) -> None:
        """Compose for a target without training data (retrieval)."""


def add_target(assembly: Assembly, goal: Goal, reduction_factor: int) -> None:
    """Add the target's own adapter and head, initialised from the goal's seed."""
    torch.manual_seed(goal.seed)
    goal.format.add_head(assembly.model, goal.name, goal.labels)
    add_adapter(assembly.model, goal.name, reduction_factor)
