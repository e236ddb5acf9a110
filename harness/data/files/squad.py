"""Span questions in the layouts of SQuAD v1.1 and v2.0 (also XQuAD, MLQA, TyDiQA-GoldP)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data.dataset import ReadRequest
from harness.data.examples import Answer, SpanExample
from harness.data.files.groups import context_group
from harness.data.files.options import Options
from harness.data.files.rows import RowProblem, read_json, scalar_of, text_of
from harness.errors import InputError

SQUAD_OPTIONS: Mapping[str, Any] = {
    "answerable_only": False,
    "gold": "given",
    "ids": "file",
    "group_namespace": "article",
}


@dataclass(slots=True)
class Questions:
    """Questions in SQuAD's shape as examples, and what befalls their answers."""

    request: ReadRequest
    answerable_only: bool
    withheld: bool
    own_ids: bool  # ids of the file; else the position, for files whose ids repeat
    namespace: str

    @classmethod
    def of(cls, request: ReadRequest, options: Options) -> Questions:
        """From the options in `SQUAD_OPTIONS`."""
        return cls(
            request,
            options.flag("answerable_only"),
            options.withheld(),
            options.choice("ids", ("file", "position")) == "file",
            options.text("group_namespace"),
        )

    def examples(self, file: Path) -> Iterator[SpanExample]:
        position = 0
        for article_place, article in _items(str(file), read_json(file), "data"):
            for paragraph_place, paragraph in _items(article_place, article, "paragraphs"):
                try:
                    context = text_of(_get(paragraph, "context"), "context")
                    group = self.group(article.get("title"), context)
                except RowProblem as problem:
                    self.request.report.bad(paragraph_place, str(problem))
                    continue
                for place, question in _items(paragraph_place, paragraph, "qas"):
                    position += 1
                    try:
                        name = f"{self.request.file_name(file)}:{position - 1}"
                        example = self.example(question, name, context, group)
                    except RowProblem as problem:
                        self.request.report.bad(place, str(problem))
                        continue
                    if example is not None:
                        yield example

    def group(self, title: Any, context: str) -> str:
        """What a question shares with others: its article, else its context."""
        if title is None or not str(title).strip():  # XTREME's stripped files have no titles
            return context_group(context)
        return f"{self.namespace}:{scalar_of(title, 'title')}"

    def example(
        self, entry: Mapping[str, Any], name: str, context: str, group: str
    ) -> SpanExample | None:
        """A question of a file, or None if it is left out; `name` is its id unless it has one."""
        if self.own_ids:
            name = scalar_of(_get(entry, "id"), "id")
        question = text_of(_get(entry, "question"), "question")
        impossible = entry.get("is_impossible", False)
        if not isinstance(impossible, bool):
            raise RowProblem("is_impossible must be true or false")
        answers: tuple[Answer, ...] = ()
        counts = self.request.report.counts
        if self.withheld:
            impossible = False
        elif impossible:
            if self.answerable_only:
                counts["unanswerable_dropped"] += 1
                return None
        else:
            answers = self._answers(_get(entry, "answers"), context)
            if not answers:
                counts["questions_dropped"] += 1
                return None
        return SpanExample(
            id=name,
            language=self.request.language,
            group=group,
            question=question,
            context=context,
            answers=answers,
            answerable=not impossible,
        )

    def check_gold(self, found: bool, where: str) -> None:
        """InputError if nothing was found because every answer is empty (as XTREME makes them)."""
        if not found and self.request.report.counts["answers_empty"]:
            raise InputError(
                f"{where}: every answer is empty, so the gold is withheld; "
                "use the file with gold, or set gold: withheld"
            )

    def _answers(self, entries: Any, context: str) -> tuple[Answer, ...]:
        if not isinstance(entries, list):
            raise RowProblem("answers must be a list")
        counts = self.request.report.counts
        answers = []
        for entry in entries:
            text, start = text_of(_get(entry, "text"), "text"), _get(entry, "answer_start")
            if isinstance(start, bool) or not isinstance(start, int):
                raise RowProblem(f"answer_start must be a whole number, got {start!r}")
            if not text.strip():
                counts["answers_empty"] += 1
            elif start >= 0 and context.startswith(text, start):
                answers.append(Answer(text, start))
            elif (only := _only(context, text)) is not None:
                answers.append(Answer(text, only))
                counts["answers_mended"] += 1
            else:
                counts["answers_dropped"] += 1
        return tuple(answers)


def read_squad(request: ReadRequest) -> Iterator[SpanExample]:
    """Span examples, one per question; plausible answers of v2.0 are ignored.

    An answer whose offset does not reproduce its text is mended when the text stands once in the
    context, else dropped. A question left without an answer that is not impossible is dropped.
    """
    options = Options("squad", request.options, SQUAD_OPTIONS)
    squad = Questions.of(request, options)
    found = False
    for file in request.files:
        for example in squad.examples(file):
            found = True
            yield example
    squad.check_gold(found, str(request.files[0]))


def _only(context: str, text: str) -> int | None:
    """Where `text` stands in the context if it stands there exactly once."""
    first = context.find(text)
    return first if first >= 0 and context.find(text, first + 1) < 0 else None


def _get(value: Any, key: str) -> Any:
    if not isinstance(value, Mapping) or key not in value:
        raise RowProblem(f"no field '{key}'")
    return value[key]


def _items(where: str, value: Any, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The objects of a list field, each with its place; any other shape is an InputError."""
    items = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise InputError(f"{where}: not in SQuAD's layout: '{key}' must be a list of objects")
    for number, item in enumerate(items, start=1):
        yield f"{where}, {_NAMES[key]} {number}", item


_NAMES = {"data": "article", "paragraphs": "paragraph", "qas": "question"}
