"""Bitext mining (BUCC): the ids of two sentences per line, separated by a tab, in any order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from harness.catalog import Target
from harness.data.files.rows import place
from harness.errors import InputError
from harness.formats import Statistics
from harness.formats.pair_sets import Pair, pair_statistics, precision_recall_f1
from harness.submission.layout import Given, Layout, Row
from harness.submission.text import read_rows, shown


class Pairs(Layout[list[Pair]]):
    """`de-000413461<TAB>en-000367951` per line."""

    format: ClassVar[str] = "bitext_mining"
    main: ClassVar[tuple[str, ...]] = ("f1",)

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
        """Pairs that are right, predicted, gold."""
        return pair_statistics(given.predictions, gold)

    def metrics(self, statistics: Statistics) -> dict[str, float]:
        """F1, precision and recall of the set of pairs."""
        return precision_recall_f1(statistics)

    def predictions_text(self, rows: Sequence[Row], examples: Sequence[Any], task: Target) -> str:
        """InputError: no bench mines pairs yet."""
        raise InputError(f"{task.name}: pairs cannot be exported")

    def gold_text(self, examples: Sequence[Any], task: Target) -> str:
        """InputError: no bench mines pairs yet."""
        raise InputError(f"{task.name}: pairs cannot be exported")


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
