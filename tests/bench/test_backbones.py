"""Backbones in a plan: the rows are of their world, and they can read what they are given."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness.bench import Bench, Plan, Selection, Settings, inspect_backbone, plan_source
from harness.catalog import Backbone, Catalog, Pretraining, PretrainText, Source, SplitSpec, Target
from harness.data.world import World, generate
from harness.errors import InputError
from harness.model import Numerics
from tests.bench.conftest import write_catalog
from tests.bench.test_plan import RETRIEVAL
from tests.nano import NANO, load_model

SUITE = """
name: worlds
description: "A backbone of another world."
backbones: [noisy]
settings: [adapters]
seeds: [1]
low_resource: none, this is a test
low_resource_languages: [B0]
blocks:
  - {recipes: [direct], targets: [tiny-nli, tiny-ret]}
  - {recipes: [stack], targets: [tiny-nli], source_sets: [tiny-one]}
"""
LONGEST = 130  # config.json of nano: 132 positions, of which XLM-R leaves out the first two


@dataclass(frozen=True)
class Suite:
    """A suite of the test's catalog, and what to run it with."""

    catalog: Catalog
    folder: Path

    def nano(self, world: int | None) -> Backbone:
        """Nano's files in a folder that says of which world it is."""
        folder = self.folder / f"nano{world}"
        if not folder.exists():
            shutil.copytree(NANO, folder)
            note = json.loads((folder / "world.json").read_text())
            (folder / "world.json").write_text(json.dumps({**note, "world_seed": world}))
            if world is None:
                (folder / "world.json").unlink()
        return Backbone(f"nano{world}", "d", "folder", path=str(folder))

    def bench(self, *backbones: Backbone, chosen: Backbone | None = None, **changed: Any) -> Bench:
        """The suite on these backbones; `changed` replaces documents by kind."""
        known = {**self.catalog.backbones, **{one.name: one for one in backbones}}
        catalog = replace(self.catalog, backbones=known, **changed)
        suite = replace(catalog.suite("worlds"), backbones=tuple(one.name for one in backbones))
        settings = Settings(self.folder / "store", None, "refuse", Numerics())
        return Bench(catalog, suite, settings, self.folder / "out", Selection(backbone=chosen))

    def plan(self, backbone: Backbone, *documents: Source | Target) -> Plan:
        """The plan with changed sources and targets."""
        targets = {d.name: d for d in documents if isinstance(d, Target)}
        sources = {d.name: d for d in documents if isinstance(d, Source)}
        return self.bench(
            backbone,
            targets={**self.catalog.targets, **targets},
            sources={**self.catalog.sources, **sources},
        ).plan()


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    folder = tmp_path_factory.mktemp("catalog")
    extra = {"suites/worlds.yaml": SUITE, "targets/tiny-ret.yaml": RETRIEVAL}
    catalog = Catalog.load([*_shipped(), write_catalog(folder, extra=extra)])
    return Suite(catalog, tmp_path_factory.mktemp("run"))


def _shipped() -> list[Path]:
    from harness.catalog import default_directory

    return [default_directory()]


# --- worlds ---


@pytest.mark.parametrize("world", [0, 7])
def test_the_rows_are_of_the_backbones_world(suite: Suite, world: int) -> None:
    bench = suite.bench(suite.nano(world))
    bench.plan()
    for code, dataset in bench.data.tests(bench.catalog.target("tiny-nli")).items():
        assert list(dataset.examples) == list(generate(World(world), "nli", code, 12, "test", 0))
    train = bench.data.source(bench.catalog.source("tiny.A0"), "train").examples
    assert set(train) <= set(generate(World(world), "nli", "A0", 48, "train", 0))


def test_a_chosen_backbone_brings_its_world(suite: Suite) -> None:
    target = suite.catalog.target("tiny-nli")
    expected = list(generate(World(7), "nli", "B0", 12, "test", 0))
    mixed = suite.bench(suite.nano(0), suite.nano(7), chosen=suite.nano(7))
    assert list(mixed.data.test(target, "B0").examples) == expected
    later = suite.bench(suite.nano(0)).with_backbone(suite.nano(7))
    assert list(later.data.test(target, "B0").examples) == expected


def test_backbones_of_different_worlds_are_refused(suite: Suite) -> None:
    shipped = suite.catalog.backbone("nano")
    with pytest.raises(InputError, match=r"nano \(world 0\), nano7 \(world 7\).*--backbone"):
        suite.bench(shipped, suite.nano(7)).plan()
    assert len(suite.bench(shipped, suite.nano(0)).plan().cells) == 6


# --- what a backbone can read ---


def _long(task: Any, length: int, where: str) -> Any:
    if where == "training":
        return replace(task, training=replace(task.training, max_length=length))
    if where == "settings":
        training = task.settings.get("adapters", getattr(task, "training", None))
        return replace(task, settings={"adapters": replace(training, max_length=length)})
    return replace(task, max_length=length)


