"""Is a folder a submission? Written from the description of XTREME's layout alone.

It shares no code with harness: what it accepts is what the description says, not what we write.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_UPOS = "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X"
_LINES = {
    "xnli": r"contradiction|entailment|neutral",
    "pawsx": r"[01]",
    "tatoeba": r"0|[1-9][0-9]*",
    "bucc2018": r"[a-z]{2}-[0-9]+\t[a-z]{2}-[0-9]+",
    "udpos": _UPOS.replace(" ", "|"),
    "panx": r"O|[BI]-(LOC|ORG|PER)",
}
_SENTENCES = ("udpos", "panx")  # with blank lines between
_ANSWERS = ("xquad", "mlqa", "tydiqa")


def problems(folder: Path, languages: Mapping[str, Sequence[str]]) -> list[str]:
    """What is wrong with a submission of these tasks, each in these languages."""
    found = []
    wanted = {
        f"{task}/test-{code}.{'json' if task in _ANSWERS else 'tsv'}": task
        for task, codes in languages.items()
        for code in codes
    }
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    found += [f"{name}: missing" for name in sorted(wanted.keys() - there)]
    found += [f"{name}: does not belong here" for name in sorted(there - wanted.keys())]
    for name in sorted(wanted.keys() & there):
        found += [f"{name}: {text}" for text in _file(folder / name, wanted[name])]
    return found


def _file(path: Path, task: str) -> list[str]:
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return ["not UTF-8"]
    if text.startswith("\ufeff"):
        return ["byte order mark"]
    if task in _ANSWERS:
        return _answers(text)
    if "\r" in text:
        return ["carriage return"]
    if not text.endswith("\n") or text.endswith("\n\n") or text.startswith("\n"):
        return ["must begin with a row and end with one line end"]
    lines = text[:-1].split("\n")
    if task in _SENTENCES:
        if "\n\n\n" in text:
            return ["two blank lines"]
        lines = [line for line in lines if line]
    wrong = [line for line in lines if not re.fullmatch(_LINES[task], line)]
    return [f"{len(wrong)} wrong lines, such as {wrong[0]!r}"] if wrong else []


def _answers(text: str) -> list[str]:
    found: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in items}) < len(items):
            found.append("an id twice")
        return dict(items)

    try:
        document = json.loads(text, object_pairs_hook=pairs)
    except ValueError:
        return ["not JSON"]
    if not isinstance(document, dict):
        return ["no JSON object"]
    if not document or not all(isinstance(value, str) for value in document.values()):
        found.append("must hold strings by id")
    return found
