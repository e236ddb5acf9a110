"""Batches and learning rates: for any lengths, any budget, any seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.formats import Feature
from harness.train.batches import epoch_batches, padded_tokens, sorted_batches
from harness.train.optimizer import learning_rate_factor


def feature(lengths: Sequence[int]) -> Feature:
    return Feature(tuple((5,) * length for length in lengths), 0)


# Rows of one feature: one for most formats, one per choice for multiple choice.
FEATURES = st.lists(
    st.lists(st.integers(1, 40), min_size=1, max_size=4).map(feature), min_size=0, max_size=60
)
SEEDS = st.text(max_size=8)


def chosen(features: Sequence[Feature], batch: Sequence[int]) -> list[Feature]:
    return [features[index] for index in batch]


@given(FEATURES, SEEDS, st.integers(1, 400))
def test_every_feature_once_within_the_token_budget(
    features: list[Feature], seed: str, budget: int
) -> None:
    batches = epoch_batches(features, seed=seed, batch_tokens=budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(features)))
    for batch in batches:
        assert len(batch) == 1 or padded_tokens(chosen(features, batch)) <= budget


@given(FEATURES, SEEDS, st.integers(1, 20))
def test_every_feature_once_in_batches_of_a_size(
    features: list[Feature], seed: str, size: int
) -> None:
    batches = epoch_batches(features, seed=seed, batch_size=size)
    assert sorted(index for batch in batches for index in batch) == list(range(len(features)))
    assert len(batches) == math.ceil(len(features) / size)
    assert sum(len(batch) < size for batch in batches) <= 1


@given(FEATURES, SEEDS, st.integers(1, 20), st.integers(1, 400))
def test_both_limits_hold_together(
    features: list[Feature], seed: str, size: int, budget: int
) -> None:
    for batch in epoch_batches(features, seed=seed, batch_size=size, batch_tokens=budget):
        assert len(batch) <= size
        assert len(batch) == 1 or padded_tokens(chosen(features, batch)) <= budget


@given(FEATURES, SEEDS, st.integers(1, 400))
def test_batches_are_a_function_of_the_seed(
    features: list[Feature], seed: str, budget: int
) -> None:
    first = epoch_batches(features, seed=seed, batch_tokens=budget)
    assert first == epoch_batches(list(features), seed=seed, batch_tokens=budget)


def test_another_seed_gives_other_batches() -> None:
    features = [feature([length % 7 + 1]) for length in range(64)]
    seen = {str(epoch_batches(features, seed=f"a/{n}", batch_tokens=32)) for n in range(20)}
    assert len(seen) == 20


@given(FEATURES, st.integers(1, 400), st.none() | st.integers(0, 60))
def test_the_next_feature_would_not_have_fitted(
    features: list[Feature], budget: int, most: int | None
) -> None:
    """Prediction's batches are as full as the two limits let them be in the order of length."""
    batches = sorted_batches(features, budget, most_padding=most)
    assert sorted(index for batch in batches for index in batch) == list(range(len(features)))

    def fits(batch: Sequence[int]) -> bool:
        among = chosen(features, batch)
        padding = padded_tokens(among) - sum(padded_tokens([one]) for one in among)
        return padded_tokens(among) <= budget and (most is None or padding <= most)

    for batch in batches:
        assert len(batch) == 1 or fits(batch)
    for batch, following in pairwise(batches):
        assert not fits([*batch, following[0]])
    lengths = [features[index].length for batch in batches for index in batch]
    assert lengths == sorted(lengths)


def test_a_pool_is_what_is_sorted_together() -> None:
    """More features than a pool: all of them once, and batches are still of like lengths."""
    features = [feature([n % 50 + 1]) for n in range(9000)]
    batches = epoch_batches(features, seed="s", batch_tokens=500)
    assert sorted(index for batch in batches for index in batch) == list(range(9000))
    used = sum(feature.length for feature in features)
    padded = sum(padded_tokens(chosen(features, batch)) for batch in batches)
    assert padded < 1.05 * used


# --- the learning rate ---

STEPS = st.integers(1, 3000)
WARMUP = st.floats(0, 1, allow_nan=False)


@given(STEPS, WARMUP)
@example(1, 0.0)
@example(1, 1.0)
@example(10, 1.0)
def test_the_rate_rises_then_falls_and_is_never_out_of_bounds(steps: int, warmup: float) -> None:
    factors = [learning_rate_factor(step, steps, warmup) for step in range(steps)]
    warm = round(warmup * steps)
    assert all(0 < factor <= 1 for factor in factors)
    assert factors[:warm] == sorted(factors[:warm])
    assert factors[warm:] == sorted(factors[warm:], reverse=True)
    assert max(factors) == 1
    rises = [b - a for a, b in pairwise(factors[:warm])]
    falls = [a - b for a, b in pairwise(factors[warm:])]
    assert rises == pytest.approx([1 / warm] * len(rises)) if warm else not rises
    assert falls == pytest.approx([1 / max(1, steps - warm)] * len(falls))


def test_the_rate_by_hand() -> None:
    factors = [learning_rate_factor(step, 10, 0.2) for step in range(10)]
    assert factors == [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
    assert [learning_rate_factor(step, 4, 0.0) for step in range(4)] == [1.0, 0.75, 0.5, 0.25]
