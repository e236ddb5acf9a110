"""Every wrong file is refused with one line: file, key, value got, what is allowed, what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.catalog import Catalog
from harness.errors import InputError
from tests.right_catalog import FILES, SOURCE

H, M = "targets/hubbed.yaml", "targets/mined.yaml"
R, Q = "targets/ret.yaml", "targets/xqa.yaml"
S, T, U = "sources/nli.en.yaml", "targets/xnli.yaml", "suites/small.yaml"
SHAPE = (
    "shape: {vocabulary: 9, hidden_size: 8, intermediate_size: 16, layers: 2, positions: 64, "
    "dropout: true, "
)

# (file, text in it, what stands there instead, what the one line says)
WRONG = [
    # YAML
    (S, "[no, yes]", "[no, yes", ["line ", "not valid YAML"]),
    (S, "task: nli", "task: nli\ntask: qa", ["line 5", "'task' stands twice", "keep one"]),
    (S, "part: {stop: 0.9}", "part: {stop: 0.9, stop: 1}", ["line 8", "'stop' stands twice"]),
    (S, "labels: [no, yes]", "1: x\nlabels: [no, yes]", ["line 7", "not text", "quotes"]),
    (S, SOURCE, "", ["the file is empty", "a mapping"]),
    (S, SOURCE, "# nothing\n", ["the file is empty"]),
    (S, SOURCE, "- a\n", ["got a list", "a mapping"]),
    (S, SOURCE, "a: 1\n---\nb: 2\n", ["not valid YAML"]),
    (S, SOURCE, "a: &x [*x]\n", ["alias", "write it out"]),
    (S, SOURCE, "a: \x07\n", ["not valid YAML"]),
    (T, '"t.{language}.tsv"', "t.{language}.tsv", ["line 13", "braces in quotes"]),
    # keys and types
    (S, "task: nli", "tsak: nli", ["tsak: got an unknown key", "did you mean 'task'?"]),
    (
        S,
        "{epochs: 3",
        "{epoch: 3",
        ["training.epoch: got an unknown key", "did you mean 'epochs'?"],
    ),
    (S, "task: nli\n", "", ["task: got nothing", "add it"]),
    (S, "epochs: 3", "epochs: six", ["training.epochs: got 'six'", "an integer"]),
    (S, "epochs: 3", "epochs: 0", ["training.epochs: got 0", "at least 1"]),
    (S, "epochs: 3", "epochs: 2.5", ["training.epochs: got 2.5", "an integer"]),
    (S, "epochs: 3", "epochs: true", ["training.epochs: got true", "an integer"]),
    (S, "1e-4", "0", ["training.learning_rate: got 0", "above 0"]),
    (S, "1e-4", "-1e-4", ["training.learning_rate: got -0.0001", "above 0"]),
    (S, "1e-4", ".nan", ["training.learning_rate: got '.nan'", "a number"]),
    (S, "1e-4", "100", ["training.learning_rate: got 100", "at most 1"]),
    (S, "description: English NLI.", "description: 2018", ["got 2018", "text", "quotes"]),
    (S, "description: English NLI.", "description: ''", ["description: got ''", "at least 1"]),
    (S, "labels: [no, yes]", "labels: yes", ["labels: got 'yes'", "a list"]),
    (S, "labels: [no, yes]", "labels: [no, no]", ["labels", "each entry once"]),
    (S, "labels: [no, yes]", "labels: [no]", ["labels: got 1", "at least 2"]),
    (S, "format: pair_classification", "format: pairs", ["format: got 'pairs'", "span_qa"]),
    (S, "format: pair_classification", "format: taging", ["did you mean 'tagging'?"]),
    (
        S,
        "format: pair_classification",
        "format: span_qa",
        ["labels: got no, yes", "none, or [answerable, unanswerable]"],
    ),
    (
        S,
        "format: pair_classification",
        "format: bitext_retrieval",
        ["format: got 'bitext_retrieval'", "span_qa, multiple_choice;", "choose one"],
    ),
    (
        S,
        "format: pair_classification\nlabels: [no, yes]",
        "format: masked_lm",
        ["format: got 'masked_lm'", "span_qa, multiple_choice;", "choose one"],
    ),
    (
        T,
        "format: pair_classification",
        "format: masked_lm",
        ["format: got 'masked_lm'", "bitext_retrieval, bitext_mining;", "choose one"],
    ),
    (S, "batch_size: 32", "warmup: 0", ["training: got neither", "exactly one"]),
    (
        S,
        "batch_size: 32",
        "batch_size: 32, batch_tokens: 99",
        ["training: got both", "exactly one"],
    ),
    (S, "name: nli.en", "name: mnli.en", ["name: got 'mnli.en'", "'nli.en'", "rename the file"]),
    (S, "name: nli.en", "name: a,b", ["name: got 'a,b'", "no comma"]),
    (S, "language: en", "language: xx", ["language: got 'xx'", "en, sw"]),
    (S, "language: en", "language: sw", ["name: got 'nli.en'", "TASK.sw"]),
    # splits
    (S, "train: {reader: delimited,", "train: {reader: csv,", ["train.reader: got 'csv'", "squad"]),
    (S, "files: [a.tsv], part: {stop", "part: {stop", ["train.files: got nothing", "add it"]),
    (
        S,
        "files: [a.tsv], part: {stop",
        "files: [/etc/x], part: {stop",
        ["train.files[0]", "'/etc/x'"],
    ),
    (S, "[a.tsv], part: {stop", "[../x], part: {stop", ["train.files[0]", "'../x'"]),
    (
        S,
        "[a.tsv], part: {stop",
        "['{lang}.tsv'], part: {stop",
        ["train.files: got {lang}", "{iso3}"],
    ),
    (S, "{stop: 0.9}", "{stop: 1.9}", ["train.part.stop: got 1.9", "a share"]),
    (S, "{stop: 0.9}", "{start: 5, stop: 5}", ["train.part.stop: got 5", "more than start"]),
    (S, "{stop: 0.9}", "{start: 5, stop: 0.5}", ["train.part: got 5 and 0.5", "two shares"]),
    (S, "{stop: 0.9}", "{unit: article}", ["train.part.unit: got 'article'", "row, group"]),
    (S, "{stop: 0.9}", "{}, options: {heder: true}", ["train.options.heder", "'header'?"]),
    (S, "{stop: 0.9}", "{}, options: {quoting: yes}", ["train.options.quoting: got 'yes'", "csv"]),
    (S, "{reader: delimited, files: [a.tsv], part: {stop: 0.9}}", "[]", ["train", "at least 1"]),
    (
        S,
        "labels: [no, yes]",
        "labels: [no, yes]\nlabels_from: {least: 2, other: x}",
        ["labels: got no, yes", "nothing beside `labels_from`", "keep one"],
    ),
    (S, "labels: [no, yes]", "labels_from: {least: 0, other: x}", ["labels_from.least: got 0"]),
    (S, "labels: [no, yes]", "labels_from: {least: 2}", ["labels_from.other: got nothing"]),
    (
        S,
        "pair_classification\nlabels: [no, yes]",
        "span_qa\nlabels_from: {least: 2, other: x}",
        ["labels_from: got a mapping", "nothing for format 'span_qa'", "remove it"],
    ),
    (S, "licence: CC0", "licence: CC0\nworld: true", ["train.reader: got 'delimited'", "world"]),
    (
        S,
        "{reader: delimited, files: [a.tsv], part: {stop: 0.9}}",
        "{reader: world, options: {task: nli, split: train, count: 9}}",
        ["train.reader: got 'world'", "world: true"],
    ),
    (
        S,
        "{reader: delimited, files: [a.tsv], part: {stop: 0.9}}",
        "{reader: world, options: {task: nli, split: train}}",
        ["train.options.count: got nothing", "add it"],
    ),
    (T, "sw: {reader", "de: {reader", ["test.overrides: got 'de'", "en, sw"]),
    (T, "{reader: jsonl,", "{reader: json,", ["test.overrides.sw.reader: got 'json'", "'jsonl'?"]),
    (T, "t.{language}.tsv", "t.{iso3}.tsv", None),  # sw has its rows elsewhere: nothing is wrong
    ("targets/ret.yaml", "x.sw", "'x.{iso3}'", ["test.files: got {iso3}", "sw", "languages.yaml"]),
    # targets
    (T, "[en, sw]", "[en, xx]", ["languages[1]: got 'xx'", "languages.yaml"]),
    (T, "train_language: en", "train_language: xx", ["train_language: got 'xx'"]),
    (T, "train: {reader: delimited, files: [a.tsv]}\n", "", ["train: got nothing", "add it"]),
    (T, "dev: {reader: delimited, files: [b.tsv]}\n", "", ["dev: got nothing", "'train' is given"]),
    (
        T,
        "licence: CC0",
        "licence: CC0\noptions: {spans: x}",
        ["options.spans", "unknown", "(none)"],
    ),
    (R, "format:", "options: {layers: 3}\nformat:", ["options.layers", "did you mean 'layer'?"]),
    (R, "format:", "options: {layer: half}\nformat:", ["options.layer: got 'half'", "a share"]),
    (R, "format:", "options: {layer: -1}\nformat:", ["options.layer: got -1", "at least 0"]),
    (R, "format:", "options: {pooling: max}\nformat:", ["options.pooling: got 'max'", "mean, cls"]),
    (Q, "{}", "{normalisation: bert}", ["options.normalisation: got 'bert'", "squad, mlqa"]),
    (Q, "{}", "{spans: words}", ["options.spans: got 'words'", "offsets, whitespace"]),
    (Q, "{}", "{n_best: 0}", ["options.n_best: got 0", "at least 1"]),
    (Q, "{}", "{max_answers: 3}", ["options.max_answers", "did you mean 'max_answer'?"]),
    (Q, "{}", "{normalisation: mlqa}", ["languages[1]: got 'sw'", "ar, de, en, es, hi, vi, zh"]),
    (T, "format: pair_classification", "format: bitext_retrieval", ["train: got a mapping"]),
    (
        T,
        "format: pair_classification",
        "format: bitext_mining",
        ["train: got a mapping", "retrieval is not trained"],
    ),
    (T, "  adapters: {", "  Ad apters: {", ["settings.Ad apters", "small letter"]),
    (T, "split: files-dev", "split: files-dev\nexpected: 0", ["expected: got 0", "at least 1"]),
    (T, "split: files-dev", "split: files-dev\nexpected: {en: many}", ["expected.en: got 'many'"]),
    (
        T,
        "split: files-dev",
        'split: files-dev\nexpected: {"no": 5}',
        ["expected: got 'no'", "languages that are scored: en, sw", "remove it"],
    ),
    (
        T,
        "split: files-dev",
        "split: files-dev\nsize: {}",
        ["size: got an empty mapping", "at least 1 key"],
    ),
    (T, "split: files-dev", "split: files-dev\nsize: {dev: 0}", ["size.dev: got 0", "at least 1"]),
    (
        T,
        "split: files-dev",
        'split: files-dev\nsize: {test: {"no": 5}}',
        ["size.test: got 'no'", "languages that are scored: en, sw", "remove it"],
    ),
    (
        T,
        "split: files-dev",
        "split: files-dev\nsize: {test: 5, unverified: [test, train]}",
        ["size.unverified[1]: got 'train'", "a split with a size", "add size.train"],
    ),
    (
        T,
        "split: files-dev",
        "split: files-dev\nkeep_out: [{languages: [en]}]",
        ["keep_out[0].split: got nothing"],
    ),
    (
        T,
        "split: files-dev",
        "split: files-dev\nkeep_out: [{languages: [xx], split: "
        "{reader: delimited, files: [a.tsv]}}]",
        ["keep_out[0].languages: got 'xx'"],
    ),
    (
        T,
        "split: files-dev",
        "split: files-dev\nkeep_out: [{split: "
        "{reader: delimited, files: [a.tsv], part: {start: 2.0}}}]",
        ["keep_out[0].split.part.start: got 2.0"],
    ),
    # on the hub
    (
        H,
        "  dev: *own",
        "  dev: *own\n  keep_out: [{split: {reader: delimited, files: [b.tsv]}}]",
        ["hub.keep_out[0].split.reader: got 'delimited'", "'hub'"],
    ),
    (H, "  dev: *own", '  dev: *own\n  expected: {"no": 5}', ["hub.expected: got 'no'"]),
    (H, "  train: *own\n", "", ["hub.train: got nothing", "for format 'pair_classification'"]),
    (H, "  dev: *own\n", "", ["hub.dev: got nothing", "since the target has `dev`"]),
    (
        H,
        "  dev: *own",
        "  dev: {reader: delimited, files: [b.tsv]}",
        ["hub.dev.reader: got 'delimited'", "'hub'"],
    ),
    (H, "dev: *own", "dev: {<<: *own, overrides: {sw: *own}}", ["hub.dev.overrides: got 'sw'"]),
    (
        M,
        "  dev: *own",
        "  train: *own\n  dev: *own",
        ["hub.train: got a mapping", "retrieval is not trained", "remove it"],
    ),
    (M, "  dev: *own\n", "", ["hub.dev: got nothing", "the threshold is tuned on"]),
    (M, "  dev: *own", "  dev: {<<: *own, overrides: {en: *own}}", ["hub.dev.overrides: got 'en'"]),
    # other kinds
    ("recipes/stack.yaml", "sources: one", "sources: many", ["sources: got 'many'", "'one'"]),
    (
        "recipes/stack.yaml",
        "kind: stack",
        "kind: stak",
        ["kind: got 'stak'", "did you mean 'stack'?"],
    ),
    ("source_sets/both.yaml", "qa.sw", "qa.swa", ["sources[1]: got 'qa.swa'", "'qa.sw'?"]),
    (
        "source_sets/both.yaml",
        "[nli.en, qa.sw]",
        "[]",
        ["sources: got an empty list", "at least 1"],
    ),
    ("backbones/base.yaml", "path:", f"{SHAPE}heads: 3}}\npath:", ["shape.heads: got 3", "(8)"]),
    ("backbones/base.yaml", "path:", f"{SHAPE}}}\npath:", ["shape.heads: got nothing", "add it"]),
    ("backbones/base.yaml", "kind: folder", "kind: hub", ["hub: got nothing", "add it"]),
    (
        "backbones/base.yaml",
        "path:",
        f"first_adapter_layer: 2\n{SHAPE}heads: 2}}\npath:",
        ["base.yaml: first_adapter_layer: got 2", "0 to 1"],
    ),
    (
        "backbones/base.yaml",
        "path:",
        "first_adapter_layer: -1\npath:",
        ["base.yaml: first_adapter_layer: got -1", "at least 0"],
    ),
    (
        "backbones/base.yaml",
        "path:",
        "first_adapter_layer: 1.5\npath:",
        ["base.yaml: first_adapter_layer: got 1.5", "an integer"],
    ),
    (
        "backbones/base.yaml",
        "path:",
        "prefix_dropout: false\npath:",
        ["base.yaml: prefix_dropout: got false", "add first_adapter_layer"],
    ),
    (
        "backbones/base.yaml",
        "path:",
        "prefix_dropout: no dropout\npath:",
        ["prefix_dropout: got 'no dropout'", "true or false"],
    ),
    ("backbones/base.yaml", "path:", "hub: a/b\npath:", ["hub: got 'a/b'", "kind", "remove it"]),
    ("languages.yaml", "code: sw", "code: en", ["name: got 'en'", "a name that is new"]),
    # suites
    (U, "backbones: [base]", "backbones: [bas]", ["backbones[0]: got 'bas'", "'base'?"]),
    (U, "recipes: [fuse]", "recipes: [fuze]", ["blocks[2].recipes[0]: got 'fuze'", "'fuse'?"]),
    (U, "targets: [xnli, ret]", "targets: [xnl, ret]", ["blocks[1].targets[0]: got 'xnl'"]),
    (U, "source_sets: [both]", "source_sets: [bot]", ["blocks[2].source_sets[0]: got 'bot'"]),
    (U, "source_sets: [single]", "source_sets: [both]", ["'both' with 2 sources", "exactly one"]),
    (U, ", source_sets: [single]}", "}", ["blocks[1].source_sets: got nothing", "'stack'"]),
    (U, "[direct, full-ft]", "[direct, stack]", ["blocks[0].source_sets: got nothing", "'stack'"]),
    (U, "recipes: [fuse]", "recipes: [direct]", ["blocks[2].source_sets: got both", "'direct'"]),
    (U, "targets: [xnli]}", "targets: [ret]}", ["blocks[0].targets: got 'ret'", "trained"]),
    (U, "settings: [adapters]", "settings: [jiant]", ["settings[0]: got 'jiant'", "adapters"]),
    # rows of the summary
    (
        U,
        "source_sets: [both]}",
        "source_sets: [both, single], row: any}",
        ["blocks[2].row: got 'any' for fuse with 'single' on 'xnli'", "('both' has this one"],
    ),
    (
        U,
        "source_sets: [both]}",
        "source_sets: [both], row: single}\n"
        "  - {recipes: [fuse], targets: [xnli], source_sets: [single]}",
        ["blocks[3].row: got 'single' for fuse with 'single' on 'xnli'", "another row"],
    ),
    (  # the same cell again: it runs once
        U,
        "source_sets: [both]}",
        "source_sets: [both], row: a}\n"
        "  - {recipes: [fuse], targets: [xnli, ret], source_sets: [both], row: b}\n"
        "  - {recipes: [fuse], targets: [xnli], source_sets: [single], row: b}",
        None,
    ),
    (
        U,
        "[xnli, ret], source_sets: [single]",
        "[xnli, ret], source_sets: [single], row: both",
        None,
    ),
    (U, "seeds: [1, 2]", "seeds: [1, 1]", ["seeds", "each entry once"]),
    (U, "seeds: [1, 2]", "seeds: [-1]", ["seeds[0]: got -1", "at least 0"]),
    (U, "seeds: [1, 2]", "seeds: [9223372036854775807]", None),
    (
        U,
        "seeds: [1, 2]",
        "seeds: [9223372036854775808]",
        ["seeds[0]: got 9223372036854775808", "a number of at most 9223372036854775807"],
    ),
    (
        U,
        "languages: [sw]\nblocks",
        "languages: [xx]\nblocks",
        ["low_resource_languages[0]: got 'xx'"],
    ),
    (U, "languages: [sw]\nblocks", "languages: [no]\nblocks", ["got 'no'", "some target scores"]),
    (
        U,
        "    languages: [sw]",
        "    languages: [no]",
        ["contrasts[0].languages: got 'no'", "en, sw"],
    ),
    (
        U,
        "    languages: [sw]",
        "    languages: [sw]\n    worse_languages: [no]",
        ["contrasts[0].worse_languages: got 'no'", "en, sw"],
    ),
    (
        U,
        "    languages: [sw]",
        "    worse_languages: [sw]",
        ["contrasts[0].languages: got nothing", "name the languages"],
    ),
    (U, "target: xnli", "target: xnly", ["contrasts[0].target: got 'xnly'", "'xnli'?"]),
    (U, "better: [fuse, both]", "better: [fuse, single]", ["contrasts[0].better", "fuse/both"]),
    (U, "better: [fuse, both]", "better: [stack, single]", ["contrasts[0].worse", "another one"]),
    (U, "better: [fuse, both]", "better: []", ["contrasts[0].better: got an empty list"]),
]


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_the_right_files_load(tmp_path: Path) -> None:
    catalog = Catalog.load([write(tmp_path, FILES)])
    assert catalog.suite("small").contrasts[0].better == ("fuse", "both")
    assert catalog.source("nli.en").labels == ("no", "yes")  # YAML 1.1 would read booleans
    assert catalog.source("nli.en").training.learning_rate == 1e-4  # and text here


@pytest.mark.parametrize(
    ("file", "right", "wrong", "says"), WRONG, ids=[f"{w[0]}-{w[2][:40]!r}" for w in WRONG]
)
def test_a_wrong_file_is_refused_in_one_line(
    tmp_path: Path, file: str, right: str, wrong: str, says: list[str] | None
) -> None:
    assert FILES[file].count(right) == 1, "the test itself: what to replace must stand there once"
    text = FILES[file].replace(right, wrong)
    directory = write(tmp_path, {**FILES, file: text})
    if says is None:
        Catalog.load([directory])
        return
    with pytest.raises(InputError) as caught:
        Catalog.load([directory])
    lines = str(caught.value).splitlines()
    matching = [line for line in lines if all(part in line for part in says)]
    assert matching, f"no line says {says}:\n{caught.value}"
    assert file in matching[0]
    assert len(matching[0]) < 600


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (S, b"name: \xff\n", ["nli.en.yaml", "byte 6 is not UTF-8", "UTF-8 encoding"]),
        ("sources/b.yml", b"name: b\n", ["b.yml", "'.yml'", "rename it"]),
        ("source/b.yaml", b"name: b\n", ["source", "unknown folder", "did you mean 'sources'?"]),
    ],
)
def test_wrong_bytes_and_places(tmp_path: Path, name: str, content: bytes, says: list[str]) -> None:
    directory = write(tmp_path, FILES)
    (directory / name).parent.mkdir(exist_ok=True)
    (directory / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        Catalog.load([directory])
    assert all(part in str(caught.value) for part in says), caught.value


def test_every_file_with_a_problem_is_named_at_once(tmp_path: Path) -> None:
    broken = {**FILES, S: FILES[S].replace("task", "tsak"), U: "name: ["}
    with pytest.raises(InputError) as caught:
        Catalog.load([write(tmp_path, broken)])
    assert S in str(caught.value) and U in str(caught.value)


def test_a_name_in_two_folders_is_refused(tmp_path: Path) -> None:
    first = write(tmp_path / "one", FILES)
    second = write(tmp_path / "two", {S: FILES[S]})
    with pytest.raises(InputError, match=r"two/sources/nli.en.yaml: name: got 'nli.en'; .*one/"):
        Catalog.load([first, second])


def test_a_second_folder_adds(tmp_path: Path) -> None:
    first = write(tmp_path / "one", FILES)
    second = write(
        tmp_path / "two",
        {"source_sets/own.yaml": "name: own\ndescription: d\nsources: [qa.sw]\n"},
    )
    assert [s.name for s in Catalog.load([first, second]).sources_of("own")] == ["qa.sw"]


@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_a_folder_without_a_catalog_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=folder):
        Catalog.load([tmp_path / folder])


def test_mining_needs_the_set_that_its_threshold_is_tuned_on(tmp_path: Path) -> None:
    target = """
name: mine
description: Mining.
task: mining
format: bitext_mining
languages: [sw]
train_language: en
test: {reader: comparable, files: [a.sw, a.en, a.gold]}
split: test
licence: none
"""
    directory = write(tmp_path, {**FILES, "targets/mine.yaml": target})
    with pytest.raises(InputError, match=r"mine\.yaml: dev: got nothing; allowed: where .*tuned"):
        Catalog.load([directory])
    dev = "dev: {reader: comparable, files: [b.sw, b.en, b.gold], options: {share: [0, 2]}}\n"
    write(tmp_path, {"targets/mine.yaml": target + dev})
    loaded = Catalog.load([directory]).target("mine")
    assert loaded.dev is not None
    assert loaded.dev.options["share"] == [0, 2]
    write(tmp_path, {"targets/mine.yaml": target + dev.replace("[0, 2]", "[0]")})
    with pytest.raises(InputError, match=r"dev\.options\.share: got .*at least 2"):
        Catalog.load([directory])
