"""Bootstrap against exact enumeration, its coverage on simulated data, small summaries by hand."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from harness.results import average_scores, mean_and_spread, paired_bootstrap_margin
from harness.results.statistics import Array


def accuracy(statistics: Array) -> float:
    return float(100 * statistics.mean())


def f1(statistics: Array) -> float:
    hits, found, gold = statistics.sum(axis=0)
    return float(200 * hits / (found + gold)) if found + gold else 0.0


def f1_sums(sums: Array) -> Array:
    total = sums[:, 1] + sums[:, 2]
    return np.where(total > 0, 200 * sums[:, 0] / np.maximum(total, 1), 0.0)


def counts(rng: np.random.Generator, n: int) -> Array:
    gold, found = rng.integers(0, 4, n), rng.integers(0, 4, n)
    hits = rng.integers(0, np.minimum(gold, found) + 1)
    return np.stack([hits, found, gold], axis=1).astype(float)


def exact_lower_bound(model: Array, floor: Array) -> float:
    """The 5 % quantile over all n^n resamples, one by one."""
    n = len(model)
    differences = sorted(
        f1(model[list(chosen)]) - f1(floor[list(chosen)])
        for chosen in itertools.product(range(n), repeat=n)
    )
    return differences[int(0.05 * len(differences))]


@pytest.mark.parametrize("seed", range(4))
def test_the_bound_is_that_of_all_resamples(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model, floor = counts(rng, 5), counts(rng, 5)
    got = paired_bootstrap_margin(model, floor, f1, 40_000, seed, aggregate_sums=f1_sums)
    assert got.margin == pytest.approx(f1(model) - f1(floor))
    assert got.lower_bound == pytest.approx(exact_lower_bound(model, floor), abs=1.5)
    assert got.method == "paired-bootstrap-40000"


@pytest.mark.parametrize("n", [5, 17, 200])
def test_sums_and_examples_give_one_bound(n: int) -> None:
    rng = np.random.default_rng(n)
    model, floor = counts(rng, n), counts(rng, n)
    fast = paired_bootstrap_margin(model, floor, f1, 200, 7, aggregate_sums=f1_sums)
    slow = paired_bootstrap_margin(model, floor, f1, 200, 7)
    assert fast.lower_bound == pytest.approx(slow.lower_bound, abs=1e-8)
    assert (fast.beats, fast.method) == (slow.beats, slow.method)


def test_blocks_do_not_change_the_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    model, floor = counts(rng, 50), counts(rng, 50)
    whole = paired_bootstrap_margin(model, floor, f1, 300, 1, aggregate_sums=f1_sums)
    monkeypatch.setattr("harness.results.statistics._CELLS", 350)
    assert paired_bootstrap_margin(model, floor, f1, 300, 1, aggregate_sums=f1_sums) == whole


def test_equal_models_beat_nothing_half_of_the_time_would() -> None:
    """Coverage: where model and floor are equally good, `beats` is wrong in about 5 % of worlds."""
    rng = np.random.default_rng(5)
    worlds, n = 1000, 120
    wrong = 0
    for seed in range(worlds):
        easy = rng.random(n)  # shared difficulty makes the pairs correlate
        pair = [(easy + rng.normal(0, 0.3, n) > 0.5).astype(float) for _ in range(2)]
        got = paired_bootstrap_margin(
            pair[0], pair[1], accuracy, 400, seed, aggregate_sums=lambda s: 100 * s[:, 0] / n
        )
        wrong += got.beats
    assert 0.025 < wrong / worlds < 0.075


def test_a_true_lead_is_covered() -> None:
    """The bound lies below the true margin (10 points) in about 95 % of worlds."""
    rng = np.random.default_rng(6)
    worlds, n = 600, 200
    covered = 0
    for seed in range(worlds):
        draw = rng.random(n)
        model, floor = (draw < 0.6).astype(float), (rng.random(n) < 0.5).astype(float)
        got = paired_bootstrap_margin(
            model, floor, accuracy, 400, seed, aggregate_sums=lambda s: 100 * s[:, 0] / n
        )
        covered += got.lower_bound <= 10
    assert 0.92 < covered / worlds < 0.98


def test_identical_predictions_are_no_lead() -> None:
    ones = np.ones(30)
    got = paired_bootstrap_margin(ones, ones, accuracy)
    assert (got.margin, got.lower_bound, got.beats) == (0, 0, False)


def test_a_lead_in_the_last_bit_is_no_lead() -> None:
    model, floor = np.full(30, 0.1 + 0.2), np.full(30, 0.3)
    assert not paired_bootstrap_margin(model, floor, accuracy).beats


def test_a_win_on_every_example_is_a_lead() -> None:
    got = paired_bootstrap_margin(np.ones(5), np.zeros(5), accuracy)
    assert (got.margin, got.lower_bound, got.beats) == (100, 100, True)


@pytest.mark.parametrize("n", [1, 4])
def test_too_few_examples_are_no_evidence(n: int) -> None:
    got = paired_bootstrap_margin(np.ones(n), np.zeros(n), accuracy)
    assert (got.margin, got.lower_bound, got.beats, got.method) == (100, -100, False, "none: n<5")


def test_an_undefined_resample_speaks_against_the_model() -> None:
    def ratio(statistics: Array) -> float:
        with np.errstate(invalid="ignore"):
            return float(100 * statistics[:, 0].sum() / statistics[:, 1].sum())

    # One example of six carries everything: a third of all resamples leave it out.
    model = np.zeros((6, 2))
    model[0] = 1
    got = paired_bootstrap_margin(model, model * [0, 1], ratio, 200)
    assert (got.margin, got.lower_bound, got.beats) == (100, -100, False)


@pytest.mark.parametrize(
    ("model", "floor", "resamples", "message"),
    [
        (np.ones(5), np.ones(6), 100, "5 examples of the model but 6"),
        (np.ones(0), np.ones(0), 100, "no examples"),
        (np.ones(5), np.ones(5), 18, "needs 19 or more"),
        (np.ones((5, 1, 1)), np.ones((5, 1, 1)), 100, "allowed is [n, k]"),
        (np.full(5, np.nan), np.ones(5), 100, "not a finite number"),
    ],
)
def test_refusals(model: Array, floor: Array, resamples: int, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        paired_bootstrap_margin(model, floor, accuracy, resamples)


def test_sums_that_disagree_are_refused() -> None:
    with pytest.raises(ValueError, match="aggregate_sums gives"):
        paired_bootstrap_margin(
            np.ones(9), np.zeros(9), accuracy, aggregate_sums=lambda s: 100 * s[:, 0]
        )


def test_it_is_fast() -> None:
    rng = np.random.default_rng(0)
    model, floor = counts(rng, 200), counts(rng, 200)
    times = []
    for _ in range(20):
        start = time.thread_time()
        paired_bootstrap_margin(model, floor, f1, 1000, aggregate_sums=f1_sums)
        times.append(time.thread_time() - start)
    # The aim is 5 ms; a busy machine gets room, a loop over resamples (20 ms) does not.
    assert min(times) < 0.012


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([4.0], (4.0, None, 4.0, 4.0, 1)),
        ([1.0, 2.0, 3.0], (2.0, 1.0, 1.0, 3.0, 3)),
        ([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0], (5.0, (32 / 7) ** 0.5, 2.0, 9.0, 8)),
        ([0.1, 0.1, 0.1], (0.1, 0.0, 0.1, 0.1, 3)),
    ],
)
def test_mean_and_spread(values: list[float], expected: tuple[float | None, ...]) -> None:
    got = mean_and_spread(values)
    assert (got.mean, got.sd, got.min, got.max, got.n) == pytest.approx(expected)
    assert got.min <= got.mean <= got.max


def test_mean_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        mean_and_spread([])


def test_average_scores() -> None:
    scores = {"sw": 50.0, "en": 80.0, "th": 0.1}
    assert average_scores(scores, ["sw", "en"]) == 65.0
    assert average_scores(scores, []) is None
    assert average_scores(scores, ["th", "sw", "en"]) == average_scores(scores, ["en", "th", "sw"])
    with pytest.raises(ValueError, match="no score for language 'yo'"):
        average_scores(scores, ["sw", "yo"])
