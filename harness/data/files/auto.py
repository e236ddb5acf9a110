"""CCGbank's derivations (`.auto`): the words of a sentence and their lexical categories.

A sentence is a line `ID=wsj_0001.1 ...` and a line with its derivation, which nests
`(<T CATEGORY HEAD DAUGHTERS> ...)` around leaves `(<L CATEGORY POS POS WORD ARGUMENTS>)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.data.dataset import ReadRequest
from harness.data.examples import TaggingExample
from harness.data.files.options import Options
from harness.data.files.rows import Line, RowProblem, known, place, read_lines

_OPTIONS: Mapping[str, Any] = {"label_map": {}}
_ID = re.compile(r"ID=(\S+)")
_PART = re.compile(
    r"\s*(?:(?P<end>\))"
    r"|\(<T (?P<node>\S+) \d+ (?P<daughters>\d+)>"
    r"|\(<L (?P<leaf>\S+) \S+ \S+ (?P<word>\S+) \S+>\))"
)
_BRACKETS = {
    "-LRB-": "(", "-RRB-": ")", "-LCB-": "{", "-RCB-": "}", "-LSB-": "[", "-RSB-": "]",
}  # fmt: skip
_ESCAPED = re.compile(r"\\([/*])")
_Leaf = tuple[str, str]  # word, category


def read_auto(request: ReadRequest) -> Iterator[TaggingExample]:
    """Tagging examples; the words as in running text, without the treebank's escapes."""
    label_map = Options("auto", request.options, _OPTIONS).strings("label_map")
    for file in request.files:
        for number, (line, name, problem) in enumerate(_sentences(file)):
            try:
                if problem is not None:
                    raise RowProblem(problem)
                leaves = _leaves(line.text)
                tags = tuple(
                    known(label_map.get(tag, tag), "category", request.labels) for _, tag in leaves
                )
            except RowProblem as found:
                request.report.bad(place(file, line.number), str(found))
                continue
            yield TaggingExample(
                # Parsers count their sentences, CCGbank names them: only a name says which it is.
                id=f"{request.file_name(file)}:{number}" if name.isdecimal() else name,
                language=request.language,
                group=None,
                tokens=tuple(_word(word) for word, _ in leaves),
                tags=tags,
            )


def _sentences(file: Path) -> Iterator[tuple[Line, str, str | None]]:
    """Each derivation with its name, or the line at which the two do not alternate."""
    header, name = None, ""
    for line in read_lines(file):
        if line.problem is not None:
            yield line, "", line.problem
            header = None
        elif found := _ID.match(line.text):
            if header is not None:
                yield header, "", f"no derivation follows ID={name}"
            header, name = line, found[1]
        elif line.text.strip():
            yield line, name, None if header is not None else "no line ID=... before it"
            header = None
    if header is not None:
        yield header, "", f"no derivation follows ID={name}"


def _leaves(text: str) -> list[_Leaf]:
    """The leaves of a derivation from left to right; RowProblem where its brackets do not fit."""
    leaves: list[_Leaf] = []
    missing = [1]  # daughters that each open node still expects; the root counts as one
    end, at = len(text.rstrip()), 0
    while at < end:
        part = _PART.match(text, at)
        if part is None:
            shown = text[at : at + 30].strip()
            raise RowProblem(f"character {at + 1}: '{shown}' is no node, leaf or closing bracket")
        if part["end"]:
            if len(missing) == 1 or missing.pop():
                raise RowProblem(f"character {part.end()}: a bracket closes too early")
        else:
            missing[-1] -= 1
            if missing[-1] < 0:
                raise RowProblem(f"character {at + 1}: more daughters than the node announces")
            if part["node"]:
                missing.append(int(part["daughters"]))
            else:
                leaves.append((part["word"], part["leaf"]))
        at = part.end()
    if missing != [0]:
        raise RowProblem("the derivation ends too early")
    return leaves


def _word(text: str) -> str:
    return _BRACKETS.get(text) or _ESCAPED.sub(r"\1", text)
