"""Mixtures: rates against their formula, rows of epochs, and the schedule of a trainer."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.catalog import Mixture
from harness.train.mixture import epoch_counts, epoch_rows

SIZES = st.lists(st.integers(1, 5000), min_size=1, max_size=9)
T2 = Mixture("temperature", temperature=2.0)


@pytest.mark.parametrize(
    ("mixture", "counts"),
    [
        (Mixture(), [900, 90, 10]),
        (Mixture(cap=100), [100, 90, 10]),
        (Mixture("uniform"), [334, 333, 333]),
        (Mixture("uniform", cap=100), [67, 67, 66]),  # 200 rows by thirds
        # Square roots 30, 9.487, 3.162 of a sum of 42.649, times 1000: 703.42, 222.44, 74.15.
        (T2, [703, 223, 74]),
        # Square roots 10, 9.487, 3.162 of a sum of 22.649, times 200: 88.3, 83.8, 27.9.
        (Mixture("temperature", temperature=2.0, cap=100), [88, 84, 28]),
        (Mixture(cap=5000), [900, 90, 10]),  # more than there is
        # Squares 810,000, 8,100 and 100 of a sum of 818,200, times 1000: 989.98, 9.90, 0.12.
        (Mixture("temperature", temperature=0.5), [990, 10, 1]),
        (Mixture("temperature", temperature=0.001), [1000, 1, 1]),  # 900^1000 is no float
    ],
)
def test_counts_of_900_90_and_10_rows(mixture: Mixture, counts: list[int]) -> None:
    assert epoch_counts([900, 90, 10], mixture) == counts


@pytest.mark.parametrize("mixture", [Mixture(), Mixture("uniform"), T2, Mixture(cap=5)])
def test_nothing_makes_an_epoch_of_nothing(mixture: Mixture) -> None:
    """So it is in a plan from sizes that are missing, which are then named."""
    assert epoch_counts([0, 0], mixture) == [0, 0]


@given(SIZES, st.sampled_from([Mixture(), Mixture("uniform"), T2, Mixture(cap=50)]))
def test_an_epoch_has_as_many_rows_as_the_capped_sizes(sizes: list[int], mixture: Mixture) -> None:
    counts = epoch_counts(sizes, mixture)
    total = sum(min(size, mixture.cap or size) for size in sizes)
    assert min(counts) >= 1
    # More only where a task that would have none gets its one.
    assert total <= sum(counts) <= total + len(sizes)
    if mixture == Mixture():
        assert counts == sizes


@given(SIZES)
def test_temperature_lies_between_proportional_and_uniform(sizes: list[int]) -> None:
    largest = max(range(len(sizes)), key=sizes.__getitem__)
    shares = [
        Fraction(counts[largest], sum(counts))
        for mixture in (Mixture("uniform"), T2, Mixture())
        for counts in [epoch_counts(sizes, mixture)]
    ]
    slack = Fraction(2 + len(sizes), sum(sizes))  # whole rows
    assert shares[0] <= shares[1] + slack
    assert shares[1] <= shares[2] + slack


@given(st.integers(1, 40), st.integers(1, 100), st.integers(1, 5))
def test_no_row_comes_again_before_each_has_come(size: int, count: int, epochs: int) -> None:
    rows = [row for epoch in range(epochs) for row in epoch_rows(size, count, epoch, "s")]
    assert len(rows) == count * epochs
    often = Counter(rows)
    assert max(often.values()) - min(often[row] for row in range(size)) <= 1


def test_rows_follow_from_the_seed() -> None:
    one, again, other = (epoch_rows(50, 20, 3, seed) for seed in ("a", "a", "b"))
    assert one == again != other
