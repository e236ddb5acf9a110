"""A suite that exists in sizes only: a small shape without weights, data sets without files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.bench import Bench, Settings, Step
from harness.bench.steps import BackboneWork
from harness.catalog import Backbone, Catalog, Pretraining, Shape, default_directory
from harness.model import Numerics

_PAIRS = "{reader: delimited, files: [nowhere.tsv]}"
_QUESTIONS = "{reader: squad, files: [nowhere.json]}"
_TRAINING = "{epochs: 3, learning_rate: 1e-4, batch_size: 10, max_length: 20}"
FILES = {
    "backbones/thin.yaml": """
name: thin
description: "Two layers of 8."
kind: folder
path: nowhere
reduction_factor: 4
shape:
  {vocabulary: 100, hidden_size: 8, intermediate_size: 16, layers: 2, heads: 2, positions: 64,
   dropout: true}
""",
    "sources/pairs.en.yaml": f"""
name: pairs.en
description: "Pairs."
task: pairs
language: en
format: pair_classification
labels: [a, b]
train: {_PAIRS}
dev: {_PAIRS}
training: {_TRAINING}
split: official
licence: none
size: {{train: 100, dev: 10}}
""",
    "sources/asked.sw.yaml": f"""
name: asked.sw
description: "Questions."
task: asked
language: sw
format: span_qa
train: {_QUESTIONS}
dev: {_QUESTIONS}
training: {_TRAINING}
split: official
licence: none
size: {{train: 30, dev: 5}}
""",
    "source_sets/pairs-one.yaml": 'name: pairs-one\ndescription: "One."\nsources: [pairs.en]\n',
    "source_sets/thin-two.yaml": """
name: thin-two
description: "Two."
sources: [pairs.en, asked.sw]
""",
    "targets/thin-nli.yaml": f"""
name: thin-nli
description: "Pairs again."
task: nli
format: pair_classification
languages: [en, sw]
train_language: en
labels: [a, b]
train: {_PAIRS}
dev: {_PAIRS}
test: {{reader: delimited, files: ["{{language}}.tsv"]}}
expected: {{en: 5}}
size: {{train: 50, dev: 4, test: {{en: 900, sw: 7}}, unverified: [test]}}
settings:
  adapters: {{epochs: 2, learning_rate: 1e-4, batch_size: 10, evaluations: 1, max_length: 20}}
max_length: 20
split: official
licence: none
""",
    "targets/thin-ret.yaml": """
name: thin-ret
description: "Translations."
task: ret
format: bitext_retrieval
options: {layer: 1}
languages: [sw]
train_language: en
test: {reader: parallel, files: ["{language}.sw", "{language}.en"]}
size: {test: 6}
settings: {adapters: {epochs: 2, learning_rate: 1e-4, batch_size: 10, max_length: 50}}
max_length: 50
split: official
licence: none
""",
    "suites/thin.yaml": """
name: thin
description: "All recipes."
backbones: [thin]
settings: [adapters]
seeds: [1]
seed_note: One seed.
low_resource: none, this is a test
low_resource_languages: [sw]
needs_data: true
blocks:
  - {recipes: [direct], targets: [thin-nli, thin-ret]}
  - {recipes: [full-ft], targets: [thin-nli]}
  - {recipes: [stack], targets: [thin-nli], source_sets: [pairs-one], row: one}
  - {recipes: [fuse], targets: [thin-nli, thin-ret], source_sets: [thin-two], row: two}
""",
}

ELSEWHERE = f"""
name: ext.sw
description: "An adapter on the hub."
task: pairs
language: sw
format: pair_classification
adapter: {{hub: acme/adapter, revision: {"ab" * 20}}}
licence: none but mine
"""


def write_sizes(folder: Path, changed: Mapping[str, tuple[str, str]] | None = None) -> Path:
    """The suite as a user's own catalog; `changed` replaces a text of a file by another."""
    for name, text in FILES.items():
        old, new = (changed or {}).get(name, ("", ""))
        assert old in text
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace(old, new) if old else text, encoding="utf-8")
    return folder


def write_two_backbones(folder: Path) -> Path:
    """The suite on a second backbone, `wide`, too: twice as wide everywhere, twice the layers."""
    write_sizes(folder, {"suites/thin.yaml": ("[thin]", "[thin, wide]")})
    text = FILES["backbones/thin.yaml"]
    for old, new in (
        ("name: thin", "name: wide"),
        ("hidden_size: 8, intermediate_size: 16, layers: 2",
         "hidden_size: 16, intermediate_size: 32, layers: 4"),
    ):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    (folder / "backbones/wide.yaml").write_text(text, encoding="utf-8")
    return folder


def bench_of(folder: Path, suite: str = "thin") -> Bench:
    """The suite, to be planned from sizes."""
    catalog = Catalog.load([default_directory(), folder])
    settings = Settings(Path("nowhere"), None, "refuse", Numerics())
    return Bench(catalog, catalog.suite(suite), settings, Path("nowhere"), from_sizes=True)


def pretraining_of(shape: Shape, *, steps: int, batch_tokens: int, mask_rate: float) -> Step:
    """The step that pretrains a backbone of that shape, called made."""
    spec = Pretraining(
        shape.vocabulary, shape.hidden_size, shape.layers, shape.heads, shape.intermediate_size,
        shape.positions, (), steps, batch_tokens, 1e-3, mask_rate,
    )  # fmt: skip
    work = BackboneWork(Backbone("made", "d", "pretrain", pretrain=spec))
    cost = float(steps * batch_tokens)
    return Step("backbone", "made", "pretrain made", (), work, cost, 0)
