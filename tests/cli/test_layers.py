"""`xstilts layers`, and a target of mining from files to its record, checked from outside."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.bench import SuiteData
from harness.bench import layers as layers_module
from harness.bench import scoring as scoring_module
from harness.bench.layers import parse_layers
from harness.bench.scoring import Pass
from harness.data.world import World, generate
from harness.errors import InputError, WorkError
from harness.formats.retrieval import VectorTable
from tests.mining import naive_mine, official_threshold
from tests.nano import NANO

CPU = ("--device", "cpu", "--threads", "1")
CODES = ("B0", "C1")
_FILES = ", ".join(f'"{{language}}-en.SPLIT.{part}"' for part in ("{language}", "en", "gold"))
_SPLIT = f"{{reader: comparable, files: [{_FILES}]}}"
CATALOG = {
    "backbones/copy": "\ndescription: A copy of nano.\nkind: folder\npath: BACKBONE\n",
    "targets/mine": f"""
description: Mining.
task: mining
format: bitext_mining
languages: [{", ".join(CODES)}]
train_language: A0
options: {{layer: "1"}}
dev: {_SPLIT.replace("SPLIT", "dev")}
test: {_SPLIT.replace("SPLIT", "test")}
split: made-test
settings: {{adapters: {{epochs: 1, learning_rate: 1e-3, batch_size: 8}}}}
licence: Apache-2.0
""",
    "suites/mine": """
description: Mining.
backbones: [copy]
settings: [adapters]
seeds: [1]
low_resource: C1, for this test
low_resource_languages: [C1]
needs_data: true
blocks:
  - {recipes: [direct], targets: [mine]}
""",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with corpora, a catalog and a backbone that reads them."""
    folder: Path = tmp_path_factory.mktemp("mining")
    (folder / "data").mkdir()
    shutil.copytree(NANO, folder / "nano", ignore=shutil.ignore_patterns("world.json"))
    for name, text in CATALOG.items():
        file = folder / "catalog" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        named = f"name: {file.stem}{text}".replace("BACKBONE", str(folder / "nano"))
        file.write_text(named, encoding="utf-8")
    for code in CODES:
        for split in ("dev", "test"):
            _write_corpora(folder / "data", code, split)
    return folder


def _write_corpora(folder: Path, code: str, split: Any) -> None:
    """60 sentences a side, 30 of them translated; one English sentence stands there twice."""
    rows: Any = list(generate(World(0), "ret", code, 90, split, 0))
    foreign = {f"x-{i:03}": row.sentence for i, row in enumerate(rows[:60])}
    english = {f"en-{i:03}": row.english for i, row in enumerate(rows[30:])}
    english["en-900"] = english["en-005"]
    gold = {f"x-{30 + i:03}": f"en-{i:03}" for i in range(30)}
    for part, table in ((code, foreign), ("en", english), ("gold", gold)):
        text = "".join(f"{key}\t{value}\n" for key, value in table.items())
        (folder / f"{code}-en.{split}.{part}").write_text(text, encoding="utf-8", newline="\n")


@pytest.fixture(scope="module")
def record(made: Path) -> dict[str, Any]:
    """The record of the bare backbone."""
    from .conftest import exit_code

    arguments = ["bench", "mine", "--catalog", made / "catalog", "--data", made / "data"]
    arguments += ["--out", made / "out", "--quiet", "--workers", "0", *CPU]
    assert exit_code([*map(str, arguments)]) == 0
    (path,) = (made / "out" / "records").glob("*.json")
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def _vectors(texts: list[str]) -> Any:
    """Mean of layer 1 over all tokens, sentence by sentence, by transformers alone."""
    import torch
    from transformers import AutoTokenizer, XLMRobertaModel

    model = XLMRobertaModel.from_pretrained(NANO, add_pooling_layer=False).eval()
    tokenizer = AutoTokenizer.from_pretrained(NANO)
    with torch.no_grad():
        states = [
            model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states
            for text in texts
        ]
    return np.stack([state[1][0].mean(0).numpy() for state in states])


