"""`xstilts data`: what is there, what is missing and how to get it, counts and fingerprints."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_PAIRS = "columns: {premise: 0, hypothesis: 1, label: 2}"
_SUITE = """
name: SUITE
description: For this test.
backbones: [xlmr-large]
settings: [adapters]
seeds: [1]
low_resource: sw, for this test
low_resource_languages: [sw]
needs_data: true
blocks:
  - {recipes: [fuse], targets: TARGETS, source_sets: [SUITE-all]}
"""
_TRAINING = "{epochs: 1, learning_rate: 1e-4, batch_size: 8}"
_TASK = f"""
task: nli
format: pair_classification
labels: [contradiction, entailment, neutral]
train: {{reader: delimited, files: [own/train.tsv], options: {{{_PAIRS}}}}}
dev: {{reader: delimited, files: [own/dev.tsv], options: {{{_PAIRS}}}}}
split: own
"""
DOCUMENTS = {
    "sources/own.en": f"""name: own.en
description: Own rows.
language: en
training: {_TRAINING}
get: ask their author
licence: CC BY-NC 4.0
{_TASK}""",
    "targets/own-nli": f"""name: own-nli
description: Own rows.
languages: [en, sw]
train_language: en
test: {{reader: delimited, files: ["own/test-{{language}}.tsv"], options: {{{_PAIRS}}}}}
settings: {{adapters: {_TRAINING}}}
get: copy own/ from the tests
licence: CC0
{_TASK}""",
}
FILES = {
    "train.tsv": ["A dog runs.\tIt moves.\tentailment", "A cat.\tA dog.\tcontradiction",
                  "Seen before.\tIn test.\tneutral"],
    "dev.tsv": ["One.\tTwo.\tneutral"],
    "test-en.tsv": ["Seen before.\tIn test.\tneutral", "New.\tRow.\tentailment"],
    "test-sw.tsv": ["Mpya.\tSafu.\tentailment"],
}  # fmt: skip


def write_suite(catalog: Path, name: str, sources: list[str], targets: list[str]) -> None:
    """A suite that reads these sources and targets."""
    documents = {
        f"suites/{name}": _SUITE.replace("SUITE", name).replace("TARGETS", json.dumps(targets)),
        f"source_sets/{name}-all": f"name: {name}-all\ndescription: All.\nsources: {sources}\n",
    }
    for place, text in documents.items():
        file = catalog / f"{place}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with `catalog/` and `data/` of a tiny NLI task in XTREME's layout."""
    for name, text in DOCUMENTS.items():
        file = tmp_path / "catalog" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    second = DOCUMENTS["sources/own.en"].replace("name: own.en", "name: own2.en")
    (tmp_path / "catalog" / "sources" / "own2.en.yaml").write_text(second)
    write_suite(tmp_path / "catalog", "only", ["own.en", "own2.en"], ["own-nli"])
    folder = tmp_path / "data" / "own"
    folder.mkdir(parents=True)
    for name, rows in FILES.items():
        (folder / name).write_text("".join(f"{row}\n" for row in rows))
    return tmp_path


def arguments(own: Path, command: str, *more: str) -> list[str]:
    """Of `xstilts data` on the own files."""
    return ["data", command, "--suite", "only", "--data", str(own / "data"),
            "--catalog", str(own / "catalog"), *more]  # fmt: skip


