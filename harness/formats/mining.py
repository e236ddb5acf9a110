"""Bitext mining as XTREME does it: neighbours both ways, ratio margin, greedy pairs, threshold.

Formulas: Artetxe and Schwenk 2019 (margin, "max" retrieval); `mine_bitext` and `bucc_optimize` of
XTREME's utils_retrieve.py. numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import InputError, WorkError

NEIGHBOURS = 4
# One product of a block of rows with a block of columns; with what goes with it, about 40 MiB at
# 1024 dimensions. Every product has this shape, the last ones too: a pair of vectors then
# has the same similarity wherever it stands, to the last bit, and equal vectors tie.
BLOCK_ROWS, BLOCK_COLUMNS = 2048, 1024
_SMALL = 128  # small sides need no such block
_FEW = 16  # up to one hit in so many is sorted as it is; more are first reduced row by row

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Per vector of one side, the `k` nearest of the other: most similar first, then lowest index.

    `similarity` `[n, k]` float32, `index` `[n, k]` int64.
    """

    similarity: Floats
    index: Indices


@dataclass(frozen=True, slots=True)
class Pairs:
    """One-to-one pairs, best score first: indices of both sides `[p]` and scores `[p]`."""

    foreign: Indices
    english: Indices
    score: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A least score of extracted pairs, and the best F1 (0 to 1) found while choosing it."""

    value: float
    f1: float


def mine(foreign: Floats, english: Floats, k: int = NEIGHBOURS) -> Pairs:
    """Pairs of rows of `[n, d]` and `[m, d]` by ratio margin on cosines, greedily one to one."""
    return pair(*neighbours(foreign, english, k))


def pair(forward: Neighbours, backward: Neighbours) -> Pairs:
    """Pairs from the neighbours of foreign rows and of English rows.

    Every row proposes its best neighbour by margin; the proposals of both sides are taken best
    first where both rows are still free (ties: lower foreign, then lower English row). Scores are
    above 0, as with XTREME's mining threshold.
    """
    ahead, back = _ratio(forward, backward), _ratio(backward, forward)
    scores = np.concatenate([ahead.max(axis=1), back.max(axis=1)])
    rows = np.arange(len(ahead)), np.arange(len(back))
    left = np.concatenate([rows[0], backward.index[rows[1], back.argmax(axis=1)]])
    right = np.concatenate([forward.index[rows[0], ahead.argmax(axis=1)], rows[1]])
    free = bytearray(b"\1") * len(ahead), bytearray(b"\1") * len(back)
    chosen = []
    order = np.lexsort((right, left, -scores))
    order = order[scores[order] > 0]
    for at, i, j in zip(order.tolist(), left[order].tolist(), right[order].tolist(), strict=True):
        if free[0][i] and free[1][j]:
            free[0][i] = free[1][j] = 0
            chosen.append(at)
    return Pairs(left[chosen], right[chosen], scores[chosen])


def best_threshold(
    scores: npt.NDArray[np.float64], correct: npt.NDArray[np.bool_], gold: int
) -> Threshold:
    """The threshold with the best F1 over pairs `[p]` that come best score first, `gold` of all.

    It is the midpoint between the last pair taken and the next one (of XTREME's `bucc_optimize`,
    which fails where the last pair of all is taken: here that pair's own score). Without any
    correct pair it is 0.
    """
    hits = np.cumsum(correct)
    if gold < 1 or not len(hits) or not hits[-1]:
        return Threshold(0.0, 0.0)
    with np.errstate(invalid="ignore"):
        precision, recall = hits / np.arange(1, len(hits) + 1), hits / gold
        # The same operations in the same order: equal scores are told apart by rounding alone.
        f1 = np.where(hits > 0, 2 * precision * recall / (precision + recall), 0.0)
    last = int(f1.argmax())
    following = scores[min(last + 1, len(scores) - 1)]
    return Threshold(float((scores[last] + following) / 2), float(f1[last]))


def neighbours(
    x: Floats,
    y: Floats,
    k: int = NEIGHBOURS,
    *,
    normalise: bool = True,
    blocks: tuple[int, int] = (BLOCK_ROWS, BLOCK_COLUMNS),
) -> tuple[Neighbours, Neighbours]:
    """The `k` nearest rows of `y [m, d]` to each of `x [n, d]`, and of `x` to each of `y`.

    Nearest by inner product, of L2-normalised vectors with `normalise`. One pass over the products
    serves both directions; nothing of size n x m or n x d is made.
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or not len(x) or not len(y):
        raise InputError(
            f"vectors of shape {x.shape} and {y.shape}; allowed: [n, d] and [m, d], none empty"
        )
    rows, columns = (
        min(b, -(-len(v) // _SMALL) * _SMALL) for b, v in zip(blocks, (x, y), strict=True)
    )
    scales = _scales(x, rows, normalise), _scales(y, rows, normalise)
    forward, backward = _Best(len(x), min(k, len(y))), _Best(len(y), min(k, len(x)))
    block_x, block_y = (np.zeros((b, x.shape[1]), np.float32) for b in (rows, columns))
    products = np.empty((rows, columns), np.float32)
    for first in range(0, len(x), rows):
        used_x = _fill(block_x, x, scales[0], first)
        for start in range(0, len(y), columns):
            used_y = _fill(block_y, y, scales[1], start)
            np.matmul(block_x, block_y.T, out=products)
            tile = products[:used_x, :used_y]
            forward.offer(tile, 0, first, start)
            backward.offer(tile, 1, start, first)
    return forward.result(), backward.result()


class _Best:
    """The `k` nearest so far of each of `n` vectors; later offers have higher indices."""

    def __init__(self, n: int, k: int) -> None:
        self._similarity = np.full((n, k), -np.inf, np.float32)
        self._index = np.zeros((n, k), np.int64)

    def result(self) -> Neighbours:
        """What is nearest of all that was offered."""
        return Neighbours(self._similarity, self._index)

    def offer(self, tile: Floats, axis: int, start: int, first: int) -> None:
        """Similarities of the vectors from `start` on (along `axis`) with others from `first`."""
        k = self._similarity.shape[1]
        least = self._similarity[start : start + tile.shape[axis], -1]
        mask = tile > (least[:, None] if axis == 0 else least)
        hits = np.count_nonzero(mask)
        if hits > tile.size // _FEW:
            own, other, values = _top(tile if axis == 0 else tile.T, k)
        else:
            places = np.divmod(_nonzero(mask), tile.shape[1])
            own, other, values = places[axis], places[1 - axis], tile[places]
        if hits:
            self._merge(own + start, other + first, values)

    def _merge(self, own: Indices, other: Indices, values: Floats) -> None:
        order = np.lexsort((other, -values, own))
        own = own[order]
        vectors, begins = np.unique(own, return_index=True)
        lengths = np.diff(np.append(begins, len(own)))
        rank = np.arange(len(own)) - np.repeat(begins, lengths)
        k = self._similarity.shape[1]
        kept = rank < k
        at = np.repeat(np.arange(len(vectors)), lengths)[kept], rank[kept] + k
        similarity = np.full((len(vectors), 2 * k), -np.inf, np.float32)
        index = np.zeros((len(vectors), 2 * k), np.int64)
        similarity[:, :k], index[:, :k] = self._similarity[vectors], self._index[vectors]
        similarity[at], index[at] = values[order][kept], other[order][kept]
        # Stable, and what was there has the lower indices.
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
        self._similarity[vectors] = np.take_along_axis(similarity, nearest, axis=1)
        self._index[vectors] = np.take_along_axis(index, nearest, axis=1)


def _top(tile: Floats, k: int) -> tuple[Indices, Indices, Floats]:
    """The `k` highest of each row, the first of equals first: rows, columns, values."""
    left = np.array(tile, order="C")  # a copy
    rows, found = np.arange(len(left)), []
    for _ in range(min(k, left.shape[1])):
        columns = left.argmax(axis=1)
        found.append((rows, columns, left[rows, columns]))
        left[rows, columns] = -np.inf
    own, other, values = (np.concatenate(part) for part in zip(*found, strict=True))
    return own, other, values


def _nonzero(mask: npt.NDArray[np.bool_]) -> Indices:
    """Positions of what is true in the flattened mask; eight at a time, as almost nothing is."""
    flat = mask.reshape(-1)
    if len(flat) % 8:
        return np.flatnonzero(flat)
    eights = flat.view(np.uint64)
    at = np.flatnonzero(eights)
    inside = np.flatnonzero(eights[at].view(np.bool_))
    found: Indices = at[inside >> 3] * 8 + (inside & 7)
    return found


def _scales(vectors: Floats, step: int, normalise: bool) -> Floats:
    """1 / length of each vector; 1 for zero vectors, and for all without `normalise`."""
    lengths = np.ones(len(vectors), np.float32)
    for start in range(0, len(vectors), step):
        norms = np.linalg.norm(vectors[start : start + step], axis=1)
        if not np.isfinite(norms).all():
            row = start + int(np.isfinite(norms).argmin())
            raise WorkError(
                f"sentence vector {row} is not finite; the model gives no numbers there "
                "(try --dtype fp32)"
            )
        if normalise:
            lengths[start : start + step] = np.where(norms > 0, norms, 1)
    return np.reciprocal(lengths)


def _fill(block: Floats, vectors: Floats, scales: Floats, start: int) -> int:
    """Put the scaled vectors from `start` on into the block; how many there are.

    What stands behind them, of the block before, is computed with and not looked at.
    """
    part = vectors[start : start + len(block)]
    np.multiply(part, scales[start : start + len(part), None], out=block[: len(part)])
    return len(part)


def _ratio(own: Neighbours, other: Neighbours) -> npt.NDArray[np.float64]:
    """`[n, k]`: each similarity over the mean of both vectors' mean similarities to neighbours."""
    means: list[Any] = [side.similarity.mean(axis=1, dtype=np.float64) for side in (own, other)]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = own.similarity / ((means[0][:, None] + means[1][own.index]) / 2)
    return np.where(np.isnan(ratio), -np.inf, ratio)
