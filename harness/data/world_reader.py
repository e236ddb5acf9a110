"""The synthetic world as a reader: the same examples for the same options on every machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from harness.data.dataset import ReadRequest
from harness.data.examples import Example
from harness.data.files.options import Options
from harness.data.world import TASKS, World, generate
from harness.data.world.semantics import SPLITS, Split

_OPTIONS: Mapping[str, Any] = {
    "task": None,
    "split": "train",
    "count": None,
    "world_seed": 0,
    "sample_seed": 0,
}


def read_world(request: ReadRequest) -> Iterator[Example]:
    """`count` examples of `task` in the request's language; `sample_seed` gives another sample."""
    options = Options("world", request.options, _OPTIONS)
    return generate(
        World(options.number("world_seed")),
        options.choice("task", tuple(TASKS)),
        request.language,
        options.number("count", least=1),
        cast(Split, options.choice("split", SPLITS)),
        options.number("sample_seed"),
    )
