"""Tagged sentences, one token per line with its tag, a blank line after each sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.data.dataset import ReadRequest
from harness.data.examples import TaggingExample
from harness.data.files.options import Options
from harness.data.files.rows import RowProblem, known, place, read_lines

_OPTIONS: Mapping[str, Any] = {
    "separator": "\t",
    "token": 0,
    "tag": 1,
    "columns": None,  # how many there must be; None: as many as token and tag need
    "comment": None,
    "label_map": {},
    "gold": "given",
    "token_prefix": "",
    "blank_tokens": "refuse",
}


@dataclass(slots=True)
class _Sentence:
    tokens: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    problem: tuple[str, str] | None = None  # place, what


@dataclass(frozen=True, slots=True)
class _Layout:
    separator: str
    token: int
    tag: int | None
    columns: int
    comment: str | None
    label_map: Mapping[str, str]
    prefix: str
    drop_blank: bool

    @classmethod
    def of(cls, options: Options) -> _Layout:
        separator = options.text("separator")
        if not separator:
            raise options.bad("separator", "at least one character")
        token = options.number("token")
        tag = None if options.withheld() else options.number("tag")
        needed = max(token, -1 if tag is None else tag) + 1
        columns = needed
        if options.value("columns") is not None:
            columns = options.number("columns", needed)
        drop_blank = options.choice("blank_tokens", ("refuse", "drop")) == "drop"
        labels, prefix = options.strings("label_map"), options.text("token_prefix")
        comment = options.optional_text("comment")
        return cls(separator, token, tag, columns, comment, labels, prefix, drop_blank)


def read_tagged(request: ReadRequest) -> Iterator[TaggingExample]:
    """Tagging examples; a bad line takes its whole sentence with it."""
    options = Options("tagged", request.options, _OPTIONS)
    layout = _Layout.of(options)
    for file in request.files:
        for number, sentence in enumerate(_sentences(request, layout, file)):
            if sentence.problem is not None:
                request.report.bad(*sentence.problem)
                continue
            yield TaggingExample(
                id=f"{request.file_name(file)}:{number}",
                language=request.language,
                group=None,
                tokens=tuple(sentence.tokens),
                tags=None if layout.tag is None else tuple(sentence.tags),
            )


def _sentences(request: ReadRequest, layout: _Layout, file: Path) -> Iterator[_Sentence]:
    sentence = _Sentence()
    for line in read_lines(file):
        if layout.comment and line.text.startswith(layout.comment):
            continue
        if not line.text.strip(" \t"):  # other white space may be a token (U+3000, U+00A0)
            if sentence.tokens or sentence.problem:
                yield sentence
            sentence = _Sentence()
            continue
        try:
            if line.problem is not None:
                raise RowProblem(line.problem)
            _add(request, layout, line.text, sentence)
        except RowProblem as problem:
            sentence.problem = sentence.problem or (place(file, line.number), str(problem))
    if sentence.tokens or sentence.problem:
        yield sentence


def _add(request: ReadRequest, layout: _Layout, text: str, sentence: _Sentence) -> None:
    cells = text.split(layout.separator)
    wrong = len(cells) < layout.columns if layout.tag is None else len(cells) != layout.columns
    if wrong:
        raise RowProblem(f"{len(cells)} columns, expected {layout.columns}")
    token = cells[layout.token].removeprefix(layout.prefix)
    if not token.strip(" "):
        if not layout.drop_blank:
            raise RowProblem("empty token (blank_tokens: drop leaves such lines out)")
        request.report.counts["blank_tokens_dropped"] += 1
        return
    if layout.tag is not None:
        tag = cells[layout.tag]
        sentence.tags.append(known(layout.label_map.get(tag, tag), "tag", request.labels))
    sentence.tokens.append(token)
