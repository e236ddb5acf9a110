"""Official splits have the number of rows that they are known to have, or are refused."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.bench import SuiteData
from harness.catalog import Catalog, SplitSpec, Target
from harness.data import DataContext, check_splits, load_scored, splits
from harness.errors import InputError

COLUMNS = {"columns": {"premise": 0, "hypothesis": 1, "label": 2}}
TEST = SplitSpec("delimited", ("test-{language}.tsv",), COLUMNS)
OWN = Target(
    "own", "Pairs.", "nli", "pair_classification", ("en", "sw"), "en", ("no", "yes"), TEST,
    "official", "none",
)  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for code, rows in (("en", 3), ("sw", 2)):
        text = "".join(f"{code} {row}\tIt is so.\tyes\n" for row in range(rows))
        (tmp_path / f"test-{code}.tsv").write_text(text)
    return tmp_path


@pytest.mark.parametrize("expected", [None, 3, 3.0, {"en": 3}, {"sw": 7}])
def test_the_right_number_and_an_unknown_one_pass(root: Path, expected: object) -> None:
    target = replace(OWN, expected=expected)  # type: ignore[arg-type]  # 3.0: as YAML may have it
    assert len(load_scored(target, "en", DataContext(root))) == 3


@pytest.mark.parametrize("expected", [4, 2, {"en": 1003}])
def test_another_number_is_refused(root: Path, expected: dict[str, int] | int) -> None:
    target = replace(OWN, expected=expected)
    with pytest.raises(InputError) as caught:
        load_scored(target, "en", DataContext(root))
    rows = expected["en"] if isinstance(expected, dict) else expected
    says = f"own/test (en): test-en.tsv: 3 rows, but the split 'official' has {rows:,}; get the"
    assert str(caught.value).startswith(says)
    catalog = Catalog.load()
    data = SuiteData(catalog, catalog.suite("default"), DataContext(root))
    with pytest.raises(InputError, match="but the split 'official' has"):
        data.tests(target)


def test_faulty_rows_are_rows(root: Path) -> None:
    file = root / "test-en.tsv"
    file.write_text(file.read_text() + "only one column\n")
    target = replace(OWN, expected=4)
    dataset = load_scored(target, "en", DataContext(root, "skip"))
    assert (len(dataset), dataset.counts["bad_rows_skipped"]) == (3, 1)
    with pytest.raises(InputError, match="4 rows, but the split 'official' has 3"):
        load_scored(replace(OWN, expected=3), "en", DataContext(root, "skip"))


def test_questions_without_an_answer_that_can_be_found_are_rows(tmp_path: Path) -> None:
    qas = [
        {"id": str(n), "question": "?", "answers": [{"text": text, "answer_start": 0}]}
        for n, text in enumerate(("It", "absent"))
    ]
    articles = [{"title": "T", "paragraphs": [{"context": "It is.", "qas": qas}]}]
    (tmp_path / "en.json").write_text(json.dumps({"data": articles}))
    target = replace(OWN, format="span_qa", labels=(), test=SplitSpec("squad", ("en.json",)))
    context = DataContext(tmp_path)
    assert len(load_scored(replace(target, expected=2), "en", context)) == 1
    with pytest.raises(InputError, match="2 rows, but the split 'official' has 1;"):
        load_scored(replace(target, expected=1), "en", context)


def test_the_check_keeps_the_rows_and_says_what_is_wrong(root: Path) -> None:
    target = replace(OWN, expected={"en": 3, "sw": 3})
    english, swahili = check_splits(splits(target), DataContext(root), lambda _: None)
    assert english.ok
    assert swahili.dataset is not None
    assert len(swahili.dataset) == 2
    assert not swahili.ok
    assert swahili.problem.startswith("own/test (sw): test-sw.tsv: 2 rows, but the split")


def test_only_official_targets_expect_a_number() -> None:
    known = {one.name for one in Catalog.load().targets.values() if one.expected is not None}
    assert known == {"xnli", "pawsx", "udpos", "panx", "xquad", "tydiqa", "tatoeba"}
    hub = {one.name for one in Catalog.load().targets.values() if one.on_hub().expected is not None}
    assert hub == known - {"udpos"}  # not the official conversion there


def manifest(shared_data: Path) -> dict[str, int]:
    """Rows of the whole files from which the files here were taken, as the manifest has them."""
    with (shared_data / "MANIFEST.tsv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    found = {row["path"]: row["cut"].rpartition("/")[2] or row["records"] for row in rows}
    return {path: int(number) for path, number in found.items() if number.isdigit()}


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("xnli", r"xnli/test-(..)\.tsv"),
        ("pawsx", r"pawsx/test-(..)\.tsv"),
        ("panx", r"panx/test-(..)\.tsv"),
        ("xquad", r"xquad/xquad\.(..)\.json"),
        ("tydiqa", r"tydiqa/unlabelled/tydiqa-goldp-v1.1-dev/tydiqa\.goldp\.(..)\.dev\.json"),
        ("tatoeba", r"tatoeba/v1/tatoeba\.(...)-eng\.\1"),
        ("tatoeba", r"tatoeba/v1/tatoeba\.(...)-eng\.eng"),
        ("udpos", r"udpos/unlabelled/test-(..)\.tsv"),
    ],
)
def test_the_numbers_are_those_of_the_whole_official_files(
    shared_data: Path, name: str, file: str
) -> None:
    catalog = Catalog.load()
    target, iso3 = catalog.target(name), catalog.language_iso3()
    number = {code: target.expected_rows(code) for code in target.languages}
    if "eng" in file:
        number = {iso3[code]: rows for code, rows in number.items()}
    found = {
        match[1]: rows
        for path, rows in manifest(shared_data).items()
        if (match := re.fullmatch(file, path))
    }
    assert found == {code: number[code] for code in found}
    if name not in ("xquad", "udpos"):  # of these the manifest does not have all languages
        assert found.keys() == number.keys()
    assert len(found) >= 6


def test_udpos_counts_only_languages_whose_treebanks_are_known(shared_data: Path) -> None:
    """One treebank in 2.5, and as many sentences in a newer release; else named here, and why."""
    target, whole = Catalog.load().target("udpos"), manifest(shared_data)
    elsewhere = {"af", "de", "en", "ja", "th", "yo"}  # XTREME's own files, tested above
    elsewhere |= {"ta", "tl"}  # newer treebanks have joined them since
    known = {code: target.expected_rows(code) for code in target.languages}
    for code in sorted(known.keys() - elsewhere):
        banks = [
            rows
            for path, rows in whole.items()
            if path.startswith("ud-treebanks") and path.endswith("-ud-test.conllu")
            and f"/{code}_" in path
        ]  # fmt: skip
        (single,) = banks if len(banks) == 1 else (0,)
        same = single == whole.get(f"udpos/test-{code}.tsv")
        assert known[code] == (single if same else None), code
    folder = "ud-treebanks-v2.5/UD_"
    assert known["ta"] == whole[f"{folder}Tamil-TTB/ta_ttb-ud-test.conllu"]
    assert known["tl"] == whole[f"{folder}Tagalog-TRG/tl_trg-ud-test.conllu"]


@pytest.mark.parametrize("code", ["mr", "ta", "te", "yo"])  # whole among the real files
def test_whole_treebanks_pass(shared_data: Path, code: str) -> None:
    target = Catalog.load().target("udpos")
    assert len(load_scored(target, code, DataContext(shared_data))) == target.expected_rows(code)


@pytest.mark.parametrize(("name", "code"), [("udpos", "af"), ("udpos", "tl"), ("xquad", "ar")])
def test_what_is_cut_or_has_too_much_is_refused(
    shared_data: Path, tmp_path: Path, name: str, code: str
) -> None:
    target = Catalog.load().target(name)
    root = shared_data
    if name == "xquad":  # one article less than the whole file
        document = json.loads((shared_data / f"xquad/xquad.{code}.json").read_bytes())
        document["data"].pop()
        root = tmp_path
        (root / "xquad").mkdir()
        (root / f"xquad/xquad.{code}.json").write_text(json.dumps(document))
    else:
        assert load_scored(replace(target, expected=None), code, DataContext(root))
    with pytest.raises(InputError, match=r"rows, but the split 'test' has"):
        load_scored(target, code, DataContext(root))