def _read(path: Path) -> dict[str, str]:
    return dict(line.split("\t") for line in path.read_text("utf-8").splitlines())


def _expected(folder: Path, code: str, split: str) -> list[tuple[float, str, str]]:
    """Candidates of one language by the naive miner, in XTREME's order."""
    foreign, english = (_read(folder / f"{code}-en.{split}.{part}") for part in (code, "en"))
    lines = {text: key for key, text in english.items()}
    repeated = {key for text, key in lines.items() if list(english.values()).count(text) > 1}
    keys = list(foreign), list(lines.values())
    pairs = naive_mine(_vectors(list(foreign.values())), _vectors(list(lines)))
    found = [(score, keys[0][i], keys[1][j]) for i, j, score in pairs]
    return [pair for pair in found if pair[2] not in repeated]


def test_the_record_is_what_the_official_rules_give(made: Path, record: dict[str, Any]) -> None:
    folder = made / "data"
    lines = [
        json.loads(line)
        for path in (made / "out" / "store").rglob("predictions.jsonl")
        for line in path.read_text("utf-8").splitlines()
    ]
    for code in CODES:
        gold = _read(folder / f"{code}-en.dev.gold")
        dev = [(s, gold.get(f) == e) for s, f, e in _expected(folder, code, "dev")]
        threshold = official_threshold(dev, len(gold))
        entry = record["scores"][code]
        assert threshold
        assert entry["tuned"]["threshold"] == pytest.approx(threshold, abs=1e-5)

        gold = _read(folder / f"{code}-en.test.gold")
        pairs = {(f, e) for s, f, e in _expected(folder, code, "test") if s >= threshold}
        right = len(pairs & gold.items())
        assert 0 < right < len(pairs), "the case decides something"
        mine = [line for line in lines if line["language"] == code]
        assert pairs == {
            (line["id"].rpartition(":")[2], line["prediction"])
            for line in mine
            if line["prediction"] is not None
        }
        f1 = 200 * right / (len(pairs) + len(gold))
        assert entry["score"] == entry["metrics"]["f1"] == pytest.approx(f1)
        assert entry["metrics"]["precision"] == pytest.approx(100 * right / len(pairs))
        assert entry["n"] == len(mine) == 60 + 61
    names = {f"mine/{split}/{code}" for split in ("dev", "test") for code in CODES}
    assert names <= record["data"]["fingerprints"].keys()
    assert "bitext_mining.threshold:dev-f1" in record["signature"]
    assert "bitext_mining.layer:1|" in record["signature"]


def test_another_dev_set_is_another_prediction(
    made: Path, record: dict[str, Any], xstilts: Callable[..., Any], tmp_path: Path
) -> None:
    """The threshold is part of the result: its data are part of the key."""
    data = Path(shutil.copytree(made / "data", tmp_path / "data"))
    arguments = ("plan", "mine", "--catalog", made / "catalog", "--out", made / "out", *CPU)
    assert json.loads(xstilts(*arguments, "--data", data, "--json").out)["steps"][0]["done"]
    gold = data / "B0-en.dev.gold"
    gold.write_text("".join(gold.read_text("utf-8").splitlines(keepends=True)[:-1]), "utf-8")
    assert not json.loads(xstilts(*arguments, "--data", data, "--json").out)["steps"][0]["done"]


