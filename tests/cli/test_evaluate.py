"""`xstilts evaluate`: a fit scores as its record says; wrong models are refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from adapters import XLMRobertaAdapterModel
from adapters.composition import Fuse, Stack
from safetensors.numpy import load_file, save_file
from transformers import AutoTokenizer

from harness.bench import open_model
from harness.catalog import Catalog, default_directory
from harness.data import DataContext, load_split
from tests.cli.conftest import write_catalog
from tests.model.test_prefix import fused, load
from tests.nano import NANO

CPU = ("--device", "cpu")


def edit(path: Path, **fields: Any) -> None:
    """Change fields of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def refused(outcome: Any) -> str:
    """The one line of a refusal."""
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith("xstilts: error: ")
    return str(outcome.err)


@pytest.mark.world
@pytest.mark.parametrize(
    ("target", "recipe"),
    [("tiny-nli", "direct"), ("tiny-nli", "full-ft"), ("tiny-nli", "fuse"), ("tiny-ret", "fuse")],
)
def test_a_fit_scores_exactly_as_its_record(
    tiny_run: Any, xstilts: Callable[..., Any], target: str, recipe: str
) -> None:
    artifact = tiny_run.fit(target, recipe)
    arguments = ("--target", target, "--suite", "tiny", "--catalog", tiny_run.catalog, "--json")
    results = [
        json.loads(xstilts("evaluate", folder, *arguments, *CPU).out)
        for folder in (artifact, artifact / "trained")
    ]
    (result,) = results[0]["targets"]
    record = tiny_run.record(target, recipe)
    assert results[0]["targets"] == results[1]["targets"]
    assert result["scores"] == record["scores"]
    assert result["averages"] == record["averages"]
    names = result["data"]["fingerprints"]
    assert names == {name: record["data"]["fingerprints"][name] for name in names}
    assert results[0]["backbone"]["digest"] == record["backbone"]["digest"]


