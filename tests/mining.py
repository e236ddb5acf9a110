"""Bitext mining one pair at a time: what the fast code is compared with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def naive_neighbours(x: Any, y: Any, k: int) -> list[list[tuple[float, int]]]:
    """Per row of x the k rows of y with the highest product, the lowest index of equals first."""
    found = []
    for row in x:
        products = [sum(a * b for a, b in zip(row, other, strict=True)) for other in y]
        order = sorted(range(len(y)), key=lambda j: (-products[j], j))
        found.append([(float(products[j]), j) for j in order[:k]])
    return found


def naive_mine(x: Any, y: Any, k: int = 4) -> list[tuple[int, int, float]]:
    """The rules of `mine_bitext` one pair at a time, in double precision."""
    x, y = (np.array(v, np.float64) for v in (x, y))
    x, y = (v / np.where((n := np.linalg.norm(v, axis=1, keepdims=True)) > 0, n, 1) for v in (x, y))
    near = naive_neighbours(x, y, k), naive_neighbours(y, x, k)
    means = [[sum(s for s, _ in row) / len(row) for row in side] for side in near]

    def best(side: int, i: int) -> tuple[float, int]:
        scored = []
        for s, j in near[side][i]:
            mean = (means[side][i] + means[1 - side][j]) / 2
            ratio = s / mean if mean else math.inf * s if s else -math.inf  # 0/0 pairs nothing
            scored.append((ratio, j))
        return max(scored, key=lambda pair: pair[0])

    proposals = [(-best(0, i)[0], i, best(0, i)[1]) for i in range(len(x))]
    proposals += [(-best(1, j)[0], best(1, j)[1], j) for j in range(len(y))]
    pairs: list[tuple[int, int, float]] = []
    for score, i, j in sorted(proposals):
        if -score > 0 and all(i != p[0] and j != p[1] for p in pairs):
            pairs.append((i, j, -score))
    return pairs


def official_threshold(items: list[tuple[float, bool]], gold: int) -> float | None:
    """`bucc_optimize`; None where it fails for lack of a next item."""
    correct = 0
    threshold, best = 0.0, 0.0
    for i, (score, right) in enumerate(items):
        correct += right
        if correct > 0:
            precision, recall = correct / (i + 1), correct / gold
            f1 = 2 * precision * recall / (precision + recall)
            if f1 > best:
                if i + 1 == len(items):
                    return None
                best, threshold = f1, (score + items[i + 1][0]) / 2
    return threshold
