"""What the training loop trains on: every example of every task, in an order of the seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch

from harness.catalog import PROPORTIONAL, Mixture
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


@pytest.mark.parametrize(
    ("mixture", "counts"),
    [
        (PROPORTIONAL, (4, 10)),
        (Mixture("uniform"), (7, 7)),
        # Square roots 2 and 3.162 of a sum of 5.162, times 14: 5.42 and 8.58.
        (Mixture("temperature", temperature=2.0), (5, 9)),
        (Mixture(cap=5), (4, 5)),
        (Mixture("uniform", cap=3), (3, 3)),
    ],
)
def test_a_mixture_is_of_examples_each_with_all_its_windows(
    base: Any, mixture: Mixture, counts: tuple[int, int]
) -> None:
    """Four examples of three windows, ten of one: 12 and 10 features, if they were counted."""
    long = [replace(one, example=i // 3) for i, one in enumerate(features_of("nli", 12))]
    short = features_of("nli", 10, seed=1)
    example = {one.rows: ("long", one.example) for one in long}
    example |= {one.rows: ("short", one.example) for one in short}
    note = _Noting()
    tasks = [TrainTask("t-nli", note, features) for features in (long, short)]
    training = replace(TRAINING, epochs=3)
    result = trainer_of(assemble(base, "nli"), tasks, training, mixture=mixture).run()
    each, left = divmod(result.steps, 3)
    assert left == 0
    often = Counter[tuple[str, int]]()
    for epoch in range(3):
        batches = note.seen[epoch * each : (epoch + 1) * each]
        windows = Counter(feature.rows for batch in batches for feature in batch)
        seen = Counter[tuple[str, int]]()
        for rows, count in windows.items():
            seen[example[rows]] += count
        assert all(count % 3 == 0 for (name, _), count in seen.items() if name == "long")
        assert len(windows) == sum(3 if name == "long" else 1 for name, _ in seen)
        visits = Counter({key: n // 3 if key[0] == "long" else n for key, n in seen.items()})
        found = [
            sum(n for key, n in visits.items() if key[0] == name) for name in ("long", "short")
        ]
        assert tuple(found) == counts
        often += visits
    for name, size in (("long", 4), ("short", 10)):  # none again before each has come
        numbers = [often[name, n] for n in range(size)]
        assert max(numbers) - min(numbers) <= 1


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
