"""`xstilts train`: what it writes loads here and in the plain `adapters` library."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

CPU = ("--device", "cpu", "--workers", "0")
pytestmark = pytest.mark.world


@pytest.fixture
def trained(
    tiny_run: Any, tmp_path: Path, xstilts: Callable[..., Any]
) -> tuple[Path, Callable[..., Any]]:
    """The folder of tiny.A0, and the command that wrote it."""

    def train(*more: str | Path) -> Any:
        return xstilts("train", "tiny.A0", "--suite", "tiny", "--catalog", tiny_run.catalog,
                       "--store", tiny_run.out / "store", *CPU, *more)  # fmt: skip

    out = tmp_path / "new" / "model"
    done = train("--out", out)
    assert (done.code, done.err) == (0, "")  # the suite has trained it: nothing is done twice
    assert done.out.startswith(f"tiny.A0: adapter and head in {out} (dev score ")
    assert [path.name for path in out.parent.iterdir()] == ["model"]
    return out, train


def test_it_loads_here_and_is_scored(
    trained: tuple[Path, Any], tiny_run: Any, xstilts: Callable[..., Any]
) -> None:
    import torch

    from harness.catalog import Catalog
    from harness.model import load_assembly, load_backbone, locate_backbone

    out, _ = trained
    files = locate_backbone(Catalog.load().backbone("nano"))
    assembly = load_assembly(load_backbone(files, torch.device("cpu")), out)
    assert assembly.active == "tiny_A0"
    assert list(assembly.model.heads) == ["tiny_A0"]
    about = json.loads((out / "about.json").read_text())
    assert about["name"] == "tiny.A0"
    assert about["backbone"] == {"name": "nano", "digest": files.digest}
    done = xstilts("evaluate", out, "--target", "tiny-nli", "--catalog", tiny_run.catalog, "--json")
    scores = json.loads(done.out)["targets"][0]["scores"]
    assert {code: entry["seen"] for code, entry in scores.items()} == {
        "A0": "task", "B0": "nothing", "C1": "nothing",
    }  # fmt: skip


def test_it_loads_in_the_plain_library(trained: tuple[Path, Any]) -> None:
    import torch
    from adapters import AutoAdapterModel
    from safetensors.torch import load_file

    import harness

    out, _ = trained
    nano = Path(harness.__file__).parent / "data" / "world" / "nano"
    model = AutoAdapterModel.from_pretrained(str(nano))
    name = model.load_adapter(str(out / "adapters" / "tiny_A0"), use_safetensors=True)
    model.load_head(str(out / "heads" / "tiny_A0"), use_safetensors=True)
    model.set_active_adapters(name)
    assert name == "tiny_A0"
    loaded = model.state_dict()
    for file in sorted(out.rglob("*.safetensors")):
        for key, tensor in load_file(file).items():
            assert torch.equal(loaded[key], tensor), key
    with torch.no_grad():
        output = model.eval()(torch.tensor([[0, 10, 11, 2]]), head=name)
    assert output.logits.shape == (1, 3)


def test_an_existing_folder_is_refused(trained: tuple[Path, Any]) -> None:
    out, train = trained
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    done = train("--out", out)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"xstilts: error: --out: {out} exists; choose a new folder\n"
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_new_store_gives_the_same_weights(trained: tuple[Path, Any], tmp_path: Path) -> None:
    out, train = trained
    again = tmp_path / "again"
    assert train("--store", tmp_path / "store", "--out", again).code == 0
    files = sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    assert files == sorted(p.relative_to(again) for p in again.rglob("*") if p.is_file())
    for file in files:
        assert (out / file).read_bytes() == (again / file).read_bytes(), file


def test_a_source_of_the_hub_is_trained_and_planned(
    tiny_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, xstilts: Callable[..., Any]
) -> None:
    """With --hub the rows are the hub's, so the step is another one than without."""
    catalog = Path(shutil.copytree(tiny_run.catalog, tmp_path / "catalog"))
    file = catalog / "sources" / "tiny.A0.yaml"
    block = """
hub:
  split: hub-tiny
  train:
    reader: hub
    options: &hub
      {id: our/tiny, revision: COMMIT, layout: pairs, split: train,
       label_names: [entailment, neutral, contradiction]}
  dev: {reader: hub, options: {<<: *hub, split: dev}}
"""
    file.write_text(file.read_text() + block.replace("COMMIT", "a" * 40))
    asked = []

    def table(path: str, *, split: str, **_: Any) -> datasets.Dataset:
        asked.append((path, split))
        label = datasets.ClassLabel(names=["entailment", "neutral", "contradiction"])
        text = datasets.Value("string")
        rows = {"premise": [f"{split} {n}" for n in range(9)], "hypothesis": list("abcabcabc"),
                "label": [0, 1, 2] * 3}  # fmt: skip
        features = {"premise": text, "hypothesis": text, "label": label}
        return datasets.Dataset.from_dict(rows, features=datasets.Features(features))

    monkeypatch.setattr(datasets, "load_dataset", table)
    place = ("--suite", "tiny", "--catalog", catalog, "--store", tmp_path / "store", *CPU)
    assert xstilts("train", "tiny.A0", "--out", tmp_path / "hub", "--hub", *place).code == 0
    assert asked == [("our/tiny", "train"), ("our/tiny", "dev")]
    assert xstilts("train", "tiny.A0", "--out", tmp_path / "world", *place).code == 0
    assert len(asked) == 2  # without --hub nothing is asked for
    weights = [
        b"".join(file.read_bytes() for file in sorted((tmp_path / name).rglob("*.safetensors")))
        for name in ("hub", "world")
    ]
    assert weights[0] and weights[0] != weights[1]
    plan = ("plan", "tiny", "--json", *place[2:], "--out", tmp_path / "out")
    assert xstilts(*plan).code == 0
    assert len(asked) == 2
    assert xstilts(*plan, "--hub").code == 0
    assert asked[2:] == [("our/tiny", "train"), ("our/tiny", "dev")]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nope"], "source 'nope' is unknown"),
        (["tiny.A0", "--setting", "nope"], "--setting: 'nope' is unknown; known: adapters"),
        (["mnli.en"], "--suite: 'default' scores other data than source 'mnli.en'"),
        (["mnli.en", "--suite", "files"], "give their folder with --data DIR"),
        (["tiny.A0", "--data", "absent"], "--data: absent is not a folder"),
        (["tiny.A0", "--suite", "nope"], "suite 'nope' is unknown"),
        (["tiny.A0", "--backbone", "nope"], "--backbone: 'nope' is no catalog name and no folder"),
        (["tiny.A0", "--seed", "-1"], "Invalid value for '--seed'"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(
    tiny_run: Any, tmp_path: Path, xstilts: Callable[..., Any], arguments: list[str], says: str
) -> None:
    done = xstilts("train", *arguments, "--catalog", tiny_run.catalog, "--out", tmp_path / "out",
                   "--store", tmp_path / "store", *CPU)  # fmt: skip
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert says in done.err
    assert list(tmp_path.iterdir()) == []


def test_nano_is_refused_for_real_languages(
    tiny_run: Any, tmp_path: Path, xstilts: Callable[..., Any]
) -> None:
    done = xstilts("train", "mnli.en", "--suite", "files", "--backbone", "nano", "--data", tmp_path,
                   "--out", tmp_path / "out", *CPU)  # fmt: skip
    assert done.code == 2
    assert "--backbone: 'nano' knows the world's languages only" in done.err


def test_a_folder_that_cannot_be_written_is_1(trained: tuple[Path, Any], tmp_path: Path) -> None:
    _, train = trained
    (tmp_path / "file").write_text("")
    done = train("--out", tmp_path / "file" / "model")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert str(tmp_path / "file") in done.err
    shutil.rmtree(tmp_path / "new")
