"""Every real file of questions and of multiple choice is read by some YAML of the catalog."""

from __future__ import annotations

from pathlib import Path

from harness.catalog import Catalog
from harness.data import DataContext, splits

FOLDERS = ("arcd", "cmrc2018", "commonsenseqa", "cosmosqa", "drcd", "hellaswag", "mlqa", "siqa",
           "squad_es", "squad_it", "squad_v2", "tydiqa", "xcopa", "xquad",
           "jglue/jcommonsenseqa-v1.3", "jglue/jsquad-v1.3", "parsinlu/multiple-choice",
           "parsinlu/reading_comprehension")  # fmt: skip
# They have no gold, so nothing trains, selects or is scored on them; or are in a format of its own.
WITHOUT_GOLD = ("/unlabelled/", "commonsenseqa/v1.0/test_rand_split_no_answers.jsonl")
PASSAGE_SELECTION = "tydiqa/primary-task/"


def test_every_file_with_gold_is_read(shared_data: Path) -> None:
    catalog = Catalog.load()
    context = DataContext(shared_data, language_iso3=catalog.language_iso3())
    owners = [*catalog.sources.values(), *catalog.targets.values()]
    named = {
        name
        for owner in owners
        if not owner.world
        for split in splits(owner)
        for name, there in split.files(context)
        if there
    }
    present = {
        path.relative_to(shared_data).as_posix()
        for folder in FOLDERS
        for path in (shared_data / folder).rglob("*.json*")
    } | {"cosmosqa/valid.csv"}
    unread = present - named
    assert {name for name in unread if PASSAGE_SELECTION not in name} == {
        name for name in present if any(part in name for part in WITHOUT_GOLD)
    }
    assert len(present - unread) == 63
