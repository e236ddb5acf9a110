"""Sources of multiple choice on the real files: rows, labels, first and last."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness.catalog import Catalog, Source
from harness.data import ChoiceExample, DataContext, Dataset, load_split
from harness.errors import InputError

HELLASWAG = "hellaswag/hellaswag_val.jsonl"
COSMOS = "cosmosqa/valid.csv"
SIQA = "siqa/socialIQa_v1.4_dev.jsonl"
CSQA = "commonsenseqa/v1.0/{}_rand_split.jsonl"
FLAT = "commonsenseqa/v1.11-flat-export/dev_rand_split.jsonl"
JCQA = "jglue/jcommonsenseqa-v1.3/{}-v1.3.json"
PARSINLU = "parsinlu/multiple-choice/{}.jsonl"
XCOPA = ("et", "id", "it", "sw", "ta", "th", "tr", "vi", "zh")

# Source: file of train and rows of it that train, the like of dev, choices, field of the label and
# what stands in it for the choices in turn.
SOURCES: dict[str, tuple[str, slice, str, slice, str, str]] = {
    "files-hellaswag.en": (HELLASWAG, slice(560), HELLASWAG, slice(560, 630), "label", "0123"),
    "files-cosmos_qa.en": (COSMOS, slice(1980), COSMOS, slice(1980, 2200), "label", "0123"),
    "files-commonsense_qa.en": (
        CSQA.format("train"), slice(4000), CSQA.format("dev"), slice(650), "answerKey", "ABC",
    ),
    "files-commonsense_qa_v11.en": (FLAT, slice(810), FLAT, slice(810, 900), "answerKey", "ABCDE"),
    "files-siqa.en": (SIQA, slice(1260), SIQA, slice(1260, 1400), "correct", "ABC"),
    "jcommonsenseqa.ja": (
        JCQA.format("train"), slice(4000), JCQA.format("valid"), slice(1119), "label", "01234",
    ),
    "parsinlu_mc.fa": (
        PARSINLU.format("train"), slice(1271), PARSINLU.format("valid"), slice(139), "answer",
        "1234",
    ),
} | {
    f"xcopa.{code}": (
        f"xcopa/data/{code}/val.{code}.jsonl", slice(90), f"xcopa/data/{code}/val.{code}.jsonl",
        slice(90, 100), "label", "01",
    )
    for code in XCOPA
}  # fmt: skip
EMPTY = {("parsinlu_mc.fa", "train"): 31, ("parsinlu_mc.fa", "dev"): 5}
# Of some: id, context and right answer of the first training row; then of the last that selects.
ENDS = {
    "files-hellaswag.en": (
        ("20022", "Pole vault is a sport where you run with a pole and stop and swing your body. a "
         "few women", "are in the gym practicing to do this pole vault, trying to do their best."),
        ("1754", "[header] How to save money when you have a spending habit",
         "When you're aware of the negative spending habits"),
    ),
    "files-cosmos_qa.en": (
        ("3BFF0DJK8XA7YNK4QYIGCOG1A95STE##3180JW2OT5AF02OISBX66RFOCTG5J7##A2LTOS0AZ3B28A##"
         "Blog_56156##q1_a1##378G7J1SJNCDAAIN46FM2P7T6KZEW2", "Do i need to go for a legal divorce",
         "He wants to get married to a different person ."),
        ("36JW4WBR06I8P9ONKK1SR6UYAKGHF0##3S96KQ6I9N24IIZGJBTT69QPNQCTD7##A394JO4NEPCY3M##"
         "Blog_1018688##q1_a1##3D17ECOUOG9HZBMNIY95Q8D2JFU13N",
         "Both tuition and parent hours had increased .", "Sam would feel that it was an option"),
    ),
    "files-commonsense_qa.en": (
        ("d3b479933e716fb388dfb297e881054c",
         "If a lantern is not for sale, where is it likely to be?", "house"),
        ("90ad7b91e70fc25d5b3862939a6badbd",
         "They had no modesty and had no what of smugness?", "lack"),
    ),
    "files-commonsense_qa_v11.en": (
        ("1afa02df02c908a558b4036e80242fac", "A revolving door is convenient for two direction",
         "bank"),
        ("1520a8fd3116e7b856947c5e308d7ce5", "If a person is using a computer to talk to their",
         "happiness"),
    ),
    "files-siqa.en": (
        (f"{SIQA}:0", "Tracy didn't go home that evening and resisted Riley's attacks. What does "
         "Tracy need to do before this?", "Find somewhere to go"),
        (f"{SIQA}:1399", "Riley regarded Jesse with suspicious eyes when Jesse held out the "
         "flowers. What will happen to Riley?", "be proposed to by Jesse"),
    ),
    "jcommonsenseqa.ja": (
        ("0", "主に子ども向けのもので、イラストのついた物語が書かれているものはどれ？", "絵本"),
        ("10057", "この中で実験に使われることがあるのは？", "人体"),
    ),
    "parsinlu_mc.fa": (
        (f"{PARSINLU.format('train')}:0", "در تقسیمی مقسو م 44", "5"),
        (f"{PARSINLU.format('valid')}:138", "کدام ترکیب مناسبت کمتری", "قاضی و مغضوب"),
    ),
    "xcopa.sw": (
        ("xcopa/data/sw/val.sw.jsonl:0",
         "Mwanaume alifungua bomba la maji. What happened as a result?",
         "Maji yalitiririka kutoka kwenye bomba."),
        ("xcopa/data/sw/val.sw.jsonl:99",
         "Mwanamke alikuwa anaonekana hana furaha. What happened as a result?",
         "Alimwambia rafiki yake amuache amuache peke yake."),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load()


def read(source: Source, split: str, folder: Path) -> Dataset:
    spec, name = getattr(source, split), f"{source.name}/{split}"
    return load_split(spec, source.language, source.labels, DataContext(folder), name)


def published(file: Path) -> list[dict[str, Any]]:
    """The rows of a file by Python's own readers."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".csv":
        return list(csv.DictReader(text.splitlines(keepends=True)))
    return [json.loads(line) for line in text.split("\n") if line]


