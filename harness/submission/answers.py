"""Span QA (XQuAD, MLQA, TyDiQA): one JSON object of answers by question id; gold as in SQuAD."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from harness.catalog import Target
from harness.data import Answer, SpanExample
from harness.data.files.rows import place
from harness.errors import InputError
from harness.formats import SpanQA, Statistics
from harness.results import load_json
from harness.submission.layout import Given, Layout, Row
from harness.submission.text import read_text, shown

_LISTS = {"data": "article", "paragraphs": "paragraph", "qas": "question", "answers": "answer"}


class Answers(Layout[list[SpanExample]]):
    """An unanswered question scores 0, as officially; what answers no question is refused."""

    format: ClassVar[str] = SpanQA.name
    extension: ClassVar[str] = "json"
    main: ClassVar[tuple[str, ...]] = SpanQA.metrics

    def read_gold(self, file: Path, task: Target, language: str) -> list[SpanExample]:
        """Questions with their answers, in the order of the file; offsets do not matter."""
        examples = list(_questions(file, _document(file), language))
        if not examples:
            raise InputError(f"{file}: no questions; 'data' must hold some")
        if not any(answer.text for example in examples for answer in example.answers):
            raise InputError(
                f"{file}: every answer is empty, so the gold is withheld; use the file with gold"
            )
        _refuse_repeated(str(file), [example.id for example in examples])
        return examples

    def read_predictions(
        self, file: Path, gold: list[SpanExample], gold_file: Path, task: Target
    ) -> Given:
        """Answers by id, each of a question of the gold."""
        answers = _document(file)
        if not answers:
            raise InputError(f"{file}: holds no answers; it needs one for each question")
        known = {example.id for example in gold}
        strange = [name for name in answers if name not in known]
        if strange:
            where, more = _place(file, strange[0]), len(strange) - 1
            also = f" (and {more} more)" if more else ""
            raise InputError(
                f"{where}: question id {shown(strange[0])} is not in {gold_file}{also}; "
                "give answers to its questions only"
            )
        for name, answer in answers.items():
            if not isinstance(answer, str):
                raise InputError(
                    f"{_place(file, name)}: the answer to {shown(name)} is "
                    f"{json.dumps(answer)[:60]}; it must be a string"
                )
        return Given(answers, {"unanswered": len(known) - len(answers)})

    def size(self, gold: list[SpanExample]) -> int:
        """Questions."""
        return len(gold)

    def statistics(self, given: Given, gold: list[SpanExample], task: Target) -> Statistics:
        """Exact match and F1 of each question; zeros where there is no answer."""
        texts = [given.predictions.get(example.id, "") for example in gold]
        rows = _format(task).statistics(texts, gold)
        for row, example in zip(rows, gold, strict=True):
            if example.id not in given.predictions:  # even where an empty answer would be right
                row[:] = 0.0
        return rows

    def signature(self, task: Target) -> dict[str, str]:
        """How answers are normalised."""
        return {"normalisation": _format(task).rules.normalisation}

    def predictions_text(
        self, rows: Sequence[Row], examples: Sequence[SpanExample], task: Target
    ) -> str:
        """Answers by id; InputError where ids repeat, since the layout has one answer per id."""
        _refuse_repeated("predictions", [row.id for row in rows])
        return _text({row.id: row.prediction for row in rows})

    def gold_text(self, examples: Sequence[SpanExample], task: Target) -> str:
        """SQuAD v1.1: an article of one paragraph for each context, neighbours joined."""
        _refuse_repeated("gold", [example.id for example in examples])
        paragraphs: list[dict[str, Any]] = []
        for example in examples:
            if not example.answers:
                raise InputError(
                    f"example '{example.id}' has no answer; XTREME's label files have one for "
                    "every question"
                )
            if not paragraphs or paragraphs[-1]["context"] != example.context:
                paragraphs.append({"context": example.context, "qas": []})
            answers = [{"text": a.text, "answer_start": a.start} for a in example.answers]
            question = {"id": example.id, "question": example.question, "answers": answers}
            paragraphs[-1]["qas"].append(question)
        data = [{"title": "", "paragraphs": [paragraph]} for paragraph in paragraphs]
        return _text({"version": "1.1", "data": data})


def _format(task: Target) -> SpanQA:
    """The format under the task's rules; no rule of scoring depends on a backbone's depth."""
    return SpanQA().configured(task.options, depth=0)


def _document(file: Path) -> dict[str, Any]:
    read_text(file)  # its faults are told first: empty, not UTF-8
    document = load_json(file)
    if not isinstance(document, dict):
        raise InputError(f"{file}: must be one JSON object, got {json.dumps(document)[:60]}")
    return document


def _place(file: Path, name: str) -> str:
    """The file and the line in which an id stands, unless it is written with escapes."""
    before, found, _ = read_text(file).partition(json.dumps(name, ensure_ascii=False))
    return place(file, before.count("\n") + 1) if found else str(file)


def _questions(file: Path, document: Mapping[str, Any], language: str) -> Iterator[SpanExample]:
    for article_place, article in _items(str(file), document, "data"):
        for paragraph_place, paragraph in _items(article_place, article, "paragraphs"):
            context = _string(paragraph_place, paragraph, "context")
            for where, question in _items(paragraph_place, paragraph, "qas"):
                answers = [
                    Answer(_string(answer_place, answer, "text"), 0)
                    for answer_place, answer in _items(where, question, "answers")
                ]
                if not answers:
                    raise InputError(
                        f"{where}: has no answers, so the gold is withheld; use the file with gold"
                    )
                yield SpanExample(
                    id=_string(where, question, "id"),
                    language=language,
                    group=None,
                    question=str(question.get("question", "")),
                    context=context,
                    answers=tuple(answers),
                    answerable=True,
                )


def _items(where: str, value: Mapping[str, Any], key: str) -> Iterator[tuple[str, Any]]:
    """The objects of a list field, each with its place; InputError for any other shape."""
    items = value.get(key)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InputError(
            f"{where}: not in SQuAD's layout, in which '{key}' is a list of objects; "
            "use XTREME's label file"
        )
    for number, item in enumerate(items, start=1):
        yield f"{where}, {_LISTS[key]} {number}", item


def _string(where: str, value: Mapping[str, Any], key: str) -> str:
    text = value.get(key)
    if not isinstance(text, str):
        raise InputError(f"{where}: not in SQuAD's layout, in which '{key}' is a string")
    return text


def _refuse_repeated(where: str, ids: Sequence[str]) -> None:
    name, count = Counter(ids).most_common(1)[0]
    if count > 1:
        raise InputError(
            f"{where}: question id {shown(name)} stands for {count} questions; XTREME's layout has "
            "one answer per id, so such files (TyDiQA's training files) cannot be scored by it"
        )


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"
