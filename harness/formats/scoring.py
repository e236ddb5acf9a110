"""What the statistics and floors of several formats share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.data.examples import Example
from harness.errors import InputError
from harness.formats.base import Statistics


def check_counts(predictions: Sequence[Any], examples: Sequence[Example]) -> None:
    """One prediction per example, else InputError (XTREME's scorer asserts the same)."""
    if len(predictions) != len(examples):
        raise InputError(
            f"{len(predictions)} predictions for {len(examples)} examples; "
            "give one prediction per example, in the order of the examples"
        )


def withheld(example: Example) -> InputError:
    """The error for an example that needs a gold answer and has none."""
    return InputError(
        f"example '{example.id}' ({example.language}): the gold is withheld; "
        "use a split that comes with gold"
    )


def unknown_label(example: Example, label: str, labels: Sequence[str]) -> InputError:
    """The error for a label that the task does not have."""
    return InputError(
        f"example '{example.id}' ({example.language}): label '{label}' is unknown; "
        f"allowed: {', '.join(labels)}"
    )


def label_table(labels: Sequence[str]) -> dict[str, int]:
    """Label to class index."""
    return {label: index for index, label in enumerate(labels)}


def column(values: Sequence[float | bool]) -> Statistics:
    """Statistics `[n, 1]` of one value per example."""
    return np.asarray(values, dtype=np.float64).reshape(-1, 1)


def mean_percent(statistics: Statistics, metrics: Sequence[str]) -> dict[str, float]:
    """The mean of each column, in percent; InputError without any example."""
    if len(statistics) == 0:
        raise InputError("no examples to score; give at least one")
    means = 100.0 * statistics.mean(axis=0)
    return {metric: float(mean) for metric, mean in zip(metrics, means, strict=True)}


def precision_recall_f1(right: float, predicted: float, gold: float) -> dict[str, float]:
    """F1, precision and recall in percent from three counts; all 0 where nothing is right."""
    if not right:
        return {"f1": 0.0, "precision": 0.0, "recall": 0.0}
    return {
        "f1": float(200.0 * right / (predicted + gold)),
        "precision": float(100.0 * right / predicted),
        "recall": float(100.0 * right / gold),
    }
