"""The hub on this machine: data sets are Parquet files below a temporary folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest

from tests.hub import Calls, Mirror, Rows


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """`load_dataset` looks below `tmp_path` instead of on the hub, and tells what it was asked."""
    made = Calls()
    original = datasets.load_dataset

    def local(path: str, **arguments: Any) -> Any:
        made.append({"path": path, **arguments})
        arguments.pop("revision")
        return original(str(tmp_path / path), cache_dir=str(tmp_path / "cache"), **arguments)

    monkeypatch.setattr(datasets, "load_dataset", local)
    return made


@pytest.fixture
def mirror(tmp_path: Path, calls: Calls) -> Mirror:
    """Writes a split of a data set as its repository holds it: Parquet, configurations named."""
    known: dict[str, list[str]] = {}

    def write(
        name: str, config: str, split: str, features: dict[str, Any], rows: Rows,
        described: bool = True,
    ) -> None:  # fmt: skip
        folder = tmp_path / name
        table = datasets.Dataset.from_dict(rows, features=datasets.Features(features))
        (folder / config / split).mkdir(parents=True)
        table.to_parquet(str(folder / config / split / "0000.parquet"))
        if not described:  # the hub's conversion of a script: folders alone
            return
        lines = known.setdefault(name, [])
        if f"- config_name: {config}" not in lines:
            lines += [f"- config_name: {config}", "  data_files:"]
        at = lines.index(f"- config_name: {config}") + 2
        lines[at:at] = [f"  - split: {split}", f"    path: {config}/{split}/*.parquet"]
        (folder / "README.md").write_text("\n".join(["---", "configs:", *lines, "---\n"]))

    return write
