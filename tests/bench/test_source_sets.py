"""Suites over source sets with shares, budgets and mixtures: plans, runs and their records."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from transformers import AutoTokenizer

from harness.bench import Bench, Plan, Selection, Settings, SourceWork, SuiteData
from harness.bench.steps import BackboneRef, JointWork
from harness.catalog import Budget, Catalog, default_directory
from harness.data import DataContext, Draw
from harness.errors import InputError
from harness.model import Numerics
from harness.results import parse_signature
from tests.bench.conftest import Results, Runner, write_catalog
from tests.nano import NANO

POS = """
name: pos.B0
description: "Tags of 40 sentences."
task: pos
language: B0
format: tagging
labels: [ADJ, ADP, ADV, DET, NOUN, NUM, PART, PRON, PROPN, PUNCT, VERB]
train: {reader: world, options: {task: pos, split: train, count: 40}}
dev: {reader: world, options: {task: pos, split: dev, count: 8}}
training: {epochs: 1, learning_rate: 2e-3, batch_size: 8}
split: world-train
licence: Apache-2.0
world: true
stand_in: tiny.A0
"""
RETRIEVAL = """
name: tiny-ret
description: "Translations of 8 sentences."
task: ret
format: bitext_retrieval
languages: [A1, B1]
train_language: A0
test: {reader: world, options: {task: ret, split: test, count: 8}}
settings: {adapters: {epochs: 1, learning_rate: 2e-3, batch_size: 8}}
split: world-test
licence: Apache-2.0
world: true
"""
SETS = {
    # 48 rows of tiny.A0, 40 of pos.B0
    "halves": """
sources: [{source: tiny.A0, share: 1/2}, {source: tiny.A0, share: 2/2}]
budget: {examples: 25}
parallel: true""",
    "both": """
sources: [tiny.A0, pos.B0]
mixture: {sampling: uniform, cap: 30}
settings: {adapters: {epochs: 2, learning_rate: 2e-3, batch_size: 8}}""",
    "tokens": "\nsources: [tiny.A0, pos.B0]\nbudget: {tokens: 500}",
    "free": "\nsources: [tiny.A0, pos.B0]",
}
SUITE = """
name: sets
description: "Source sets."
backbones: [nano]
settings: [adapters]
seeds: [1]
seed_note: One seed.
low_resource: none, this is a test
low_resource_languages: [B0]
budget: {examples: 20}
blocks:
  - {recipes: [fuse], targets: [tiny-nli], source_sets: [halves, tokens, free]}
  - {recipes: [stack], targets: [tiny-nli], source_sets: [free-in-b, free-without-pos.B0]}
  - {recipes: [multitask], targets: [tiny-nli, tiny-ret], source_sets: [both]}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    extra = {
        f"source_sets/{name}.yaml": f"name: {name}\ndescription: d{text}\n"
        for name, text in SETS.items()
    }
    return write_catalog(
        tmp_path_factory.mktemp("catalog"),
        epochs=1,
        extra={
            **extra,
            "sources/pos.B0.yaml": POS,
            "targets/tiny-ret.yaml": RETRIEVAL,
            "suites/sets.yaml": SUITE,
        },
    )


@pytest.fixture(scope="module")
def catalog(folder: Path) -> Catalog:
    return Catalog.load([default_directory(), folder])


def bench_of(catalog: Catalog, seed: int = 1, **only: str) -> Bench:
    settings = Settings(Path("nowhere"), None, "refuse", Numerics())
    selection = Selection({key: [value] for key, value in only.items()}, (seed,))
    return Bench(catalog, catalog.suite("sets"), settings, Path("nowhere"), selection)


def drawn(bench: Bench, plan: Plan) -> dict[str, dict[str, list[str]]]:
    """Set -> source as the set takes it -> the ids of the rows that train."""
    found: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for cell in plan.cells:
        assert cell.source_set is not None
        for ref in cell.sources:
            rows = bench.data.drawn(ref.work).examples
            found[cell.source_set.name][ref.name] = [row.id for row in rows]
    return dict(found)


def test_every_set_has_the_rows_that_it_says(catalog: Catalog) -> None:
    bench = bench_of(catalog)
    rows = drawn(bench, bench.plan())
    sizes = {name: {k: len(v) for k, v in found.items()} for name, found in rows.items()}
    tokens = sizes.pop("tokens")
    assert sizes == {
        "halves": {"tiny.A0-1of2": 13, "tiny.A0-2of2": 12},
        "both": {"tiny.A0": 10, "pos.B0": 10},
        "free": {"tiny.A0": 10, "pos.B0": 10},
        # Derived sets keep the set's budget, here the suite's, for what is left of it.
        "free-in-b": {"pos.B0": 20},
        "free-without-pos.B0": {"tiny.A0": 20},
    }
    one, other = rows["halves"].values()
    assert not set(one) & set(other)
    assert min(tokens.values()) > 0
    assert max(tokens.values()) < 40


def test_the_seed_decides_which_rows(catalog: Catalog) -> None:
    found = []
    for seed in (1, 1, 2):
        bench = bench_of(catalog, seed)
        found.append(drawn(bench, bench.plan()))
    assert found[0] == found[1]
    for name, members in found[0].items():
        for member, rows in members.items():
            assert rows != found[2][name][member], (name, member)


def test_tokens_are_those_of_the_backbones_tokenizer(catalog: Catalog) -> None:
    """Counted here with the tokenizer itself: pairs have four special tokens, sentences two."""
    bench = bench_of(catalog, set="tokens")
    (cell,) = bench.plan().cells
    tokenizer: Any = AutoTokenizer.from_pretrained(NANO)
    for ref in cell.sources:
        counts = []
        for row in bench.data.drawn(ref.work).examples:
            if ref.name == "tiny.A0":
                counts.append(len(tokenizer(row.premise, row.hypothesis)["input_ids"]))  # type: ignore[attr-defined]
            else:
                words = list(row.tokens)  # type: ignore[attr-defined]
                counts.append(len(tokenizer(words, is_split_into_words=True)["input_ids"]))
        assert 250 - max(counts) < sum(counts) <= 250


