"""Pairs from JSON: one object per line (whatever the file is called), or one list of objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from harness.data.dataset import ReadRequest
from harness.data.examples import PairExample
from harness.data.files.options import Options
from harness.data.files.pairs import PAIR_OPTIONS, Pairs, pair_examples
from harness.data.files.records import json_records

_OPTIONS: Mapping[str, Any] = {
    **PAIR_OPTIONS,
    "fields": {"premise": "premise", "hypothesis": "hypothesis", "label": "label"},
}


def read_jsonl(request: ReadRequest) -> Iterator[PairExample]:
    """Pair examples from JSON; `fields` names the fields (dotted paths for nested ones)."""
    pairs = Pairs.of(Options("jsonl", request.options, _OPTIONS), "fields")
    yield from pair_examples(request, pairs, chain.from_iterable(map(json_records, request.files)))
