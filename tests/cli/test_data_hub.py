"""`xstilts data` with --hub and --markdown, on a tiny task of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

from harness.catalog import Catalog
from harness.cli.data_markdown import markdown
from harness.data import Finding, PairExample, Split, make_dataset

REVISION = "0123456789abcdef0123456789abcdef01234567"
LABELS = ["entailment", "neutral", "contradiction"]
_PAIRS = "columns: {premise: 0, hypothesis: 1, label: 2}"
_TRAINING = "{epochs: 1, learning_rate: 1e-4, batch_size: 8}"
_TASK = f"""
task: nli
format: pair_classification
labels: [contradiction, entailment, neutral]
train: {{reader: delimited, files: [own/train.tsv], options: {{{_PAIRS}}}}}
dev: {{reader: delimited, files: [own/dev.tsv], options: {{{_PAIRS}}}}}
split: own
licence: none
get: ask their author
"""
_HUB = f"{{id: our/own, revision: {REVISION}, layout: pairs, label_names: {LABELS}, config: "
DOCUMENTS = {
    "sources/own.en": f"""name: own.en
description: Own rows.
language: en
training: {_TRAINING}{_TASK}""",
    "targets/own-nli": f"""name: own-nli
description: Own rows.
submission: xnli
languages: [en, sw]
train_language: en
test: {{reader: delimited, files: ["own/test-{{language}}.tsv"], options: {{{_PAIRS}}}}}
hub:
  split: hub-own
  train: {{reader: hub, options: {_HUB} en, split: train}}}}
  dev: {{reader: hub, options: {_HUB} en, split: validation}}}}
  test: {{reader: hub, options: {_HUB} "{{language}}", split: test}}}}
settings: {{adapters: {_TRAINING}}}{_TASK}""",
    "source_sets/own-all": "name: own-all\ndescription: All.\nsources: [own.en]\n",
    "suites/own": """name: own
description: For this test.
backbones: [xlmr-large]
settings: [adapters]
seeds: [1]
low_resource: sw, for this test
low_resource_languages: [sw]
needs_data: true
blocks:
  - {recipes: [fuse], targets: [own-nli], source_sets: [own-all]}
