"""Pairs from tables: csv and tsv, with or without a header, quoted or plain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from harness.data.dataset import ReadRequest
from harness.data.examples import PairExample
from harness.data.files.options import Options
from harness.data.files.pairs import PAIR_OPTIONS, Pairs, pair_examples
from harness.data.files.records import TABLE_OPTIONS, Table, table_records
from harness.data.files.rows import RowProblem, scalar_of
from harness.errors import InputError

_OPTIONS: Mapping[str, Any] = {
    **TABLE_OPTIONS,
    **PAIR_OPTIONS,
    "columns": {"premise": 0, "hypothesis": 1, "label": 2},
    "gold_file": None,
}
_GOLD_OPTIONS: Mapping[str, Any] = {**TABLE_OPTIONS, "label": "label"}


def read_delimited(request: ReadRequest) -> Iterator[PairExample]:
    """Pair examples from tables.

    `gold_file` says that the last file holds the labels, row by row (options of that table, and its
    column `label`): some parallel sets publish gold in one language only.
    """
    options = Options("delimited", request.options, _OPTIONS)
    table = Table.of(options)
    files, gold = request.files, None
    if options.value("gold_file") is not None:
        gold_options = Options("delimited, gold_file", options.table("gold_file"), _GOLD_OPTIONS)
        options = Options("delimited", {**request.options, "gold": "withheld"}, _OPTIONS)
        if len(files) < 2:
            raise InputError("reader 'delimited': with gold_file, name the file with the gold last")
        files, gold = files[:-1], _gold(request, gold_options)
    pairs = Pairs.of(options, "columns")
    columns = pairs.columns()
    records = chain.from_iterable(table_records(file, table, columns) for file in files)
    yield from pair_examples(request, pairs, records, gold)


def _gold(request: ReadRequest, options: Options) -> list[str | None]:
    column = str(options.value("label"))
    labels: list[str | None] = []
    for record in table_records(request.files[-1], Table.of(options), [column]):
        try:
            labels.append(scalar_of(record.field(column), "label"))
        except RowProblem as problem:
            request.report.bad(record.place, str(problem))
            labels.append(None)
    return labels
