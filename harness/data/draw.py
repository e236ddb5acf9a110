"""Which training rows of a source a set takes: a share of them, a number of them, by a seed.

A row's place in the order of drawing is the hash of the seed, of its source, and of its group (its
parallel row) or id, not of its position. Sources are drawn independently, so that two that hold
the same rows do not give the same ones; a parallel draw leaves the source out of the hash, and then
translations of the same rows are drawn together, even where a file lacks some of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.data.dataset import Dataset, make_dataset
from harness.data.examples import Example
from harness.data.files.groups import is_local
from harness.errors import InputError

_WHOLE = 1 << 64
_CHUNK = 1000
CountTokens = Callable[[Sequence[Example]], Sequence[int]]


class DrawError(InputError):
    """A set asks for more of a source than there is, or for what cannot be counted."""


@dataclass(frozen=True, slots=True)
class Draw:
    """Share (2, 4): the second of four disjoint shares. Of these rows, so many examples or tokens.

    Without any of the three all rows are taken. `parallel`: rows that several sources hold are
    drawn from all of them.
    """

    share: tuple[int, int] | None = None
    examples: int | None = None
    tokens: int | None = None
    parallel: bool = False

    @property
    def all(self) -> bool:
        """Whether it takes every row."""
        return self.share is None and self.examples is None and self.tokens is None

    def limit(self) -> str:
        """What it asks for, in words."""
        share = f" of share {self.share[0]}/{self.share[1]}" if self.share else ""
        return f"{self.tokens} tokens{share}" if self.tokens else f"{self.examples} rows{share}"


ALL_ROWS = Draw()


def draw_rows(
    dataset: Dataset, draw: Draw, seed: int, count_tokens: CountTokens | None = None
) -> Dataset:
    """The drawn rows in the order of the data set; `rows_before_draw` says out of how many.

    With tokens the rows are taken in the order of drawing until the next one would exceed them. A
    DrawError where there are fewer examples or tokens than asked for, or fewer tokens are asked
    for than the first row has.
    """
    if draw.all:
        return dataset
    salt = f"{seed}" if draw.parallel else f"{seed}/{dataset.name}"
    order = _order(dataset.examples, draw.share, salt)
    kept, found = order[: draw.examples], len(order)
    asked = draw.examples or 1
    if draw.tokens is not None:
        assert count_tokens is not None, "a draw by tokens needs a tokenizer"
        kept, found = _fitting(dataset.examples, order, draw.tokens, count_tokens)
        asked = draw.tokens
    place = f"{dataset.name} ({dataset.language})"
    if found < asked:
        raise DrawError(
            f"{place}: the set asks for {draw.limit()}, but there are {found}; lower the budget, "
            "or choose a source with more rows"
        )
    if not kept:
        raise DrawError(
            f"{place}: the set asks for {draw.limit()}, but the first row that is drawn has "
            f"{found}; raise the budget"
        )
    examples = [dataset.examples[row] for row in sorted(kept)]
    counts = {**dataset.counts, "rows_before_draw": len(dataset)}
    return make_dataset(dataset.name, dataset.language, examples, counts)


def _order(examples: Sequence[Example], share: tuple[int, int] | None, salt: str) -> list[int]:
    """Row numbers of the share, in the order in which rows are drawn."""
    places = [_place(example, salt) for example in examples]
    rows = range(len(examples))
    if share is not None:
        number, count = share
        rows_of_share = [row for row in rows if places[row] * count // _WHOLE == number - 1]
        return sorted(rows_of_share, key=lambda row: (places[row], row))
    return sorted(rows, key=lambda row: (places[row], row))


def _place(example: Example, salt: str) -> int:
    """A number below 2^64, uniform over rows; under one salt the same for a row's translations."""
    group = example.group
    key = example.id if group is None or is_local(group) else group
    return int.from_bytes(hashlib.sha256(f"{salt}/{key}".encode()).digest()[:8], "big")


def _fitting(
    examples: Sequence[Example], order: Sequence[int], limit: int, count: CountTokens
) -> tuple[list[int], int]:
    """The first rows with at most `limit` tokens, and the tokens that were found, or more."""
    total, kept = 0, list[int]()
    for start in range(0, len(order), _CHUNK):  # counting is encoding: no more than needed
        rows = order[start : start + _CHUNK]
        for row, size in zip(rows, count([examples[row] for row in rows]), strict=True):
            total += size
            if total > limit:
                return kept, total
            kept.append(row)
    return kept, total