""",
}
FILES = {
    "train.tsv": ["A dog runs.\tIt moves.\tentailment", "Seen.\tIn test.\tneutral"],
    "dev.tsv": ["One.\tTwo.\tneutral"],
    "test-en.tsv": ["Seen.\tIn test.\tneutral", "New.\tRow.\tentailment"],
    "test-sw.tsv": ["Mpya.\tSafu.\tentailment"],
}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    for name, text in DOCUMENTS.items():
        file = tmp_path / "catalog" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "data" / "own").mkdir(parents=True)
    for name, rows in FILES.items():
        (tmp_path / "data" / "own" / name).write_text("".join(f"{row}\n" for row in rows))
    return tmp_path


def arguments(own: Path, *more: str) -> list[str]:
    catalog = ["--catalog", str(own / "catalog")]
    return ["data", "check", "--suite", "own", *catalog, *more]


@pytest.fixture
def hub(own: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """A hub with our/own, as Parquet; what it was asked for."""
    features = datasets.Features(
        {"premise": datasets.Value("string"), "hypothesis": datasets.Value("string"),
         "label": datasets.ClassLabel(names=LABELS)}
    )  # fmt: skip
    head = ["---", "configs:"]
    for config, splits in {"en": ("train", "validation", "test"), "sw": ("test",)}.items():
        head += [f"- config_name: {config}", "  data_files:"]
        for split in splits:
            rows = {"premise": [f"{config} {split}"], "hypothesis": ["h"], "label": [1]}
            place = own / "our" / "own" / config / f"{split}.parquet"
            place.parent.mkdir(parents=True, exist_ok=True)
            datasets.Dataset.from_dict(rows, features=features).to_parquet(str(place))
            head += [f"  - split: {split}", f"    path: {config}/{split}.parquet"]
    (own / "our" / "own" / "README.md").write_text("\n".join([*head, "---", ""]))
    asked: list[tuple[str, ...]] = []
    original = datasets.load_dataset

    def local(path: str, *, revision: str, **arguments: Any) -> Any:
        asked.append((path, str(arguments["name"]), str(arguments["split"]), revision))
        return original(str(own / path), cache_dir=str(own / "cache"), **arguments)

    monkeypatch.setattr(datasets, "load_dataset", local)
    return asked


def test_hub_reads_targets_there_and_sources_from_files(
    own: Path, hub: list[tuple[str, ...]], xstilts: Callable[..., Any]
) -> None:
    data = ["--data", str(own / "data")]
    done = xstilts(*arguments(own, "--hub", *data, "--json"))
    assert (done.code, done.err) == (0, "")
    rows = json.loads(done.out)["rows"]
    assert [(r["name"], r["split"], r["language"], r["examples"], r["overlap"]) for r in rows] == [
        ("own.en", "train", "en", 2, 0),  # the row that the files score is no row of the hub
        ("own.en", "dev", "en", 1, 0),
        ("own-nli", "train", "en", 1, 0),
        ("own-nli", "dev", "en", 1, 0),
        ("own-nli", "test", "en", 1, 0),
        ("own-nli", "test", "sw", 1, 0),
    ]
    assert hub == [
        ("our/own", config, split, REVISION)
        for config, split in [
            ("en", "train"),
            ("en", "validation"),
            ("en", "test"),
            ("sw", "test"),
        ]
    ]
    hub.clear()
    assert xstilts(*arguments(own, *data)).code == 0
    assert hub == []  # without --hub nothing is asked for


def test_what_the_hub_does_not_have_still_needs_a_folder(
    own: Path, hub: list[tuple[str, ...]], xstilts: Callable[..., Any]
) -> None:
    done = xstilts(*arguments(own, "--hub"))
    assert (done.code, hub) == (2, [])
    assert (
        done.err == "xstilts: error: --data is missing; give the folder with the files of own.en\n"
    )


def source_on_hub(own: Path) -> None:
    """Gives own.en a hub block too."""
    file = own / "catalog" / "sources" / "own.en.yaml"
    splits = (("train", "train"), ("dev", "validation"))
    block = [f"  {key}: {{reader: hub, options: {_HUB} en, split: {split}}}}}"
             for key, split in splits]  # fmt: skip
    file.write_text("\n".join([file.read_text().rstrip("\n"), "hub:", "  split: hub-own", *block]))


def test_sources_of_the_hub_need_no_folder(
    own: Path, hub: list[tuple[str, ...]], xstilts: Callable[..., Any]
) -> None:
    source_on_hub(own)
    done = xstilts(*arguments(own, "--hub", "--json"))
    rows = [row for row in json.loads(done.out)["rows"] if row["name"] == "own.en"]
    assert [(r["split"], r["examples"], r["overlap"]) for r in rows] == [
        ("train", 1, 0),
        ("dev", 1, 0),
    ]
    assert hub[:2] == [
        ("our/own", "en", "train", REVISION),
        ("our/own", "en", "validation", REVISION),
    ]
    listed = xstilts("data", "ls", "--suite", "own", "--catalog", str(own / "catalog"), "--hub",
                     "--json")  # fmt: skip
    (row,) = [row for row in json.loads(listed.out)["rows"] if row["name"] == "own.en"]
    assert (row["hub"], row["files"], row["split"]) == ([f"our/own@{REVISION}"], [], "hub-own")


def test_an_unreachable_hub_never_falls_back_to_files(
    own: Path, monkeypatch: pytest.MonkeyPatch, xstilts: Callable[..., Any]
) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    done = xstilts(*arguments(own, "--hub", "--data", str(own / "data")))
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "our/own@0123456789ab en train: cannot be loaded from the hub (no route)" in done.err


def test_ls_names_the_data_sets_and_revisions(own: Path, xstilts: Callable[..., Any]) -> None:
    where = ["data", "ls", "--suite", "own", "--catalog", str(own / "catalog"), "--hub"]
    rows = {row["name"]: row for row in json.loads(xstilts(*where, "--json").out)["rows"]}
    assert (rows["own-nli"]["hub"], rows["own-nli"]["files"]) == ([f"our/own@{REVISION}"], [])
    assert rows["own-nli"]["split"] == "hub-own"
    assert rows["own.en"]["hub"] == []
    assert " hub " in next(line for line in xstilts(*where).out.split("\n") if "own-nli" in line)


def test_a_data_set_of_another_size_than_expected_is_refused(
    own: Path, hub: list[tuple[str, ...]], xstilts: Callable[..., Any]
) -> None:
    file = own / "catalog" / "targets" / "own-nli.yaml"
    text = file.read_text().replace("split: hub-own", "split: hub-own\n  expected: {en: 1, sw: 2}")
    file.write_text(text)
    data = ["--data", str(own / "data")]
    done = xstilts(*arguments(own, "--hub", *data))
    assert (done.code, len(hub)) == (2, 4)
    (wrong,) = [line for line in done.out.split("\n") if line.startswith("wrong: ")]
    says = f"own-nli/test (sw): our/own@{REVISION}: 1 rows, but the split 'hub-own' has 2;"
    assert says in wrong
    assert xstilts(*arguments(own, *data)).code == 0  # the files are another split


@pytest.mark.parametrize("revision", ["main", "v1.0", REVISION[:-1]])
def test_the_catalog_refuses_a_revision_that_is_no_commit(
    own: Path, revision: str, xstilts: Callable[..., Any]
) -> None:
    file = own / "catalog" / "targets" / "own-nli.yaml"
    file.write_text(file.read_text().replace(REVISION, revision))
    done = xstilts(*arguments(own, "--hub", "--data", str(own / "data")))
    assert done.code == 2
    assert f"hub.test.options.revision: got '{revision}'" in done.err
    assert "40 hexadecimal digits" in done.err


def test_markdown(own: Path, xstilts: Callable[..., Any]) -> None:
    (own / "data" / "own" / "dev.tsv").unlink()
    done = xstilts(*arguments(own, "--data", str(own / "data"), "--markdown"))
    training, scored, *rest = done.out.split("\n\n")
    assert training.split("\n") == [
        "| used by | split | language | rows used | left out | overlap dropped |",
        "| --- | --- | --- | ---: | --- | ---: |",
        "| own.en | train | en | 1 |  | 1 |",
        "| own.en | dev | en | missing |  |  |",
        "| own-nli | train | en | 1 |  | 1 |",
        "| own-nli | dev | en | missing |  |  |",
    ]
    table = scored.split("\nmissing: ")[0].split("\n")
    assert table[:2] == ["|  | language | own-nli |", "| --- | --- | ---: |"]
    # It stands for XNLI, of whose 15 languages it has two.
    assert "| ar | Arabic | no gold |" in table
    assert "| en | English | 2 |" in table
    assert "| sw | Swahili | 1 |" in table
    assert table[-1] == "|  | all | 3 |"
    assert len(table) == 2 + 15 + 1
    assert rest == []
    assert xstilts(*arguments(own, "--json", "--markdown")).code == 2


def test_rows_that_stay_are_not_left_out() -> None:
    """A question keeps its other answers, a sentence its other tokens; the rest has no row."""
    counts = {"answers_dropped": 36, "blank_tokens_dropped": 5, "labels_dropped": 6,
              "questions_dropped": 10, "rows_without_gold": 1_500, "sentences_without_text": 2,
              "overlap_dropped": 3, "answers_mended": 4}  # fmt: skip
    row = PairExample("1", "en", None, "A", "B", None)
    split = Split("own.en", "train", "en", (), (), "", "")
    found = Finding(split, make_dataset("own.en/train", "en", [row], counts))
    line = markdown([found], Catalog.load()).splitlines()[2]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == [
        "own.en", "train", "en", "1",
        "6 labels, 10 questions, 1,500 rows without gold, 2 sentences without text", "3",
    ]  # fmt: skip
