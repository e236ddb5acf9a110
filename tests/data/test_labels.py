"""Labels taken from the training rows: which, in which order, and what becomes of the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.bench import SuiteData
from harness.bench.step_maker import _task_identity
from harness.catalog import Block, Catalog, Source, SplitSpec
from harness.catalog.specs import LabelRule, Target, Training
from harness.data import DataContext, check_splits, load_source, load_split, splits, with_labels
from harness.errors import InputError

TRAINING = Training(1, 1e-3, batch_size=8)
# In training z stands three times, a and m twice, q and other once.
TRAIN = "1\tz\n2\ta\n3\tz\n\n4\tm\n5\tq\n\n6\tz\n7\tm\n8\ta\n\n9\tother\n\n"
DEV = "1\ta\n2\tnew\n3\tq\n\n4\tz\n\n"


def source(least: int = 2, **changes: object) -> Source:
    train, dev = (SplitSpec("tagged", (f"{name}.tsv",)) for name in ("train", "dev"))
    one = Source("own.en", "Tags.", "own", "en", "tagging", (), "none", train, dev, TRAINING,
                 "own", labels_from=LabelRule(least, "other"))  # fmt: skip
    return replace(one, **changes)  # type: ignore[arg-type]


@pytest.fixture
def context(tmp_path: Path) -> DataContext:
    for name, text in (("train", TRAIN), ("dev", DEV)):
        (tmp_path / f"{name}.tsv").write_text(text)
    return DataContext(tmp_path)


@pytest.mark.parametrize(
    ("least", "labels", "train", "dev"),
    [
        (1, ("a", "m", "q", "z", "other"), 0, 1),
        (2, ("a", "m", "z", "other"), 2, 2),
        (3, ("z", "other"), 6, 3),
    ],
)
def test_frequent_labels_then_other(
    context: DataContext, least: int, labels: tuple[str, ...], train: int, dev: int
) -> None:
    one = source(least)
    assert with_labels(one, context).labels == labels
    sets = [load_source(one, split, context) for split in ("train", "dev")]
    # At 2 the token that the file itself calls `other` counts as one of the others; so it is at 3.
    assert [found.counts["labels_to_other"] for found in sets] == [train - (least > 1), dev]
    assert {tag for row in sets[1].examples for tag in row.tags} <= set(labels)  # type: ignore[attr-defined]


def test_they_are_the_same_however_the_source_comes(context: DataContext) -> None:
    one = source()
    resolved = with_labels(one, context)
    assert with_labels(resolved, context) is resolved
    for split in ("train", "dev"):
        assert load_source(resolved, split, context) == load_source(one, split, context)
    listed = replace(resolved, labels_from=None)
    assert with_labels(listed, context) is listed
    with pytest.raises(InputError, match="unknown tag 'q'; known: a, m, z, other"):
        load_source(listed, "train", context)


def test_of_pairs_rows_count(tmp_path: Path) -> None:
    rows = ["a\tb\tx", "c\td\tx", "e\tf\ty"]
    (tmp_path / "pairs.tsv").write_text("\n".join(rows) + "\n")
    columns = {"columns": {"premise": 0, "hypothesis": 1, "label": 2}}
    spec = SplitSpec("delimited", ("pairs.tsv",), columns)
    one = source(format="pair_classification", train=spec, dev=spec)
    found = load_source(one, "train", DataContext(tmp_path))
    assert [row.label for row in found.examples] == ["x", "x", "other"]  # type: ignore[attr-defined]
    assert found.counts == {"labels_to_other": 1}


def test_errors(context: DataContext) -> None:
    with pytest.raises(InputError, match=r"own\.en/train \(en\): no label stands there 4 times"):
        with_labels(source(4), context)
    (Path(str(context.root)) / "dev.tsv").write_text("1\t \n")
    with pytest.raises(InputError, match=r"dev\.tsv, line 1: empty tag"):
        load_source(source(), "dev", context)


def test_no_known_labels_are_not_an_empty_list_of_them(context: DataContext) -> None:
    spec = source().train
    assert len(load_split(spec, "en", None, context, "own")) == 4
    with pytest.raises(InputError, match=r"unknown tag 'z'; known: \(none\)"):
        load_split(spec, "en", (), context, "own")


def test_data_check_reads_them_so(context: DataContext) -> None:
    found = check_splits(splits(source()), context, lambda _: None)
    assert [(one.ok, one.dataset and one.dataset.counts["labels_to_other"]) for one in found] == [
        (True, 1), (True, 2),
    ]  # fmt: skip
    (Path(str(context.root)) / "train.tsv").unlink()
    found = check_splits(splits(source()), context, lambda _: None)
    # Without training rows the dev set has no labels: it is the missing file that is named.
    assert [(one.missing, one.problem) for one in found] == [(("train.tsv",), "")] * 2


def test_a_suite_drops_scored_rows_after_the_labels_are_known(context: DataContext) -> None:
    """The labels of a source do not depend on what a suite scores, nor does its head."""
    (Path(str(context.root)) / "test.tsv").write_text("4\tO\n5\tO\n\n")  # has one m and one q
    test = SplitSpec("tagged", ("test.tsv",))
    target = Target("own", "Tags.", "ner", "tagging", ("de",), "en", ("O", "X"), test, "own",
                    "none", train=test, dev=test)  # fmt: skip
    catalog = Catalog.load()
    suite = replace(catalog.suite("default"), blocks=(Block(("direct",), ("own",)),))
    data = SuiteData(replace(catalog, targets={"own": target}), suite, context)
    one = source()
    train = data.source(one, "train")
    assert train.counts["overlap_dropped"] == 1
    assert train.counts["labels_to_other"] == 1
    assert "q" not in {tag for row in train.examples for tag in row.tags}  # type: ignore[attr-defined]
    assert len(train) == 3
    assert data.labelled(one).labels == ("a", "m", "z", "other")  # m only once in what is left
    assert data.source(data.labelled(one), "dev") is data.source(one, "dev")
    assert _task_identity(data.labelled(one))["labels"] == ["a", "m", "z", "other"]
