"""Readers of published files in their original layouts: one per layout, not one per data set."""

from harness.data.files.auto import read_auto
from harness.data.files.choices import read_choices
from harness.data.files.comparable import read_comparable
from harness.data.files.conllu import read_conllu
from harness.data.files.delimited import read_delimited
from harness.data.files.jsonl import read_jsonl
from harness.data.files.parallel import read_parallel
from harness.data.files.squad import read_squad
from harness.data.files.tagged import read_tagged
from harness.data.files.text import text_examples, text_reader

__all__ = [
    "read_auto",
    "read_choices",
    "read_comparable",
    "read_conllu",
    "read_delimited",
    "read_jsonl",
    "read_parallel",
    "read_squad",
    "read_tagged",
    "text_examples",
    "text_reader",
]