def test_a_sweep_scores_each_layer_as_a_bench_does(
    made: Path, record: dict[str, Any], xstilts: Callable[..., Any], monkeypatch: Any
) -> None:
    passes = []
    predict = scoring_module.predict
    monkeypatch.setattr(
        scoring_module, "predict", lambda *a, **k: (passes.append(1), predict(*a, **k))[1]
    )
    arguments = ["layers", "--target", "mine", "--suite", "mine", "--catalog", made / "catalog"]
    arguments += ["--data", made / "data", "--json", *CPU]
    dev = json.loads(xstilts(*arguments).out)
    assert len(passes) == len(CODES)  # whatever the number of layers
    assert [(r["layer"], r["pooling"]) for r in dev["rows"]] == [
        (layer, pooling) for layer in range(4) for pooling in ("mean", "cls")
    ]
    test = json.loads(xstilts(*arguments, "--on", "test", "--layers", "1,3").out)
    assert len(test["rows"]) == 4
    scores = record["scores"]
    for result, expected in (
        (dev, {code: scores[code]["tuned"]["f1"] for code in CODES}),
        (test, {code: scores[code]["score"] for code in CODES}),
    ):
        (row,) = (r for r in result["rows"] if (r["layer"], r["pooling"]) == (1, "mean"))
        assert row["languages"] == pytest.approx(expected)
        assert row["score"] == pytest.approx(sum(expected.values()) / 2)
        assert result["default"] == {"layer": 1, "pooling": "mean"}
    assert "|split:dev|" in dev["signature"]
    assert "|split:made-test|" in test["signature"]
    assert "bitext_mining.layer:*|" in dev["signature"]


def test_the_table_marks_the_default_and_the_best(made: Path, xstilts: Callable[..., Any]) -> None:
    arguments = ["layers", "--target", "mine", "--suite", "mine", "--catalog", made / "catalog"]
    arguments += ["--data", made / "data", "--pooling", "mean", *CPU]
    done = xstilts(*arguments)
    assert done.code == 0, done.err
    rows = {line.split()[0]: line.split()[1:] for line in done.out.splitlines()[4:8]}
    assert list(rows) == ["0", "1", "2", "3"]
    best = max(rows, key=lambda layer: float(rows[layer][0]))
    assert [layer for layer, row in rows.items() if "*" in row[1:][0:1] or row[1:] == ["*d"]] == [
        best
    ]
    assert "d" in rows["1"][1]
    assert "zero-shot" not in done.out
    scored = xstilts(*arguments, "--on", "test").out
    assert "these are the rows that are scored: choose no layer by this table" in scored
    assert "*: the best" not in scored


@pytest.mark.world
def test_a_trained_model_can_be_swept_and_mines(
    made: Path, tiny_run: Any, xstilts: Callable[..., Any]
) -> None:
    folder = tiny_run.fit("tiny-nli", "direct")
    arguments = [folder, "--target", "mine", "--catalog", made / "catalog", *CPU]
    arguments += ["--data", made / "data", "--backbone", made / "nano", "--json"]
    swept = json.loads(xstilts("layers", *arguments, "--on", "test").out)
    (one,) = json.loads(xstilts("evaluate", *arguments).out)["targets"]
    (row,) = (r for r in swept["rows"] if (r["layer"], r["pooling"]) == (1, "mean"))
    assert row["languages"] == pytest.approx({c: one["scores"][c]["score"] for c in CODES})
    assert one["scores"]["B0"]["tuned"]["threshold"] > 0
    assert swept["model"]["name"] == "tiny-nli"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--target", "files-tatoeba"], "target 'files-tatoeba' has no dev set: its layers"),
        (["--target", "world-nli"], "format 'pair_classification' has no layer to choose"),
        (
            ["--target", "world-ret", "--layers", "2-9"],
            "--layers: '2-9'; write all, or layers",
        ),
        (["--target", "world-ret", "--pooling", "max"], "--pooling: 'max'; write one or more"),
        (
            ["--target", "files-bucc", "--suite", "files"],
            "give their folder with --data DIR",
        ),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(
    xstilts: Callable[..., Any], arguments: list[str], says: str
) -> None:
    done = xstilts("layers", *arguments, *CPU)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert says in done.err


@pytest.mark.parametrize(
    ("text", "expected"),
    [("all", (0, 1, 2, 3)), ("2", (2,)), ("3,0-1", (0, 1, 3)), ("1-1, 1", (1,))],
)
def test_layers_are_numbers_and_ranges(text: str, expected: tuple[int, ...]) -> None:
    assert parse_layers(text, 3) == expected


