"""Rows with named fields, from tables (csv, tsv) and from JSON (lines, or one list)."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data.files.options import Options
from harness.data.files.rows import (
    Line,
    RowProblem,
    parse_json,
    place,
    read_json,
    read_lines,
    starts_with,
)
from harness.errors import InputError

TABLE_OPTIONS: Mapping[str, Any] = {"delimiter": "\t", "header": False, "quoting": "none"}


@dataclass(frozen=True, slots=True)
class Record:
    """One row: where it stands, its fields, and what is wrong with it (then `fields` is empty)."""

    file: Path
    place: str
    row: int  # from 0, within its file, without the header
    fields: Mapping[str, Any]
    problem: str | None = None

    def field(self, name: str) -> Any:
        """A field by name or dotted path (`question.stem`); raises RowProblem if it is missing."""
        if self.problem is not None:
            raise RowProblem(self.problem)
        value: Any = self.fields
        for key in [name] if name in self.fields else name.split("."):
            if not isinstance(value, Mapping) or key not in value:
                present = ", ".join(map(str, self.fields))
                raise RowProblem(f"no field '{name}'; the row has: {present}")
            value = value[key]
        return value


@dataclass(frozen=True, slots=True)
class Table:
    """How a table is written: delimiter, header row, quoting (`csv` or `none`)."""

    delimiter: str
    header: bool
    quoting: str

    @classmethod
    def of(cls, options: Options) -> Table:
        """From a reader's options (`TABLE_OPTIONS`)."""
        delimiter = options.text("delimiter")
        if len(delimiter) != 1 or delimiter in '\r\n"':
            raise options.bad("delimiter", "one character that is no quote or line end")
        return cls(delimiter, options.flag("header"), options.choice("quoting", ("csv", "none")))


def table_records(file: Path, table: Table, columns: Sequence[str]) -> Iterator[Record]:
    """The rows of a table, fields by column name and by 0-based index (as text).

    Every row must have as many cells as the first; a header without one of the `columns` is an
    InputError. Blank lines are allowed at the end of the file only.
    """
    rows = _csv_rows(file, table) if table.quoting == "csv" else _plain_rows(file, table)
    names: list[str] = []
    width = 0
    blank: int | None = None
    count = 0
    for number, cells, problem in rows:
        where = place(file, number)
        if not cells and problem is None:
            blank = number if blank is None else blank
            continue
        if blank is not None:  # not the end of the file after all
            yield Record(file, place(file, blank), count, {}, "blank line between rows")
            blank, count = None, count + 1
        if width == 0 and problem is None:
            width = len(cells)
            names = cells if table.header else []
            _check_columns(where, names, width, columns)
            if table.header:
                continue
        wrong = None if len(cells) == width else f"{len(cells)} columns, the first row has {width}"
        if problem or wrong:
            yield Record(file, where, count, {}, problem or wrong)
        else:
            fields = {str(index): cell for index, cell in enumerate(cells)}
            yield Record(file, where, count, fields | dict(zip(names, cells, strict=False)))
        count += 1


def json_records(file: Path) -> Iterator[Record]:
    """The objects of a file of JSON lines, or of one JSON list; blank lines are skipped."""
    if starts_with(file, b"["):
        for row, value in enumerate(_json_list(file)):
            yield _json_record(file, f"{file}, entry {row + 1}", row, value)
        return
    row = 0
    for line in read_lines(file):
        if not line.text.strip():
            continue
        where = place(file, line.number)
        try:
            if line.problem is not None:
                raise RowProblem(line.problem)
            yield _json_record(file, where, row, parse_json(line.text))
        except RowProblem as problem:
            yield Record(file, where, row, {}, str(problem))
        row += 1


def _plain_rows(file: Path, table: Table) -> Iterator[tuple[int, list[str], str | None]]:
    for line in read_lines(file):
        cells = line.text.split(table.delimiter) if line.text else []
        yield line.number, cells, line.problem


def _csv_rows(file: Path, table: Table) -> Iterator[tuple[int, list[str], str | None]]:
    problems: dict[int, str] = {}

    def text(lines: Iterator[Line]) -> Iterator[str]:
        for line in lines:
            if line.problem is not None:
                problems[line.number] = line.problem
            # The line end goes back on: a quoted cell may run over it. NUL would stop the parser.
            yield line.text.replace("\0", "\ufffd") + "\n"

    # Strict, since the lenient mode swallows whole rows after a stray quote without a word.
    parser = csv.reader(text(read_lines(file)), delimiter=table.delimiter, strict=True)
    while True:
        first = parser.line_num + 1
        try:
            cells = next(parser)
        except StopIteration:
            return
        except csv.Error as error:
            problem = (
                f"broken CSV quoting ({error}); where quotes are plain text, use quoting: none"
            )
            yield first, ["?"], problem
            continue
        found = [problems[n] for n in range(first, parser.line_num + 1) if n in problems]
        yield first, cells, found[0] if found else None


def _check_columns(where: str, names: list[str], width: int, columns: Sequence[str]) -> None:
    for column in columns:
        if column in names or (column.isdecimal() and int(column) < width):
            continue
        if names:
            raise InputError(f"{where}: no column '{column}'; the header has: {', '.join(names)}")
        if not column.isdecimal():
            raise InputError(f"{where}: column '{column}' is a name, but the table has no header")
        raise InputError(f"{where}: no column {column}; the row has columns 0 to {width - 1}")


def _json_list(file: Path) -> list[Any]:
    value = read_json(file)
    if not isinstance(value, list):
        raise InputError(f"{file}: must be JSON lines or one JSON list")
    return value


def _json_record(file: Path, where: str, row: int, value: Any) -> Record:
    if not isinstance(value, dict):
        return Record(file, where, row, {}, "must be a JSON object")
    return Record(file, where, row, value)
