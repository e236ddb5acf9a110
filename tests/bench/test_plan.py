"""Plans: each source once, and keys that change with what can change a result, only with that."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness.bench import Bench, Plan, Selection, Settings, Store, steps
from harness.catalog import Catalog, SplitSpec, default_directory
from harness.catalog.specs import LabelRule
from harness.errors import InputError
from harness.formats import PairClassification
from harness.model import Numerics
from tests.bench.conftest import write_catalog

SUITE = """
name: wide
description: "Two sources for two targets in three recipes."
backbones: [nano]
settings: [adapters]
seeds: [1, 2]
seed_note: Two seeds.
low_resource: none, this is a test
low_resource_languages: [B0]
blocks:
  - {recipes: [direct, full-ft], targets: [tiny-nli, tiny-pos]}
  - {recipes: [direct], targets: [tiny-ret]}
  - {recipes: [stack], targets: [tiny-nli, tiny-pos, tiny-ret], source_sets: [tiny-one], row: one}
  - {recipes: [fuse], targets: [tiny-nli, tiny-pos, tiny-ret], source_sets: [tiny-two], row: two}
"""
RETRIEVAL = """
name: tiny-ret
description: "Translations of 8 sentences."
task: ret
format: bitext_retrieval
languages: [B0]
train_language: A0
test: {reader: world, options: {task: ret, split: test, count: 8}}
settings: {adapters: {epochs: 1, learning_rate: 2e-3, batch_tokens: 768}}
split: world-test
licence: Apache-2.0
world: true
"""
OTHER_SOURCE = """
name: pos.A0
description: "Tags from 24 sentences."
task: pos
language: A0
format: tagging
labels: [ADJ, ADP, ADV, DET, NOUN, NUM, PART, PRON, PROPN, PUNCT, VERB]
train: {reader: world, options: {task: pos, split: train, count: 24}}
dev: {reader: world, options: {task: pos, split: dev, count: 8}}
training: {epochs: 1, learning_rate: 2e-3, batch_tokens: 768}
split: world-train
licence: Apache-2.0
world: true
"""
QUESTIONS = """
name: tiny-qa
description: "Questions from 24 examples."
task: qa
format: span_qa
languages: [A0, B0]
train_language: A0
train: {reader: world, options: {task: qa, split: train, count: 24}}
dev: {reader: world, options: {task: qa, split: dev, count: 8}}
test: {reader: world, options: {task: qa, split: test, count: 8}}
settings: {adapters: {epochs: 1, learning_rate: 2e-3, batch_tokens: 768}}
split: world-test
licence: Apache-2.0
world: true
"""
ASKING = """
name: asking
description: "Questions."
backbones: [nano]
settings: [adapters]
seeds: [1]
seed_note: One seed.
low_resource: none, this is a test
low_resource_languages: [B0]
blocks:
  - {recipes: [direct], targets: [tiny-qa]}
  - {recipes: [stack], targets: [tiny-qa], source_sets: [tiny-one], row: one}