@pytest.mark.parametrize(
    ("kind", "name", "where", "said"),
    [
        ("targets", "tiny-nli", "", "target 'tiny-nli': max_length is 131"),
        ("targets", "tiny-ret", "", "target 'tiny-ret': max_length is 131"),
        ("targets", "tiny-nli", "settings", "target 'tiny-nli': settings.adapters.max_length is"),
        ("sources", "tiny.A0", "training", "source 'tiny.A0': training.max_length is 131"),
        ("sources", "tiny.A0", "settings", "source 'tiny.A0': settings.adapters.max_length is"),
    ],
)
def test_longer_inputs_than_positions_are_refused(
    suite: Suite, kind: str, name: str, where: str, said: str
) -> None:
    task = getattr(suite.catalog, kind)[name]
    assert suite.plan(suite.nano(0), _long(task, LONGEST, where)).cells
    with pytest.raises(InputError) as caught:
        suite.plan(suite.nano(0), _long(task, LONGEST + 1, where))
    assert str(caught.value).startswith(said)
    assert "backbone 'nano0' reads at most 130 tokens" in str(caught.value)


def test_the_limit_is_the_models_own(suite: Suite) -> None:
    import torch

    model, limit = load_model(), inspect_backbone(suite.nano(0)).shape.positions
    model(torch.full((1, limit), 5))
    with pytest.raises((RuntimeError, IndexError)):
        model(torch.full((1, limit + 1), 5))


def test_a_setting_that_trains_nothing_may_be_long(suite: Suite) -> None:
    """Retrieval is trained on by `fuse` alone, which is not in this suite."""
    assert suite.plan(suite.nano(0), _long(suite.catalog.target("tiny-ret"), 999, "settings")).cells


@pytest.mark.parametrize(("layer", "fits"), [("3", True), ("4", False), ("0", True),
                                             ("proportional-24/24", True),
                                             ("proportional-30/24", False)])  # fmt: skip
def test_a_layer_beyond_the_depth_is_refused(suite: Suite, layer: str, fits: bool) -> None:
    target = replace(suite.catalog.target("tiny-ret"), options={"layer": layer})
    if fits:
        assert suite.plan(suite.nano(0), target).cells
        return
    with pytest.raises(InputError, match=rf"'tiny-ret': options: layer: '{layer}'.*0 to 3"):
        suite.plan(suite.nano(0), target)


def test_a_backbone_that_is_made_here_has_the_limits_of_its_spec(suite: Suite) -> None:
    text = PretrainText(("A0",), SplitSpec("world", options={"task": "nli"}))
    spec = Pretraining(100, 32, 2, 2, 64, 100, (text,), 1, 64, 1e-3)
    with pytest.raises(InputError, match=r"max_length is 128, but backbone 'small' reads at most"):
        suite.plan(Backbone("small", "d", "pretrain", pretrain=spec))
    fitting = [_long(_long(t, 100, ""), 100, "settings") for t in suite.catalog.targets.values()]
    source = _long(suite.catalog.source("tiny.A0"), 100, "training")
    deep = replace(suite.catalog.target("tiny-ret"), max_length=100, options={"layer": "3"})
    with pytest.raises(
        InputError, match=r"layer: '3' is layer 3 of a backbone of 2.*'small' has 2"
    ):
        suite.plan(Backbone("small", "d", "pretrain", pretrain=spec), *fitting, source, deep)


def test_one_source_is_checked_too(suite: Suite) -> None:
    source = _long(suite.catalog.source("tiny.A0"), LONGEST + 1, "training")
    bench = suite.bench(suite.nano(0))
    with pytest.raises(InputError, match=r"source 'tiny.A0': training\.max_length is 131"):
        plan_source(
            source, inspect_backbone(suite.nano(0)), bench.data, bench.settings, "adapters", 1
        )


def test_a_folder_with_a_world_does_not_read_human_languages(suite: Suite) -> None:
    changes: Mapping[str, Any] = {"world": False}
    target = replace(suite.catalog.target("tiny-nli"), **changes)
    with pytest.raises(InputError, match="'nano7' knows the world's languages only, not A0, B0"):
        suite.plan(suite.nano(7), target)
    assert suite.plan(suite.nano(None), target).cells


# --- shape ---


def test_the_number_of_weights_is_the_models(suite: Suite) -> None:
    model = load_model()
    weights = {p.data_ptr(): p.numel() for p in model.roberta.parameters()}
    assert inspect_backbone(suite.nano(0)).shape.weights == sum(weights.values())


@pytest.mark.parametrize("change", [{"hidden_size": "wide"}, {"vocab_size": None}])
def test_a_damaged_config_is_refused(
    suite: Suite, tmp_path: Path, change: Mapping[str, Any]
) -> None:
    folder = Path(shutil.copytree(NANO, tmp_path / "nano"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(InputError, match=r"config\.json"):
        inspect_backbone(Backbone("mine", "d", "folder", path=str(folder)))