@pytest.mark.parametrize("text", ["", "4", "2-1", "a", "-1", "1,,2", "0-4"])
def test_other_layers_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"layers from 0 to 3 such as"):
        parse_layers(text, 3)


@pytest.mark.parametrize(("text", "code"), [("2-9", 2), ("2-3", 1)])
def test_layers_are_refused_before_anything_is_read(
    xstilts: Callable[..., Any], monkeypatch: Any, text: str, code: int
) -> None:
    def read(*_: Any) -> None:
        raise WorkError("rows were read")

    monkeypatch.setattr(SuiteData, "tuning", read)
    monkeypatch.setattr(layers_module, "load_backbone", read)
    done = xstilts("layers", "--target", "world-ret", "--layers", text, *CPU)
    assert done.code == code
    says = "--layers: '2-9'; write all, or layers from 0 to 3" if code == 2 else "rows were read"
    assert says in done.err


@pytest.mark.parametrize(
    ("target", "sentences"),
    [
        ("world-ret", lambda e: 2 * len(e)),  # an example is a sentence and its translation
        ("mine", lambda e: len({(one.side, one.sentence) for one in e})),
    ],
)
def test_a_sweep_asks_for_the_room_that_its_files_take(
    made: Path, xstilts: Callable[..., Any], monkeypatch: Any, target: str, sentences: Any
) -> None:
    asked, taken, examples = [], [], []
    inner, tuning = Pass.logits, SuiteData.tuning
    monkeypatch.setattr(layers_module, "_check_room", lambda _, needed: asked.append(needed))

    def logits(run: Any, dataset: Any, *more: Any) -> Any:
        found = inner(run, dataset, *more)
        folder = run.goal.format._folder
        taken.append(sum(file.stat().st_size for file in folder.iterdir()))
        return found

    def tuned(data: Any, target: Any, language: str) -> Any:
        dataset = tuning(data, target, language)
        examples.append(dataset.examples)
        return dataset

    monkeypatch.setattr(Pass, "logits", logits)
    monkeypatch.setattr(SuiteData, "tuning", tuned)
    arguments = ["--target", target, "--catalog", made / "catalog", "--data", made / "data"]
    arguments += ["--layers", "0,2", "--pooling", "mean", *CPU]
    arguments += ["--suite", "mine"] if target == "mine" else []
    done = xstilts("layers", *arguments)
    assert done.code == 0, done.err
    assert asked == taken
    width = json.loads((NANO / "config.json").read_text("utf-8"))["hidden_size"]
    assert asked == [sentences(found) * 2 * width * 4 for found in examples]


def test_a_sweep_that_would_fill_the_disk_does_not_start(tmp_path: Path) -> None:
    layers_module._check_room(tmp_path, 1)
    with pytest.raises(WorkError, match=r"MiB are free, but .* set TMPDIR"):
        layers_module._check_room(tmp_path, 1 << 60)


@pytest.mark.parametrize("in_files", [False, True])
def test_a_table_of_vectors_is_a_sequence_of_logits(tmp_path: Path, in_files: bool) -> None:
    table = VectorTable(3, tmp_path if in_files else None)
    for row in (2, 0, 1):
        table[row] = {"mean@1": np.full(4, row, np.float32), "cls@1": np.full(4, -row, np.float32)}
    assert [logits["mean@1"][0] for logits in table] == [0, 1, 2]
    assert [logits["cls@1"][0] for logits in table[1:]] == [-1, -2]
    assert table.matrix("mean@1").tolist() == [[0.0] * 4, [1.0] * 4, [2.0] * 4]
    assert len(list(tmp_path.iterdir())) == 2 * in_files
    with pytest.raises(TypeError):
        table.append({})
    with pytest.raises(TypeError):
        del table[0]
