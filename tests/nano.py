"""`nano`, the built-in backbone, and the world's tasks on it: what small trainings are made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from harness.data import Example
from harness.data.world import TASKS, World, generate
from harness.data.world import __file__ as world_file
from harness.formats import EncodeOptions, Feature, RetrievalOptions, get_format
from harness.model import BackboneFiles, load_backbone, load_tokenizer
from harness.recipes import Goal

TRAINED_TASKS = ("nli", "pos", "qa", "mc")  # one of each format that is trained
NANO = Path(world_file).parent / "nano"
_FORMATS = {"pair": "pair_classification", "tagging": "tagging", "span": "span_qa",
            "choice": "multiple_choice", "bitext": "bitext_retrieval"}  # fmt: skip


def load_model(folder: Path = NANO, name: str = "nano") -> Any:
    """The frozen model in a folder, on the CPU."""
    return load_backbone(BackboneFiles(name, folder, "", 4), torch.device("cpu"))


def goal_of(task: str, name: str = "", seed: int = 3) -> Goal:
    """A task of the world as a target; retrieval reads the second of the three layers."""
    kind = TASKS[task]
    labels = kind.labels or tuple(map(str, range(kind.choices)))
    form = get_format(_FORMATS[kind.kind])
    if not form.trained:
        form = form.with_options(RetrievalOptions(layer=2))  # type: ignore[attr-defined]
    return Goal(name or f"t-{task}", form, labels, seed)


def examples_of(
    task: str, language: str, count: int, split: Any = "train", seed: int = 0
) -> list[Example]:
    """Examples of a task in world 0."""
    return list(generate(World(0), task, language, count, split, seed))


def encode(
    goal: Goal, examples: Sequence[Example], options: EncodeOptions, *, training: bool
) -> list[Feature]:
    """The examples as the goal's features, by nano's tokenizer."""
    tokenizer = load_tokenizer(NANO)
    return goal.format.encode(list(examples), tokenizer, goal.labels, options, training=training)
