"""CoNLL-U treebanks as XTREME reads them for part-of-speech tagging.

A multiword token stays one word with its surface form and the tag of one of its parts (XTREME's
conllu_to_conll.py with --replace_subtokens_with_fused_forms --print_fused_forms --lang l, then
utils_preprocess.py::udpos_preprocess; google-research/xtreme @ 838c13b).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.data.dataset import ReadRequest
from harness.data.examples import TaggingExample
from harness.data.files.options import Options
from harness.data.files.rows import RowProblem, known, place, read_lines

# Which part of a multiword token lends it its tag, if several stand equally high in the tree.
_PRECEDENCE = "VERB NOUN PROPN PRON ADJ NUM ADV INTJ AUX ADP DET PART CCONJ SCONJ X PUNCT"
_PRECEDENCE_OF: Mapping[str, str] = {
    "es": "VERB AUX PRON ADP DET",
    "fr": "VERB AUX PRON NOUN ADJ ADV ADP DET PART SCONJ CONJ",
    "it": "VERB AUX ADV PRON ADP DET INTJ",
}
_COLUMNS = 10
_UNKNOWN = "_"
_OPTIONS: Mapping[str, Any] = {"gold": "given", "precedence": None, "label_map": {}}


@dataclass(frozen=True, slots=True)
class _Word:
    form: str
    upos: str
    head: str


@dataclass(slots=True)
class _Tree:
    """One sentence: words by id, and multiword tokens by the id of their first word."""

    words: dict[int, _Word] = field(default_factory=dict)
    spans: dict[int, tuple[int, str]] = field(default_factory=dict)  # first: (last, form)
    problem: tuple[str, str] | None = None  # place, what

    def add(self, text: str) -> None:
        cells = text.split("\t")
        if len(cells) != _COLUMNS:
            raise RowProblem(f"{len(cells)} columns, CoNLL-U has {_COLUMNS}")
        name = cells[0]
        if "." in name:  # an empty node of the enhanced graph: not a word of the text
            return
        first, dash, last = name.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise RowProblem(f"'{name}' is no word id (3, 3-4 or 3.1)")
        if dash:
            self.spans[int(first)] = (int(last), cells[1])
        elif int(first) != len(self.words) + 1:
            raise RowProblem(f"word {first} follows word {len(self.words)}")
        else:
            self.words[int(first)] = _Word(cells[1], cells[3], cells[6])

    def rows(self, precedence: Sequence[str]) -> list[tuple[str, str]]:
        """Forms and tags, multiword tokens fused; raises RowProblem for a broken tree."""
        rows, word = [], 1
        while word <= len(self.words):
            if word not in self.spans:
                rows.append((self.words[word].form, self.words[word].upos))
                word += 1
                continue
            last, form = self.spans[word]
            if not word <= last <= len(self.words):
                raise RowProblem(f"multiword token {word}-{last} has words that do not exist")
            head = self._head(range(word, last + 1), precedence)
            rows.append((form, self.words[head].upos))
            word = last + 1
        return rows

    def _head(self, span: range, precedence: Sequence[str]) -> int:
        """The word of the span with the fewest ancestors; on a tie the tag ranks."""
        depth = {word: self._ancestors(word) for word in span}
        highest = [word for word in span if depth[word] == min(depth.values())]
        if len(highest) == 1:
            return highest[0]
        for word in highest:
            known(self.words[word].upos, "tag of a multiword token", precedence)
        return min(highest, key=lambda word: precedence.index(self.words[word].upos))

    def _ancestors(self, word: int) -> int:
        count = 0
        while (head := self.words[word].head) != "0":
            word, count = (int(head) if head.isdecimal() else -1), count + 1
            if word not in self.words or count > len(self.words):
                raise RowProblem(f"the heads of a multiword token form no tree (at head '{head}')")
        return count


def read_conllu(request: ReadRequest) -> Iterator[TaggingExample]:
    """Tagging examples of one or several treebanks of a language, in the order of the files."""
    options = Options("conllu", request.options, _OPTIONS)
    precedence = _PRECEDENCE_OF.get(request.language, _PRECEDENCE).split()
    if options.value("precedence") is not None:
        precedence = list(options.texts("precedence"))
    withheld, label_map = options.withheld(), options.strings("label_map")
    for file in request.files:
        for number, tree in enumerate(_trees(file)):
            try:
                if tree.problem is not None:
                    raise RowProblem(tree.problem[1])
                rows = [(_clean(form), tag) for form, tag in tree.rows(precedence)]
                unknown = sum(form == _UNKNOWN for form, _ in rows)
                if unknown and unknown >= len(rows) - 1:
                    request.report.counts["sentences_without_text"] += 1
                    continue
                tags = (
                    None
                    if withheld
                    else tuple(
                        known(label_map.get(tag, tag), "tag", request.labels) for _, tag in rows
                    )
                )
                if not all(form for form, _ in rows):
                    raise RowProblem("empty word form")
            except RowProblem as problem:
                where = tree.problem[0] if tree.problem else f"{file}, sentence {number + 1}"
                request.report.bad(where, str(problem))
                continue
            yield TaggingExample(
                id=f"{request.file_name(file)}:{number}",
                language=request.language,
                group=None,
                tokens=tuple(form for form, _ in rows),
                tags=tags,
            )


def _trees(file: Path) -> Iterator[_Tree]:
    tree = _Tree()
    for line in read_lines(file):
        if line.text.startswith("#") and line.problem is None:
            continue
        if not line.text.strip(" "):
            if tree.words or tree.problem:
                yield tree
            tree = _Tree()
            continue
        try:
            if line.problem is not None:
                raise RowProblem(line.problem)
            tree.add(line.text)
        except RowProblem as problem:
            tree.problem = tree.problem or (place(file, line.number), str(problem))
    if tree.words or tree.problem:
        yield tree


def _clean(form: str) -> str:
    """XTREME deletes inner spaces and the zero-width non-joiner of a form."""
    return form.replace(" ", "").replace("\u200c", "")
