"""What the hub's data sets are made of: columns, rows, and ways to read a made-up one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from datasets import List, Value

from harness.catalog import SplitSpec
from harness.data import DataContext, Dataset, load_split

STRING = Value("string")
Rows = dict[str, list[Any]]
Mirror = Callable[..., None]

NLI = ("entailment", "neutral", "contradiction")  # the numbers of facebook/xnli
NER = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
UPOS = ["ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN",
        "PUNCT", "SCONJ", "SYM", "VERB", "X"]  # fmt: skip
SQUAD = {
    "id": STRING,
    "title": STRING,
    "context": STRING,
    "question": STRING,
    "answers": {"text": List(STRING), "answer_start": List(Value("int32"))},
}
XQUAD = {key: feature for key, feature in SQUAD.items() if key != "title"}


class Calls(list[dict[str, Any]]):
    """What the library was asked for, call by call."""


def questions(*rows: tuple[str, str, str, Sequence[str], Sequence[int]], title: bool) -> Rows:
    columns: Rows = {
        "id": [row[0] for row in rows],
        "context": [row[1] for row in rows],
        "question": [row[2] for row in rows],
        "answers": [{"text": list(row[3]), "answer_start": list(row[4])} for row in rows],
    }
    return {**columns, "title": ["An article"] * len(rows)} if title else columns


MINING = SplitSpec("hub", options={"id": "some/set", "revision": "0" * 40, "split": "test",
                                   "layout": "mining"})  # fmt: skip


def spec(**options: Any) -> SplitSpec:
    base = {"id": "some/set", "revision": "0" * 40, "split": "test", "layout": "pairs",
            "columns": {"premise": "a", "hypothesis": "b"}, "label_names": list(NLI)}  # fmt: skip
    return SplitSpec("hub", options={k: v for k, v in {**base, **options}.items() if v is not None})


def load(one: SplitSpec, *, bad_rows: str = "refuse") -> Dataset:
    return load_split(one, "xx", tuple(sorted(NLI)), DataContext(bad_rows=bad_rows), "t/test")
