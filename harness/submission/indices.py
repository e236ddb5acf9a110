"""Bitext retrieval (Tatoeba): for each line of the sorted English file the other side's line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from harness.catalog import Target
from harness.data import BitextExample
from harness.data.files.rows import place
from harness.errors import InputError
from harness.formats import BitextRetrieval, Statistics
from harness.submission.layout import Given, Layout, Row, check_count
from harness.submission.text import read_rows, shown

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)


class Indices(Layout[list[int]]):
    """One index per line, from 0; the English side is sorted, the other one is as published."""

    format: ClassVar[str] = BitextRetrieval.name
    main: ClassVar[tuple[str, ...]] = BitextRetrieval.metrics
    needs_examples: ClassVar[bool] = True

    def read_gold(self, file: Path, task: Target, language: str) -> list[int]:
        """Indices in the order of the sorted English file, each of them once."""
        indices = _read(file)
        seen: set[int] = set()
        for number, index in enumerate(indices, start=1):
            if index in seen:
                raise InputError(
                    f"{place(file, number)}: {index} stands in an earlier line, too; each line of "
                    "the other side is the translation of one English line"
                )
            seen.add(index)
        return indices

    def read_predictions(self, file: Path, gold: list[int], gold_file: Path, task: Target) -> Given:
        """As many indices as the gold has."""
        indices = _read(file)
        check_count(file, len(indices), gold_file, len(gold), "indices")
        return Given(indices)

    def size(self, gold: list[int]) -> int:
        """English sentences."""
        return len(gold)

    def statistics(self, given: Given, gold: list[int], task: Target) -> Statistics:
        """1 where the index is right."""
        examples = [BitextExample(str(i), "", None, "", "") for i in range(len(gold))]
        # Examples are aligned pairs: a row is right where both files name the same line.
        pairs = zip(given.predictions, gold, strict=True)
        aligned = [number if index == want else -1 for number, (index, want) in enumerate(pairs)]
        return BitextRetrieval().statistics(aligned, examples)

    def predictions_text(
        self, rows: Sequence[Row], examples: Sequence[BitextExample], task: Target
    ) -> str:
        """The rows' indices in the order of the sorted English sentences."""
        return _text([int(rows[place_].prediction) for place_ in english_order(examples)])

    def gold_text(self, examples: Sequence[BitextExample], task: Target) -> str:
        """The lines of the other side that the sorted English sentences translate."""
        return _text(english_order(examples))


def english_order(examples: Sequence[BitextExample]) -> list[int]:
    """Places of examples whose English sentences are in order of code points, equals as they came.

    XTREME's `tatoeba_preprocess` sorts the stripped lines the same way.
    """
    return sorted(range(len(examples)), key=lambda i: examples[i].english.strip())


def _read(file: Path) -> list[int]:
    indices = []
    for number, row in enumerate(read_rows(file), start=1):
        if not _INDEX.fullmatch(row):
            problem = f"{shown(row)} is no line number" if row else "the line is blank"
            raise InputError(
                f"{place(file, number)}: {problem}; write one integer per line, 0 for the first"
            )
        indices.append(int(row))
    return indices


def _text(indices: Sequence[int]) -> str:
    return "".join(f"{index}\n" for index in indices)
