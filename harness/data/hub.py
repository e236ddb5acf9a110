"""Rows of data sets on the hub, through the `datasets` library: pinned, without loading scripts.

A revision is always named and passed on: what a data set holds under a name may change. Columns and
label names must be exactly those that the catalog expects, since a swapped label order scores
without complaint. No data set's own code is ever run.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.data.dataset import ReadRequest
from harness.data.examples import BitextExample, Example, PairExample, SpanExample, TaggingExample
from harness.data.files.options import Options
from harness.data.files.pairs import PAIR_OPTIONS, Pairs, pair_examples
from harness.data.files.records import Record
from harness.data.files.rows import RowProblem, known, scalar_of, text_of
from harness.data.files.squad import SQUAD_OPTIONS, Questions
from harness.errors import InputError, WorkError

_WHERE: Mapping[str, Any] = {
    "id": None,
    "revision": None,
    "config": None,
    "folder": None,
    "split": None,
    "layout": None,
    "columns": {},
    "names": {},
    "label_names": (),
}
# What each layout reads beside that, and its columns as most data sets name them.
_LAYOUTS: Mapping[str, Mapping[str, Any]] = {
    "pairs": PAIR_OPTIONS,
    "tagged": {},
    "squad": {**SQUAD_OPTIONS, "id_prefix": ""},
    "parallel": {"group_namespace": "row"},
}
_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "pairs": {"premise": "premise", "hypothesis": "hypothesis", "label": "label"},
    "tagged": {"tokens": "tokens", "tags": "tags"},
    "squad": {"id": "id", "question": "question", "context": "context", "answers": "answers"},
    "parallel": {"sentence": "sentence1", "english": "sentence2"},
}
_PINNED = re.compile(r"[0-9a-f]{40}|refs/convert/parquet")
_NAME = "{name}"
_ROW_ID = "_row_id"
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class _Place:
    """One split of one configuration of a data set, at one revision."""

    id: str
    revision: str
    config: str | None  # named configuration, or
    folder: str | None  # folder of Parquet files, where the revision describes no configurations
    split: str

    def __str__(self) -> str:
        part = self.config or self.folder
        return f"{self.id}@{self.revision[:12]}{f' {part}' if part else ''} {self.split}"

    @property
    def row_prefix(self) -> str:
        """What ids made from row numbers start with; no part of it is a path of this machine."""
        return "/".join(part for part in (self.id, self.config or self.folder, self.split) if part)


def read_hub(request: ReadRequest) -> Iterator[Example]:
    """Examples of a hub data set in one of the layouts `pairs`, `tagged`, `squad`, `parallel`."""
    layout = str(request.options.get("layout"))
    if layout not in _LAYOUTS:
        allowed = ", ".join(_LAYOUTS)
        raise InputError(f"reader 'hub': layout '{layout}' is unknown; must be one of: {allowed}")
    options = Options("hub", request.options, {**_WHERE, **_LAYOUTS[layout]})
    name = options.strings("names").get(request.language)
    place = _place(options, name)
    columns = {**_COLUMNS[layout], **options.strings("columns")}
    if layout == "pairs":
        yield from _pairs(request, options, place, columns)
    elif layout == "tagged":
        yield from _tagged(request, options, place, columns)
    elif layout == "squad":
        yield from _squad(request, options, place, columns, name)
    else:
        yield from _parallel(request, options, place, columns)


def _place(options: Options, name: str | None) -> _Place:
    revision = options.optional_text("revision")
    if revision is None or not _PINNED.fullmatch(revision):
        allowed = "a commit of 40 hexadecimal digits (or refs/convert/parquet)"
        raise options.bad("revision", f"{allowed}: rows under a moving name may change")
    config, folder = options.optional_text("config"), options.optional_text("folder")
    if config and folder:
        raise options.bad("folder", "left out where config is given")
    return _Place(
        options.text("id"),
        revision,
        _named(config, name, options, "config"),
        _named(folder, name, options, "folder"),
        options.text("split"),
    )


def _named(text: str | None, name: str | None, options: Options, option: str) -> str | None:
    """A template with `{name}` filled in: how the data set calls the language."""
    if text is None or _NAME not in text:
        return text
    if name is None:
        raise options.bad(option, "text without {name}, or `names` must have the language")
    return text.replace(_NAME, name)


def _pairs(
    request: ReadRequest, options: Options, place: _Place, columns: Mapping[str, str]
) -> Iterator[PairExample]:
    given = {name: request.options[name] for name in PAIR_OPTIONS if name in request.options}
    inner = Options("hub", {**given, "columns": columns}, {**PAIR_OPTIONS, "columns": {}})
    pairs = replace(Pairs.of(inner, "columns"), id=_ROW_ID)
    wanted = [name for name in pairs.columns() if name != _ROW_ID]
    labels = {pairs.label: options.texts("label_names")} if pairs.label else {}

    def records() -> Iterator[Record]:
        for number, row in enumerate(_rows(place, wanted, labels)):
            fields, problem = dict(row), None
            try:
                if pairs.label:
                    fields[pairs.label] = _label(row[pairs.label], options)
            except RowProblem as error:
                problem = str(error)
            fields[_ROW_ID] = f"{place.row_prefix}:{number}"
            where = f"{place}, row {number + 1}"
            yield Record(Path(place.row_prefix), where, number, fields, problem)

    yield from pair_examples(request, pairs, records())


def _tagged(
    request: ReadRequest, options: Options, place: _Place, columns: Mapping[str, str]
) -> Iterator[TaggingExample]:
    tokens, tags = columns["tokens"], columns["tags"]
    labels = {tags: options.texts("label_names")}
    for number, row in enumerate(_rows(place, (tokens, tags), labels)):
        try:
            words = [text_of(word, "token") for word in row[tokens]]
            found = [known(_label(tag, options), "tag", request.labels) for tag in row[tags]]
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
    request: ReadRequest,
    options: Options,
    place: _Place,
    columns: Mapping[str, str],
    name: str | None,
) -> Iterator[SpanExample]:
    questions = Questions.of(request, options)
    prefix = _named(options.text("id_prefix"), name, options, "id_prefix") or ""
    found = False
    for number, row in enumerate(_rows(place, tuple(columns.values()), {})):
        entry = {field: row[column] for field, column in columns.items()}
        if not str(entry["id"]).startswith(prefix):
            continue
        try:
            context = text_of(entry["context"], "context")
            group = questions.group(entry.get("title"), context)
            entry["answers"] = _answers(entry["answers"])
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
    texts, starts = answers["text"], answers["answer_start"]
    if len(texts) != len(starts):
        raise RowProblem(f"{len(texts)} answers but {len(starts)} offsets")
    return [
        {"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)
    ]


def _parallel(
    request: ReadRequest, options: Options, place: _Place, columns: Mapping[str, str]
) -> Iterator[BitextExample]:
    namespace = options.text("group_namespace")
    for number, row in enumerate(_rows(place, (columns["sentence"], columns["english"]), {})):
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


def _rows(
    place: _Place, columns: Sequence[str], labels: Mapping[str, Sequence[str]]
) -> Iterator[Mapping[str, Any]]:
    """The rows with these columns alone, after a check of columns and label names."""
    table = _table(place)
    for column in columns:
        if column not in table.column_names:
            has = ", ".join(table.column_names)
            raise InputError(f"{place}: no column '{column}'; the data set has: {has}")
    for column, names in labels.items():
        feature = table.features[column]
        declared = getattr(getattr(feature, "feature", feature), "names", None)
        if declared is not None and list(declared) != list(names):
            got, expected = ", ".join(declared), ", ".join(names)
            raise InputError(
                f"{place}: column '{column}' has the labels {got}; expected in this order: "
                f"{expected}; correct label_names or the revision"
            )
    for batch in table.select_columns(list(columns)).iter(batch_size=_BATCH):
        for row in zip(*(batch[column] for column in columns), strict=True):
            yield dict(zip(columns, row, strict=True))


def _table(place: _Place) -> Any:
    import datasets  # noqa: PLC0415  (a second, and most runs read no hub)

    datasets.disable_progress_bars()
    logging.getLogger("datasets").setLevel(logging.ERROR)
    try:
        return datasets.load_dataset(
            place.id,
            name=place.config,
            data_dir=place.folder,
            split=place.split,
            revision=place.revision,
        )
    except (datasets.exceptions.DatasetsError, ValueError) as error:
        raise InputError(f"{place}: not on the hub as the catalog says ({_line(error)})") from error
    except RuntimeError as error:  # a loading script: code that would have to be run
        raise InputError(
            f"{place}: cannot be read without running its code; {_remedy()}"
        ) from error
    except OSError as error:  # no connection, no space, a revision that does not exist
        raise WorkError(
            f"{place}: cannot be loaded from the hub ({_line(error)}); check the network (a run "
            "without one needs it in the cache, see HF_HOME), or read files with --data DIR"
        ) from error


def _remedy() -> str:
    return "name a revision with Parquet files, or read files with --data DIR"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
