"""Bitext mining (BUCC): the ids of two sentences per line, separated by a tab, in any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from harness.catalog import Target
from harness.data import MiningExample
from harness.data.files.rows import place
from harness.errors import InputError
from harness.formats import BitextMining, Statistics
from harness.submission.layout import Given, Layout, Row
from harness.submission.text import read_rows, shown

Pair = tuple[str, str]


class Pairs(Layout[list[Pair]]):
    """`de-000413461<TAB>en-000367951` per line."""

    format: ClassVar[str] = BitextMining.name
    main: ClassVar[tuple[str, ...]] = ("f1",)
    needs_examples: ClassVar[bool] = True

    def read_gold(self, file: Path, task: Target, language: str) -> list[Pair]:
        """Pairs, each once."""
        pairs = _read(file)
        seen: dict[Pair, int] = {}
        for number, pair in enumerate(pairs, start=1):
            if pair in seen:
                raise InputError(
                    f"{place(file, number)}: the pair {' '.join(pair)} stands in line "
                    f"{seen[pair]} already; gold has each pair once"
                )
            seen[pair] = number
        return pairs

    def read_predictions(
        self, file: Path, gold: list[Pair], gold_file: Path, task: Target
    ) -> Given:
        """Pairs of ids of the gold's two sides; repeated ones count once and are noted."""
        pairs = _read(file)
        sides = [{_side(pair[column]) for pair in gold} for column in (0, 1)]
        for number, pair in enumerate(pairs, start=1):
            for name, known, column in zip(pair, sides, ("first", "second"), strict=True):
                if _side(name) not in known:
                    raise InputError(
                        f"{place(file, number)}: id {shown(name)} is not of the {column} side; "
                        f"in {gold_file} its ids start with {', '.join(sorted(known))}"
                    )
        return Given(pairs, {"repeated": len(pairs) - len(set(pairs))})

    def size(self, gold: list[Pair]) -> int:
        """Gold pairs."""
        return len(gold)

    def statistics(self, given: Given, gold: list[Pair], task: Target) -> Statistics:
        """Pairs of each first id that are right, predicted, gold."""
        return pair_statistics(given.predictions, gold)

    def predictions_text(
        self, rows: Sequence[Row], examples: Sequence[MiningExample], task: Target
    ) -> str:
        """A line for each sentence that was paired; InputError if none was."""
        pairs = zip(examples, rows, strict=True)
        lines = [(one.key, row.prediction) for one, row in pairs if row.prediction is not None]
        if not lines:
            raise InputError("no pair was found; an empty file is no submission")
        return _text(lines)

    def gold_text(self, examples: Sequence[MiningExample], task: Target) -> str:
        """A line for each pair of translations."""
        return _text([(one.key, other) for one in examples for other in one.partners or ()])


def pair_statistics(predicted: Iterable[Pair], gold: Iterable[Pair]) -> Statistics:
    """`[n, 3]`: right, predicted and gold pairs of each first id in either set, sorted by id.

    Sets, as in XTREME's `bucc_f1`: a pair that is given twice counts once.
    """
    given, wanted = set(predicted), set(gold)
    columns = [Counter(first for first, _ in pairs) for pairs in (given & wanted, given, wanted)]
    firsts = sorted(columns[1].keys() | columns[2].keys())
    rows = [[counts[first] for counts in columns] for first in firsts]
    return np.asarray(rows, dtype=np.float64).reshape(-1, 3)


def _side(name: str) -> str:
    """What the ids of one side share: `de-` of `de-000413461`."""
    return name.rstrip("0123456789")


def _read(file: Path) -> list[Pair]:
    pairs = []
    for number, row in enumerate(read_rows(file), start=1):
        cells = row.split("\t")
        if len(cells) != 2 or not all(cell and cell == cell.strip() for cell in cells):
            problem = f"{shown(row)} is no pair of ids" if row else "the line is blank"
            raise InputError(
                f"{place(file, number)}: {problem}; write two ids with one tab between them"
            )
        pairs.append((cells[0], cells[1]))
    return pairs


def _text(pairs: Iterable[Pair]) -> str:
    return "".join(f"{first}\t{second}\n" for first, second in pairs)
