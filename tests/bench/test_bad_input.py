"""Bad files and wrong arguments: one line of what and where, exit code 2, nothing written."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.conftest import Done, Runner, write_catalog, xstilts
from tests.nano import NANO

PAIRS = "".join(f"premise {i}\thypothesis {i}\t{label}\n" for i, label in enumerate("abcabc"))
CONLLU = "".join(
    f"# sent_id = {i}\n1\tIt{i}\tit\tPRON\t_\t_\t2\tnsubj\t_\t_\n"
    f"2\truns\trun\tVERB\t_\t_\t0\troot\t_\t_\n\n"
    for i in range(4)
)
TAGGED = "".join(f"It{i}\tPRON\nruns\tVERB\n\n" for i in range(4))
SQUAD = (
    '{"data": [{"title": "t", "paragraphs": [{"context": "The book is TEXT.", "qas": ['
    '{"id": "ID", "question": "What is it?", "answers": [{"text": "TEXT", "answer_start": 12}]}'
    "]}]}]}"
)
# What is read where; a file of a target's own layout each.
GOOD = {
    "pairs/train.tsv": PAIRS,
    "pairs/test-en.tsv": PAIRS.replace("premise", "other premise"),
    "pairs/test-sw.tsv": PAIRS.replace("premise", "dhana"),
    "tags/train.conllu": CONLLU,
    "tags/test-en.tsv": TAGGED.replace("It", "He"),
    "tags/test-sw.tsv": TAGGED.replace("It", "Yeye"),
    "qa/train.json": SQUAD.replace("ID", "1").replace("TEXT", "red"),
    "qa/test-en.json": SQUAD.replace("ID", "2").replace("TEXT", "green"),
    "qa/test-sw.json": SQUAD.replace("ID", "3").replace("TEXT", "kijani"),
    "choices/train.jsonl": '{"context": "a", "choices": ["b", "c"], "label": 0}\n',
    "choices/test-en.jsonl": '{"context": "d", "choices": ["e", "f"], "label": 1}\n',
    "choices/test-sw.jsonl": '{"context": "g", "choices": ["h", "i"], "label": 1}\n',
}
_TARGET = """
name: {name}
description: "Rows of files."
task: {name}
format: {format}
languages: [en, sw]
train_language: en
{labels}train: {{reader: {train}, files: [{folder}/train.{train_suffix}]}}
dev: {{reader: {train}, files: [{folder}/train.{train_suffix}]}}
test: {{reader: {test}, files: ["{folder}/test-{{language}}.{suffix}"]}}
settings: {{adapters: {{epochs: 1, learning_rate: 1e-3, batch_size: 2}}}}
split: files-test
licence: none
"""


def target(
    name: str, task_format: str, train: str, test: str, suffixes: tuple[str, str], labels: str = ""
) -> str:
    train_suffix, suffix = suffixes
    return _TARGET.format(
        name=f"own-{name}", format=task_format, folder=name, labels=labels, train=train,
        train_suffix=train_suffix, test=test, suffix=suffix,
    )  # fmt: skip


EXTRA = {
    "targets/own-pairs.yaml": target(
        "pairs", "pair_classification", "delimited", "delimited", ("tsv", "tsv"),
        "labels: [a, b, c]\n",
    ),
    "targets/own-tags.yaml": target(
        "tags", "tagging", "conllu", "tagged", ("conllu", "tsv"), "labels: [PRON, VERB]\n"
    ),
    "targets/own-qa.yaml": target("qa", "span_qa", "squad", "squad", ("json", "json")),
    "targets/own-choices.yaml": target(
        "choices", "multiple_choice", "choices", "choices", ("jsonl", "jsonl")
    ),
    "backbones/own-nano.yaml": """
name: own-nano
description: "Nano's files without the note that it knows no human language."
kind: folder
path: PLAIN
reduction_factor: 4
licence: none
""",
    "suites/own.yaml": """
name: own
description: "Rows of files."
backbones: [own-nano]
settings: [adapters]
seeds: [1]
seed_note: One seed.
low_resource: none, this is a test
low_resource_languages: [sw]
needs_data: true
blocks:
  - {recipes: [direct], targets: [own-pairs, own-tags, own-qa, own-choices]}
""",
}  # fmt: skip


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """A suite that reads files of four layouts."""
    plain = Path(shutil.copytree(NANO, tmp_path_factory.mktemp("plain") / "nano"))
    (plain / "world.json").unlink()
    extra = {name: text.replace("PLAIN", str(plain)) for name, text in EXTRA.items()}
    return Runner(write_catalog(tmp_path_factory.mktemp("own"), extra=extra), "own")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Good files, to spoil."""
    folder = tmp_path / "data"
    for name, text in GOOD.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def refused(done: Done, out: Path, *said: str) -> None:
    """One error line that says all of it, exit code 2, nothing printed or written."""
    assert done.code == 2, done.err
    assert done.out == ""
    (line,) = done.err.splitlines()
    assert line.startswith("xstilts: error: ")
    for part in said:
        assert part in line, line
    assert not out.exists()


