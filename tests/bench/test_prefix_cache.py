"""--prefix-cache on nano: the same results, each row below once, within a bound, never damaged."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.models.xlm_roberta.modeling_xlm_roberta import XLMRobertaEmbeddings

from harness.bench.prefix_store import states_key
from harness.bench.steps import BackboneRef
from harness.model import Numerics, Prefix
from harness.train import Rows
from tests.bench.conftest import Results, Runner, write_catalog, xstilts
from tests.bench.test_plan import RETRIEVAL
from tests.train.conftest import features_of

DEEP = """
name: deep
description: "Nano with dropout, adapters in its last layer."
kind: folder
path: NOISY
reduction_factor: 4
first_adapter_layer: 2
prefix_dropout: false
licence: Apache-2.0
world: true
"""
SECOND = """
name: tiny.B0
description: "NLI from 32 examples."
task: nli
language: B0
format: pair_classification
labels: [entailment, neutral, contradiction]
train: {reader: world, options: {task: nli, split: train, count: 32}}
dev: {reader: world, options: {task: nli, split: dev, count: 8}}
training: TRAINING
split: world-train
licence: Apache-2.0
world: true
"""
SUITE = """
name: deeper
description: "All ways to use sources."
backbones: [deep]
settings: [adapters]
seeds: [1, 2]
seed_note: Two seeds.
low_resource: none, this is a test
low_resource_languages: [B0]
blocks:
  - {recipes: [direct], targets: [tiny-nli, tiny-pos, tiny-ret]}
  - {recipes: [stack], targets: [tiny-nli], source_sets: [tiny-one], row: one}
  - {recipes: [fuse, multitask], targets: [tiny-nli, tiny-ret], source_sets: [tiny-two]}
"""
MADE = """
name: made
description: "Pretrained by the run."
kind: pretrain
reduction_factor: 4
first_adapter_layer: 1
prefix_dropout: false
licence: Apache-2.0
world: true
pretrain:
  vocabulary: 300
  hidden_size: 16
  layers: 2
  heads: 2
  intermediate_size: 32
  max_positions: 130
  steps: 2
  batch_tokens: 512
  learning_rate: 1e-3
  texts:
    - languages: [A0]
      split:
        - {reader: text, options: {reader: world, options: {task: nli, split: train, count: 60}}}
"""
EXTRA = {
    "backbones/deep.yaml": DEEP,
    "backbones/made.yaml": MADE,
    "sources/tiny.B0.yaml": SECOND,
    "source_sets/tiny-two.yaml": 'name: tiny-two\ndescription: "Two."\n'
    "sources: [tiny.A0, tiny.B0]\n",
    "targets/tiny-ret.yaml": RETRIEVAL,
    "suites/deeper.yaml": SUITE,
}
FLOATS = 128  # of nano, to a token
CACHE = ("--prefix-cache", "1GB")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_catalog(tmp_path_factory.mktemp("catalog"), extra=EXTRA)


@pytest.fixture(scope="module")
def runner(catalog: Path) -> Runner:
    return Runner(catalog, "deeper")


@contextmanager
def counted() -> Iterator[list[int]]:
    """Tokens without padding of every pass through the embeddings."""
    whole, seen = XLMRobertaEmbeddings.forward, list[int]()

    def forward(self: Any, input_ids: Any = None, **rest: Any) -> Any:
        seen.append(int((input_ids != self.padding_idx).sum()))
        return whole(self, input_ids=input_ids, **rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(XLMRobertaEmbeddings, "forward", forward)
        yield seen


@pytest.fixture(scope="module")
def plain(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Without the cache."""
    return runner.finish(tmp_path_factory.mktemp("plain") / "out")


@pytest.fixture(scope="module")
def cached(
    runner: Runner, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Results, list[int], list[int]]:
    """With it: first one seed, then both; and what passed through the embeddings in each run."""
    out = tmp_path_factory.mktemp("cached") / "out"
    with counted() as first:
        runner.finish(out, *CACHE, "--seeds", "1")
    with counted() as second:
        runner.finish(out, *CACHE)
    return Results(out), first, second


def kept_bytes(results: Results) -> int:
    return sum(path.stat().st_size for path in results.store.glob("prefix/*/states.bin"))


def finals(results: Results) -> dict[str, float]:
    """The last loss of every training, by artifact."""
    return {
        str(path.parent.relative_to(results.store)): json.loads(path.read_text())["final_loss"]
        for path in results.store.glob("*/*/training.json")
    }


