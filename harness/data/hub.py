"""Rows of data sets on the hub as examples: one function per layout, not one per data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.data.dataset import ReadRequest
from harness.data.examples import (
    BitextExample,
    Example,
    PairExample,
    SpanExample,
    TaggingExample,
)
from harness.data.files.choices import CHOICE_OPTIONS
from harness.data.files.options import Options
from harness.data.files.pairs import PAIR_OPTIONS, Pairs, pair_examples
from harness.data.files.records import Record
from harness.data.files.rows import RowProblem, known, list_of, scalar_of, text_of
from harness.data.files.squad import SQUAD_OPTIONS, Questions
from harness.data.hub_choices import read_choice_rows
from harness.data.hub_mining import read_mining
from harness.data.hub_table import WHERE, Place, named, place_of, rows
from harness.errors import InputError

_ROW_ID = "_row_id"
Columns = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Layout:
    """How rows become examples: the function, its own options, its columns' usual names."""

    read: Callable[[ReadRequest, Options, Place, Columns], Iterator[Example]]
    options: Mapping[str, Any]
    columns: Columns
    optional: tuple[str, ...] = ()


def read_hub(request: ReadRequest) -> Iterator[Example]:
    """Examples of a split; option `layout` says what a row is, `columns` how columns are called."""
    layout = _LAYOUTS.get(str(request.options.get("layout")))
    if layout is None:
        got, allowed = request.options.get("layout"), ", ".join(_LAYOUTS)
        raise InputError(f"reader 'hub': layout '{got}' is unknown; must be one of: {allowed}")
    options = Options("hub", request.options, {**WHERE, **layout.options})
    place = place_of(options, _name(options, request))
    given = options.strings("columns")
    names = (*layout.columns, *layout.optional)
    if not given.keys() <= set(names):
        raise options.bad("columns", f"a mapping with any of {', '.join(names)}")
    yield from layout.read(request, options, place, {**layout.columns, **given})


def _name(options: Options, request: ReadRequest) -> str | None:
    return options.strings("names").get(request.language)


def _pairs(
    request: ReadRequest, options: Options, place: Place, columns: Columns
) -> Iterator[PairExample]:
    given = {name: request.options[name] for name in PAIR_OPTIONS if name in request.options}
    inner = Options("hub", {**given, "columns": columns}, {**PAIR_OPTIONS, "columns": {}})
    pairs = replace(Pairs.of(inner, "columns"), id=_ROW_ID)
    wanted = [name for name in pairs.columns() if name != _ROW_ID]
    labels = {pairs.label: options.texts("label_names")} if pairs.label else {}

    def records() -> Iterator[Record]:
        for number, row in enumerate(rows(place, wanted, labels)):
            fields, problem = dict(row), None
            try:
                # SNLI has -1 where annotators disagreed: no label, but one that may be dropped.
                if pairs.label and str(row[pairs.label]) not in pairs.drop_labels:
                    fields[pairs.label] = _label(row[pairs.label], options)
            except RowProblem as error:
                problem = str(error)
            fields[_ROW_ID] = f"{place.row_prefix}:{number}"
            where = f"{place}, row {number + 1}"
            yield Record(Path(place.row_prefix), where, number, fields, problem)

    yield from pair_examples(request, pairs, records())


def _tagged(
    request: ReadRequest, options: Options, place: Place, columns: Columns
) -> Iterator[TaggingExample]:
    tokens, tags = columns["tokens"], columns["tags"]
    labels = {tags: options.texts("label_names")}
    for number, row in enumerate(rows(place, (tokens, tags), labels)):
        try:
            words = [text_of(word, "token") for word in list_of(row[tokens], "tokens")]
            labelled = list_of(row[tags], "tags")
            found = [known(_label(tag, options), "tag", request.labels) for tag in labelled]
            if len(words) != len(found):
                raise RowProblem(f"{len(words)} words but {len(found)} tags")
            kept = [(word, tag) for word, tag in zip(words, found, strict=True) if word.strip(" ")]
        except RowProblem as problem:
            request.report.bad(f"{place}, row {number + 1}", str(problem))
            continue
        if len(kept) < len(words):
            request.report.counts["blank_tokens_dropped"] += len(words) - len(kept)
        if not kept:
            request.report.counts["sentences_without_text"] += 1
            continue
        yield TaggingExample(
            id=f"{place.row_prefix}:{number}",
            language=request.language,
            group=None,
            tokens=tuple(word for word, _ in kept),
            tags=tuple(tag for _, tag in kept),
        )


