"""Tagged sentences, one token per line with its tag, a blank line after each sentence.

A line may hold a word, or (`unit: character`) one character, spaces between words among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.data.dataset import ReadRequest
from harness.data.examples import TaggingExample
from harness.data.files.characters import join_characters
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
    "inner_space": None,
    "unit": "word",
}
_OUTSIDE = "O"


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
    inner_space: str | None
    characters: bool

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
        inner_space = options.optional_text("inner_space")
        characters = options.choice("unit", ("word", "character")) == "character"
        if characters and tag is None:
            raise options.bad("unit", "word where the gold is withheld")
        return cls(
            separator, token, tag, columns, comment, labels, prefix, drop_blank, inner_space,
            characters,
        )  # fmt: skip


def read_tagged(request: ReadRequest) -> Iterator[TaggingExample]:
    """Tagging examples; a bad line takes its whole sentence with it."""
    options = Options("tagged", request.options, _OPTIONS)
    layout = _Layout.of(options)
    for file in request.files:
        for number, sentence in enumerate(_sentences(request, layout, file)):
            if sentence.problem is not None:
                request.report.bad(*sentence.problem)
                continue
            tokens, tags = sentence.tokens, sentence.tags
            if layout.characters:
                tokens, tags, lost = join_characters(tokens, tags)
                request.report.counts["entities_within_words_lost"] += lost
            if not tokens:
                request.report.counts["sentences_without_text"] += 1
                continue
            yield TaggingExample(
                id=f"{request.file_name(file)}:{number}",
                language=request.language,
                group=None,
                tokens=tuple(tokens),
                tags=None if layout.tag is None else tuple(tags),
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
    if layout.inner_space is not None and token.strip(layout.inner_space):
        token = token.replace(layout.inner_space, " ")
    if not token.strip(" ") and not (layout.characters and token):
        if not layout.drop_blank:
            raise RowProblem("empty token (blank_tokens: drop leaves such lines out)")
        request.report.counts["blank_tokens_dropped"] += 1
        return
    if layout.tag is not None:
        tag = cells[layout.tag]
        mapped = layout.label_map.get(tag, tag)
        if layout.characters and mapped != _OUTSIDE and mapped[:2] not in ("B-", "I-"):
            raise RowProblem(f"tag '{mapped}' of a character is neither O nor B-... nor I-...")
        if mapped == _OUTSIDE != tag:
            request.report.counts["tags_mapped_to_O"] += 1
        sentence.tags.append(known(mapped, "tag", request.labels))
    sentence.tokens.append(token)