def test_results_are_those_without_it(
    plain: Results, cached: tuple[Results, list[int], list[int]]
) -> None:
    """Keys and signatures are equal, losses to rounding, and nearly all predictions."""
    losses, others = finals(plain), finals(cached[0])
    assert len(losses) > 8
    assert others == pytest.approx(losses, rel=1e-3)
    signatures = [{r["signature"] for r in one.records().values()} for one in (plain, cached[0])]
    assert signatures[0] == signatures[1]
    one, other = (
        {path.parent.name: path.read_text().splitlines() for path in r.store.glob(
            "predict/*/predictions.jsonl")}
        for r in (plain, cached[0])
    )  # fmt: skip
    assert one.keys() == other.keys()
    pairs = [pair for key in one for pair in zip(one[key], other[key], strict=True)]
    assert sum(a == b for a, b in pairs) >= 0.98 * len(pairs)


def test_every_row_passes_the_lower_layers_once(
    plain: Results, cached: tuple[Results, list[int], list[int]]
) -> None:
    results, first, second = cached
    assert kept_bytes(results) == sum(first) * FLOATS * 4  # float32, no padding
    assert not second  # the second seed, and all that was done before, needs nothing more
    assert not (plain.store / "prefix").exists()
    trained = [json.loads(p.read_text())["tokens"] for p in results.store.glob("*/*/training.json")]
    assert sum(trained) > 5 * sum(first)


def test_a_bound_is_kept_and_said_beforehand(runner: Runner, tmp_path: Path) -> None:
    out, only = tmp_path / "out", ("--only", "recipe=direct", "--seeds", "1")
    done = runner.run(out, *only, "--prefix-cache", "1KB")
    assert done.code == 2
    (line,) = done.errors
    found = re.search(r"allowed; give at least ([\d.]+)(KB|MB),", line)
    assert found, line
    assert "1KB are allowed" in line
    assert not list(out.glob("store/fit/*")) + list(out.glob("store/prefix/*"))
    below = f"{float(found[1]) - 0.02:.2f}{found[2]}"
    assert runner.run(out, *only, "--prefix-cache", below).code == 2
    left = out / "store" / "work" / "partial-prefix-abc"  # by a worker that was killed
    left.mkdir(parents=True)
    (left / "states.bin").write_bytes(bytes(10**6))
    runner.finish(out, *only, "--prefix-cache", found[1] + found[2])
    assert not left.exists()
    unit = {"KB": 1000, "MB": 10**6}[found[2]]
    held = sum(p.stat().st_size for p in (out / "store" / "prefix").rglob("*") if p.is_file())
    assert 0 < held <= float(found[1]) * unit
    # what is there needs no room: the languages of a target, which share passes, are files each
    shutil.rmtree(out / "store" / "predict")
    runner.finish(out, *only, "--prefix-cache", found[1] + found[2])
    again = sum(p.stat().st_size for p in (out / "store" / "prefix").rglob("*") if p.is_file())
    assert again == held
    # what is there is used, and what comes on top has no room
    done = runner.run(out, "--seeds", "1", "--prefix-cache", found[1] + found[2])
    assert done.code == 2
    assert "remove what is in that folder" in done.errors[0]


@pytest.mark.parametrize("harm", ["a byte", "the end", "the manifest", "the file"])
def test_what_is_damaged_is_made_anew(
    runner: Runner, cached: tuple[Results, list[int], list[int]], tmp_path: Path, harm: str
) -> None:
    shutil.copytree(cached[0].out, tmp_path / "out")
    results = Results(tmp_path / "out")
    for kind in ("fit", "predict", "source"):
        shutil.rmtree(results.store / kind)
    whole = {p: p.read_bytes() for p in sorted(results.store.glob("prefix/*/states.bin"))}
    for path, content in whole.items():
        if harm == "a byte":
            path.write_bytes(content[:500] + bytes([content[500] ^ 1]) + content[501:])
        elif harm == "the end":
            path.write_bytes(content[:-4])
        else:
            (path if harm == "the file" else path.parent / "manifest.json").unlink()
    with counted() as seen:
        done = runner.run(results.out, *CACHE, "--only", "recipe=direct")
    assert done.code == 0
    assert seen
    assert "is damaged; it is made again" in done.err
    again = [
        path for path, content in whole.items() if path.exists() and path.read_bytes() == content
    ]
    assert len(again) >= 6  # of tiny-nli and tiny-pos: train, dev, two languages
    for name, loss in finals(results).items():
        assert finals(cached[0])[name] == loss