def _squad(
    request: ReadRequest, options: Options, place: Place, columns: Columns
) -> Iterator[SpanExample]:
    questions, name = Questions.of(request, options), _name(options, request)
    prefix = named(options.text("id_prefix"), name, options, "id_prefix") or ""
    unanswerable = options.choice("no_answers", ("dropped", "unanswerable")) == "unanswerable"
    found = False
    for number, row in enumerate(rows(place, tuple(columns.values()), {})):
        entry = {field: row[column] for field, column in columns.items()}
        if not str(entry["id"]).startswith(prefix):
            continue
        try:
            context = text_of(entry["context"], "context")
            group = questions.group(entry.get("title"), context)
            entry["answers"] = _answers(entry["answers"])
            entry["is_impossible"] = unanswerable and not entry["answers"]
            fallback = f"{place.row_prefix}:{number}"
            example = questions.example(entry, fallback, context, group)
        except RowProblem as problem:
            request.report.bad(f"{place}, row {number + 1}", str(problem))
            continue
        if example is not None:
            found = True
            yield example
    questions.check_gold(found, str(place))


def _answers(answers: Any) -> list[dict[str, Any]]:
    """The hub's two lists (texts, starts) as SQuAD's list of answers."""
    if not isinstance(answers, Mapping) or not {"text", "answer_start"} <= answers.keys():
        raise RowProblem("answers must hold the lists text and answer_start")
    texts, starts = (list_of(answers[name], name) for name in ("text", "answer_start"))
    if len(texts) != len(starts):
        raise RowProblem(f"{len(texts)} answers but {len(starts)} offsets")
    return [
        {"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)
    ]


def _parallel(
    request: ReadRequest, options: Options, place: Place, columns: Columns
) -> Iterator[BitextExample]:
    namespace = options.text("group_namespace")
    for number, row in enumerate(rows(place, (columns["sentence"], columns["english"]), {})):
        try:
            # Some of these rows still have the line end of the file that they were read from.
            sides = [text_of(row[columns[side]], side).strip("\r\n") for side in columns]
            if not all(side.strip() for side in sides):
                raise RowProblem("empty sentence")
        except RowProblem as problem:
            request.report.bad(f"{place}, row {number + 1}", str(problem))
            continue
        yield BitextExample(
            id=f"{place.row_prefix}:{number}",
            language=request.language,
            group=f"{namespace}:{number}",
            sentence=sides[0],
            english=sides[1],
        )


def _label(value: Any, options: Options) -> str:
    """A label's name: rows hold its number in `label_names`, or the name itself."""
    names = options.texts("label_names")
    if isinstance(value, bool) or not isinstance(value, int):
        return scalar_of(value, "label")
    if not 0 <= value < len(names):
        raise RowProblem(f"label {value} is no number of label_names ({', '.join(names)})")
    return names[value]


_LAYOUTS: Mapping[str, _Layout] = {
    "pairs": _Layout(
        _pairs,
        PAIR_OPTIONS,
        {"premise": "premise", "hypothesis": "hypothesis", "label": "label"},
    ),
    "tagged": _Layout(_tagged, {}, {"tokens": "tokens", "tags": "tags"}),
    "squad": _Layout(
        _squad,
        {**SQUAD_OPTIONS, "id_prefix": "", "no_answers": "dropped"},
        {"id": "id", "question": "question", "context": "context", "answers": "answers"},
        ("title",),
    ),
    "choices": _Layout(read_choice_rows, CHOICE_OPTIONS, {"label": "label"}, ("id",)),
    "parallel": _Layout(
        _parallel, {"group_namespace": "row"}, {"sentence": "sentence1", "english": "sentence2"}
    ),
    "mining": _Layout(
        read_mining,
        {"share": None},
        {"foreign": "sentence1", "english": "sentence2", "gold": "gold"},
    ),
}
