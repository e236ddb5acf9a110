"""Sets of sentence-id pairs (BUCC): precision, recall and F1 as XTREME's `bucc_f1` counts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from harness.formats.base import Statistics

Pair = tuple[str, str]


def pair_statistics(predicted: Iterable[Pair], gold: Iterable[Pair]) -> Statistics:
    """`[n, 3]`: right, predicted and gold pairs of each first id in either set, sorted by id.

    Sets: a pair that is given twice counts once.
    """
    given, wanted = set(predicted), set(gold)
    columns = [Counter(first for first, _ in pairs) for pairs in (given & wanted, given, wanted)]
    firsts = sorted(columns[1].keys() | columns[2].keys())
    rows = [[counts[first] for counts in columns] for first in firsts]
    return np.asarray(rows, dtype=np.float64).reshape(-1, 3)


def precision_recall_f1(statistics: Statistics) -> dict[str, float]:
    """F1, precision and recall in percent from rows of right, predicted, gold; 0 without any right.

    Also those of tagging, whose statistics count chunks the same way.
    """
    right, predicted, gold = statistics.sum(axis=0)
    if not right:
        return {"f1": 0.0, "precision": 0.0, "recall": 0.0}
    return {
        "f1": float(200.0 * right / (predicted + gold)),
        "precision": float(100.0 * right / predicted),
        "recall": float(100.0 * right / gold),
    }