def test_workers_share_it(runner: Runner, cached: tuple[Results, Any, Any], tmp_path: Path) -> None:
    only = ("--only", "target=tiny-nli", "--only", "recipe=direct,stack")
    results = runner.finish(tmp_path / "out", *CACHE, *only, workers=2)
    for name, loss in finals(results).items():
        assert finals(cached[0])[name] == loss
    results.assert_nothing_half_written()
    whole = {p.parent.name: p.read_bytes() for p in results.store.glob("prefix/*/states.bin")}
    assert whole
    for key, content in whole.items():
        assert (cached[0].store / "prefix" / key / "states.bin").read_bytes() == content


def evaluated_from_it(runner: Runner, store: Path) -> bool:
    """Whether `evaluate` finds all states that it needs; its results are those without."""
    fits = sorted(store.glob("fit/*/trained"))
    fit = next(p for p in fits if '"tiny-nli"' in (p / "about.json").read_text())
    arguments = (
        "evaluate", fit, "--target", "tiny-nli", "--suite", "deeper", "--catalog", runner.catalog,
        "--json",
    )  # fmt: skip
    expected = json.loads(xstilts(*arguments).out)
    with counted() as seen:
        done = xstilts(*arguments, *CACHE)
    assert done.code == 0, done.err
    assert json.loads(done.out) == expected
    return not seen


def test_a_model_is_evaluated_from_it(
    runner: Runner, cached: tuple[Results, list[int], list[int]]
) -> None:
    assert evaluated_from_it(runner, cached[0].store)


def test_a_model_on_a_backbone_of_the_run_is_evaluated_from_it(
    runner: Runner, tmp_path: Path
) -> None:
    only = ("--only", "target=tiny-nli", "--only", "recipe=direct", "--seeds", "1")
    results = runner.finish(tmp_path / "out", *CACHE, *only, "--backbone", "made")
    assert evaluated_from_it(runner, results.store)


def test_full_fine_tuning_goes_without(runner: Runner, tmp_path: Path) -> None:
    suite = SUITE.split("blocks:", maxsplit=1)[0].replace("deeper", "full").replace("[1, 2]", "[1]")
    suite += "blocks:\n  - {recipes: [full-ft], targets: [tiny-nli]}\n"
    catalog = write_catalog(tmp_path / "catalog", extra={**EXTRA, "suites/full.yaml": suite})
    results = []
    for more in (CACHE, ()):
        runs = Runner(catalog, "full").finish(tmp_path / f"out{len(more)}", *more)
        results.append(runs)
    results[0].assert_equal(results[1])
    assert not (results[0].store / "prefix").exists()


@pytest.mark.parametrize(
    ("changed", "lacking"),
    [
        ({"first_adapter_layer: 2": "first_adapter_layer: 1", "prefix_dropout: false": ""},
         "lacks `prefix_dropout: false` in"),
        ({"first_adapter_layer: 2\nprefix_dropout: false\n": ""},
         "lacks `first_adapter_layer` above 0 and `prefix_dropout: false` in"),
    ],
)  # fmt: skip
def test_a_backbone_without_a_frozen_prefix_is_refused(
    tmp_path: Path, changed: dict[str, str], lacking: str
) -> None:
    text = DEEP
    for old, new in changed.items():
        text = text.replace(old, new)
    catalog = write_catalog(tmp_path / "catalog", extra={**EXTRA, "backbones/deep.yaml": text})
    options = ("--catalog", catalog, *CACHE, "--workers", "0")
    for command in (
        ("bench", "deeper", "--out", tmp_path / "out"),
        ("train", "tiny.A0", "--suite", "deeper", "--out", tmp_path / "adapter"),
    ):
        done = xstilts(*command, *options)
        assert done.code == 2
        (line,) = done.errors
        assert "backbone 'deep'" in line
        assert lacking in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", ["20", "GB", "0GB", "-1GB", "1XB", "1e3GB", ""])
def test_a_wrong_size_is_refused(runner: Runner, tmp_path: Path, size: str) -> None:
    done = runner.run(tmp_path / "out", "--prefix-cache", size)
    assert done.code == 2
    (line,) = done.errors
    assert f"--prefix-cache: '{size}'; write a size" in line


def test_a_layer_that_is_not_there_is_refused(tmp_path: Path) -> None:
    text = DEEP.replace("layer: 2", "layer: 3")
    catalog = write_catalog(tmp_path / "catalog", extra={**EXTRA, "backbones/deep.yaml": text})
    done = Runner(catalog, "deeper").run(tmp_path / "out")
    assert done.code == 2
    (line,) = done.errors
    assert "deep.yaml: first_adapter_layer: got 3; allowed: 0 to 2" in line


