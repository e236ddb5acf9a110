"""Training sets against scored rows: by hand, and on real files against independent counts."""

from __future__ import annotations

import csv
import gzip
import json
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from harness.catalog import Catalog, SplitSpec
from harness.catalog.specs import Part
from harness.data import (
    Answer,
    DataContext,
    Dataset,
    Example,
    PairExample,
    Shared,
    SpanExample,
    Split,
    TaggingExample,
    drop_overlap,
    load_split,
    make_dataset,
    overlap_matrix,
    splits,
)
from harness.data.overlap_matrix import ScoredIndex

NLI = ("contradiction", "entailment", "neutral")


def pair(name: str, premise: str, group: str | None = None) -> PairExample:
    return PairExample(name, "xx", group, premise, "Then.", "neutral")


def span(name: str, context: str) -> SpanExample:
    return SpanExample(name, "xx", None, "Q?", context, (Answer("x", 0),), True)


def dataset(*examples: Example) -> Dataset:
    return make_dataset("d", "xx", examples, {})


def scored(target: str, language: str, *examples: Example, split: str = "test") -> Any:
    return Split(target, split, language, (), (), "", ""), dataset(*examples)


WORLD = [
    scored("one", "de", pair("q1", "Eins"), pair("f:1", "Zwei", "dev:7"), pair("f:2", "Drei")),
    scored("one", "sw", pair("q1", "Moja"), pair("f:3", "Mbili", "dev:7"),
           pair("3", "Nne", "row:1")),
    scored("one", "en", pair("g:1", "Held back"), pair("g:2", "Drei"), split="keep_out"),
    scored("two", "de", pair("g:9", "EINS,  zwei"),
           TaggingExample("t:1", "de", None, ("D", "rei"), None)),
    scored("three", "ru", pair("h:1", "Other")),
    scored("qa", "vi", span("s1", "Context in Vietnamese."), span("s9", "Shared  context.")),
    scored("qa", "el", span("s1", "Context in Greek.")),
]  # fmt: skip


@pytest.fixture
def index() -> ScoredIndex:
    found = ScoredIndex()
    for split, data in WORLD:
        found.add(split, data)
    return found


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (pair("q1", "New"), {"one": {"id": 1, "any": 1}}),
        (pair("x", "New", "dev:7"), {"one": {"group": 1, "any": 1}}),
        (pair("x", "New", "test:7"), {}),
        (pair("3", "New", "row:1"), {}),  # numbers of rows, of another file
        (pair("x", "eins, ZWEI"), {"two": {"text": 1, "any": 1}}),
        (pair("q1", "eins, zwei"), {"one": {"id": 1, "any": 1}, "two": {"text": 1, "any": 1}}),
        (pair("x", "drei"), {"one": {"text": 1, "any": 1}}),
        (pair("x", "held back"), {"one": {}}),
        (pair("q1", "drei", "dev:7"), {"one": {"id": 1, "group": 1, "text": 1, "any": 1}}),
    ],
)
def test_each_rule_in_any_language(
    index: ScoredIndex, row: Example, expected: dict[str, dict[str, int]]
) -> None:
    found = index.compare(dataset(row, pair("clean", "Nothing of it")))
    assert {name: dict(shared.rows) for name, shared in found.items()} == expected


def test_counts_by_language_on_both_sides(index: ScoredIndex) -> None:
    train = dataset(pair("q1", "New"), pair("x", "A", "dev:7"), pair("y", "B", "dev:7"),
                    pair("z", "drei"), pair("k", "Held back"), pair("clean", "No"))  # fmt: skip
    assert index.compare(train) == {
        "one": Shared(
            rows={"id": 1, "group": 2, "text": 1, "any": 4},
            kept_out=1,
            dropped=5,
            languages={
                "de": {"id": 1, "group": 2, "text": 1, "any": 4},
                "sw": {"id": 1, "group": 2, "any": 3},
            },
            scored={"de": {"id": 1, "group": 1, "text": 1, "any": 3},
                    "sw": {"id": 1, "group": 1, "any": 2}},
        )
    }  # fmt: skip
    assert index.compare(dataset(pair("clean", "No"))) == {}


def test_what_stands_on_a_scored_context_is_dropped_too(index: ScoredIndex) -> None:
    """Its translation is known by the id of one question; as `drop_overlap` does it."""
    train = dataset(span("s1", "Contesto."), span("s2", "Contesto."), span("s3", "SHARED CONTEXT."),
                    span("s4", "Altro."))  # fmt: skip
    shared = index.compare(train)["qa"]
    assert dict(shared.rows) == {"id": 1, "text": 1, "any": 2}
    assert shared.dropped == 3
    assert shared.scored == {"vi": {"id": 1, "text": 1, "any": 2}, "el": {"id": 1, "any": 1}}
    left = drop_overlap(train, [data for split, data in WORLD if split.owner == "qa"])
    assert left.counts["overlap_dropped"] == 3


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load()


