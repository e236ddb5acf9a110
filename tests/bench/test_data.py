"""A suite's data: what goes to a worker process is small, and the worker reads the same."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import harness.bench.data
import harness.data.load
from harness.bench import SuiteData
from harness.bench.record_data import RecordData
from harness.bench.steps import BackboneRef, SourceRef, SourceWork
from harness.catalog import Block, Catalog, Source, SplitSpec, Target, Training
from harness.data import ALL_ROWS, DataContext, Dataset, Draw, count_overlap


def cell_of(target: Target, source: Source, draw: Draw, seed: int = 1) -> Any:
    """What of a cell decides its data."""
    assert source.training is not None
    backbone = BackboneRef("nano", "0" * 64, 4)
    work = SourceWork(backbone, source, source.training, seed, source.name, draw)
    return SimpleNamespace(
        target=target, fit=None, sources=(SourceRef(work, "step"),), backbone=backbone
    )


def test_what_goes_to_a_worker_was_made_here_or_is_read_there(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of the world go along, as they take long to make; rows of files do not."""
    catalog = Catalog.load()
    data = SuiteData(
        catalog,
        catalog.suite("files"),
        DataContext(shared_data, language_iso3=catalog.language_iso3()),
    )
    empty = len(pickle.dumps(data))
    rows = data.target(catalog.target("files-xnli"), "train")
    assert len(pickle.dumps(data)) > len(pickle.dumps(rows))
    assert len(pickle.dumps(data.portable())) == empty
    made = data.test(catalog.target("world-nli"), "B1")
    other = pickle.loads(pickle.dumps(data.portable()))

    def no_world(piece: SplitSpec, *given: Any) -> Any:
        assert piece.reader != "world"
        return read(piece, *given)

    read = harness.data.load._read
    monkeypatch.setattr(harness.data.load, "_read", no_world)
    assert other.test(catalog.target("world-nli"), "B1").fingerprint == made.fingerprint
    assert other.target(catalog.target("files-xnli"), "train").fingerprint == rows.fingerprint


def test_a_source_loses_what_the_targets_of_the_suite_score_and_no_more(tmp_path: Path) -> None:
    """Of the source's rows `here` scores one and `elsewhere` two, in other languages."""
    rows = {
        "source.tsv": ["a\tX", "b\tX", "c\tX", "d\tX"], "dev.tsv": ["e\tX"],
        "here.de.tsv": ["A\tX", "new\tX"], "here.sw.tsv": ["mpya\tX"],
        "elsewhere.de.tsv": ["B\tX", "C\tX"], "elsewhere.sw.tsv": ["b\tX"],
    }  # fmt: skip
    for name, lines in rows.items():
        (tmp_path / name).write_text("".join(f"{line}\n\n" for line in lines))

    def spec(name: str) -> SplitSpec:
        return SplitSpec("tagged", (name,))

    source = Source("own.en", "Own.", "tags", "en", "tagging", ("X", "Y"), "none",
                    spec("source.tsv"), spec("dev.tsv"), Training(1, 1e-4), "own")  # fmt: skip
    here, elsewhere = (
        Target(name, "Own.", "tags", "tagging", ("de", "sw"), "en", ("X", "Y"),
               spec(f"{name}.{{language}}.tsv"), "own", "none")
        for name in ("here", "elsewhere")
    )  # fmt: skip
    catalog = replace(Catalog.load(), targets={"here": here, "elsewhere": elsewhere})
    suite = catalog.suite("default")
    found = {}
    for names in (("here",), ("here", "elsewhere")):
        blocks = (Block(("stack",), names),)
        data = SuiteData(catalog, replace(suite, blocks=blocks), DataContext(tmp_path))
        train = data.source(source, "train")
        block = RecordData(data).block(cell_of(here, source, ALL_ROWS))
        assert block["counts"]["own.en/train"]["overlap_dropped"] == 4 - len(train)
        assert block["overlap"] == {
            code: {"own.en/train": 0, "own.en/dev": 0} for code in ("de", "sw")
        }
        found[names] = [example.tokens for example in train.examples]  # type: ignore[union-attr]
        left = {code: count_overlap([train], data.test(elsewhere, code))["any"]
                for code in ("de", "sw")}  # fmt: skip
        assert left == ({"de": 2, "sw": 1} if names == ("here",) else {"de": 0, "sw": 0})
    assert found == {
        ("here",): [("b",), ("c",), ("d",)],
        ("here", "elsewhere"): [("d",)],
    }


def test_overlap_is_counted_of_the_rows_that_were_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing dropped: ten rows, one of them scored, of which each seed draws one."""
    for name, words in (("train", "abcdefghij"), ("dev", "y"), ("test", "az")):
        (tmp_path / f"{name}.tsv").write_text("".join(f"{word}\tX\n\n" for word in words))

    def spec(name: str) -> SplitSpec:
        return SplitSpec("tagged", (f"{name}.tsv",))

    source = Source("own.en", "Own.", "tags", "en", "tagging", ("X", "Y"), "none", spec("train"),
                    spec("dev"), Training(1, 1e-4), "own")  # fmt: skip
    target = Target("here", "Own.", "tags", "tagging", ("de",), "en", ("X", "Y"), spec("test"),
                    "own", "none")  # fmt: skip
    catalog = replace(Catalog.load(), targets={"here": target})
    suite = replace(catalog.suite("default"), blocks=(Block(("stack",), ("here",)),))
    data = SuiteData(catalog, suite, DataContext(tmp_path))

    def keep(dataset: Dataset, _: object) -> Dataset:
        return dataset

    monkeypatch.setattr(harness.bench.data, "drop_overlap", keep)
    block = RecordData(data)
    seen = set()
    for seed in range(40):
        cell = cell_of(target, source, Draw(examples=1), seed)
        (row,) = data.drawn(cell.sources[0].rows).examples
        expected = int(row.tokens == ("a",))  # type: ignore[union-attr]
        assert block.block(cell)["overlap"]["de"]["own.en/train"] == expected, seed
        seen.add(expected)
    assert seen == {0, 1}