@pytest.mark.parametrize("name", SOURCES)
def test_rows_and_labels_of_a_source(catalog: Catalog, shared_data: Path, name: str) -> None:
    train_file, train_rows, dev_file, dev_rows, field, values = SOURCES[name]
    source = catalog.source(name)
    for split, file, rows in (("train", train_file, train_rows), ("dev", dev_file, dev_rows)):
        found = read(source, split, shared_data)
        expected = published(shared_data / file)[rows]
        assert len(found) == len(expected) == len(range(10**6)[rows])
        padded = EMPTY.get((name, split), 0)  # rows whose last choices are empty
        assert found.counts == ({"empty_texts": padded} if padded else {})
        assert sum("" in example.choices for example in found.examples) == padded
        # ParsiNLU has one Persian digit.
        gold = [values.index(str(row[field]).replace("۴", "4")) for row in expected]
        assert [example.label for example in found.examples] == gold
        assert set(gold) == set(range(len(values)))
        assert {len(example.choices) for example in found.examples} == {len(values)}
        assert all(e.choices[e.label].strip() for e in found.examples)
        assert len({example.id for example in found.examples}) == len(found)


def outline(example: ChoiceExample, expected: tuple[str, ...]) -> tuple[str, ...]:
    assert example.label is not None
    lengths = map(len, expected[1:])
    texts = (example.context, example.choices[example.label])
    return (example.id, *(t[:n] for t, n in zip(texts, lengths, strict=True)))


@pytest.mark.parametrize("name", ENDS)
def test_first_and_last_row(catalog: Catalog, shared_data: Path, name: str) -> None:
    source, (first, last) = catalog.source(name), ENDS[name]
    assert outline(read(source, "train", shared_data).examples[0], first) == first
    assert outline(read(source, "dev", shared_data).examples[-1], last) == last


@pytest.mark.parametrize("code", XCOPA)
def test_xcopa_rows_are_parallel_in_all_languages(
    catalog: Catalog, shared_data: Path, code: str
) -> None:
    """Val is parallel to val; the test set counts anew, so its groups are others."""
    source = catalog.source(f"xcopa.{code}")
    rows = [
        *read(source, "train", shared_data).examples,
        *read(source, "dev", shared_data).examples,
    ]
    assert [row.group for row in rows] == [f"xcopa-val:{n}" for n in range(100)]
    assert Counter(row.label for row in rows) == {0: 55, 1: 45}
    assert {row.language for row in rows} == {code}
    context = DataContext(shared_data)
    target = catalog.target("files-hellaswag")
    scored = load_split(target.test, code, target.labels, context, "files-hellaswag/test")
    assert not {row.group for row in rows} & {row.group for row in scored.examples}
    assert not {row.context for row in rows} & {row.context for row in scored.examples}