@pytest.fixture(scope="module")
def real(shared_data: Path) -> DataContext:
    return DataContext(shared_data)


def indexed(
    target: str, catalog: Catalog, context: DataContext, languages: Iterable[str] = ()
) -> ScoredIndex:
    """The scored rows of a target (in some of its languages)."""
    found = ScoredIndex()
    for split in splits(catalog.target(target)):
        if split.split in ("test", "keep_out") and (not languages or split.language in languages):
            found.add(split, split.read(context))
    return found


def squad(file: Path) -> list[tuple[str, str, str]]:
    """Id, question and context of every question of a file."""
    raw = file.read_bytes()
    articles = json.loads(gzip.decompress(raw) if file.suffix == ".gz" else raw)["data"]
    return [
        (question["id"], question["question"], paragraph["context"])
        for article in articles for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]  # fmt: skip


def test_squad_in_three_languages_against_xquad(
    catalog: Catalog, real: DataContext, shared_data: Path
) -> None:
    index = indexed("files-xquad", catalog, real)
    english = squad(shared_data / "xquad" / "xquad.en.json")
    ids, contexts = {one[0] for one in english}, {one[2] for one in english}
    assert (len(ids), len(contexts)) == (1190, 240)
    # One of the 778 Italian questions has no usable answer.
    italian, spanish = "SQuAD_it-test.json.gz", "SQuAD-es-v1.1/dev-v1.1-es_small.json"
    for file, known, usable in ((f"squad_it/{italian}", 778, 777),
                                (f"squad_es/{spanish}", 314, 314)):  # fmt: skip
        assert len(ids & {one[0] for one in squad(shared_data / file)}) == known
        data = load_split(SplitSpec("squad", (file,)), "xx", (), real, file)
        shared = index.compare(data)["files-xquad"]
        assert dict(shared.rows) == {"id": usable, "any": usable}
        assert {code: counts["id"] for code, counts in shared.scored.items()} == dict.fromkeys(
            catalog.target("files-xquad").languages, usable
        )
    file = "squad_v2/dev-v2.0.json"
    questions = squad(shared_data / file)
    assert not ids & {one[0] for one in questions}
    assert len(contexts & {one[2] for one in questions}) == 63
    asked = {one[1].strip() for one in english} & {one[1].strip() for one in questions}
    assert len(asked) == 274
    data = load_split(SplitSpec("squad", (file,)), "en", (), real, file)
    shared = index.compare(data)["files-xquad"]
    on_them = sum(one[2] in contexts for one in questions)
    assert dict(shared.rows) == {"text": on_them, "any": on_them}
    theirs = contexts & {one[2] for one in questions}
    assert shared.scored["en"]["text"] == sum(one[2] in theirs for one in english)