def snapshot(folder: Path) -> dict[str, bytes]:
    """All files with their bytes."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_check_counts_rows_and_overlap_and_changes_nothing(
    own: Path, xstilts: Callable[..., Any]
) -> None:
    before = snapshot(own)
    done = xstilts(*arguments(own, "check", "--json"))
    assert (done.code, done.err) == (0, "")
    rows = json.loads(done.out)["rows"]
    assert [(r["name"], r["split"], r["language"], r["examples"], r["overlap"]) for r in rows] == [
        ("own.en", "train", "en", 2, 1),
        ("own.en", "dev", "en", 1, 0),
        ("own2.en", "train", "en", 2, 1),
        ("own2.en", "dev", "en", 1, 0),
        ("own-nli", "train", "en", 2, 1),
        ("own-nli", "dev", "en", 1, 0),
        ("own-nli", "test", "en", 2, 0),
        ("own-nli", "test", "sw", 1, 0),
    ]
    assert {row["status"] for row in rows} == {"ok"}
    assert rows[0]["fingerprint"] == rows[4]["fingerprint"]
    table = xstilts(*arguments(own, "check"))
    assert table.code == 0
    for row in rows:
        assert row["fingerprint"][:12] in table.out
    assert snapshot(own) == before


def test_reading_files_loads_no_torch(own: Path) -> None:
    """It costs seconds, and what reads files only has no use for it."""
    code = (
        "import sys\nfrom harness.cli import main\n"
        f"try: main({arguments(own, 'check')!r})\n"
        "except SystemExit as stop: print(stop.code, "
        "[m for m in ('numpy', 'torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "0 []"


def test_check_names_every_missing_file_once_and_says_how_to_get_it(
    own: Path, xstilts: Callable[..., Any]
) -> None:
    for name in ("train.tsv", "test-sw.tsv"):
        (own / "data" / "own" / name).unlink()
    done = xstilts(*arguments(own, "check"))
    assert done.code == 2
    assert done.out.count("missing: ") == 2
    assert "missing: own/train.tsv\n  get it: ask their author\n" in done.out
    assert "missing: own/test-sw.tsv\n  get it: copy own/ from the tests\n" in done.out
    assert done.err.count("\n") == 1
    assert "2 files missing, 0 splits wrong; 4 of 8 splits cannot be used" in done.err
    document = json.loads(xstilts(*arguments(own, "check", "--json")).out)
    assert [entry["needed_by"] for entry in document["missing"]] == [
        ["own.en/train", "own2.en/train", "own-nli/train"],
        ["own-nli/test"],
    ]
    assert [row["status"] for row in document["rows"]].count("missing") == 4
    assert document["rows"][6]["examples"] == 2


def test_files_that_come_from_one_place_share_a_paragraph(
    own: Path, xstilts: Callable[..., Any]
) -> None:
    for name in ("train.tsv", "dev.tsv", "test-sw.tsv"):
        (own / "data" / "own" / name).unlink()
    printed = xstilts(*arguments(own, "check")).out
    assert printed.endswith(
        "missing: own/train.tsv\nmissing: own/dev.tsv\n  get them: ask their author\n"
        "  licence: CC BY-NC 4.0\n"
        "missing: own/test-sw.tsv\n  get it: copy own/ from the tests\n  licence: CC0\n"
    )


def test_check_lists_all_problems_and_counts_bad_rows(
    own: Path, xstilts: Callable[..., Any]
) -> None:
    with (own / "data" / "own" / "dev.tsv").open("a") as handle:
        handle.write("no label\n")
    (own / "data" / "own" / "test-en.tsv").write_text("a\tb\tperhaps\n")
    done = xstilts(*arguments(own, "check"))
    assert done.code == 2
    problems = [line for line in done.out.splitlines() if line.startswith("wrong: ")]
    assert len(problems) == 4
    assert any("own-nli/dev (en)" in line and "dev.tsv" in line for line in problems)
    assert any("own-nli/test (en)" in line and "perhaps" in line for line in problems)
    rows = {
        (row["name"], row["split"], row["language"]): row
        for row in json.loads(xstilts(*arguments(own, "check", "--json")).out)["rows"]
    }
    assert rows["own.en", "dev", "en"]["bad"] == 1
    assert rows["own.en", "dev", "en"]["examples"] == 1
    assert rows["own-nli", "test", "en"]["status"] == "wrong"
    (own / "data" / "own" / "test-en.tsv").write_text("a\tb\tneutral\n")
    assert xstilts(*arguments(own, "check", "--bad-rows", "skip")).code == 0


def test_ls_says_which_files_are_there(own: Path, xstilts: Callable[..., Any]) -> None:
    (own / "data" / "own" / "test-sw.tsv").unlink()
    done = xstilts(*arguments(own, "ls", "--json"))
    assert done.code == 0
    rows = {row["name"]: row for row in json.loads(done.out)["rows"]}
    assert rows["own-nli"]["files"] == [
        {"file": "own/train.tsv", "present": True},
        {"file": "own/dev.tsv", "present": True},
        {"file": "own/test-en.tsv", "present": True},
        {"file": "own/test-sw.tsv", "present": False},
    ]
    assert rows["own-nli"]["languages"] == ["en", "sw"]
    assert "3 of 4" in xstilts(*arguments(own, "ls")).out


def test_ls_lists_the_whole_catalog_without_data(xstilts: Callable[..., Any]) -> None:
    done = xstilts("data", "ls", "--json")
    rows = {row["name"]: row for row in json.loads(done.out)["rows"]}
    assert {"files-xnli", "world-nli", "nli.A0", "files-small"} <= set(rows)
    assert rows["world-nli"]["files"] == []
    for row in rows.values():
        assert row["licence"]
        assert bool(row["files"]) == bool(row["get"])  # what reads files says how to get them
    assert "built in" in xstilts("data", "ls").out


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["check"], "--data is missing"),
        (["check", "--data", "absent"], "--data: absent is not a folder"),
        (["check", "--suite", "nope"], "suite 'nope' is unknown"),
        (["ls", "--data", "absent"], "--data: absent is not a folder"),
        (["nope"], "No such command 'nope'"),
    ],
)
def test_wrong_arguments_are_refused(
    xstilts: Callable[..., Any], given: list[str], says: str
) -> None:
    done = xstilts("data", *given)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert says in done.err


@pytest.mark.world
def test_the_world_needs_no_data(tiny_run: Any, xstilts: Callable[..., Any]) -> None:
    done = xstilts("data", "check", "--suite", "tiny", "--catalog", tiny_run.catalog, "--json")
    rows = json.loads(done.out)["rows"]
    fingerprints = tiny_run.record("tiny-nli", "fuse")["data"]["fingerprints"]
    found = {f"{row['name']}/{row['split']}": row["fingerprint"] for row in rows}
    found |= {f"{r['name']}/{r['split']}/{r['language']}": r["fingerprint"] for r in rows}
    assert done.code == 0
    assert fingerprints == {name: found[name] for name in fingerprints}


@pytest.mark.world
def test_a_failure_of_the_world_names_no_folder(
    tmp_path: Path, tiny_run: Any, xstilts: Callable[..., Any]
) -> None:
    catalog = Path(shutil.copytree(tiny_run.catalog, tmp_path / "catalog"))
    target = catalog / "targets" / "tiny-nli.yaml"
    text = target.read_text(encoding="utf-8")
    assert "count: 20}}" in text
    past_the_end = text.replace("count: 20}}", "count: 20}, part: {start: 30}}")
    target.write_text(past_the_end, encoding="utf-8")
    done = xstilts("data", "check", "--suite", "tiny", "--catalog", catalog)
    assert done.code == 2
    assert done.err.startswith("xstilts: error: 0 files missing, 1 splits wrong; 1 of ")


def test_real_files_have_the_counts_that_are_known(
    shared_data: Path, tmp_path: Path, xstilts: Callable[..., Any]
) -> None:
    sources = ["arcd.ar", "files-ocnli.zh", "files-squad_it.it"]
    write_suite(tmp_path, "real", sources, ["files-hellaswag"])
    done = xstilts("data", "check", "--suite", "real", "--data", shared_data,
                   "--catalog", tmp_path, "--json")  # fmt: skip
    assert (done.code, done.err) == (0, "")
    rows = {(r["name"], r["split"], r["language"]): r for r in json.loads(done.out)["rows"]}
    for name, language, split, examples, mended, dropped, left_out in [
        ("arcd.ar", "ar", "*", 693 - 3, 0, 3, 3),  # 3 answers that are not in their context
        (
            "files-squad_it.it",
            "it",
            "dev",
            831,
            62,
            98 - 62,
            10,
        ),  # its last 5 of 48 articles; 98 wrong offsets in all
        ("files-ocnli.zh", "zh", "train", 3000 - 6, 0, 0, 6),  # 6 rows without a majority
        ("files-hellaswag", "en", "test", 70, 0, 0, 0),
        ("files-hellaswag", "sw", "test", 500, 0, 0, 0),
    ]:
        found = [
            row for key, row in rows.items()
            if (key[0], key[2]) == (name, language) and split in ("*", key[1])
        ]  # fmt: skip
        assert sum(row["examples"] + row["overlap"] for row in found) == examples, name
        for row in found:
            counts = (row["mended"], row["dropped"], row["left_out"])
            assert counts == (mended, dropped, left_out), name
