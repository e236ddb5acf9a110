"""Plans from declared sizes: what they count, what they refuse, and that nothing is read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.bench import Bench, Plan, declared_backbone, footprint, inspect_backbone
from harness.bench.declared import DeclaredData
from harness.catalog import Backbone, Catalog, Shape
from harness.data import DataContext
from harness.errors import InputError
from tests.bench.conftest import write_catalog
from tests.declared import ELSEWHERE, bench_of, write_sizes, write_two_backbones
from tests.external import save
from tests.nano import NANO

# An adapter from elsewhere on nano, whose files are known: its step reads nothing of a size.
COPIED = {
    "sources/ext.B0.yaml": """
name: ext.B0
description: "An adapter from elsewhere."
task: nli
language: B0
format: pair_classification
adapter: {folder: ../../adapter}
licence: MIT
world: true
""",
    "source_sets/tiny-copied.yaml": 'name: tiny-copied\ndescription: "It."\nsources: [ext.B0]\n',
    "suites/tiny.yaml": """
name: tiny
description: "A source that trains and one that is copied."
backbones: [nano]
settings: [adapters]
seeds: [1]
seed_note: One seed.
low_resource: none, this is a test
low_resource_languages: [B0]
blocks:
  - {recipes: [direct], targets: [tiny-nli]}
  - {recipes: [stack], targets: [tiny-nli], source_sets: [tiny-one], row: one}
  - {recipes: [stack], targets: [tiny-nli], source_sets: [tiny-copied], row: copied}