def test_budgets_of_tokens_need_a_tokenizer_that_is_there(catalog: Catalog) -> None:
    data = SuiteData(catalog, catalog.suite("sets"), DataContext())
    source = catalog.source("tiny.A0")
    work = SourceWork(BackboneRef("small", "0" * 64, 4, step="0" * 64), source, source.training, 1,
                      source.name, Draw(tokens=100))  # fmt: skip
    with pytest.raises(InputError, match="tokenizer of backbone 'small' is made by the run itself"):
        data.drawn(work)


def test_a_set_that_asks_for_too_much_is_refused_before_anything_runs(catalog: Catalog) -> None:
    bench = bench_of(catalog, set="free")
    bench = replace(bench, suite=replace(bench.suite, budget=Budget(examples=90)))
    line = (
        r"source set 'free' \(budget examples=90\): pos.B0/train \(B0\): the set asks for 45 rows, "
        "but there are 40; lower the budget"
    )
    with pytest.raises(InputError, match=line):
        bench.plan()


def test_keys_follow_what_is_drawn(catalog: Catalog) -> None:
    """One source with the same rows is trained once, whatever the sets that take it."""
    plan = bench_of(catalog).plan()
    by_set = {
        cell.source_set.name: {ref.name: ref.step for ref in cell.sources}
        for cell in plan.cells
        if cell.source_set
    }
    assert by_set["free"]["tiny.A0"] != by_set["free-without-pos.B0"]["tiny.A0"]  # 10 and 20 rows
    assert by_set["both"]["tiny.A0"] == by_set["both"]["pos.B0"]  # one adapter for both
    works = [step.work for step in plan.steps.values() if step.kind == "source"]
    assert [work.name for work in works if isinstance(work, JointWork)] == ["mixture-both"]
    assert len(works) == 9  # two each of halves, tokens, free; two derived ones; the joint one


@pytest.fixture(scope="module")
def results(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return Runner(folder, "sets").finish(tmp_path_factory.mktemp("run") / "out")


def test_records_say_what_was_drawn(results: Results) -> None:
    records = {
        (one["target"]["name"], one["source_set"]["name"]): one
        for one in results.records().values()
    }
    halves = records["tiny-nli", "halves"]
    assert halves["source_set"] == {
        "name": "halves", "sources": ["tiny.A0-1of2", "tiny.A0-2of2"],
        "budget": "examples=25,parallel", "mixture": None, "stand_ins": [],
    }  # fmt: skip
    assert dict(parse_signature(halves["signature"]))["budget"] == "examples=25,parallel"
    assert set(halves["setting"]["sources"]) == {"tiny.A0-1of2", "tiny.A0-2of2"}
    counts = halves["data"]["counts"]
    assert counts["tiny.A0-1of2/train"]["examples"] == 13
    assert (
        halves["data"]["fingerprints"]["tiny.A0-1of2/train"]
        != halves["data"]["fingerprints"]["tiny.A0-2of2/train"]
    )
    both = records["tiny-nli", "both"]
    assert both["source_set"]["mixture"] == "uniform,cap=30"
    assert both["source_set"]["stand_ins"] == ["pos.B0"]
    joint, own = both["setting"]["joint"], both["setting"]["sources"]["tiny.A0"]
    assert joint["epochs"] == 2
    assert set(own) - set(joint) == {"max_length", "doc_stride"}  # each source has its own
    assert set(joint) <= set(own)
    assert both["scores"]["B0"]["seen"] == "language"
    signed = dict(parse_signature(both["signature"]))
    assert (signed["budget"], signed["mixture"], signed["stand-ins"]) == (
        "examples=20", "uniform,cap=30", "pos.B0",
    )  # fmt: skip
    assert (
        dict(parse_signature(records["tiny-nli", "tokens"]["signature"]))["budget"] == "tokens=500"
    )
    free = records["tiny-nli", "free"]
    assert free["source_set"]["mixture"] is None
    assert free["setting"]["joint"] is None


def test_one_adapter_is_trained_on_both_formats(results: Results) -> None:
    (joint,) = [
        path
        for path in results.store.glob("source/*/trained/adapters/mixture-both")
        if path.is_dir()
    ]
    trained = joint.parents[1]
    heads = {path.name for path in (trained / "heads").iterdir()}
    assert heads == {"tiny_A0", "pos_B0"}
    training = json.loads((trained.parent / "training.json").read_bytes())
    # Two epochs of 20 rows, 10 of each source, in batches of 8 of one source: 2 + 2 batches.
    assert training["steps"] == 8
    # Each head is one of its own size: 3 relations, 11 tags.
    for name, labels in (("tiny_A0", 3), ("pos_B0", 11)):
        weights = load_file(trained / "heads" / name / "model_head.safetensors")
        assert labels in {len(tensor) for tensor in weights.values()}


def test_retrieval_uses_the_joint_adapter_alone(results: Results) -> None:
    (record,) = [
        one for one in results.records(whole=True).values() if one["target"]["name"] == "tiny-ret"
    ]
    assert record["selection"] is None
    assert record["costs"]["train_tokens"] == 0
    # nano's adapters: 3 layers of 2 x 128 x 32 weights and 32 + 128 biases.
    assert record["costs"]["stored_parameters"] == 3 * (2 * 128 * 32 + 32 + 128)
