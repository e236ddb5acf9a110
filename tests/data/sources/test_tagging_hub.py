"""Sources of tags on the hub: local Parquet files with the columns and labels that it has."""

from __future__ import annotations

from datasets import ClassLabel, Sequence, Value

from harness.catalog import Catalog
from harness.data import DataContext, load_source
from tests.hub import Calls, Mirror

NER = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]
UPOS = ["ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN",
        "PUNCT", "SCONJ", "SYM", "VERB", "X"]  # fmt: skip


def features(column: str, names: list[str]) -> dict[str, object]:
    return {"tokens": Sequence(Value("string")), column: Sequence(ClassLabel(names=names))}


def test_panx_trains_and_selects_on_its_training_rows(mirror: Mirror, calls: Calls) -> None:
    rows = {"tokens": [[f"w{n}", "x"] for n in range(20)], "ner_tags": [[1, 0]] * 19 + [[5, 6]]}
    mirror("google/xtreme", "PAN-X.sw", "train", features("ner_tags", NER), rows)
    source = Catalog.load().on_hub().source("panx.sw")
    train, dev = (load_source(source, split, DataContext()) for split in ("train", "dev"))
    assert source.split == "hub-train"
    assert [row.tokens[0] for row in train.examples] == [f"w{n}" for n in range(18)]  # type: ignore[attr-defined]
    assert train.examples[0].tags == ("B-PER", "O")  # type: ignore[attr-defined]
    assert [(row.tokens[0], row.tags) for row in dev.examples] == [  # type: ignore[attr-defined]
        ("w18", ("B-PER", "O")), ("w19", ("B-LOC", "I-LOC")),
    ]  # fmt: skip
    assert {call["revision"] for call in calls} == {"21f88c0ff5bf413a83c854eb00050e75d245161f"}


def test_treebanks_of_the_hub(mirror: Mirror) -> None:
    kind = features("pos_tags", UPOS)
    rows = {"tokens": [["Ja"], ["Nee"]], "pos_tags": [[6], [16]]}
    for split in ("train", "validation"):
        mirror("google/xtreme", "udpos.Dutch", split, kind, rows)
    many = {"tokens": [[f"w{n}"] for n in range(31)], "pos_tags": [[0]] * 31}
    mirror("google/xtreme", "udpos.Kazakh", "train", kind, many)
    catalog = Catalog.load().on_hub()
    for name, numbers in (("udpos.nl", (2, 2)), ("udpos.kk", (27, 4))):
        source = catalog.source(name)
        sets = [load_source(source, split, DataContext()) for split in ("train", "dev")]
        assert tuple(map(len, sets)) == numbers
    dutch = load_source(catalog.source("udpos.nl"), "dev", DataContext())
    assert [row.tags for row in dutch.examples] == [("INTJ",), ("X",)]  # type: ignore[attr-defined]
