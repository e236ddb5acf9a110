"""What the training loop trains on: every example of every task, in an order of the seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch

from harness.errors import InputError
from harness.formats import Batch, Feature
from harness.formats.pair_classification import PairClassification
from harness.train import TrainTask
from tests.train.conftest import TRAINING, assemble, features_of, task_of, trainer_of

pytestmark = pytest.mark.usefixtures("one_thread")


class _Noting(PairClassification):
    """Notes which features a loss was computed on."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Feature, ...]] = []

    def loss(self, logits: Any, batch: Batch) -> tuple[torch.Tensor, float]:
        self.seen.append(batch.features)
        return super().loss(logits, batch)


def test_a_mixture_takes_every_example_of_every_task_once_an_epoch(base: Any) -> None:
    assembly = assemble(base, "nli")
    note = _Noting()
    rows = {"one": features_of("nli", 10), "two": features_of("nli", 5, seed=1),
            "three": features_of("nli", 21, seed=2)}  # fmt: skip
    owner = {feature.rows: name for name, features in rows.items() for feature in features}
    tasks = [TrainTask("t-nli", note, features) for features in rows.values()]
    result = trainer_of(assembly, tasks, replace(TRAINING, epochs=2)).run()
    steps = 3 + 2 + 6
    assert result.steps == len(note.seen) == 2 * steps
    orders = []
    for epoch in (note.seen[:steps], note.seen[steps:]):
        names = [{owner[feature.rows] for feature in batch} for batch in epoch]
        assert all(len(name) == 1 for name in names)  # a batch has one task
        orders.append([next(iter(name)) for name in names])
        visits = Counter(feature.rows for batch in epoch for feature in batch)
        assert visits == Counter(owner.keys())
    for order in orders:  # tasks alternate
        changes = sum(a != b for a, b in pairwise(order))
        assert changes > 2
    assert orders[0] != orders[1]


def test_the_order_is_a_function_of_the_seed(base: Any) -> None:
    def order(seed: str) -> list[tuple[Feature, ...]]:
        note = _Noting()
        task = TrainTask("t-nli", note, features_of("nli", 24))
        torch.rand(len(seed))
        trainer_of(assemble(base, "nli"), [task], seed=seed).run()
        return note.seen

    assert order("a") == order("a")
    assert order("a") != order("b")


def test_nothing_to_train_on_is_refused(base: Any) -> None:
    with pytest.raises(InputError, match="t-nli"):
        trainer_of(
            assemble(base, "nli"), [task_of("nli", [])], replace(TRAINING, min_steps=3)
        ).run()
