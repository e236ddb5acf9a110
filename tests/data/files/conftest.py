"""How the tests of readers write a small file and read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from harness.data import Example, Reader, ReadReport, ReadRequest

NLI = ("contradiction", "entailment", "neutral")


class Read(Protocol):
    """Writes the files, reads them, returns the examples and the counts."""

    def __call__(
        self,
        reader: Reader,
        *files: str | bytes | Path,
        options: Mapping[str, Any] | None = None,
        labels: Sequence[str] = NLI,
        language: str = "en",
        bad_rows: str = "refuse",
    ) -> tuple[list[Any], Counter[str]]: ...


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Contents (text, bytes) become the files 0.txt, 1.txt, ...; a path is read where it is."""

    def run(
        reader: Reader,
        *files: str | bytes | Path,
        options: Mapping[str, Any] | None = None,
        labels: Sequence[str] = NLI,
        language: str = "en",
        bad_rows: str = "refuse",
    ) -> tuple[list[Example], Counter[str]]:
        paths = []
        for number, content in enumerate(files):
            path = content if isinstance(content, Path) else tmp_path / f"{number}.txt"
            if not isinstance(content, Path):
                path.write_bytes(content.encode() if isinstance(content, str) else content)
            paths.append(path)
        report = ReadReport(bad_rows)
        request = ReadRequest(
            tuple(paths), language, tuple(labels), options or {}, report, tmp_path
        )
        return list(reader(request)), report.counts

    return run
