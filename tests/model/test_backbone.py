"""Backbone folders: what is refused and how, what identifies them, hub caches, copies; numerics."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import XLMRobertaModel

from harness.catalog import backbone_from_argument
from harness.errors import InputError
from harness.model import (
    Assembly,
    BackboneFiles,
    Numerics,
    add_adapter,
    add_fusion,
    check_backbone,
    fork_backbone,
    load_backbone,
    load_tokenizer,
    resolve_numerics,
)
from tests.nano import NANO, load_model

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of nano to damage."""
    return Path(shutil.copytree(NANO, tmp_path / "copy"))


def refusal(work: Callable[[], object]) -> str:
    """The one line with which the work is refused."""
    with pytest.raises(InputError) as caught:
        work()
    text = str(caught.value)
    assert "\n" not in text
    return text


# --- what a folder must hold ---


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    text = refusal(lambda: check_backbone(folder))
    assert str(folder) in text
    assert name in text


@pytest.mark.parametrize(
    "config", ["{}", '{"model_type": "bert"}', '{"model_type": "no-such"}', "[]", "{", "\udcff"]
)
def test_a_wrong_config_is_named(folder: Path, config: str) -> None:
    (folder / "config.json").write_bytes(config.encode(errors="surrogateescape"))
    assert str(folder / "config.json") in refusal(lambda: check_backbone(folder))


def test_another_kind_of_model_is_told_what_is_allowed(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "bert"}')
    text = refusal(lambda: check_backbone(folder))
    assert "'bert'" in text
    assert "xlm-roberta" in text


def test_code_in_a_folder_is_never_run(folder: Path) -> None:
    config = {"model_type": "mine", "auto_map": {"AutoConfig": "code.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text("raise SystemExit('was run')")
    assert "'mine'" in refusal(lambda: check_backbone(folder))
    assert "Model mine" in refusal(lambda: load_model(folder))


@pytest.mark.parametrize("size", [0, 3, 5000])
def test_cut_weights_are_refused(folder: Path, size: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    assert str(folder) in refusal(lambda: load_model(folder))


def test_a_damaged_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")
    assert "tokenizer.json" in refusal(lambda: load_tokenizer(folder))


def test_layers_that_the_weights_lack_are_not_made_up(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_bytes())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 4}))
    assert "encoder.layer.3" in refusal(lambda: load_model(folder))


