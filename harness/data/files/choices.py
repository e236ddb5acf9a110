"""Multiple choice from JSON lines, a JSON list or a table, by naming the fields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from harness.data.dataset import ReadRequest
from harness.data.examples import ChoiceExample
from harness.data.files.groups import Grouping
from harness.data.files.options import Options
from harness.data.files.records import (
    TABLE_OPTIONS,
    Record,
    Table,
    json_records,
    table_records,
)
from harness.data.files.rows import RowProblem, scalar_of, text_of

CHOICE_OPTIONS: Mapping[str, Any] = {
    "context": ("context",),
    "context_map": {},
    "choices": ("choices",),
    "label_base": 0,
    "label_map": {},
    "gold": "given",
    "group": None,
    "group_namespace": None,
    "group_base": 0,
}
_OPTIONS: Mapping[str, Any] = {
    **TABLE_OPTIONS,
    **CHOICE_OPTIONS,
    "layout": "json",
    "label": "label",
    "id": None,
}


@dataclass(frozen=True, slots=True)
class Choices:
    """What the fields of a row mean as a question with choices."""

    request: ReadRequest
    context: tuple[str, ...]
    context_map: Mapping[str, Mapping[str, str]]  # field: value in the file: text to read
    choices: tuple[str, ...]
    label: str | None
    label_base: int
    label_map: Mapping[str, str]
    id: str | None
    grouping: Grouping

    @classmethod
    def of(cls, request: ReadRequest, options: Options, label: str, id: str | None) -> Choices:
        """From `CHOICE_OPTIONS` and the fields of label and id."""
        context_map = options.table("context_map")
        if not all(isinstance(entry, Mapping) for entry in context_map.values()):
            raise options.bad("context_map", "a mapping of fields to mappings of codes to texts")
        if not options.texts("choices"):
            raise options.bad("choices", "one field that holds a list, or a list of fields")
        return cls(
            request,
            options.texts("context"),
            {
                name: {str(k): str(v) for k, v in entry.items()}
                for name, entry in context_map.items()
            },
            options.texts("choices"),
            None if options.withheld() else label,
            options.number("label_base"),
            options.strings("label_map"),
            id,
            Grouping.of(options),
        )

    def columns(self) -> list[str]:
        """Every field that a row must have."""
        grouped = None if self.grouping.field == "row" else self.grouping.field
        named = (*self.context, *self.choices, self.label, self.id, grouped)
        return [name for name in dict.fromkeys(named) if name is not None]

    def examples(self, records: Iterable[Record]) -> Iterator[ChoiceExample]:
        """The records as examples; what is wrong with one goes to the report."""
        for row, record in enumerate(records):
            try:
                yield self.example(record, row)
            except RowProblem as problem:
                self.request.report.bad(record.place, str(problem))

    def example(self, record: Record, row: int) -> ChoiceExample:
        """The record as an example; raises RowProblem."""
        texts, names = self._choices(record)
        if len(texts) < 2:
            raise RowProblem(f"{len(texts)} choice(s); there must be at least 2")
        if not all(text.strip() for text in texts):
            # Published rows fill up a short list with empty choices; official scores count them.
            self.request.report.counts["empty_texts"] += 1
        name = f"{self.request.file_name(record.file)}:{record.row}"
        if self.id is not None:
            name = scalar_of(record.field(self.id), self.id)
        return ChoiceExample(
            id=name,
            language=self.request.language,
            group=self.grouping.name(record, row),
            context=" ".join(filter(None, [self._context(record, name) for name in self.context])),
            choices=texts,
            label=None if self.label is None else self._label(record, names),
        )

    def _context(self, record: Record, field: str) -> str:
        text = text_of(record.field(field), field).strip()
        if field not in self.context_map:
            return text
        if text not in self.context_map[field]:
            known = ", ".join(self.context_map[field])
            raise RowProblem(f"unknown {field} '{text}'; known: {known}")
        return self.context_map[field][text]

    def _choices(self, record: Record) -> tuple[tuple[str, ...], list[str]]:
        """Texts and the names they go by (letters unless the file names them)."""
        if len(self.choices) > 1:
            values: Any = [record.field(field) for field in self.choices]
        else:
            values = record.field(self.choices[0])
        if isinstance(values, Mapping):  # {"label": ["A", ...], "text": [...]}
            values = _zipped(values)
        if not isinstance(values, list):
            raise RowProblem(f"{self.choices[0]} must be a list of choices")
        texts, names = [], []
        for index, value in enumerate(values):
            named = value if isinstance(value, Mapping) else {"text": value}
            texts.append(text_of(named.get("text"), f"choice {index + 1}"))
            names.append(scalar_of(named.get("label", chr(ord("A") + index)), "label of a choice"))
        return tuple(texts), names

    def _label(self, record: Record, names: list[str]) -> int:
        assert self.label is not None
        raw = scalar_of(record.field(self.label), "label").strip()
        value = self.label_map.get(raw, raw)
        if value in names:
            return names.index(value)
        # int() reads digits of every script, and published files hold them (Persian).
        index = int(value) - self.label_base if value.isdecimal() else -1
        if not 0 <= index < len(names):
            numbers = f"{self.label_base} to {self.label_base + len(names) - 1}"
            raise RowProblem(f"unknown label '{raw}'; known: {', '.join(names)}, or {numbers}")
        return index


def read_choices(request: ReadRequest) -> Iterator[ChoiceExample]:
    """Choice examples: context fields joined by a space, choices from one list field or several.

    `context_map` turns a field's codes into text, e.g. XCOPA's question (cause, effect). A label is
    a number from `label_base`, a choice's letter or name, or what `label_map` maps to one of these.
    """
    options = Options("choices", request.options, _OPTIONS)
    choices = Choices.of(request, options, options.text("label"), options.optional_text("id"))
    yield from choices.examples(_records(request, options, choices))


def _records(request: ReadRequest, options: Options, choices: Choices) -> Iterator[Record]:
    if options.choice("layout", ("json", "table")) == "json":
        return chain.from_iterable(map(json_records, request.files))
    table = Table.of(options)
    columns = choices.columns()
    return chain.from_iterable(table_records(file, table, columns) for file in request.files)


def _zipped(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    labels, texts = values.get("label"), values.get("text")
    if not isinstance(labels, list) or not isinstance(texts, list) or len(labels) != len(texts):
        raise RowProblem("choices must hold the lists label and text, of equal length")
    return [{"label": label, "text": text} for label, text in zip(labels, texts, strict=True)]
