"""Paired bootstrap and small summaries; numpy only."""

from __future__ import annotations

import math
import statistics as _stdlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

CONFIDENCE = 0.95
# With fewer examples not even a win on every one is evidence at 95 % (sign test: 0.5^4 > 0.05).
MIN_EXAMPLES = 5
_WORST = -100.0  # scores are percentages: no difference can be below
_CELLS = 1 << 22  # resampling weights held at once (32 MiB)


@dataclass(frozen=True, slots=True)
class Margin:
    """Score minus floor in percentage points, and its one-sided lower confidence bound."""

    margin: float
    lower_bound: float
    beats: bool
    confidence: float
    method: str


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean, sample standard deviation (None for one value), least, greatest, number of values."""

    mean: float
    sd: float | None
    min: float
    max: float
    n: int


def paired_bootstrap_margin(
    model_stats: Array,
    floor_stats: Array,
    aggregate: Callable[[Array], float],
    resamples: int = 1000,
    seed: int = 0,
    *,
    aggregate_sums: Callable[[Array], Array] | None = None,
) -> Margin:
    """One-sided 95 % lower bound of score(model) - score(floor), both on the same resamples.

    `aggregate` maps statistics `[n, k]` to the score in percent. Where the score depends on their
    sums only, `aggregate_sums` maps sums `[R, k]` to R scores and replaces the slow loop.
    Percentile method (Efron & Tibshirani 1993, ch. 13). Equal seeds give equal resamples.
    """
    model, floor = _matrix(model_stats), _matrix(floor_stats)
    if len(model) != len(floor):
        raise ValueError(f"{len(model)} examples of the model but {len(floor)} of the floor")
    if not len(model):
        raise ValueError("no examples: a margin is not defined")
    rank = math.floor((1 - CONFIDENCE) * (resamples + 1) + 1e-9)
    if rank < 1:
        raise ValueError(f"{resamples} resamples: a 95 % bound needs 19 or more")
    margin = float(aggregate(model)) - float(aggregate(floor))
    if not math.isfinite(margin):
        raise ValueError("the aggregate of the statistics is not a finite number")
    if len(model) < MIN_EXAMPLES:
        return Margin(margin, _WORST, False, CONFIDENCE, f"none: n<{MIN_EXAMPLES}")
    rng = np.random.default_rng(seed)
    if aggregate_sums is None:
        differences = _resample_examples(model, floor, aggregate, resamples, rng)
    else:
        _check_sums(model, aggregate, aggregate_sums)
        differences = _resample_sums(model, floor, aggregate_sums, resamples, rng)
    # A resample on which a score is undefined cannot speak for the model.
    differences = np.where(np.isfinite(differences), differences, _WORST)
    # Rounded: two equal scores may differ in the last bit, and that is no lead.
    lower = round(float(np.partition(differences, rank - 1)[rank - 1]), 9)
    return Margin(margin, lower, lower > 0, CONFIDENCE, f"paired-bootstrap-{resamples}")


def mean_and_spread(values: Iterable[float]) -> Spread:
    """Summary of one or more values; ValueError for none."""
    items = [float(v) for v in values]
    if not items:
        raise ValueError("no values: a mean is not defined")
    sd = _stdlib.stdev(items) if len(items) > 1 else None
    return Spread(_mean(items), sd, min(items), max(items), len(items))


def average_scores(scores: Mapping[str, float], languages: Sequence[str]) -> float | None:
    """Mean of the scores of `languages`, each counted once; None for no languages."""
    missing = [code for code in languages if code not in scores]
    if missing:
        raise ValueError(f"no score for language {missing[0]!r}; there are {', '.join(scores)}")
    return _mean([scores[code] for code in languages]) if languages else None


def _mean(values: Sequence[float]) -> float:
    # fsum is exact: the order of languages cannot move the last digit. Clamped for equal values.
    return min(max(math.fsum(values) / len(values), min(values)), max(values))


def _matrix(values: Array) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise ValueError(f"statistics have shape {array.shape}; allowed is [n, k]")
    return array


def _indices(rng: np.random.Generator, rows: int, n: int) -> npt.NDArray[np.int64]:
    return rng.integers(n, size=(rows, n), dtype=np.int64)


def _resample_examples(
    model: Array,
    floor: Array,
    aggregate: Callable[[Array], float],
    resamples: int,
    rng: np.random.Generator,
) -> Array:
    differences = np.empty(resamples)
    for row in range(resamples):
        chosen = _indices(rng, 1, len(model))[0]
        differences[row] = aggregate(model[chosen]) - aggregate(floor[chosen])
    return differences


def _resample_sums(
    model: Array,
    floor: Array,
    aggregate_sums: Callable[[Array], Array],
    resamples: int,
    rng: np.random.Generator,
) -> Array:
    n, k = model.shape
    both = np.ascontiguousarray(np.hstack([model, floor]).T)  # [2k, n]: sums run along memory
    parts = []
    step = max(1, _CELLS // n)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        # Draws in row order: the size of a block does not change the resamples.
        flat = _indices(rng, rows, n) + np.arange(rows)[:, None] * n
        weights = np.bincount(flat.ravel(), minlength=rows * n).reshape(rows, n)
        # einsum, not BLAS: its sums do not depend on the number of threads.
        sums = np.einsum("rn,kn->rk", weights.astype(np.float64), both)
        parts.append(aggregate_sums(sums[:, :k]) - aggregate_sums(sums[:, k:]))
    return np.concatenate(parts)


def _check_sums(
    model: Array, aggregate: Callable[[Array], float], aggregate_sums: Callable[[Array], Array]
) -> None:
    slow = float(aggregate(model))
    fast = np.asarray(aggregate_sums(model.sum(axis=0, keepdims=True)))
    if fast.shape != (1,) or not math.isclose(slow, float(fast[0]), rel_tol=1e-9, abs_tol=1e-9):
        raise ValueError(f"aggregate_sums gives {fast} where aggregate gives {slow}")