def test_translated_rows_against_xnli(
    catalog: Catalog, real: DataContext, shared_data: Path
) -> None:
    index = indexed("files-xnli", catalog, real, ("en", "sw"))
    with (shared_data / "xnli" / "dev-en.tsv").open(encoding="utf-8", newline="\r\n") as handle:
        labels = [line.rstrip("\r\n").split("\t")[2] for line in handle]
    file = "kornli/KorNLI/xnli.dev.ko.tsv"
    with (shared_data / file).open(encoding="utf-8") as handle:
        korean = [line.rstrip("\n").split("\t")[2] for line in handle][1:]
    assert korean == labels  # the same 2,490 rows in the same order
    columns = {"premise": "sentence1", "hypothesis": "sentence2", "label": "gold_label"}
    options = {"header": True, "columns": columns, "group": "row", "group_namespace": "xnli"}
    data = load_split(SplitSpec("delimited", (file,), options), "ko", NLI, real, "ko")
    shared = index.compare(data)["files-xnli"]
    assert dict(shared.rows) == {"group": 2490, "any": 2490}
    # American languages: ids count from 12451, the first Spanish row of all of XNLI's dev file.
    with (shared_data / "americasnli" / "dev" / "anli.dev.tsv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))
    numbers = [int(row["id"]) - 12451 for row in rows]
    assert [row["label"] for row in rows] == [labels[number] for number in numbers]
    american = [
        PairExample(f"a-{n}", row["language"], f"xnli:{number}", row["premise"], row["hypothesis"],
                    row["label"])
        for n, (row, number) in enumerate(zip(rows, numbers, strict=True))
    ]  # fmt: skip
    shared = index.compare(dataset(*american))["files-xnli"]
    assert shared.rows["any"] == shared.rows["group"] == len(rows) == 6666
    assert shared.scored["sw"]["any"] == len(set(numbers))


def texts(file: Path) -> list[str]:
    """Both texts of each row as one, without case, width and spaces."""
    with file.open(encoding="utf-8", newline="") as handle:
        rows = ["\t".join(row[:2]) for row in csv.reader(handle, delimiter="\t")]
    return [unicodedata.normalize("NFKC", row).lower().replace(" ", "") for row in rows]


def test_parallel_rows_of_pawsx(catalog: Catalog, real: DataContext, shared_data: Path) -> None:
    """Rows 1,001 to 1,500 are scored; row n is the same pair in every language."""
    index = indexed("files-pawsx", catalog, real)
    pairs = {code: texts(shared_data / "pawsx" / f"dev-{code}.tsv")
             for code in catalog.target("files-pawsx").languages}  # fmt: skip
    in_any = {text for rows in pairs.values() for text in rows[1000:1500]}
    again = [number for number in range(1000) if pairs["ja"][number] in in_any]
    # Two are equal in Japanese; the other is "NS", "NS", as scored rows are in German and Korean.
    assert len(again) == 3
    test = catalog.target("files-pawsx").test
    for part, equal in ((Part(0, 1000), again), (Part(850, 1100), [n for n in again if n >= 850])):
        spec = SplitSpec("delimited", ("pawsx/dev-ja.tsv",), test.options, part)
        shared = index.compare(load_split(spec, "ja", ("0", "1"), real, "ja"))["files-pawsx"]
        parallel = max(0, int(part.stop or 0) - 1000)
        assert shared.rows.get("group", 0) == parallel
        assert shared.rows["any"] == parallel + len(equal) == shared.rows["text"]
    assert shared.languages["de"] == {"group": 100, "text": 1, "any": 101}


def test_nothing_is_dropped_from_what_an_untrained_target_is_tuned_on(tmp_path: Path) -> None:
    """As `SuiteData.tuning`, which flags such rows; a source's dev set loses them."""
    (tmp_path / "test.tsv").write_text("A\tB\tneutral\nC\tD\tneutral\n")
    (tmp_path / "dev.tsv").write_text("A\tB\tneutral\nE\tF\tneutral\n")

    def split(owner: str, name: str, whole: bool) -> Split:
        parts = (("en", SplitSpec("delimited", (f"{name}.tsv",))),)
        return Split(owner, name, "en", NLI, parts, "", "", whole)

    dev = [split("tuned", "dev", True), split("own.en", "dev", False)]
    context = DataContext(tmp_path)
    matrix = overlap_matrix(dev, [split("tuned", "test", False)], context, lambda split: None)
    found = {one.finding.split.owner: one.shared["tuned"] for one in matrix.trained}
    assert {name: one.rows["any"] for name, one in found.items()} == {"tuned": 1, "own.en": 1}
    assert {name: one.dropped for name, one in found.items()} == {"tuned": 0, "own.en": 1}


def test_named_entities_and_a_whole_matrix(catalog: Catalog, real: DataContext) -> None:
    """34 of the first 1,000 English dev sentences of PAN-X also stand in the training file."""
    wanted = [
        split for split in splits(catalog.target("files-panx"))
        if split.language == "en" and split.split != "keep_out"
    ]  # fmt: skip
    heard: list[str] = []
    matrix = overlap_matrix(wanted, wanted, real, lambda split: heard.append(split.split))
    assert heard == ["test", "train", "dev"]
    assert matrix.targets() == ("files-panx",)
    counts = {one.finding.split.split: one for one in matrix.trained}
    assert {name: one.rows for name, one in counts.items()} == {"train": 18000, "dev": 2000}
    hits = [one.shared["files-panx"].scored["en"]["text"] for one in matrix.trained]
    whole = SplitSpec("tagged", ("panx/train-en.tsv",))
    labels = catalog.target("files-panx").labels
    shared = indexed("files-panx", catalog, real, ("en",)).compare(
        load_split(whole, "en", labels, real, "whole")
    )
    assert shared["files-panx"].scored["en"] == {"text": 34, "any": 34}
    assert max(hits) < 34 <= sum(hits)  # a sentence may stand in both parts
    assert all(one.finding.dataset is None for one in (*matrix.scored, *matrix.trained))