"""
TWO = 'name: tiny-two\ndescription: "Two."\nsources: [tiny.A0, pos.A0]\n'


Only = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Planned:
    """What a plan depends on, to change one thing of it."""

    catalog: Catalog
    settings: Settings
    suite: str = "wide"

    def plan(self, only: Only | None = None, seeds: tuple[int, ...] = (1,)) -> Plan:
        selection = Selection(only=only or {}, seeds=seeds)
        suite = self.catalog.suite(self.suite)
        return Bench(self.catalog, suite, self.settings, Path("nowhere"), selection).plan()

    def keys(self, only: Only | None = None) -> dict[str, str]:
        """Key by label."""
        return {step.label: step.key for step in self.plan(only).steps.values()}

    def labels(self, kind: str) -> set[str]:
        """The labels of one kind of step."""
        return {step.label for step in self.plan().steps.values() if step.kind == kind}

    def with_(self, kind: str, name: str, **changes: Any) -> Planned:
        """The same with another source, target or suite of that name."""
        entries = dict(getattr(self.catalog, kind))
        entries[name] = replace(entries[name], **changes)
        return replace(self, catalog=replace(self.catalog, **{kind: entries}))

    def setting(self, **changes: Any) -> Planned:
        return replace(self, settings=replace(self.settings, **changes))


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Planned:
    folder = write_catalog(
        tmp_path_factory.mktemp("catalog"),
        extra={
            "suites/wide.yaml": SUITE,
            "source_sets/tiny-two.yaml": TWO,
            "sources/pos.A0.yaml": OTHER_SOURCE,
            "targets/tiny-ret.yaml": RETRIEVAL,
            "targets/tiny-qa.yaml": QUESTIONS,
            "suites/asking.yaml": ASKING,
        },
    )
    settings = Settings(folder / "store", None, "refuse", Numerics())
    return Planned(Catalog.load([default_directory(), folder]), settings)


SOURCE = "source tiny.A0 (seed 1)"
OTHER = "source pos.A0 (seed 1)"
FITS = {
    f"{recipe} -> {target} (seed 1)"
    for recipe in ("direct", "full-ft", "stack[tiny-one]", "fuse[tiny-two]")
    for target in ("tiny-nli", "tiny-pos")
}
MIXTURE = "fuse[tiny-two] -> tiny-ret (seed 1)"


def changed(before: Planned, after: Planned) -> set[str]:
    """The labels of the steps that are done anew."""
    old, new = before.keys(), after.keys()
    assert old.keys() == new.keys()
    return {label for label, key in old.items() if new[label] != key}


def predictions(*fits: str) -> set[str]:
    """The predictions after these fits."""
    return {f"score {fit}".replace(" -> ", " on ") for fit in fits}


# --- what a plan holds ---


def test_a_source_is_trained_once_for_all_targets_and_recipes(planned: Planned) -> None:
    plan = planned.plan(seeds=(1, 2))
    counts = Counter(step.kind for step in plan.steps.values())
    # Per seed: 2 sources; 8 fits and a mixture; 11 predictions, of which the bare backbone's has no
    # seed.
    assert counts == {"source": 4, "fit": 18, "predict": 21}
    assert len(plan.cells) == 22
    uses = Counter(ref.step for cell in plan.cells for ref in cell.sources)
    of = {step.key: step.label for step in plan.steps.values() if step.kind == "source"}
    assert {of[key]: count for key, count in uses.items()} == {
        "source tiny.A0 (seed 1)": 6, "source pos.A0 (seed 1)": 3,
        "source tiny.A0 (seed 2)": 6, "source pos.A0 (seed 2)": 3,
    }  # fmt: skip


def test_the_order_of_a_plan_can_be_followed(planned: Planned) -> None:
    seen: set[tuple[str, str]] = set()
    for step_id, step in planned.plan(seeds=(1, 2)).steps.items():
        assert step_id == step.id
        assert seen.issuperset(step.needs), step.label
        seen.add(step.id)


def test_a_plan_lists_what_is_trained_before_what_is_scored(planned: Planned) -> None:
    kinds = [step.kind for step in planned.plan(seeds=(1, 2)).steps.values()]
    assert list(dict.fromkeys(kinds)) == ["source", "fit", "predict"]
    assert kinds == sorted(kinds, key=["source", "fit", "predict"].index)


@pytest.mark.parametrize(
    ("only", "cells"),
    [
        ({"target": ["tiny-nli"]}, 4),
        ({"target": ["tiny-nli", "tiny-ret"]}, 7),
        ({"recipe": ["direct"]}, 3),
        ({"recipe": ["stack", "fuse"], "target": ["tiny-pos"]}, 2),
        ({"set": ["tiny-two"]}, 3),
        ({"setting": ["adapters"]}, 11),
    ],
)
def test_only_a_part(planned: Planned, only: Only, cells: int) -> None:
    whole, part = planned.plan(), planned.plan(only)
    assert len(part.cells) == cells
    assert part.steps.keys() <= whole.steps.keys()  # the same keys: nothing is done twice
    values = [
        {"target": c.target.name, "recipe": c.recipe.name, "setting": c.setting,
         "set": c.source_set.name if c.source_set else None}
        for c in part.cells
    ]  # fmt: skip
    assert all(value[key] in names for value in values for key, names in only.items())
    needed = {step_id for step in part.steps.values() for step_id in step.needs}
    made = {("fit", c.fit) for c in part.cells} | {("predict", c.predict) for c in part.cells}
    assert part.steps.keys() <= needed | made  # nothing that no cell needs


def test_nothing_left_is_an_error(planned: Planned) -> None:
    with pytest.raises(InputError, match="nothing is left to run with --only recipe=direct"):
        planned.plan({"recipe": ["direct"], "set": ["tiny-one"]})


def test_a_setting_that_a_target_lacks_is_an_error(planned: Planned) -> None:
    with pytest.raises(InputError, match="target 'tiny-nli': no setting 'adapters'; it has none"):
        planned.with_("targets", "tiny-nli", settings={}).plan()


def test_planning_repeats_itself_and_writes_nothing(planned: Planned) -> None:
    assert planned.keys() == planned.keys()
    assert planned.plan().done(Store(planned.settings.store)) == set()
    assert not planned.settings.store.exists()


# --- keys that must change ---


def test_the_seed_changes_everything_that_is_trained(planned: Planned) -> None:
    one, two = planned.plan(seeds=(1,)), planned.plan(seeds=(2,))
    shared = [one.steps[step_id].label for step_id in one.steps.keys() & two.steps.keys()]
    assert shared == ["score direct on tiny-ret"]  # the bare backbone


def test_a_hyper_parameter_of_a_source_changes_it_and_what_is_built_on_it(
    planned: Planned,
) -> None:
    training = planned.catalog.source("tiny.A0").training
    other = planned.with_("sources", "tiny.A0", training=replace(training, learning_rate=1e-3))
    fits = {fit for fit in FITS if "stack" in fit or "fuse" in fit} | {MIXTURE}
    retrieval = "score stack[tiny-one] on tiny-ret (seed 1)"
    assert changed(planned, other) == {SOURCE, retrieval, *fits, *predictions(*fits)}


def test_a_hyper_parameter_of_a_target_changes_its_fits_alone(planned: Planned) -> None:
    target = planned.catalog.target("tiny-pos")
    training = replace(target.settings["adapters"], warmup=0.2)
    other = planned.with_("targets", "tiny-pos", settings={"adapters": training})
    fits = {fit for fit in FITS if "tiny-pos" in fit}
    assert changed(planned, other) == {*fits, *predictions(*fits)}


def test_options_of_the_format_change_what_they_can_change(planned: Planned) -> None:
    other = planned.with_("targets", "tiny-ret", options={"layer": 1})
    retrieval = {label for label in planned.labels("predict") if "tiny-ret" in label}
    assert len(retrieval) == 3
    # not the mixture's training: it is on the sources' tasks
    assert changed(planned, other) == retrieval


@pytest.mark.parametrize(
    "options",
    [
        {"spans": "whitespace"},
        {"max_query": 9},
        {"max_answer": 9},
        {"n_best": 9},
        {"normalisation": "mlqa"},
    ],
)
def test_options_of_a_trained_format_change_its_fits_too(
    planned: Planned, options: Mapping[str, Any]
) -> None:
    """They select the weights on dev, or are what the fit learns."""
    asking = replace(planned, suite="asking")
    fits = {"direct -> tiny-qa (seed 1)", "stack[tiny-one] -> tiny-qa (seed 1)"}
    other = asking.with_("targets", "tiny-qa", options=options)
    assert changed(asking, other) == fits | predictions(*fits)


def test_writing_a_default_of_the_format_changes_nothing(planned: Planned) -> None:
    other = planned.with_("targets", "tiny-ret", options={"layer": "proportional-14/24"})
    assert changed(planned, other) == set()


def test_every_hyper_parameter_counts(planned: Planned) -> None:
    training = planned.catalog.source("tiny.A0").training
    values: dict[str, Any] = {
        "batch_size": 4, "batch_tokens": 512, "full_learning_rate": 1e-4,
        "fusion_learning_rate": 1e-4, "head_learning_rate": 1e-4,
    }  # fmt: skip
    part = {"set": ["tiny-one"], "target": ["tiny-nli"]}
    before = planned.keys(part)[SOURCE]
    for field in dataclasses.fields(training):
        now = getattr(training, field.name)
        value = values[field.name] if field.name in values else now + 1
        change: dict[str, Any] = {field.name: value}
        other = planned.with_("sources", "tiny.A0", training=replace(training, **change))
        assert other.keys(part)[SOURCE] != before, field.name


def test_data_change_what_reads_them(planned: Planned) -> None:
    def count(split: SplitSpec) -> SplitSpec:
        return replace(split, options={**split.options, "count": 10})

    source = planned.catalog.source("tiny.A0")
    trained_on_it = {SOURCE} | {f for f in FITS if "stack" in f or "fuse" in f} | {MIXTURE}
    for name in ("train", "dev"):
        other = planned.with_("sources", "tiny.A0", **{name: count(getattr(source, name))})
        assert changed(planned, other) >= trained_on_it
    target = planned.catalog.target("tiny-pos")
    assert target.train is not None
    fits = {fit for fit in FITS if "tiny-pos" in fit}
    other = planned.with_("targets", "tiny-pos", train=count(target.train))
    assert changed(planned, other) == {*fits, *predictions(*fits)}
    other = planned.with_("targets", "tiny-pos", test=count(target.test))
    assert changed(planned, other) == predictions(*fits)


def test_the_dev_sets_that_select_a_mixture_change_it(planned: Planned) -> None:
    """Both sources are in A0, so with another training language none of their dev sets selects."""
    other = planned.with_("targets", "tiny-ret", train_language="B0")
    assert changed(planned, other) == {MIXTURE, *predictions(MIXTURE)}


def test_labels_and_their_order_count(planned: Planned) -> None:
    labels = planned.catalog.source("tiny.A0").labels
    other = planned.with_("sources", "tiny.A0", labels=labels[::-1])
    assert SOURCE in changed(planned, other)


@pytest.mark.parametrize(
    "numerics",
    [
        Numerics(dtype="bf16"), Numerics(threads=2), Numerics(tf32=True),
        Numerics(deterministic=False), Numerics(device="cuda:0"),
    ],
)  # fmt: skip
def test_arithmetic_changes_everything(planned: Planned, numerics: Numerics) -> None:
    assert changed(planned, planned.setting(numerics=numerics)) == planned.keys().keys()


@pytest.mark.parametrize("kind", ["source", "fit", "predict"])
def test_a_new_version_of_a_steps_code_changes_such_steps(
    planned: Planned, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    before = planned.keys()
    monkeypatch.setitem(steps.STEP_VERSIONS, kind, 99)
    after = planned.keys()
    assert planned.labels(kind) <= {label for label in before if after[label] != before[label]}


def test_a_new_version_of_a_library_changes_everything(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = planned.keys()
    versions = {**steps.library_versions(), "tokenizers": "0.0.1"}
    monkeypatch.setattr(steps, "library_versions", lambda: versions)
    assert not set(before.values()) & set(planned.keys().values())


def test_a_new_version_of_a_format_changes_what_uses_it(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = planned.keys()
    monkeypatch.setattr(PairClassification, "version", 99)
    after = planned.keys()
    new = {label for label, key in before.items() if after[label] != key}
    assert {SOURCE, MIXTURE, *(fit for fit in FITS if "tiny-nli" in fit)} <= new
    assert not new & {OTHER, "direct -> tiny-pos (seed 1)"}


def test_tokens_of_a_pass_count_where_they_can_cut_a_batch(planned: Planned) -> None:
    """Cut, a batch draws other dropout masks; a batch of fewer tokens is never cut."""
    new = changed(planned, planned.setting(micro_tokens=1024))
    assert {SOURCE, *FITS} <= new  # batches of 8 examples: nobody knows how long
    assert OTHER not in new  # batches of at most 768 tokens
    assert OTHER in changed(planned, planned.setting(micro_tokens=512))


def test_tokens_of_a_prediction_count_where_dev_scores_select(planned: Planned) -> None:
    """Other batches round otherwise, so a dev score may select other weights."""
    other = planned.setting(predict_tokens=512)
    assert changed(planned, other) == planned.keys().keys()


# --- keys that must not change ---


def test_which_gpu_of_a_kind_changes_nothing(planned: Planned) -> None:
    first, second = (planned.setting(numerics=Numerics(device=f"cuda:{n}")) for n in (0, 1))
    assert changed(first, second) == set()


def test_other_targets_change_nothing(planned: Planned) -> None:
    suite = planned.catalog.suite("wide")
    alone = planned.with_(
        "suites", "wide",
        blocks=tuple(replace(block, targets=("tiny-nli",)) for block in suite.blocks),
    )  # fmt: skip
    whole = planned.keys()
    assert alone.keys().items() <= whole.items()
    assert len(alone.keys()) < len(whole)


def test_names_of_suites_rows_and_sets_change_nothing(planned: Planned) -> None:
    suite = planned.catalog.suite("wide")
    other = planned.with_(
        "suites", "wide", description="Other.", contrasts=(), low_resource_languages=("A0",),
        blocks=tuple(replace(block, row="other") for block in suite.blocks),
    )  # fmt: skip
    assert changed(planned, other) == set()


def test_where_and_how_often_to_write_changes_nothing(planned: Planned) -> None:
    other = planned.setting(
        store=Path("elsewhere"), data=Path("data"), checkpoint_seconds=None, checkpoint_steps=3
    )
    assert changed(planned, other) == set()


def test_the_order_of_blocks_changes_nothing(planned: Planned) -> None:
    blocks = planned.catalog.suite("wide").blocks
    assert changed(planned, planned.with_("suites", "wide", blocks=blocks[::-1])) == set()


def test_labels_from_training_rows_go_with_the_plan(planned: Planned) -> None:
    """Keys, heads and workers get the labels, which the catalog's source does not have."""
    found = {}
    for least in (1, 40):
        rule = LabelRule(least, "other")
        plan = planned.with_("sources", "pos.A0", labels=(), labels_from=rule).plan()
        step = next(one for one in plan.steps.values() if one.label.startswith("source pos.A0"))
        assert isinstance(step.work, steps.SourceWork)
        refs = [ref.source for one in plan.cells for ref in one.sources]
        assert {one.labels for one in refs if one.name == "pos.A0"} == {step.work.source.labels}
        found[least] = (step.work.source.labels, step.key)
    assert found[1][0] == (*sorted(found[1][0][:-1]), "other")
    assert set(found[40][0]) < set(found[1][0])
    assert found[40][0][-1] == "other"
    assert found[40][1] != found[1][1]
