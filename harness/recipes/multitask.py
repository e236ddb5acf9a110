"""`multitask`: one adapter, trained on all sources with a head each, below the target's own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from adapters import XLMRobertaAdapterModel

from harness.model import Assembly, adapter_name, add_adapter, fork_backbone
from harness.recipes.base import Goal
from harness.recipes.stack import StackOne


class Multitask(StackOne):
    """Trained: t. Active: Stack(m, t). Untrained targets: m, which the sources train together."""

    kind = "multitask"
    joint = True


def assemble_joint(
    base: XLMRobertaAdapterModel, name: str, goals: Sequence[Goal], reduction_factor: int, seed: int
) -> Assembly:
    """One adapter of that name and a head for each goal, all to be trained; leaves `base` alone."""
    assembly = Assembly(fork_backbone(base, share=True))
    module = adapter_name(name)
    torch.manual_seed(seed)
    for goal in goals:
        goal.format.add_head(assembly.model, goal.name, goal.labels)
    add_adapter(assembly.model, module, reduction_factor)
    assembly.activate(module)
    assembly.train_groups({"adapter": [module], "head": [goal.name for goal in goals]})
    assembly.model.to(base.device)
    return assembly
