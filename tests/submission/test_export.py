"""What a run exports: accepted by an independent checker, and scored as the run scored itself."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.canonical import canonical_json, file_digest
from tests.nano import NANO
from tests.submission.checker import problems
from tests.submission.conftest import LANGUAGES, TARGETS, Command, SmallRun, bench, write_catalog

EXPORTED = {task: name for name, (task, _, _) in TARGETS.items() if task}
CODES = {task: LANGUAGES if name != "ret" else LANGUAGES[1:] for task, name in EXPORTED.items()}


def _copy(run: SmallRun, to: Path) -> SmallRun:
    return SmallRun(run.catalog, Path(shutil.copytree(run.out, to / "out")))


def _export(run: SmallRun, to: Path, *more: str | Path) -> Sequence[str | Path]:
    return ("export", run.out, "--catalog", run.catalog, "--to", to, *more)


def test_the_run_gets_its_own_scores_back(
    small_run: SmallRun, xstilts: Command, tmp_path: Path
) -> None:
    to, gold = tmp_path / "pred", tmp_path / "gold"
    done = xstilts(*_export(small_run, to, "--gold", gold, "--json"))
    assert {row["task"] for row in done.json} == set(EXPORTED)
    assert "left out: small-mc2 stands for no task of XTREME" in done.err
    assert "not in this submission: pawsx, panx, mlqa, tydiqa" in done.err
    assert problems(to, CODES) == []
    records = small_run.records()
    for task, name in EXPORTED.items():
        record = records[f"small-{name}"]
        found = xstilts("score", task, "--gold", gold, "--pred", to, "--json").json
        assert found["languages"].keys() == record["scores"].keys()
        for code, entry in record["scores"].items():
            got = {metric: found["languages"][code][metric] for metric in entry["metrics"]}
            assert got == pytest.approx(entry["metrics"], abs=1e-9, rel=0)
            assert found["languages"][code]["n"] == entry["n"]
        assert found["score"] == pytest.approx(record["averages"]["all"]["score"], abs=1e-9, rel=0)
    whole = xstilts("score", "--all", "--partial", "--gold", gold, "--pred", to, "--json").json
    assert set(whole["tasks"]) == set(EXPORTED) and whole["all_task"] is None


def test_gold_scores_100(small_run: SmallRun, xstilts: Command, tmp_path: Path) -> None:
    gold = tmp_path / "gold"
    assert xstilts(*_export(small_run, tmp_path / "pred", "--gold", gold)).code == 0
    for task in EXPORTED:
        if task != "xquad":  # its gold is no prediction file
            found = xstilts("score", task, "--gold", gold, "--pred", gold, "--json").json
            assert found["score"] == 100.0


def test_tatoeba_is_in_the_order_of_the_sorted_english_side(
    small_run: SmallRun, xstilts: Command, tmp_path: Path
) -> None:
    from harness.catalog import Catalog, default_directory
    from harness.data import DataContext, load_split

    to, gold = tmp_path / "pred", tmp_path / "gold"
    assert xstilts(*_export(small_run, to, "--gold", gold)).code == 0
    target = Catalog.load([default_directory(), small_run.catalog]).target("small-ret")
    pairs = load_split(target.test, "B1", (), DataContext(), "small-ret/test").examples
    english = sorted((e.english, i) for i, e in enumerate(pairs))  # type: ignore[attr-defined]
    assert [e.english for e in pairs] != [text for text, _ in english]  # type: ignore[attr-defined]
    lines = (gold / "tatoeba/test-B1.tsv").read_text().splitlines()
    assert lines == [str(i) for _, i in english]
    record = small_run.records()["small-ret"]
    stored = small_run.out / "records" / record["files"]["predictions"]["path"]
    rows = [json.loads(line)["prediction"] for line in stored.read_text().splitlines()]
    lines = (to / "tatoeba/test-B1.tsv").read_text().splitlines()
    assert lines == [str(rows[i]) for _, i in english]


def test_a_submission_is_of_one_model(
    small_run: SmallRun, xstilts: Command, tmp_path: Path
) -> None:
    run = _copy(small_run, tmp_path)
    only = ("--only", "target=small-nli")
    bench(run, *only, "--seeds", "12")
    error = xstilts(*_export(run, tmp_path / "to")).error
    assert "5 records fit" in error and error.endswith("; add --seed (1, 12)")
    assert "small-nli nano direct none adapters seed 12" in error
    assert not (tmp_path / "to").exists()
    found = xstilts(*_export(run, tmp_path / "to", "--seed", "12", "--json")).json
    assert [row["task"] for row in found] == ["xnli"]
    # The same model by other arithmetic has another record, which only its id tells apart.
    bench(run, *only, "--batch-tokens", "512")
    error = xstilts(*_export(run, tmp_path / "to2", "--seed", "1")).error
    ids = sorted(
        json.loads(path.read_text())["id"][:8]
        for path in run.out.glob("records/*small-nli*seed1--*.json")
    )
    assert len(ids) == 2 and "2 records fit" in error
    assert sorted(error.partition("; add --id (")[2].rstrip(")").split(", ")) == ids
    others = ["small-pos", "small-qa", "small-ret"]
    for target in others:
        assert target not in error
    found = xstilts(*_export(run, tmp_path / "to3", "--id", ids[0], "--json")).json
    assert [row["record"][:8] for row in found] == ids[:1]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--recipe", "stack", "no such record has recipe stack; there is direct"),
        ("--set", "english", "no such record has set english; there is none"),
        ("--seed", "3", "no such record has seed 3; there is 1"),
        ("--backbone", "xlmr-large", "no such record has backbone xlmr-large; there is nano"),
        ("--setting", "jiant", "no such record has setting jiant; there is adapters"),
        ("--target", "xnli", "no such record has target xnli; there is small-"),
        ("--target", "small-mc2", "nothing to export: small-mc2 stand"),
        ("--gold", "TO", "is the same folder as"),
    ],
)
def test_what_is_not_there(
    small_run: SmallRun, xstilts: Command, tmp_path: Path, option: str, value: str, message: str
) -> None:
    to = tmp_path / "to"
    value = str(to) if value == "TO" else value
    assert message in xstilts(*_export(small_run, to, option, value)).error
    assert not to.exists()


def test_part_of_a_run(small_run: SmallRun, xstilts: Command, tmp_path: Path) -> None:
    targets = ("--target", "small-nli", "--target", "small-qa")
    assert xstilts(*_export(small_run, tmp_path / "to", *targets)).code == 0
    assert problems(tmp_path / "to", {task: CODES[task] for task in ("xnli", "xquad")}) == []


def test_places(small_run: SmallRun, xstilts: Command, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    assert xstilts(*_export(small_run, full)).code == 0  # an empty folder is as good as none
    before = {path: path.read_bytes() for path in full.rglob("*.tsv")}
    assert f"{full}: is there already" in xstilts(*_export(small_run, full)).error
    assert {path: path.read_bytes() for path in full.rglob("*.tsv")} == before
    empty = tmp_path / "empty"
    empty.mkdir()
    arguments = ("export", empty, "--catalog", small_run.catalog, "--to", tmp_path / "to")
    assert xstilts(*arguments).error.startswith(f"{empty}: no records/*.json here")
    arguments = ("export", small_run.out, "--to", tmp_path / "to")
    assert (
        "is not in the catalog; name the folder it is in with --catalog"
        in xstilts(*arguments).error
    )
    file = tmp_path / "file"
    file.write_text("")
    stuck = xstilts(*_export(small_run, file / "below"))
    assert stuck.code == 1 and "below: cannot be written: Not a directory" in stuck.err


@pytest.mark.parametrize(
    ("to", "gold", "message"),
    [
        ("a/b", "a", "a/b: is inside"),
        ("a", "a/gold", "a/gold: is inside"),
        ("a", "z/../a", "is the same folder as"),
    ],
)
def test_folders_lie_beside_each_other(
    small_run: SmallRun, xstilts: Command, tmp_path: Path, to: str, gold: str, message: str
) -> None:
    done = xstilts(*_export(small_run, tmp_path / to, "--gold", tmp_path / gold))
    assert message in done.error
    assert list(tmp_path.iterdir()) == []


def test_all_folders_are_written_or_none(
    small_run: SmallRun, xstilts: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def fail(path: Path, to: Path) -> Path:
        if to.name == "gold":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", fail)
    done = xstilts(*_export(small_run, tmp_path / "to", "--gold", tmp_path / "gold"))
    assert done.code == 1 and "gold: cannot be written: No space left" in done.err
    assert list(tmp_path.iterdir()) == []


def test_the_split_is_told(small_run: SmallRun, xstilts: Command, tmp_path: Path) -> None:
    done = xstilts(*_export(small_run, tmp_path / "to"))
    assert "world-test~" in done.out
    assert "no score of these files belongs beside official ones" in done.out
    rows = xstilts(*_export(small_run, tmp_path / "to2", "--json")).json
    assert {(row["split"], row["official"]) for row in rows} == {("world-test", False)}


@pytest.mark.parametrize(("split", "official"), [("test", True), ("hub-unfused-test", False)])
def test_only_the_split_of_the_files_is_official(split: str, official: bool) -> None:
    from harness.catalog import Catalog
    from harness.cli.export import _rows
    from harness.submission import Choice, Chosen, xtreme_tasks

    catalog = Catalog.load()
    hub = xtreme_tasks(catalog.on_hub())["udpos"]
    record = {
        "target": {"split": split, "languages": list(hub.languages)},
        "id": "0" * 64,
        "averages": {"all": {"score": 1.0}},
    }
    choice = Choice((Chosen(Path("x.json"), record, hub, hub),), ())
    (row,) = _rows(choice, xtreme_tasks(catalog))
    assert row["official"] is official


def test_the_same_record_twice(small_run: SmallRun, xstilts: Command, tmp_path: Path) -> None:
    run = _copy(small_run, tmp_path)
    (path,) = run.out.glob("records/*small-nli*.json")
    shutil.copy(path, path.with_name("copy.json"))
    error = xstilts(*_export(run, tmp_path / "to")).error
    assert "copy.json" in error and path.name in error
    assert error.endswith("are the same record; remove one")


def test_one_name_is_not_one_model(small_run: SmallRun, xstilts: Command, tmp_path: Path) -> None:
    run = _copy(small_run, tmp_path)
    others = [record["id"] for name, record in run.records().items() if name == "small-pos"]
    other = Path(shutil.copytree(NANO, tmp_path / "nano"))
    with (other / "special_tokens_map.json").open("a") as file:
        file.write("\n")
    for what, options in (
        ("device, dtype or threads", ("--threads", "2")),
        ("the backbone's weights", ("--backbone", str(other))),
    ):
        before = set(run.out.glob("records/*.json"))
        bench(run, "--only", "target=small-nli", *options)
        (path,) = set(run.out.glob("records/*.json")) - before
        mixed = [json.loads(path.read_text())["id"], *others]
        chosen = [part for name in mixed for part in ("--id", name)]
        error = xstilts(*_export(run, tmp_path / "to", *chosen)).error
        assert f"differ in {what}; add --id" in error and path.name in error
        done = xstilts(*_export(run, tmp_path / path.stem, *chosen[:2]))
        assert done.code == 0, done.err  # alone it is a submission


def test_answers_may_hold_any_separator_of_lines(
    small_run: SmallRun, xstilts: Command, tmp_path: Path
) -> None:
    run = _copy(small_run, tmp_path)
    (path,) = run.out.glob("records/*small-qa*.json")
    document = json.loads(path.read_text())
    file = path.parent / document["files"]["predictions"]["path"]
    rows = [json.loads(line) for line in file.read_bytes().splitlines()]
    answer = "one\u2028two\u2029three\x85four"
    rows[0]["prediction"] = answer
    file.write_bytes(b"".join(canonical_json(row) + b"\n" for row in rows))
    document["files"]["predictions"]["sha256"] = file_digest(file)
    path.write_text(json.dumps(document))
    assert xstilts(*_export(run, tmp_path / "to", "--target", "small-qa")).code == 0
    written = json.loads((tmp_path / "to/xquad" / f"test-{rows[0]['language']}.json").read_text())
    assert written[rows[0]["id"]] == answer


def test_what_was_scored_is_what_is_written(
    small_run: SmallRun, xstilts: Command, tmp_path: Path
) -> None:
    run = _copy(small_run, tmp_path)
    record = run.records()["small-nli"]
    file = run.out / "records" / record["files"]["predictions"]["path"]
    good = file.read_text()
    file.write_text(good + "\n")
    error = xstilts(*_export(run, tmp_path / "to")).error
    assert "has SHA-256" in error and "run its suite again" in error
    file.unlink()
    assert "cannot be read: no such file" in xstilts(*_export(run, tmp_path / "to")).error
    # Another catalog's target of that name: other rows than those of the record.
    other = tmp_path / "catalog"
    write_catalog(other)
    spec = other / "targets/small-ret.yaml"
    spec.write_text(spec.read_text().replace("count: 25", "count: 25, world_seed: 1"))
    run = SmallRun(other, small_run.out)
    error = xstilts(*_export(run, tmp_path / "to", "--target", "small-ret")).error
    assert "small-ret/test (B1) has fingerprint" in error and "give the data, catalog" in error
    assert not (tmp_path / "to").exists()


def test_repeated_ids_are_refused(small_run: SmallRun, xstilts: Command, tmp_path: Path) -> None:
    run = _copy(small_run, tmp_path)
    to = tmp_path / "to"
    only = ("--target", "small-qa")
    (path,) = run.out.glob("records/*small-qa*.json")
    document: dict[str, Any] = json.loads(path.read_text())
    file = path.parent / document["files"]["predictions"]["path"]
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[1]["id"] = rows[0]["id"]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    document["files"]["predictions"]["sha256"] = file_digest(file)
    path.write_text(json.dumps(document))
    error = xstilts(*_export(run, to, *only)).error
    assert "stands for 2 questions; XTREME's layout has one answer per id" in error
    assert not to.exists()


def test_ids_that_are_positions_are_refused(small_run: SmallRun) -> None:
    from dataclasses import replace

    from harness.catalog import Catalog, SplitSpec, default_directory
    from harness.data import DataContext
    from harness.errors import InputError
    from harness.submission import FIELDS, choose_records, make_submission

    catalog = Catalog.load([default_directory(), small_run.catalog])
    wanted = {**dict.fromkeys(FIELDS, ()), "target": ("small-qa",)}
    choice = choose_records(small_run.out, catalog, wanted)
    (one,) = choice.chosen
    # Files whose ids repeat are told apart by position: those ids are not the files' own.
    test = SplitSpec("squad", ("x.json",), {"ids": "position"})
    changed = replace(choice, chosen=(replace(one, target=replace(one.target, test=test)),))
    with pytest.raises(InputError, match=r"^small-qa \(A0\): question ids repeat in its files"):
        make_submission(changed, DataContext(), with_gold=False)