def test_old_weights_load_as_the_safe_ones_do(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    torch.save(tensors, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    check_backbone(folder)
    loaded = load_model(folder).roberta.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


def test_a_loaded_backbone_is_frozen_and_without_pooler() -> None:
    model = load_model(name="my name")
    plain = XLMRobertaModel.from_pretrained(NANO, add_pooling_layer=False)
    assert {name.removeprefix("roberta.") for name, _ in model.named_parameters()} == {
        name for name, _ in plain.named_parameters()
    }
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not model.training
    assert model.config._name_or_path == "my name"


# --- what identifies it ---


@pytest.mark.parametrize(
    "name",
    ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
     "special_tokens_map.json", "sentencepiece.bpe.model", "added_tokens.json"],
)  # fmt: skip
def test_the_digest_changes_with_a_byte(folder: Path, name: str) -> None:
    path = folder / name
    if not path.exists():
        path.write_bytes(b"{}")
    before = check_backbone(folder)
    content = bytearray(path.read_bytes())
    if name == "config.json":
        content += b"\n"  # stays JSON
    else:
        content[-1] ^= 1
    path.write_bytes(bytes(content))
    assert check_backbone(folder) != before


def test_the_digest_covers_old_weights_only_where_they_are_read(folder: Path) -> None:
    weights = folder / "pytorch_model.bin"
    alone = check_backbone(folder)
    weights.write_bytes(b"one")
    assert check_backbone(folder) == alone
    (folder / "model.safetensors").unlink()
    one = check_backbone(folder)
    weights.write_bytes(b"two")
    assert check_backbone(folder) != one


def test_the_digest_is_that_of_the_files_and_not_of_their_place(folder: Path) -> None:
    (folder / "README.md").write_text("not read by anything")
    assert check_backbone(folder) == check_backbone(NANO)


# --- the command line's argument ---


def test_a_folder_is_taken_for_a_folder(folder: Path) -> None:
    spec = backbone_from_argument(str(folder))
    assert (spec.kind, spec.name, spec.path) == ("folder", "copy", str(folder))


@pytest.mark.parametrize(
    ("text", "hub", "revision"),
    [
        ("FacebookAI/xlm-roberta-base@e73636d", "FacebookAI/xlm-roberta-base", "e73636d"),
        ("a/b.c_d-e@main", "a/b.c_d-e", "main"),
        ("a/b@refs/pr/1", "a/b", "refs/pr/1"),
    ],
)
def test_a_hub_id_has_a_revision(text: str, hub: str, revision: str) -> None:
    spec = backbone_from_argument(text)
    assert (spec.kind, spec.hub, spec.revision) == ("hub", hub, revision)
    assert spec.name == hub.split("/")[1]


@pytest.mark.parametrize(
    "text", ["a/b", "a/b@", "@x/y", "b@main", "b@refs/pr/1", "a/b/c@main", "a b/c@main"]
)
def test_anything_else_is_refused(text: str) -> None:
    assert "namespace/name@revision" in refusal(lambda: backbone_from_argument(text))


# --- the hub, without a network ---

_HUB_SCRIPT = """
import json, sys
from harness.errors import XstiltsError
from harness.catalog import backbone_from_argument
from harness.model import locate_backbone
found = {}
for text in sys.argv[1:]:
    try:
        files = locate_backbone(backbone_from_argument(text))
        found[text] = [str(files.folder), files.digest]
    except XstiltsError as error:
        found[text] = [type(error).__name__, str(error)]
print(json.dumps(found))
"""


def test_a_hub_backbone_is_its_revision_in_the_local_cache(tmp_path: Path) -> None:
    first, second, missing = "1" * 40, "2" * 40, "3" * 40
    repository = tmp_path / "hub" / "models--acme--tiny"
    for revision in (first, second):
        shutil.copytree(NANO, repository / "snapshots" / revision)
    changed = repository / "snapshots" / second / "config.json"
    changed.write_bytes(changed.read_bytes() + b"\n")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(second)
    arguments = [f"acme/tiny@{name}" for name in (first, second, "main", missing)]
    done = subprocess.run(
        [sys.executable, "-c", _HUB_SCRIPT, *arguments, "acme/other@main", "-x/y-@main"],
        env=os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    snapshots = repository / "snapshots"
    assert found[arguments[0]] == [str(snapshots / first), check_backbone(NANO)]
    assert found[arguments[1]] == [str(snapshots / second), check_backbone(snapshots / second)]
    assert found[arguments[1]] == found[arguments[2]]
    for text in (arguments[3], "acme/other@main"):
        kind, message = found[text]
        assert kind == "WorkError"
        assert text in message
        assert "--backbone FOLDER" in message
        assert "\n" not in message
    assert found["-x/y-@main"][0] == "InputError"


# --- copies ---


@pytest.mark.parametrize("share", [True, False])
def test_a_fork_shares_its_tensors_or_none(share: bool) -> None:
    base = load_model()
    fork = fork_backbone(base, share=share)
    assert fork is not base
    places = [
        {name: tensor.data_ptr() for name, tensor in model.state_dict().items()}
        for model in (base, fork)
    ]
    assert places[0].keys() == places[1].keys()
    assert all((place == places[1][name]) == share for name, place in places[0].items())
    fork.add_adapter("t")
    fork.add_classification_head("t")
    assert not base.adapters_config.adapters
    assert not base.heads
    assert not any(".adapters.t." in name for name, _ in base.named_parameters())


def test_a_fork_without_sharing_is_free_to_change(folder: Path) -> None:
    base = load_model()
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    with torch.no_grad():
        for parameter in fork_backbone(base, share=False).parameters():
            parameter.add_(1.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in base.state_dict().items())


# --- numerics ---


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"dtype": "fp8"}, ["--dtype", "fp8", "fp32, bf16"]),
        ({"device": "tpu"}, ["--device", "tpu", "auto, cpu"]),
        ({"device": "cuda:99"}, ["--device", "cuda:99", "auto, cpu"]),
        ({"threads": 0}, ["--threads", "0"]),
    ],
)
def test_wrong_numerics_are_refused(arguments: dict[str, object], named: list[str]) -> None:
    text = refusal(lambda: resolve_numerics(**arguments))  # type: ignore[arg-type]
    assert all(part in text for part in named)


