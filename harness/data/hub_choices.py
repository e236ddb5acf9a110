"""Multiple choice on the hub: context and choices in columns of their own, or choices in a list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.data.dataset import ReadRequest
from harness.data.examples import ChoiceExample
from harness.data.files.choices import Choices
from harness.data.files.options import Options
from harness.data.files.records import Record
from harness.data.hub_table import Place, rows

_ROW_ID = "_row_id"


def read_choice_rows(
    request: ReadRequest, options: Options, place: Place, columns: Mapping[str, str]
) -> Iterator[ChoiceExample]:
    """Choice examples; options as of the reader `choices`, `columns` names those of label and id.

    Without an id column the row's number in its split is the id.
    """
    choices = Choices.of(request, options, columns["label"], columns.get("id", _ROW_ID))
    wanted = [name for name in choices.columns() if name != _ROW_ID]

    def records() -> Iterator[Record]:
        for number, row in enumerate(rows(place, wanted, {})):
            fields = {**row, _ROW_ID: f"{place.row_prefix}:{number}"}
            yield Record(Path(place.row_prefix), f"{place}, row {number + 1}", number, fields)

    yield from choices.examples(records())