def test_no_row_of_hellaswag_both_trains_and_is_scored(catalog: Catalog, shared_data: Path) -> None:
    source, target = catalog.source("files-hellaswag.en"), catalog.target("files-hellaswag")
    scored = load_split(target.test, "en", (), DataContext(shared_data), "files-hellaswag/test")
    parts = [read(source, split, shared_data).examples for split in ("train", "dev")]
    ids = [row.id for part in (*parts, scored.examples) for row in part]
    assert len(ids) == len(set(ids)) == 700


_FIVE = [{"label": letter, "text": f"{letter.lower()} thing"} for letter in "ABCDE"]
_NESTED = {"id": "q", "answerKey": "E", "question": {"stem": "Why?", "choices": _FIVE}}
_CSV = (
    'id,context,question,answer0,answer1,answer2,answer3,label\r\nx,"a ""b""\nc",Q?,p,q,r,s,2\r\n'
)


@pytest.mark.parametrize(
    ("name", "train", "dev", "row", "expected"),
    [
        ("hellaswag.en", "hellaswag/hellaswag_train.jsonl", HELLASWAG,
         {"ind": 4, "ctx": "He runs. then", "ctx_a": "He runs.", "ctx_b": "then",
          "endings": ["w", "x", "y", "z"], "label": 3, "split": "train"},
         ("4", "He runs. then", 4, 3)),
        ("cosmos_qa.en", "cosmosqa/train.csv", COSMOS, _CSV, ("x", 'a "b"\nc Q?', 4, 2)),
        ("commonsense_qa.en", "commonsenseqa/v1.11/train_rand_split.jsonl",
         "commonsenseqa/v1.11/dev_rand_split.jsonl", _NESTED, ("q", "Why?", 5, 4)),
        ("siqa.en", "siqa/socialIQa_v1.4_trn.jsonl", SIQA,
         {"context": "C.", "question": "Q?", "answerA": "x", "answerB": "y", "answerC": "z",
          "correct": "B"}, (None, "C. Q?", 3, 1)),
    ],
)  # fmt: skip
def test_whole_releases(
    catalog: Catalog, tmp_path: Path, name: str, train: str, dev: str,
    row: dict[str, Any] | str, expected: tuple[Any, ...],
) -> None:  # fmt: skip
    source = catalog.source(name)
    assert source.split == "train"
    for place in (train, dev):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        text = row if isinstance(row, str) else json.dumps(row) + "\n"
        (tmp_path / place).write_bytes(text.encode())
    for split, file in (("train", train), ("dev", dev)):
        (found,) = read(source, split, tmp_path).examples
        assert (found.id, found.context, len(found.choices), found.label) == (
            expected[0] or f"{file}:0", *expected[1:],
        )  # fmt: skip


@pytest.mark.parametrize("name", ["hellaswag", "commonsenseqa_v1.11", "cosmosqa"])
def test_samples_of_the_releases_are_in_the_layout_that_is_read(
    catalog: Catalog, shared_data: Path, tmp_path: Path, name: str
) -> None:
    folder = {"commonsenseqa_v1.11": "commonsenseqa/v1.11"}.get(name, name)
    (tmp_path / folder).parent.mkdir(exist_ok=True)
    (tmp_path / folder).symlink_to(shared_data / "format-samples" / name)
    source = {"hellaswag": "hellaswag", "cosmosqa": "cosmos_qa"}.get(name, "commonsense_qa")
    counts = {"hellaswag": (2, 2), "commonsenseqa_v1.11": (5, 2), "cosmosqa": (2, 2)}[name]
    found = [read(catalog.source(f"{source}.en"), split, tmp_path) for split in ("train", "dev")]
    assert tuple(map(len, found)) == counts


def test_a_split_without_gold_is_refused(catalog: Catalog, tmp_path: Path) -> None:
    file = tmp_path / "commonsenseqa/v1.11/train_rand_split.jsonl"
    file.parent.mkdir(parents=True)
    rows = [_NESTED, {key: value for key, value in _NESTED.items() if key != "answerKey"}]
    file.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(InputError, match=r"train_rand_split\.jsonl, line 2: no field 'answerKey'"):
        read(catalog.source("commonsense_qa.en"), "train", tmp_path)
