"""`xstilts data check` on a source file of 100,000 rows with one fault in it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_SOURCE = """name: NAME
description: Own rows.
task: nli
language: en
format: pair_classification
labels: [contradiction, entailment, neutral]
train: {reader: delimited, files: [own/NAME.FILE], options: {label_map: {e: entailment}}}
dev: {reader: delimited, files: [own/dev.tsv]}
training: {epochs: 1, learning_rate: 1e-4, batch_size: 8}
split: own
licence: CC BY-NC 4.0
get: ask their author
"""


def rows(count: int, fault: str = "") -> Iterator[str]:
    for number in range(1, count + 1):
        yield fault if fault and number == count - 10 else f"Premise {number}.\tHypothesis.\te\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources with one fault each; their files are below data/own/."""
    found = tmp_path_factory.mktemp("faults")
    for kind in ("catalog/sources", "data/own"):
        (found / kind).mkdir(parents=True)
    own = found / "data" / "own"
    (own / "dev.tsv").write_text("One.\tA.\tneutral\nTwo.\tB.\tneutral\nThree.\tC.\tneutral\n")
    (own / "columns.en.tsv").write_text("".join(rows(100_000, "no label here\n")))
    (own / "label.en.tsv").write_text("".join(rows(1_000, "A.\tB.\tperhaps\n")))
    packed = gzip.compress("".join(rows(1_000)).encode(), 1)
    (own / "cut.en.tsv.gz").write_bytes(packed[: len(packed) // 2])
    for name, file in (("columns.en", "tsv"), ("label.en", "tsv"), ("cut.en", "tsv.gz"),
                       ("missing.en", "tsv")):  # fmt: skip
        text = _SOURCE.replace("NAME", name).replace("FILE", file)
        (found / "catalog" / "sources" / f"{name}.yaml").write_text(text)
    return found


def check(folder: Path, name: str, *more: str) -> list[str]:
    return ["data", "check", "--source", name, "--data", str(folder / "data"),
            "--catalog", str(folder / "catalog"), *more]  # fmt: skip


def test_one_bad_row_of_a_hundred_thousand_is_named(
    folder: Path, xstilts: Callable[..., Any]
) -> None:
    done = xstilts(*check(folder, "columns.en", "--json"))
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "0 files missing, 1 splits wrong; 1 of 2 splits cannot be used" in done.err
    train = json.loads(done.out)["rows"][0]
    assert (train["status"], train["examples"], train["bad"]) == ("wrong", 99_999, 1)
    assert "own/columns.en.tsv, line 99990: " in train["problem"]
    assert train["problem"].endswith("mend the row, or skip such rows with --bad-rows skip")


def test_a_label_outside_the_map_is_named_or_skipped(
    folder: Path, xstilts: Callable[..., Any]
) -> None:
    done = xstilts(*check(folder, "label.en"))
    assert (done.code, done.out.count("wrong: ")) == (2, 1)
    assert "label.en.tsv, line 990: unknown label 'perhaps'; known: contradiction, " in done.out
    done = xstilts(*check(folder, "label.en", "--bad-rows", "skip", "--json"))
    assert (done.code, done.err) == (0, "")
    train = json.loads(done.out)["rows"][0]
    assert (train["status"], train["examples"], train["bad"]) == ("ok", 999, 1)


@pytest.mark.parametrize("more", [[], ["--bad-rows", "skip"]])
def test_a_gzip_that_ends_early_is_named(
    folder: Path, xstilts: Callable[..., Any], more: list[str]
) -> None:
    done = xstilts(*check(folder, "cut.en", *more))
    assert done.code == 2
    assert "own/cut.en.tsv.gz: damaged gzip file" in done.out
    assert "get it again" in done.out


def test_a_missing_file_is_named_with_its_origin_and_licence(
    folder: Path, xstilts: Callable[..., Any]
) -> None:
    done = xstilts(*check(folder, "missing.en"))
    assert done.code == 2
    assert done.out.endswith(
        "missing: own/missing.en.tsv\n  get it: ask their author\n  licence: CC BY-NC 4.0\n"
    )
    done = xstilts("plan", "files", "--data", folder / "data")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "files-small/texts (en): no file mnli_csv/dev.csv in data folder" in done.err
    assert "; get it: the files of the suite `files`" in done.err
    assert done.err.endswith("; some of it CC BY-NC (non-commercial)\n")