@pytest.mark.world
@pytest.mark.parametrize("name", ["pure", "fit/other"])
def test_a_copy_of_a_fit_scores_as_the_fit(
    tiny_run: Any, xstilts: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    artifact = tiny_run.fit("tiny-nli", "direct")
    copied = Path(shutil.copytree(artifact, tmp_path / name))
    arguments = ("--target", "tiny-nli", "--catalog", tiny_run.catalog, "--json", *CPU)
    done = xstilts("evaluate", copied, *arguments)
    assert done.code == 0, done.err
    fit = json.loads(xstilts("evaluate", artifact, *arguments).out)
    assert json.loads(done.out)["targets"] == fit["targets"]
    assert open_model(artifact).store == tiny_run.out / "store"
    assert open_model(copied).store is None


@pytest.mark.world
def test_the_table_has_a_row_per_language_and_the_signature(
    tiny_run: Any, xstilts: Callable[..., Any], tmp_path: Path
) -> None:
    out = tmp_path / "scores.json"
    done = xstilts(
        "evaluate", tiny_run.fit("tiny-nli", "direct"), "--target", "tiny-nli", "--target",
        "tiny-ret", "--catalog", tiny_run.catalog, "--out", out, *CPU,
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    results = json.loads(out.read_text())["targets"]
    assert [result["target"]["name"] for result in results] == ["tiny-nli", "tiny-ret"]
    for result in results:
        assert result["signature"] in done.out.splitlines()
        assert result["signature"].endswith("|version:" + json.loads(out.read_text())["version"])
        for code, entry in result["scores"].items():
            beats = "yes" if entry["above_floor"]["beats"] else "no"
            cells = [code, f"{entry['score']:.1f}", str(entry["n"])]
            cells += [f"{entry['floor']['score']:.1f}", beats, entry["seen"]]
            assert cells in [line.split() for line in done.out.splitlines()]
    assert [path.name for path in tmp_path.iterdir()] == ["scores.json"]


@pytest.mark.world
def test_attentions_are_the_means_of_those_that_the_library_tells(
    tiny_run: Any, xstilts: Callable[..., Any]
) -> None:
    folder = tiny_run.fit("tiny-nli", "fuse") / "trained"
    arguments = (folder, "--target", "tiny-nli", "--catalog", tiny_run.catalog, "--attention", *CPU)
    found = json.loads(xstilts("evaluate", *arguments, "--json").out)["targets"][0]["attention"]
    model = XLMRobertaAdapterModel.from_pretrained(str(NANO)).eval()
    for path in (folder / "adapters").iterdir():
        model.load_adapter(str(path), use_safetensors=True)
    model.load_adapter_fusion(str(folder / "fusion"), use_safetensors=True)
    head = model.load_head(str(folder / "heads" / "tiny-nli"), use_safetensors=True)[1]
    names = found["adapters"]
    model.set_active_adapters(Stack(Fuse(*names), "tiny-nli"))
    catalog = Catalog.load([default_directory(), tiny_run.catalog])
    target = catalog.target("tiny-nli")
    tokenizer = AutoTokenizer.from_pretrained(str(NANO))
    for code in (target.languages[0], target.languages[-1]):
        rows = load_split(target.test, code, target.labels, DataContext(), "rows").examples
        total, tokens = np.zeros((3, len(names))), 0
        for row in rows:
            ids = tokenizer(row.premise, row.hypothesis, return_tensors="pt", truncation=True,
                            max_length=target.max_length)["input_ids"]  # fmt: skip
            with torch.no_grad():
                told = model(ids, head=head, output_adapter_fusion_attentions=True)
            layers = told.adapter_fusion_attentions[",".join(names)]
            for layer in range(3):
                total[layer] += layers[layer]["output_adapter"][0].sum(axis=0)
            tokens += ids.shape[1]
        np.testing.assert_allclose(found["layers"][code], total / tokens, rtol=0, atol=1e-5)
    assert np.ptp(found["layers"][code]) > 1e-3
    shown = xstilts("evaluate", *arguments).out.split("attention", 1)[1].splitlines()
    assert shown[0].split() == names
    means = np.mean(found["layers"][code], axis=0)
    assert [f"{100 * mean:.1f}" for mean in means] in [line.split()[1:] for line in shown]


@pytest.mark.world
def test_attention_wants_a_fusion(tiny_run: Any, xstilts: Callable[..., Any]) -> None:
    line = refused(
        xstilts(
            "evaluate", tiny_run.fit("tiny-nli", "direct"), "--target", "tiny-nli", "--catalog",
            tiny_run.catalog, "--attention", *CPU,
        )
    )  # fmt: skip
    assert "--attention: " in line
    assert "no AdapterFusion in it (recipe 'direct')" in line


UPPER = f"""
description: Nano with adapters in its last layer.
kind: folder
path: {NANO}
reduction_factor: 4
first_adapter_layer: 2
licence: Apache-2.0
world: true
"""


@pytest.fixture
def upper_model(tiny_run: Any, tmp_path: Path) -> Path:
    """A fusion in the last of nano's layers; saved parts say themselves where they stand."""
    model = tiny_run.copy(tmp_path, "fuse")
    about = (model / "about.json").read_bytes()
    shutil.rmtree(model)
    model.mkdir()
    (model / "about.json").write_bytes(about)
    fused(load(NANO)).save(model)
    return Path(model)


def attention(done: Any) -> dict[str, Any]:
    assert done.code == 0, done.err
    (target,) = json.loads(done.out)["targets"]
    found: dict[str, Any] = target["attention"]
    return found


@pytest.mark.world
def test_the_model_says_where_fusions_begin(
    tiny_run: Any, xstilts: Callable[..., Any], tmp_path: Path, upper_model: Path
) -> None:
    """Not the backbone's YAML, under which both models can be evaluated."""
    write_catalog(tmp_path / "catalog", {"backbones/upper": UPPER})
    arguments = ("--catalog", tiny_run.catalog, "--catalog", tmp_path / "catalog", "--attention",
                 "--json", *CPU)  # fmt: skip
    whole = tiny_run.fit("tiny-ret", "fuse")
    for backbone in ("nano", "upper"):
        these = ("--backbone", backbone, *arguments)
        found = attention(xstilts("evaluate", whole, "--target", "tiny-ret", *these))
        assert [len(layers) for layers in found["layers"].values()] == [2, 2]
        line = refused(xstilts("evaluate", upper_model, "--target", "tiny-ret", *these))
        assert "target 'tiny-ret' reads layer 2 of 3, but the model's fusions begin in l" in line
        assert "or give the target `options: {layer: 3}` or more" in line
        found = attention(xstilts("evaluate", upper_model, "--target", "tiny-nli", *these))
        assert [len(layers) for layers in found["layers"].values()] == [1, 1, 1]


@pytest.mark.world
def test_attention_wants_an_active_fusion(
    tiny_run: Any, xstilts: Callable[..., Any], upper_model: Path
) -> None:
    edit(upper_model / "composition.json", active=["stack", "a", "b", "c", "t-nli"])
    line = refused(
        xstilts(
            "evaluate", upper_model, "--target", "tiny-nli", "--catalog", tiny_run.catalog,
            "--attention", *CPU,
        )
    )  # fmt: skip
    assert "its AdapterFusion is not active; leave the option out" in line


@pytest.mark.world
@pytest.mark.parametrize(
    ("file", "fields", "says"),
    [
        ("about.json", {"backbone": {"name": "nano", "digest": "0" * 64}},
         ["trained on backbone 'nano' (000000000000), but 'nano' is ", "--backbone"]),
        ("about.json", {"backbone": {"name": "mine", "digest": "0" * 64}},
         ["its backbone 'mine' is not in the catalog", "--backbone"]),
        ("about.json", {"labels": ["no", "yes"]},
         ["labels no, yes, but target 'tiny-nli' has entailment, neutral, contradiction"]),
        ("about.json", {"format": "tagging"},
         ["format 'tagging', but target 'tiny-nli' is 'pair_classification'"]),
        ("about.json", {"seed": "x"}, ['about.json: seed: got "x"; allowed: a whole number']),
        ("about.json", {"backbone": 3}, ["about.json: backbone.not a JSON object"]),
        ("about.json", {"sources": [1]}, ["sources: got [1]; allowed: a list of texts"]),
        ("composition.json", {"active": "../../etc"}, ["names of modules"]),
        ("composition.json", {"active": ["stack"]}, ["names of modules"]),
        ("composition.json", {"heads": []}, ["0 heads (none)", "exactly one"]),
        ("composition.json", {"heads": ["absent"]}, ["cannot be loaded"]),
        ("composition.json", {"active": "absent"}, ["cannot be loaded"]),
    ],
)  # fmt: skip
def test_a_wrong_model_is_refused_in_one_line(
    tiny_run: Any, xstilts: Callable[..., Any], tmp_path: Path, file: str,
    fields: dict[str, Any], says: list[str],
) -> None:  # fmt: skip
    model = tiny_run.copy(tmp_path)
    edit(model / file, **fields)
    line = refused(
        xstilts("evaluate", model, "--target", "tiny-nli", "--catalog", tiny_run.catalog, *CPU)
    )
    for text in (str(model), *says):
        assert text in line


@pytest.mark.world
@pytest.mark.parametrize("recipe", ["direct", "full-ft", "fuse"])
def test_a_model_without_some_of_its_weights_is_refused(
    tiny_run: Any, xstilts: Callable[..., Any], tmp_path: Path, recipe: str
) -> None:
    model = tiny_run.copy(tmp_path, recipe)
    for file in sorted(model.rglob("*.safetensors")):
        whole = load_file(file)
        lost = next(iter(whole))
        save_file({name: array for name, array in whole.items() if name != lost}, file)
        line = refused(
            xstilts("evaluate", model, "--target", "tiny-nli", "--catalog", tiny_run.catalog, *CPU)
        )
        assert lost in line or "cannot be loaded" in line
        save_file(whole, file)


@pytest.mark.world
def test_a_damaged_artifact_of_a_store_is_refused_and_left_alone(
    tiny_run: Any, xstilts: Callable[..., Any], tmp_path: Path
) -> None:
    artifact = tiny_run.fit("tiny-nli", "direct")
    copy = Path(shutil.copytree(artifact, tmp_path / "fit" / artifact.name))
    with next(copy.rglob("adapter.safetensors")).open("ab") as handle:
        handle.write(b"x")
    line = refused(
        xstilts("evaluate", copy, "--target", "tiny-nli", "--catalog", tiny_run.catalog, *CPU)
    )
    assert "damaged: trained/adapters/" in line
    assert copy.is_dir()


@pytest.mark.world
def test_another_backbone_is_refused(
    tiny_run: Any, xstilts: Callable[..., Any], tmp_path: Path
) -> None:
    import harness

    nano = Path(harness.__file__).parent / "data" / "world" / "nano"
    other = Path(shutil.copytree(nano, tmp_path / "other"))
    edit(other / "config.json", hidden_dropout_prob=0.3)
    model = tiny_run.fit("tiny-nli", "direct")
    arguments = ("--target", "tiny-nli", "--catalog", tiny_run.catalog, *CPU)
    line = refused(xstilts("evaluate", model, *arguments, "--backbone", other))
    assert "trained on backbone 'nano' (" in line
    assert "but 'other' is " in line
    assert xstilts("evaluate", model, *arguments, "--backbone", nano).code == 0


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "no composition.json here"),
        ({"composition.json": "junk"}, "missing or no JSON"),
        ({"composition.json": "[]"}, "not a JSON object"),
        ({"composition.json": '{"active": null, "fusions": [], "heads": []}'},
         "about.json: missing or no JSON"),
    ],
)  # fmt: skip
def test_a_folder_that_is_no_model_is_refused(
    xstilts: Callable[..., Any], tmp_path: Path, files: dict[str, str], says: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    line = refused(xstilts("evaluate", tmp_path, "--target", "world-nli", *CPU))
    assert says in line
    assert "xstilts train --out" in line


@pytest.mark.world
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--target", "world-pos"], "format 'pair_classification', but target 'world-pos'"),
        (["--target", "nope"], "target 'nope' is unknown"),
        (
            ["--target", "files-tatoeba"],
            "'nano' knows the world's languages only, not af, ar, bg and ",
        ),
        (["--target", "tiny-nli", "--out", "absent/scores.json"], "--out: absent is not a folder"),
    ],
)
def test_wrong_arguments_are_refused(
    tiny_run: Any, xstilts: Callable[..., Any], arguments: list[str], says: str
) -> None:
    model = tiny_run.fit("tiny-nli", "direct")
    line = refused(xstilts("evaluate", model, *arguments, "--catalog", tiny_run.catalog, *CPU))
    assert says in line
