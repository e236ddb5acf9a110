"""A small catalog with nothing wrong in it, as texts to change one thing of."""

from __future__ import annotations

LANGUAGES = """
languages:
  - {code: en, name: English, family: Indo-European, script: Latin, iso3: eng}
  - {code: sw, name: Swahili, family: Niger-Congo, script: Latin}
  - {code: "no", name: Norwegian, family: Indo-European, script: Latin}
"""
SOURCE = """
name: nli.en
description: English NLI.
task: nli
language: en
format: pair_classification
labels: [no, yes]
train: {reader: delimited, files: [a.tsv], part: {stop: 0.9}}
dev: {reader: delimited, files: [a.tsv], part: {start: 0.9}}
training: {epochs: 3, learning_rate: 1e-4, batch_size: 32}
split: files-train
licence: CC0
"""
OTHER_SOURCE = """
name: qa.sw
description: Swahili questions.
task: qa
language: sw
format: span_qa
train: {reader: squad, files: ["qa.{language}.json"]}
dev: {reader: squad, files: [dev.json]}
training: {epochs: 3, learning_rate: 1e-4, batch_tokens: 512}
split: files-train
licence: CC0
"""
TARGET = """
name: xnli
description: NLI in two languages.
task: nli
format: pair_classification
languages: [en, sw]
train_language: en
labels: [no, yes]
train: {reader: delimited, files: [a.tsv]}
dev: {reader: delimited, files: [b.tsv]}
test:
  reader: delimited
  files: ["t.{language}.tsv"]
  overrides: {sw: {reader: jsonl, files: [sw.jsonl]}}
settings:
  adapters: {epochs: 3, learning_rate: 1e-4, batch_size: 32}
split: files-dev
licence: CC0
"""
RETRIEVAL = """
name: ret
description: Retrieval.
task: ret
format: bitext_retrieval
languages: [sw]
train_language: en
test: {reader: parallel, files: [x.sw, x.en]}
settings: {adapters: {epochs: 1, learning_rate: 1e-4, batch_size: 32}}
split: files-test
licence: CC0
"""
_HUB = "{reader: hub, options: {id: a/b, revision: " + "ab" * 20 + ", split: x, layout: LAYOUT}}"
HUBBED = f"""
name: hubbed
description: NLI in two languages.
task: nli
format: pair_classification
languages: [en, sw]
train_language: en
labels: [no, yes]
train: {{reader: delimited, files: [a.tsv]}}
dev: {{reader: delimited, files: [b.tsv]}}
test: {{reader: delimited, files: ["t.{{language}}.tsv"]}}
hub:
  split: hub-dev
  test: &own {_HUB.replace("LAYOUT", "pairs")}
  train: *own
  dev: *own
settings: {{adapters: {{epochs: 3, learning_rate: 1e-4, batch_size: 32}}}}
split: files-dev
licence: CC0
"""
MINED = f"""
name: mined
description: Mining.
task: ret
format: bitext_mining
languages: [sw]
train_language: en
dev: {{reader: comparable, files: [d.sw, d.en, d.gold]}}
test: {{reader: comparable, files: [x.sw, x.en, x.gold]}}
hub:
  split: hub-half
  test: &own {_HUB.replace("LAYOUT", "mining")}
  dev: *own
settings: {{adapters: {{epochs: 1, learning_rate: 1e-4, batch_size: 32}}}}
split: files-test
licence: CC0
"""
QUESTIONS = """
name: xqa
description: Questions.
task: qa
format: span_qa
languages: [en, sw]
train_language: en
train: {reader: squad, files: [a.json]}
dev: {reader: squad, files: [b.json]}
test: {reader: squad, files: ["q.{language}.json"]}
options: {}
settings: {adapters: {epochs: 1, learning_rate: 1e-4, batch_size: 32}}
split: files-test
licence: CC0
"""
SUITE = """
name: small
description: A small suite.
backbones: [base]
settings: [adapters]
seeds: [1, 2]
low_resource: Joshi class 2 or lower
low_resource_languages: [sw]
blocks:
  - {recipes: [direct, full-ft], targets: [xnli]}
  - {recipes: [stack], targets: [xnli, ret], source_sets: [single]}
  - {recipes: [fuse], targets: [xnli], source_sets: [both]}
contrasts:
  - name: multi
    question: Does it help?
    target: xnli
    better: [fuse, both]
    worse: [stack, single]
    languages: [sw]
"""
FILES = {
    "languages.yaml": LANGUAGES,
    "backbones/base.yaml": "name: base\ndescription: A folder.\nkind: folder\npath: models/base\n",
    "recipes/direct.yaml": "name: direct\ndescription: d\nkind: direct\nsources: none\n",
    "recipes/full-ft.yaml": "name: full-ft\ndescription: d\nkind: full-ft\nsources: none\n",
    "recipes/stack.yaml": "name: stack\ndescription: d\nkind: stack\nsources: one\n",
    "recipes/fuse.yaml": "name: fuse\ndescription: d\nkind: fuse\nsources: many\n",
    "sources/nli.en.yaml": SOURCE,
    "sources/qa.sw.yaml": OTHER_SOURCE,
    "source_sets/single.yaml": "name: single\ndescription: d\nsources: [nli.en]\n",
    "source_sets/both.yaml": "name: both\ndescription: d\nsources: [nli.en, qa.sw]\n",
    "targets/xnli.yaml": TARGET,
    "targets/ret.yaml": RETRIEVAL,
    "targets/xqa.yaml": QUESTIONS,
    "targets/hubbed.yaml": HUBBED,
    "targets/mined.yaml": MINED,
    "suites/small.yaml": SUITE,
}