# --- keys and signatures ---


def test_a_default_place_is_in_no_key() -> None:
    ref = BackboneRef("nano", "d" * 64, 4)
    assert ref.adapters == {"reduction_factor": 4}
    deep = BackboneRef("nano", "d" * 64, 4, first_adapter_layer=2, prefix_dropout=False)
    assert deep.adapters == {
        "reduction_factor": 4, "first_adapter_layer": 2, "prefix_dropout": False,
    }  # fmt: skip


def test_keys_and_signatures_differ_by_place_and_dropout(
    cached: tuple[Results, Any, Any], tmp_path: Path
) -> None:
    only = ("--only", "recipe=stack", "--seeds", "1")
    signatures = set()
    for number, text in enumerate(
        [
            DEEP.replace("prefix_dropout: false\n", ""),
            DEEP.replace("layer: 2", "layer: 1"),
            DEEP.replace("first_adapter_layer: 2\nprefix_dropout: false\n", ""),
            DEEP,
        ]
    ):
        catalog = write_catalog(
            tmp_path / f"catalog{number}", extra={**EXTRA, "backbones/deep.yaml": text}
        )
        out = tmp_path / "out"
        Runner(catalog, "deeper").finish(out, *only)
        assert len(list(out.glob("store/source/*"))) == number + 1
    records = Results(tmp_path / "out").records()
    for record in records.values():
        signatures.add(record["signature"])
        used = record["setting"]["hyperparameters"]
        assert record["setting"]["sources"]["tiny.A0"].items() >= {
            (k, v) for k, v in used.items() if k in ("first_adapter_layer", "prefix_dropout")
        }
    assert len(signatures) == len(records) == 4
    places = {
        (r["setting"]["hyperparameters"].get("first_adapter_layer"),
         r["setting"]["hyperparameters"].get("prefix_dropout"))
        for r in records.values()
    }  # fmt: skip
    assert places == {(2, None), (1, False), (None, None), (2, False)}
    assert {r["signature"] for r in cached[0].records().values()} & signatures
    parts = sorted(re.sub(r".*@\w{8}\|(.*)recipe:stack.*", r"\1", one) for one in signatures)
    assert parts == [
        "",
        "adapters-from:1|prefix-dropout:no|",
        "adapters-from:2|",
        "adapters-from:2|prefix-dropout:no|",
    ]


def test_what_is_kept_is_keyed_by_all_that_it_depends_on() -> None:
    features = features_of("nli", 4)
    prefix, numerics, rows = Prefix(2, dropout=False, digest="d"), Numerics(), Rows.of(features)
    keys = [
        states_key(prefix, numerics, rows, torch.float32),
        states_key(replace(prefix, layers=1), numerics, rows, torch.float32),
        states_key(replace(prefix, digest="e"), numerics, rows, torch.float32),
        states_key(prefix, replace(numerics, threads=2), rows, torch.float32),
        states_key(prefix, numerics, Rows.of(features[:3]), torch.float32),
        states_key(prefix, numerics, rows, torch.bfloat16),
    ]
    assert len(set(keys)) == len(keys)
    assert states_key(prefix, numerics, Rows.of(features_of("nli", 4)), torch.float32) == keys[0]


def test_two_backbones_of_one_folder_are_not_mixed_up(catalog: Path, tmp_path: Path) -> None:
    suite = SUITE.split("blocks:", maxsplit=1)[0].replace("deeper", "both").replace("[1, 2]", "[1]")
    suite = suite.replace("[deep]", "[deep, noisy]")
    suite += "blocks:\n  - {recipes: [direct], targets: [tiny-nli]}\n"
    path = catalog / "suites" / "both.yaml"
    path.write_text(suite)
    try:
        Runner(catalog, "both").run(tmp_path / "both")  # no table has a row for each backbone
        alone = Runner(catalog, "both").finish(tmp_path / "alone", "--backbone", "noisy")
    finally:
        path.unlink()
    both = Results(tmp_path / "both")
    fits = list(both.store.glob("fit/*"))
    assert len(fits) == 2
    assert {name: finals(both)[name] for name in finals(alone)} == finals(alone)
    sizes = {json.loads((fit / "costs.json").read_text())["trainable_parameters"] for fit in fits}
    assert len(sizes) == 2