""",
}
LARGE = Shape(250002, 1024, 4096, 24, 16, 512, dropout=True)
SOURCE, TARGET = "sources/pairs.en.yaml", "targets/thin-nli.yaml"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No weights may be looked for, and the hub cache is empty."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a plan from sizes asked for files of the hub")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def step_rows(plan: Plan) -> dict[str, tuple[int, int]]:
    """Rows of each step, and those of its largest set."""
    return {
        step.label.removesuffix(" (seed 1)"): (step.rows, step.largest)
        for step in plan.steps.values()
    }


def test_rows_are_those_of_the_yaml(tmp_path: Path) -> None:
    rows = step_rows(bench_of(write_sizes(tmp_path)).plan())
    assert rows == {
        "source pairs.en": (100, 0),
        "source asked.sw": (30, 0),
        "direct -> thin-nli": (50, 0),
        "full-ft -> thin-nli": (50, 0),
        "stack[pairs-one] -> thin-nli": (50, 0),
        "fuse[thin-two] -> thin-nli": (50, 0),
        "fuse[thin-two] -> thin-ret": (130, 0),
        # 5 rows are expected in English, whatever the size says, and 7 in Swahili
        "score direct on thin-nli": (12, 7),
        "score full-ft on thin-nli": (12, 7),
        "score stack[pairs-one] on thin-nli": (12, 7),
        "score fuse[thin-two] on thin-nli": (12, 7),
        "score direct on thin-ret": (6, 6),
        "score fuse[thin-two] on thin-ret": (6, 6),
    }


def test_what_a_training_reads_stands_by_task(tmp_path: Path) -> None:
    plan = bench_of(write_sizes(tmp_path)).plan()
    reads = {
        step.label: [(r.format, r.train, r.dev) for r in step.reads] for step in plan.steps.values()
    }
    assert reads["source asked.sw (seed 1)"] == [("span_qa", 30, 5)]
    assert reads["direct -> thin-nli (seed 1)"] == [("pair_classification", 50, 4)]
    # a mixture is selected on English dev sets only
    assert reads["fuse[thin-two] -> thin-ret (seed 1)"] == [
        ("pair_classification", 100, 0),
        ("span_qa", 30, 0),
        ("pair_classification", 0, 10),
    ]


def test_what_is_not_verified_is_named_once(tmp_path: Path) -> None:
    bench = bench_of(write_sizes(tmp_path))
    bench.plan()
    assert bench.declared is not None
    assert {k: list(v) for k, v in bench.declared.unverified.items()} == {"thin-nli": ["test"]}
    assert not bench.declared.without_dev


def test_a_source_without_dev_is_named(tmp_path: Path) -> None:
    bench = bench_of(write_sizes(tmp_path, {SOURCE: ("100, dev: 10", "100")}))
    bench.plan()
    assert bench.declared is not None
    assert list(bench.declared.without_dev) == ["pairs.en"]


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (SOURCE, "size: {train: 100, dev: 10}\n", "", "source 'pairs.en' (size.train)"),
        (TARGET, "train: 50, ", "", "target 'thin-nli' (size.train)"),
        (TARGET, "{en: 900, sw: 7}", "{en: 900}", "target 'thin-nli' (size.test.sw)"),
    ],
)
def test_a_missing_size_is_one_line(
    tmp_path: Path, file: str, old: str, new: str, said: str
) -> None:
    with pytest.raises(InputError) as caught:
        bench_of(write_sizes(tmp_path, {file: (old, new)})).plan()
    message = str(caught.value)
    assert f"no size declared for {said}; add these keys to the YAML files" in message
    assert "--data DIR" in message
    assert "\n" not in message


def test_all_that_is_missing_is_named(tmp_path: Path) -> None:
    changed = {
        SOURCE: ("size: {train: 100, dev: 10}\n", ""),
        "targets/thin-ret.yaml": ("size: {test: 6}\n", ""),
    }
    with pytest.raises(InputError, match=r"size\.test\.sw\).*'pairs\.en' \(size\.train\)"):
        bench_of(write_sizes(tmp_path, changed)).plan()


@pytest.mark.parametrize(
    ("budget", "rows"),
    [("tokens: 990", 50), ("tokens: 9000", 100), ("examples: 100", 100), ("examples: 101", None)],
)
def test_only_a_budget_of_rows_can_be_too_large(
    tmp_path: Path, budget: str, rows: int | None
) -> None:
    """Of 100 rows, which are assumed to have 20 tokens each, as they are cut there."""
    name = "source_sets/pairs-one.yaml"
    changed = {name: ("[pairs.en]\n", f"[pairs.en]\nbudget: {{{budget}}}\n")}
    bench = bench_of(write_sizes(tmp_path, changed))
    if rows is None:
        with pytest.raises(InputError, match=r"asks for 101 rows, but its declared size gives 100"):
            bench.plan()
        return
    assert f"source pairs.en ({rows} rows, seed 1)" in {
        step.label for step in bench.plan().steps.values()
    }
    assert bench.declared is not None
    assert list(bench.declared.short) == (["pairs.en"] if budget == "tokens: 9000" else [])


def with_elsewhere(folder: Path, targets: str) -> Bench:
    """The thin suite, fusing an adapter of the hub for these targets."""
    changed = {
        "source_sets/thin-two.yaml": ("[pairs.en, asked.sw]", "[pairs.en, ext.sw]"),
        "suites/thin.yaml": (
            "targets: [thin-nli, thin-ret], source_sets: [thin-two]",
            f"targets: [{targets}], source_sets: [thin-two]",
        ),
    }
    (write_sizes(folder, changed) / "sources/ext.sw.yaml").write_text(ELSEWHERE)
    return bench_of(folder)


def test_an_adapter_of_the_hub_is_not_fetched(tmp_path: Path) -> None:
    bench = with_elsewhere(tmp_path, "thin-nli")
    plan = bench.plan()
    assert step_rows(plan)["copy ext.sw"] == (0, 0)
    assert bench.declared is not None
    assert list(bench.declared.unopened) == ["ext.sw"]
    (copied,) = (step for step in plan.steps.values() if step.label == "copy ext.sw")
    # Two layers, each down from 8 to 2 and up again, with biases; 4 bytes a weight
    assert footprint(plan, copied, bench.settings).disk == 2 * (2 * 8 * 2 + 2 + 8) * 4


def test_what_needs_no_files_is_checked_of_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'ext\.sw': .* without rows and head, but recipe 'fuse'"):
        with_elsewhere(tmp_path, "thin-ret").plan()


def test_the_nine_targets_have_sizes_and_xlmr_its_shape(tmp_path: Path) -> None:
    """The official suites can be planned by who has nothing; sums of the published numbers."""
    plan = bench_of(write_sizes(tmp_path), "xtreme").plan()
    rows = step_rows(plan)
    assert plan.shapes == {"xlmr-large": LARGE}
    assert rows["direct -> xnli"][0] == 392_702
    assert rows["direct -> tydiqa"][0] == 3_326
    assert rows["score direct on xnli"] == (15 * 5010, 5010)
    assert rows["score direct on mlqa"] == (42_245, 11_590)
    assert rows["score direct on tydiqa"] == (5_077, 921)
    assert rows["score direct on bucc2018"] == (2_657_641 + 272_951, 1_019_254)
    assert rows["score direct on tatoeba"] == (28 * 1000 + 205 + 746 + 575 + 687 + 390 + 307
                                               + 234 + 548, 1000)  # fmt: skip
    assert rows["score direct on udpos"][1] == 22_358


def test_the_world_needs_no_sizes_and_no_step_has_a_key_of_a_real_one(tmp_path: Path) -> None:
    """Else a plan from sizes could call finished what is only of the same number of rows."""
    save(tmp_path / "adapter")
    declared = bench_of(write_catalog(tmp_path / "tiny", extra=COPIED), "tiny")
    real = replace(declared, from_sizes=False).plan()
    plan = declared.plan()
    assert step_rows(plan) == step_rows(real)
    assert step_rows(plan)["source tiny.A0"] == (48, 0)
    assert step_rows(plan)["copy ext.B0"] == (0, 0)
    assert set(real.steps).isdisjoint(plan.steps)


# --- shapes ---


def test_backbones_without_files_have_steps_of_their_own(tmp_path: Path) -> None:
    one = bench_of(write_sizes(tmp_path / "one")).plan()
    two = bench_of(write_two_backbones(tmp_path / "two")).plan()
    assert (len(one.steps), len(two.steps)) == (13, 26)
    assert {step.work.backbone.name for step in two.steps.values()} == {"thin", "wide"}


def backbone(kind: str = "hub", **values: Any) -> Backbone:
    """A backbone of the hub (or a folder) of XLM-R Large's shape."""
    where = {"hub": "a/b", "revision": "0" * 40} if kind == "hub" else {}
    return Backbone("other", "", kind, **{**where, "shape": LARGE, **values})


