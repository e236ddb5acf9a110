"""From rows with named fields to pair examples: what tables and JSON lines share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.data.dataset import ReadRequest
from harness.data.examples import PairExample
from harness.data.files.groups import Grouping
from harness.data.files.options import Options
from harness.data.files.records import Record
from harness.data.files.rows import RowProblem, known, scalar_of, text_of

PAIR_OPTIONS: Mapping[str, Any] = {
    "label_map": {},
    "drop_labels": (),
    "gold": "given",
    "group": None,
    "group_namespace": None,
    "group_base": 0,
    "where": {},
}
_FIELDS = ("premise", "hypothesis", "label", "id")


@dataclass(frozen=True, slots=True)
class Pairs:
    """What the fields of a row mean as a pair."""

    premise: str
    hypothesis: str | None  # None: a task on one text
    label: str | None  # None: withheld, or in another file
    id: str | None
    label_map: Mapping[str, str]
    drop_labels: tuple[str, ...]
    grouping: Grouping
    where: Mapping[str, str]

    @classmethod
    def of(cls, options: Options, fields: str) -> Pairs:
        """From `PAIR_OPTIONS` and the option that names the fields (`columns` or `fields`)."""
        names = options.strings(fields)
        if "premise" not in names or not set(names) <= set(_FIELDS):
            raise options.bad(fields, f"a mapping with premise and any of {', '.join(_FIELDS[1:])}")
        label = None if options.withheld() else names.get("label")
        if label is None and not options.withheld():
            raise options.bad(fields, "a mapping with label (or set gold: withheld)")
        return cls(
            names["premise"],
            names.get("hypothesis"),
            label,
            names.get("id"),
            options.strings("label_map"),
            tuple(str(label) for label in options.value("drop_labels")),
            Grouping.of(options),
            options.strings("where"),
        )

    def columns(self) -> list[str]:
        """Every field that a row must have."""
        grouped = None if self.grouping.field == "row" else self.grouping.field
        named = (self.premise, self.hypothesis, self.label, self.id, grouped, *self.where)
        return [name for name in named if name is not None]

    def wants(self, record: Record) -> bool:
        """Whether the row has the values that `where` asks for."""
        return all(str(record.fields.get(name)) == value for name, value in self.where.items())


def pair_examples(
    request: ReadRequest,
    pairs: Pairs,
    records: Iterable[Record],
    gold: Sequence[str | None] | None = None,
) -> Iterator[PairExample]:
    """Records as pairs; with `gold` the label of row i is `gold[i]` (None: dropped and counted).

    Rows are counted before any is dropped, so that the numbers of parallel files agree.
    """
    wanted = (record for record in records if record.problem is not None or pairs.wants(record))
    for row, record in enumerate(wanted):
        try:
            label = _label(request, pairs, record, row, gold)
            if label is not _DROPPED:
                yield _pair(request, pairs, record, row, label if isinstance(label, str) else None)
        except RowProblem as problem:
            request.report.bad(record.place, str(problem))


_DROPPED = object()


def _label(
    request: ReadRequest,
    pairs: Pairs,
    record: Record,
    row: int,
    gold: Sequence[str | None] | None,
) -> object:
    if gold is not None:
        raw = gold[row] if row < len(gold) else None
        if raw is None:
            request.report.counts["rows_without_gold"] += 1
            return _DROPPED
    elif pairs.label is None:
        return None
    else:
        raw = scalar_of(record.field(pairs.label), "label")
    if raw in pairs.drop_labels:
        request.report.counts["labels_dropped"] += 1
        return _DROPPED
    return known(pairs.label_map.get(raw, raw), "label", request.labels)


def _pair(
    request: ReadRequest, pairs: Pairs, record: Record, row: int, label: str | None
) -> PairExample:
    premise = text_of(record.field(pairs.premise), pairs.premise)
    hypothesis = ""
    if pairs.hypothesis is not None:
        hypothesis = text_of(record.field(pairs.hypothesis), pairs.hypothesis)
    if not premise.strip() or (pairs.hypothesis is not None and not hypothesis.strip()):
        # Published translations hold some; the official scores count these rows, so they stay.
        request.report.counts["empty_texts"] += 1
    name = f"{request.file_name(record.file)}:{record.row}"
    if pairs.id is not None:
        name = scalar_of(record.field(pairs.id), pairs.id)
    return PairExample(
        id=name,
        language=request.language,
        group=pairs.grouping.name(record, row),
        premise=premise,
        hypothesis=hypothesis,
        label=label,
    )
