"""A suite's data: what goes to a worker process is small, and the worker reads the same."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from harness.bench import SuiteData
from harness.bench.record_data import RecordData
from harness.bench.steps import SourceWork
from harness.catalog import Block, Catalog, Source, SplitSpec, Target, Training, default_directory
from harness.data import DataContext, count_overlap
from tests.bench.conftest import Runner


def test_what_goes_to_a_worker_holds_no_loaded_data(tiny: Runner) -> None:
    catalog = Catalog.load([default_directory(), tiny.catalog])
    data = SuiteData(catalog, catalog.suite("tiny"), DataContext())
    empty = len(pickle.dumps(data))
    target = catalog.target("tiny-nli")
    loaded = [data.target(target, "train"), *data.tests(target).values()]
    whole = len(pickle.dumps(data))
    sent = pickle.dumps(data.portable())
    assert len(sent) == empty < whole
    other = pickle.loads(sent)
    again = [other.target(target, "train"), *other.tests(target).values()]
    assert [one.fingerprint for one in again] == [one.fingerprint for one in loaded]
    assert len(pickle.dumps(data)) >= whole  # and nothing was forgotten here


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
        backbone: Any = SimpleNamespace(name="nano", step=None)
        work = SourceWork(backbone, source, source.training, 1, source.name)
        cell: Any = SimpleNamespace(
            target=here, fit=None, backbone=backbone,
            sources=(SimpleNamespace(source=source, name=source.name, work=work),),
        )  # fmt: skip
        block = RecordData(data).block(cell)
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