def test_the_shape_of_the_yaml_is_taken_where_no_files_are(tmp_path: Path) -> None:
    for spec in (backbone(), backbone("folder", path=str(tmp_path / "none"))):
        assert declared_backbone(spec).shape == LARGE


def test_a_backbone_without_shape_and_files_is_refused() -> None:
    with pytest.raises(InputError, match=r"'other': its files are not here .* add shape") as caught:
        declared_backbone(backbone(shape=None))
    assert "\n" not in str(caught.value)


def test_files_win_and_must_agree(tmp_path: Path) -> None:
    nano = inspect_backbone(Backbone("nano", "", "folder", path=str(NANO))).shape
    (tmp_path / "config.json").write_bytes((NANO / "config.json").read_bytes())
    alone = declared_backbone(backbone("folder", path=str(tmp_path), shape=None))
    assert alone.shape == nano  # no weights are there
    assert declared_backbone(backbone("folder", path=str(tmp_path), shape=nano)).shape == nano
    for look in (declared_backbone, inspect_backbone):
        with pytest.raises(InputError, match=r"shape\.vocabulary is 250002, but .*config\.json"):
            look(backbone("folder", path=str(NANO)))


def test_a_config_in_the_hub_cache_wins(tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "models--a--b" / "snapshots" / ("0" * 40)
    folder.mkdir(parents=True)
    config = json.loads((NANO / "config.json").read_bytes())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 7}))
    assert declared_backbone(backbone(shape=None)).shape.layers == 7


def test_text_of_pretraining_is_not_counted() -> None:
    data = DeclaredData(DataContext())
    assert len(data.texts(Catalog.load().backbone("files-small"))) == 0
    data.check()
