"""Sources whose releases are not at hand: rows in the releases' own layouts, and on the hub.

The first come from published samples of the original files, put under the releases' names.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Value

from harness.catalog import Catalog
from harness.data import DataContext, Dataset, Overlap, load_split
from harness.data.examples import PairExample
from harness.errors import InputError
from tests.hub import NLI, STRING, Calls, Mirror

XNLI = ("ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh")
RELEASES = {  # folder of the samples: where the release has it
    "multinli_1.0": "multinli_1.0",
    "anli_v0.1": "anli_v1.0",
    "xnli-mt-1.0": "XNLI-MT-1.0",
    "xnli-1.0": "XNLI-1.0",
    "paws-x": "x-final",
}
SNLI_KEYS = {"gold_label": 0, "sentence1": 5, "sentence2": 6, "captionID": 7, "pairID": 8}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load()


@pytest.fixture(scope="module")
def releases(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which the samples stand where the releases have their files."""
    root, samples = tmp_path_factory.mktemp("releases"), shared_data / "format-samples"
    for sample, release in RELEASES.items():
        (root / release).symlink_to(samples / sample)
    (root / "snli_1.0").mkdir()
    for split in ("train", "dev"):  # of SNLI there is the table alone; it has the same fields
        text = (samples / f"snli_1.0/snli_1.0_{split}.txt").read_text(encoding="utf-8")
        rows = [line.split("\t") for line in text.splitlines()[1:]]
        rows.append(["-", "", "", "", "", "No majority.", "Rows like this.", "x.jpg#0", "x.jpg#0n"])
        lines = [json.dumps({key: row[at] for key, at in SNLI_KEYS.items()}) for row in rows]
        (root / f"snli_1.0/snli_1.0_{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return root


def read(
    catalog: Catalog, name: str, split: str, root: Path | None, bad_rows: str = "refuse"
) -> Dataset:
    source = catalog.source(name)
    context = DataContext(root, bad_rows)
    return load_split(getattr(source, split), source.language, source.labels, context, name)


def pairs(found: Dataset) -> list[PairExample]:
    return [example for example in found.examples if isinstance(example, PairExample)]


# -- releases --------------------------------------------------------------------------------------


def test_mnli(catalog: Catalog, releases: Path) -> None:
    train = pairs(read(catalog, "mnli.en", "train", releases))
    assert [(e.id, e.group, e.label) for e in train] == [
        ("31193n", "mnli-train:0", "neutral"),
        ("101457e", "mnli-train:1", "entailment"),
        ("134793e", "mnli-train:2", "entailment"),
        ("37397e", "mnli-train:3", "entailment"),
        ("50563n", "mnli-train:4", "neutral"),
    ]
    assert train[0].hypothesis == "Product and geography are what make cream skimming work. "
    dev = pairs(read(catalog, "mnli.en", "dev", releases))
    assert [e.id for e in dev] == ["63735n", "91383c", "755e", "78013c", "96377c"]


def test_snli(catalog: Catalog, releases: Path) -> None:
    found = read(catalog, "snli.en", "train", releases)
    assert [(e.id, e.group, e.label) for e in pairs(found)] == [
        ("3416050480.jpg#4r1n", "snli-train:0", "neutral"),
        ("3416050480.jpg#4r1c", "snli-train:1", "contradiction"),
        ("3416050480.jpg#4r1e", "snli-train:2", "entailment"),
    ]
    assert found.counts == {"labels_dropped": 1}
    assert pairs(found)[1].hypothesis == "A person is at a diner, ordering an omelette."
    assert len(read(catalog, "snli.en", "dev", releases)) == 2


def test_anli_plus_is_anli_then_mnli_then_snli(catalog: Catalog, releases: Path) -> None:
    found = read(catalog, "anli_plus.en", "train", releases)
    train = pairs(found)
    assert [e.id[:8] for e in train] == [
        "0fd0abfb", "7ed72ff4", "5d2930a3", "245475c4", "5837ee91", "ed5c37ab", "2093cfb3",
        "d7331d13", "cc9edb93", "31193n", "101457e", "134793e", "37397e", "50563n", "34160504",
        "34160504", "34160504",
    ]  # fmt: skip
    assert [e.label for e in train[:4]] == ["entailment", "neutral", "neutral", "entailment"]
    assert train[0].hypothesis == "The trolleybus system has over 2 urban routes"
    assert [train[8].group, train[9].group, train[-1].group] == [
        None, "mnli-train:0", "snli-train:2",
    ]  # fmt: skip
    assert found.counts == {"labels_dropped": 1}
    dev = pairs(read(catalog, "anli_plus.en", "dev", releases))
    assert len(dev) == 9 + 5 + 2
    assert [dev[0].label, dev[9].id, dev[-1].id] == [
        "contradiction", "63735n", "4705552913.jpg#2r1e",
    ]  # fmt: skip


@pytest.mark.parametrize("language", XNLI)
def test_xnli_mt_rows_are_those_of_mnli(catalog: Catalog, releases: Path, language: str) -> None:
    train = pairs(read(catalog, f"xnli_mt.{language}", "train", releases))
    assert [e.label for e in train] == ["neutral", "entailment", "entailment", "entailment"]
    mnli = read(catalog, "mnli.en", "train", releases).examples
    assert [e.group for e in train] == [e.group for e in mnli[:4]]
    if language == "sw":
        assert train[3].hypothesis == "Maelezo haya ni yao ."
    if language == "ar":  # the one language of the sample
        dev = pairs(read(catalog, "xnli_mt.ar", "dev", releases))
        assert [(e.label, e.group) for e in dev] == [
            ("neutral", "xnli:0"),
            ("contradiction", "xnli:1"),
        ]


@pytest.mark.parametrize("language", XNLI)
def test_xnli_mt_spells_contradiction_its_own_way(
    catalog: Catalog, tmp_path: Path, language: str
) -> None:
    file = tmp_path / f"XNLI-MT-1.0/multinli/multinli.train.{language}.tsv"
    file.parent.mkdir(parents=True)
    file.write_text('premise\thypo\tlabel\na "b\tc\tcontradictory\n', encoding="utf-8")
    (example,) = pairs(read(catalog, f"xnli_mt.{language}", "train", tmp_path))
    assert (example.premise, example.hypothesis, example.label) == ('a "b', "c", "contradiction")


@pytest.mark.parametrize("language", ["de", "en", "es", "fr", "ja", "ko", "zh"])
def test_pawsx_rows_are_parallel(
    catalog: Catalog, releases: Path, shared_data: Path, language: str
) -> None:
    train = pairs(read(catalog, f"pawsx.{language}", "train", releases))
    assert [(e.group, e.label) for e in train] == [
        ("pawsx-train:1", "0"),
        ("pawsx-train:2", "1"),
        ("pawsx-train:3", "0"),
        ("pawsx-train:4", "1"),
    ]
    dev = pairs(read(catalog, f"pawsx.{language}", "dev", releases))
    here = pairs(read(catalog, f"files-pawsx.{language}", "train", shared_data))[:4]
    assert [(e.group, e.premise, e.hypothesis, e.label) for e in dev] == [
        (e.group, e.premise, e.hypothesis, e.label) for e in here
    ]


def test_kornli_rows_are_those_of_snli_and_mnli(catalog: Catalog, tmp_path: Path) -> None:
    head, folder = "sentence1\tsentence2\tgold_label\n", tmp_path / "kornli/KorNLI"
    folder.mkdir(parents=True)
    snli = head + '말을 "탄 사람\t한 사람이\tneutral\nA\tB\t-\nC\tD\tentailment\n'
    (folder / "snli_1.0_train.ko.tsv").write_text(snli, encoding="utf-8")
    (folder / "multinli.train.ko.tsv").write_text(head + "E\tF\tcontradiction\n", encoding="utf-8")
    found = read(catalog, "kornli.ko", "train", tmp_path)
    assert [(e.premise, e.group, e.label) for e in pairs(found)] == [
        ('말을 "탄 사람', "snli-train:0", "neutral"),
        ("C", "snli-train:2", "entailment"),
        ("E", "mnli-train:0", "contradiction"),
    ]
    assert found.counts == {"labels_dropped": 1}


def test_qqp_names_and_counts_the_rows_that_are_broken_in_two(
    catalog: Catalog, tmp_path: Path
) -> None:
    (tmp_path / "QQP").mkdir()
    rows = [
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
        '0\t1\t2\tHow do I say "no"?\tHow to refuse?\t1',
        "1\t3\t4\tWhat is this?",
        "5\tA question over two lines?\t0",
        "2\t5\t6\tWho?\tWhere?\t0",
    ]
    (tmp_path / "QQP/train.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"train\.tsv, line 3: 4 columns, .* --bad-rows skip"):
        read(catalog, "qqp.en", "train", tmp_path)
    found = read(catalog, "qqp.en", "train", tmp_path, "skip")
    assert [(e.premise, e.hypothesis, e.label) for e in pairs(found)] == [
        ('How do I say "no"?', "How to refuse?", "1"),
        ("Who?", "Where?", "0"),
    ]
    assert found.counts == {"bad_rows_skipped": 2}


def test_translated_mnli_is_found_in_mnli_by_its_ids(
    catalog: Catalog, releases: Path, tmp_path: Path
) -> None:
    (tmp_path / "indonli/translate_train_small").mkdir(parents=True)
    row = {"sentence1": "a", "sentence2": "b", "gold_label": "neutral", "pairid": "31193n"}
    lines = [json.dumps(row), json.dumps({**row, "sentence2": "c", "pairid": "99n"})]
    file = tmp_path / "indonli/translate_train_small/train.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    translated = read(catalog, "indonli_mt.id", "train", tmp_path)
    mnli = Overlap((read(catalog, "mnli.en", "train", releases),))
    assert [mnli.hits(example) for example in translated.examples] == [["id"], []]


# -- the hub ---------------------------------------------------------------------------------------


def nli_rows(*labels: int) -> dict[str, list[Any]]:
    """Rows of three columns as most NLI sets have them, `p0` to `h0`, `p1` to `h1`, ..."""
    numbers = range(len(labels))
    return {
        "premise": [f"p{number}" for number in numbers],
        "hypothesis": [f"h{number}" for number in numbers],
        "label": list(labels),
    }


NLI_FEATURES = {"premise": STRING, "hypothesis": STRING, "label": ClassLabel(names=list(NLI))}


@pytest.fixture
def english(mirror: Mirror, tmp_path: Path) -> None:
    """MultiNLI, ANLI and SNLI as the hub has them, a row or two of each."""
    for split, labels in (("train", (1, 0)), ("validation_matched", (2,))):
        mirror("nyu-mll/multi_nli", "default", split, NLI_FEATURES, nli_rows(*labels))
    for number in (1, 2, 3):
        for split in ("train", "dev"):
            rows = nli_rows(number - 1)
            mirror("facebook/anli", "plain_text", f"{split}_r{number}", NLI_FEATURES, rows)
    for split in ("train", "validation"):  # -1: the annotators had no majority
        mirror("stanfordnlp/snli", "plain_text", split, NLI_FEATURES, nli_rows(-1, 2, 0))
    (tmp_path / "stanfordnlp/snli/README.md").unlink()  # a conversion describes no configurations


@pytest.mark.usefixtures("english")
def test_english_nli_on_the_hub(catalog: Catalog, calls: Calls) -> None:
    hub = catalog.on_hub()
    found = {
        name: read(hub, name, split, None)
        for name in ("mnli.en", "snli.en", "anli_plus.en")
        for split in ("dev", "train")
    }
    assert [(e.group, e.label) for e in pairs(found["mnli.en"])] == [
        ("mnli-train:0", "neutral"),
        ("mnli-train:1", "entailment"),
    ]
    assert [(e.premise, e.group, e.label) for e in pairs(found["snli.en"])] == [
        ("p1", "snli-train:1", "contradiction"),
        ("p2", "snli-train:2", "entailment"),
    ]
    assert found["snli.en"].counts == {"labels_dropped": 1}
    assert [(e.id, e.label) for e in pairs(found["anli_plus.en"])] == [
        ("facebook/anli/plain_text/train_r1:0", "entailment"),
        ("facebook/anli/plain_text/train_r2:0", "neutral"),
        ("facebook/anli/plain_text/train_r3:0", "contradiction"),
        ("nyu-mll/multi_nli/train:0", "neutral"),
        ("nyu-mll/multi_nli/train:1", "entailment"),
        ("stanfordnlp/snli/plain_text/train:1", "contradiction"),
        ("stanfordnlp/snli/plain_text/train:2", "entailment"),
    ]
    assert len(read(hub, "anli_plus.en", "dev", None)) == 3 + 1 + 2
    assert {(call["path"], call["revision"]) for call in calls} == {
        ("nyu-mll/multi_nli", "da70db2af9d09693783c3320c4249840212ee221"),
        ("facebook/anli", "8e4813d81f46d313dac7892e1c28076917cfcdf9"),
        ("stanfordnlp/snli", "refs/convert/parquet"),
    }


def test_qqp_on_the_hub(catalog: Catalog, mirror: Mirror, calls: Calls) -> None:
    features = {"question1": STRING, "question2": STRING, "idx": Value("int32"),
                "label": ClassLabel(names=["not_duplicate", "duplicate"])}  # fmt: skip
    rows = {"question1": ["a", "c"], "question2": ["b", "d"], "idx": [0, 1], "label": [1, 0]}
    for split in ("train", "validation"):
        mirror("nyu-mll/glue", "qqp", split, features, rows)
    for split in ("train", "dev"):
        found = pairs(read(catalog.on_hub(), "qqp.en", split, None))
        assert [(e.premise, e.hypothesis, e.label) for e in found] == [
            ("a", "b", "1"),
            ("c", "d", "0"),
        ]
    assert {(call["name"], call["revision"]) for call in calls} == {
        ("qqp", "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c")
    }


def test_translations_on_the_hub(catalog: Catalog, mirror: Mirror, calls: Calls) -> None:
    features = {"id": Value("int32"), "sentence1": STRING, "sentence2": STRING,
                "label": ClassLabel(names=["0", "1"])}  # fmt: skip
    rows = {"id": [7, 9], "sentence1": ["a", "c"], "sentence2": ["b", "d"], "label": [1, 0]}
    for split in ("train", "validation"):
        mirror("google-research-datasets/paws-x", "ja", split, features, rows)
        mirror("facebook/xnli", "sw", split, NLI_FEATURES, nli_rows(2, 1))
    hub = catalog.on_hub()
    expected = {
        ("pawsx.ja", "train"): ["pawsx-train:7", "pawsx-train:9"],
        ("pawsx.ja", "dev"): ["pawsx-dev:0", "pawsx-dev:1"],
        ("xnli_mt.sw", "train"): ["mnli-train:0", "mnli-train:1"],
        ("xnli_mt.sw", "dev"): ["xnli:0", "xnli:1"],
    }
    for (name, split), groups in expected.items():
        assert [e.group for e in read(hub, name, split, None).examples] == groups
    assert {call["revision"] for call in calls} == {
        "4cd8187c404bda33cb1f62b49b001115862acf37",
        "b8dd5d7af51114dbda02c0e3f6133f332186418e",
    }
