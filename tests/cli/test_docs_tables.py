"""The tables of the docs are what the commands print that they name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "mark", "arguments"),
    [
        ("targets.md", "counts", ["--suite", "files"]),
        ("sources.md", "sources", ["--sources", "--target", "files-*"]),
    ],
)
def test_a_table(
    page: str, mark: str, arguments: list[str], shared_data: Path, xstilts: Callable[..., Any]
) -> None:
    done = xstilts("data", "check", *arguments, "--data", shared_data, "--markdown")
    assert done.code == 0, done.err
    text = (DOCS / page).read_text(encoding="utf-8")
    block = text.partition(f"<!-- {mark} -->\n")[2].partition(f"<!-- /{mark} -->")[0]
    assert block.strip() == done.out.strip()