def test_the_good_files_are_read(own: Runner, data: Path, tmp_path: Path) -> None:
    done = xstilts("plan", "own", "--catalog", own.catalog, "--data", data, "--out", tmp_path / "o")
    assert done.code == 0, done.err
    assert "4 results; 8 of 8 steps to do" in done.out
    assert not (tmp_path / "o").exists()


def put(raw: bytes) -> Callable[[Path], None]:
    """Replaces a file."""

    def change(path: Path) -> None:
        path.write_bytes(raw)

    return change


def replace(old: str, new: str) -> Callable[[Path], None]:
    """Changes the first occurrence in a file."""

    def change(path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


SPOILED = {
    "pairs, no file": ("pairs/test-sw.tsv", Path.unlink, ["own-pairs/test (sw)", "no file"]),
    "pairs, empty": ("pairs/test-sw.tsv", put(b""), ["the file is empty"]),
    "pairs, blank": ("pairs/test-sw.tsv", put(b"\n\n \n"), ["line 1", "blank line"]),
    "pairs, junk": ("pairs/test-en.tsv", put(bytes(range(128, 256)) * 9), ["line 1", "not UTF-8"]),
    "pairs, NUL": ("pairs/test-en.tsv", put(b"\0" * 99), ["line 1"]),
    "pairs, gzip": ("pairs/train.tsv", put(gzip.compress(PAIRS.encode())), ["line 1"]),
    "pairs, two columns": (
        "pairs/test-sw.tsv", replace("\thypothesis 2", ""), ["line 3", "2 columns"]
    ),
    "pairs, four columns": (
        "pairs/test-sw.tsv", replace("dhana 4", "a\tb"), ["line 5", "4 columns"]
    ),
    "pairs, label": (
        "pairs/test-sw.tsv", replace("\tc\n", "\tneutrall\n"), ["line 3", "'neutrall'", "a, b, c"]
    ),
    "pairs, Latin-1": (
        "pairs/test-sw.tsv", put(PAIRS.replace("s 1", "é").encode("latin-1")),
        ["line 2", "byte 0xe9 is not UTF-8"],
    ),
    "tags, columns": ("tags/train.conllu", replace("\tnsubj\t_\t_", ""), ["line 2", "columns"]),
    "tags, label": (
        "tags/test-sw.tsv", replace("\tVERB", "\tVREB"), ["line 2", "'VREB'", "PRON, VERB"]
    ),
    "tags, no tag": ("tags/test-en.tsv", replace("\tVERB", ""), ["line 2", "columns"]),
    "qa, invalid JSON": ("qa/test-en.json", replace("]}]}]}", "]}]"), ["line 1", "invalid JSON"]),
    "qa, other JSON": ("qa/test-en.json", put(b"[1, 2]"), []),
    "qa, UTF-16": ("qa/test-sw.json", put("{}".encode("utf-16")), ["not UTF-8"]),
    "choices, JSON": (
        "choices/test-sw.jsonl", replace('"label"', "label"), ["line 1", "invalid JSON"]
    ),
    "choices, label": ("choices/test-en.jsonl", replace(": 1", ": 7"), ["line 1", "'7'", "0 to 1"]),
    "choices, field": ("choices/train.jsonl", replace("choices", "options"), ["line 1", "choices"]),
    "choices, one": ("choices/train.jsonl", replace(', "c"', ""), ["line 1", "1 choice"]),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILED)
def test_a_bad_file_is_refused(own: Runner, data: Path, tmp_path: Path, case: str) -> None:
    name, spoil, said = SPOILED[case]
    spoil(data / name)
    done = own.run(tmp_path / "out", "--data", data)
    refused(done, tmp_path / "out", name, *said)


def test_a_language_without_a_row_is_refused(own: Runner, data: Path, tmp_path: Path) -> None:
    (data / "qa" / "test-en.json").write_text('{"data": []}')
    done = own.run(tmp_path / "out", "--data", data)
    refused(done, tmp_path / "out", "own-qa/test (en): no examples in ")


def test_a_folder_in_the_place_of_a_file_is_refused(
    own: Runner, data: Path, tmp_path: Path
) -> None:
    path = data / "pairs" / "train.tsv"
    path.unlink()
    path.mkdir()
    refused(own.run(tmp_path / "out", "--data", data), tmp_path / "out", "pairs/train.tsv")


def test_no_data_folder(own: Runner, tmp_path: Path) -> None:
    refused(own.run(tmp_path / "out"), tmp_path / "out", "--data DIR")


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_data_folder_that_is_none(own: Runner, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / name
    refused(own.run(tmp_path / "out", "--data", folder), tmp_path / "out", f"{folder} is not")


WRONG: dict[str, tuple[list[str], list[str]]] = {
    "seed": (["--seeds", "1,x"], ["'1,x'", "1,2,3"]),
    "no seed": (["--seeds", ""], ["--seeds"]),
    "same seed": (["--seeds", "2,2"], ["'2,2'"]),
    "negative seed": (["--seeds", "-1"], ["'-1'"]),
    "large seed": (["--seeds", f"1,{2**63}"], [str(2**63), f"from 0 to {2**63 - 1}"]),
    "only without =": (["--only", "tiny-nli"], ["'tiny-nli'", "KEY=A,B"]),
    "only, key": (["--only", "language=sw"], ["'language=sw'", "recipe, set, target, setting"]),
    "only, target": (["--only", "target=xnli"], ["target 'xnli'", "it has tiny-nli"]),
    "only, one of two": (["--only", "target=tiny-nli,xnli"], ["target 'xnli'"]),
    "only, recipe": (["--only", "recipe=fuse"], ["recipe 'fuse'", "it has direct, stack"]),
    "only, nothing left": (
        ["--only", "recipe=direct", "--only", "set=tiny-one"], ["nothing is left to run"]
    ),
    "device": (["--device", "tpu"], ["'tpu'", "auto, cpu"]),
    "device number": (["--device", "cuda:99"], ["'cuda:99'", "auto, cpu"]),
    "dtype": (["--dtype", "fp8"], ["'fp8'", "fp32", "bf16"]),
    "threads": (["--threads", "0"], ["0", "x>=1"]),
    "workers": (["--workers", "-1"], ["-1", "x>=0"]),
    "workers, text": (["--workers", "two"], ["'two'"]),
    "backbone": (["--backbone", "bert"], ["'bert'"]),
    "catalog": (["--catalog", "nowhere"], ["nowhere: no such folder"]),
    "option": (["--sede", "1"], ["--sede"]),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_argument_is_refused(tiny: Runner, tmp_path: Path, case: str) -> None:
    arguments, said = WRONG[case]
    refused(tiny.run(tmp_path / "out", *arguments), tmp_path / "out", *said)


@pytest.mark.parametrize("backbone", ["nano", str(NANO)])
def test_a_backbone_of_the_world_is_refused_for_human_languages(
    own: Runner, tmp_path: Path, backbone: str
) -> None:
    (tmp_path / "empty").mkdir()  # it is said before any file is read
    done = own.run(tmp_path / "out", "--data", tmp_path / "empty", "--backbone", backbone)
    refused(done, tmp_path / "out", "'nano' knows the world's languages only", "'own-pairs'")


@pytest.mark.parametrize(
    ("note", "said"),
    [
        ("{", "not a JSON object with world_seed (JSONDecodeError)"),
        ("[]", "not a JSON object with world_seed"),
        ("{}", "not a JSON object with world_seed (KeyError)"),
        ('{"world_seed": "7"}', 'world_seed: got "7"; allowed: a whole number from 0'),
        ('{"world_seed": true}', "world_seed: got true"),
        ('{"world_seed": -1}', "world_seed: got -1"),
        ('{"world_seed": 7.5}', "world_seed: got 7.5"),
    ],
)
def test_a_bad_note_of_the_world_is_refused(
    tiny: Runner, tmp_path: Path, note: str, said: str
) -> None:
    folder = Path(shutil.copytree(NANO, tmp_path / "mine"))
    (folder / "world.json").write_text(note, encoding="utf-8")
    done = tiny.run(tmp_path / "out", "--backbone", folder)
    refused(done, tmp_path / "out", f"{folder / 'world.json'}: {said}", "harness.train.nano")


def test_an_unknown_suite_is_refused(tiny: Runner, tmp_path: Path) -> None:
    done = Runner(tiny.catalog, "tinny").run(tmp_path / "out")
    refused(done, tmp_path / "out", "suite 'tinny' is unknown", "known: default, ", "tiny")


def test_a_file_in_the_place_of_the_output_is_refused_and_kept(
    tiny: Runner, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("mine")
    done = tiny.run(tmp_path / "out")
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert (tmp_path / "out").read_text() == "mine"


def test_a_bad_catalog_is_refused(tiny: Runner, tmp_path: Path) -> None:
    catalog = write_catalog(tmp_path / "catalog", extra={"suites/bad.yaml": "name: bad\nname: x\n"})
    done = Runner(catalog).run(tmp_path / "out")
    assert done.code == 2
    assert "bad.yaml" in done.err
    assert not (tmp_path / "out").exists()


def test_bad_rows_can_be_skipped_and_are_counted(own: Runner, data: Path, tmp_path: Path) -> None:
    import json

    replace("\tc\n", "\tneutrall\n")(data / "pairs" / "test-sw.tsv")
    done = own.run(
        tmp_path / "out", "--data", data, "--bad-rows", "skip", "--only", "target=own-pairs"
    )
    assert done.code == 0, done.err
    (record,) = (tmp_path / "out" / "records").iterdir()
    counts = json.loads(record.read_text(encoding="utf-8"))["data"]["counts"]
    assert counts["own-pairs/test/sw"] == {"bad_rows_skipped": 1, "examples": 5}
