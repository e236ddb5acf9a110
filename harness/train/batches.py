"""Batches of like length under a token or example budget, in an order that the seed determines."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from harness.formats import Feature

_POOL = 4096  # features that are shuffled together before they are sorted by length


def padded_tokens(features: Sequence[Feature]) -> int:
    """Tokens of these features as one padded batch: rows x longest row."""
    return sum(len(f.rows) for f in features) * max(f.length for f in features)


def epoch_batches(
    features: Sequence[Feature],
    *,
    seed: str,
    batch_size: int | None = None,
    batch_tokens: int | None = None,
    among: Sequence[int] | None = None,
) -> list[list[int]]:
    """Indices of one epoch's batches: `batch_size` features, or up to `batch_tokens` padded tokens.

    A feature longer than the token budget is a batch of its own. Every feature, or index in
    `among`, occurs exactly once.
    """
    rng = random.Random(seed)
    order = list(range(len(features)) if among is None else among)
    rng.shuffle(order)
    batches: list[list[int]] = []
    for start in range(0, len(order), _POOL):
        pool = sorted(order[start : start + _POOL], key=lambda i: features[i].length)
        batches.extend(_cut(pool, features, batch_size, batch_tokens))
    rng.shuffle(batches)
    return batches


def sorted_batches(
    features: Sequence[Feature],
    batch_tokens: int,
    among: Iterable[int] | None = None,
    most_padding: int | None = None,
) -> list[list[int]]:
    """Batches for prediction: features sorted by length, at most `batch_tokens` padded tokens.

    With `most_padding` also of at most so many tokens of padding. `among` are the indices to take,
    by default all.
    """
    indices = range(len(features)) if among is None else among
    order = sorted(indices, key=lambda i: features[i].length)
    return _cut(order, features, None, batch_tokens, most_padding)


def _cut(
    order: Sequence[int],
    features: Sequence[Feature],
    batch_size: int | None,
    batch_tokens: int | None,
    most_padding: int | None = None,
) -> list[list[int]]:
    """Cut a length-sorted order into consecutive batches."""
    batches: list[list[int]] = []
    current: list[int] = []
    rows = own = 0  # own: tokens, were each feature a batch of its own
    for index in order:
        feature = features[index]
        # Sorted ascending, so the newest feature is the longest one of the batch.
        tokens = (rows + len(feature.rows)) * feature.length
        its_own = len(feature.rows) * feature.length
        full = (
            (batch_size is not None and len(current) >= batch_size)
            or (batch_tokens is not None and tokens > batch_tokens)
            or (most_padding is not None and tokens - own - its_own > most_padding)
        )
        if current and full:
            batches.append(current)
            current, rows, own = [], 0, 0
        current.append(index)
        rows += len(feature.rows)
        own += its_own
    if current:
        batches.append(current)
    return batches