def test_auto_is_resolved() -> None:
    resolved = resolve_numerics("auto", "bf16", 2)
    assert resolved.device == ("cuda:0" if torch.cuda.is_available() else "cpu")
    assert resolve_numerics("cpu", "bf16", 2) == Numerics("cpu", "bf16", 2)


def test_the_number_of_a_gpu_is_no_part_of_its_identity() -> None:
    one = Numerics("cuda:1", "bf16", 2, tf32=True)
    assert one.identity() == {
        "device": "cuda", "dtype": "bf16", "threads": 2, "tf32": True, "deterministic": True,
    }  # fmt: skip
    assert Numerics().identity()["device"] == "cpu"
    assert one.torch_device == torch.device("cuda", 1)  # it computes where it was told to


def test_bf16_computes_in_bf16_and_fp32_does_not() -> None:
    weights = torch.ones(2, 2)
    for dtype, expected in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with resolve_numerics("cpu", dtype).autocast():
            assert (weights @ weights).dtype is expected


def test_sharded_weights_are_found(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    parts = {"model-1.safetensors": names[:20], "model-2.safetensors": names[20:]}
    for file, chosen in parts.items():
        save_file({name: tensors[name] for name in chosen}, folder / file, {"format": "pt"})
    index = {"metadata": {}, "weight_map": {n: file for file, ns in parts.items() for n in ns}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()
    check_backbone(folder)
    loaded = load_model(folder).roberta.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("recipe", ["direct", "fuse"])
def test_frozen_matrices_in_bf16_give_the_numbers_of_float32_ones(recipe: str) -> None:
    """Autocast casts them the same way, in every pass."""
    numerics = Numerics(dtype="bf16")
    files, found = BackboneFiles("nano", NANO, "", 4), []
    ids = torch.arange(10, 90).reshape(4, 20)
    for dtype in (torch.float32, numerics.frozen_dtype):
        base = load_backbone(files, torch.device("cpu"), dtype)
        torch.manual_seed(1)
        assembly = Assembly(fork_backbone(base, share=True))
        for name in ("a", "b", "t"):
            add_adapter(assembly.model, name, 4)
        fusion = add_fusion(assembly.model, ["a", "b"])
        fused = ["stack", ["fuse", "a", "b"], "t"]
        assembly.activate(fused if recipe == "fuse" else "t")
        groups = {"adapter": ["t"]} | ({"fusion": [fusion]} if recipe == "fuse" else {})
        assembly.train_groups(groups)
        with numerics.autocast():
            states = assembly.model.eval().roberta(ids)[0]
        states.square().sum().backward()
        trained = assembly.trainable()
        assert {p.dtype for _, p in trained} == {torch.float32}
        found.append([states, *(p.grad for _, p in trained)])
    assert base.roberta.encoder.layer[0].output.dense.weight.dtype == torch.bfloat16
    assert base.roberta.encoder.layer[0].output.LayerNorm.weight.dtype == torch.float32
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))
