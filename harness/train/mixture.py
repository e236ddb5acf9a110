"""Mixtures: how many examples of each task an epoch has, and which; a pure function of the seed."""

from __future__ import annotations

import random
from collections.abc import Sequence

from harness.catalog import Mixture


def epoch_counts(sizes: Sequence[int], mixture: Mixture) -> list[int]:
    """Examples of each task in an epoch: as many in all as the capped sizes, at least one each.

    Of nothing at all, none.

    Rates are those of Raffel et al. 2020, section 3.5.2; what does not divide goes to the tasks
    with the largest remainders, ties to the first ones.
    """
    capped = [size if mixture.cap is None else min(size, mixture.cap) for size in sizes]
    power = {"proportional": 1.0, "uniform": 0.0}.get(mixture.sampling)
    if power is None:
        assert mixture.temperature is not None, "the catalog has checked it"
        power = 1.0 / mixture.temperature
    largest = max(capped)  # powers of shares of it stay below infinity, however low T is
    if not largest:  # a plan from sizes names those that are missing when it has seen them all
        return [0] * len(sizes)
    weights = [(size / largest) ** power for size in capped]
    total, whole = sum(capped), sum(weights)
    exact = [total * weight / whole for weight in weights]
    counts = [int(share) for share in exact]
    order = sorted(range(len(sizes)), key=lambda task: (counts[task] - exact[task], task))
    for task in order[: total - sum(counts)]:
        counts[task] += 1
    return [max(1, count) for count in counts]


def epoch_rows(size: int, count: int, epoch: int, seed: str) -> list[int]:
    """Which `count` of `size` rows an epoch has.

    Shuffled passes over all rows follow each other from epoch to epoch, so that no row comes a
    second time before each has come once.
    """
    rows: list[int] = []
    place = epoch * count
    while len(rows) < count:
        turn, start = divmod(place, size)
        order = list(range(size))
        random.Random(f"{seed}/pass/{turn}").shuffle(order)
        taken = order[start : start + count - len(rows)]
        rows += taken
        place += len(taken)
    return rows
