"""What harness saves loads in plain `adapters` and `transformers`, and gives the same numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.catalog import Training
from harness.formats import Batch, EncodeOptions, Feature, collate, get_format
from harness.model import Assembly, Numerics, load_assembly, stored_parameters
from harness.recipes import Goal, TrainedSource, get_recipe
from harness.train import Trainer, TrainTask
from tests.nano import NANO, encode, examples_of, goal_of

pytestmark = pytest.mark.usefixtures("one_thread")
# recipe, task of the target, sources: every recipe, every format, and fusion for retrieval
CASES = {
    "direct": ("direct", "mc", []),
    "stack": ("stack", "qa", ["nli.A0"]),
    "fuse": ("fuse", "nli", ["nli.A0", "sup.B0"]),
    "mixture": ("fuse", "ret", ["nli.A0", "sup.B0"]),
    "full-ft": ("full-ft", "pos", []),
}

# Runs where `harness` cannot be imported: only what any user of the libraries has.
PLAIN = """
import json, sys
sys.modules["harness"] = None
from pathlib import Path
import torch
from adapters import XLMRobertaAdapterModel
from adapters.composition import Fuse, Stack
from safetensors.torch import load_file, save_file
from transformers import AutoModel, XLMRobertaModel

def composed(active):
    if not isinstance(active, list):
        return active
    return {"stack": Stack, "fuse": Fuse}[active[0]](*map(composed, active[1:]))

nano, root = sys.argv[1:]
for case in json.loads(Path(root, "cases.json").read_text()):
    folder = Path(root, case["name"])
    given = load_file(folder / "inputs.safetensors")
    ids, mask = given["input_ids"], given["attention_mask"]
    full = folder / "trained" / "backbone"
    model = XLMRobertaAdapterModel.from_pretrained(full if full.is_dir() else nano)
    names = {"adapters": [], "fusion": [], "heads": []}
    for part in sorted(folder.glob("trained/adapters/*")):
        names["adapters"].append(model.load_adapter(str(part), use_safetensors=True))
    for part in folder.glob("trained/fusion"):
        model.load_adapter_fusion(str(part), use_safetensors=True)
        names["fusion"] = list(model.adapters_config.fusions)
    for part in sorted(folder.glob("trained/heads/*")):
        names["heads"].append(model.load_head(str(part), use_safetensors=True)[1])
    model.set_active_adapters(composed(case["active"]))
    model.eval().requires_grad_(False)
    out = {}
    with torch.no_grad():
        if case["head"]:
            result = model(ids, attention_mask=mask, head=case["head"])
            for key in ("logits", "start_logits", "end_logits"):
                if result.get(key) is not None:
                    out[key.replace("_logits", "")] = result[key].contiguous()
        flat = [t.reshape(-1, t.shape[-1]) for t in (ids, mask)]
        out["hidden"] = model.roberta(flat[0], attention_mask=flat[1])[0]
        if full.is_dir():
            for kind in (XLMRobertaModel, AutoModel):
                plain, info = kind.from_pretrained(
                    full, add_pooling_layer=False, output_loading_info=True
                )
                assert type(plain) is XLMRobertaModel, type(plain)
                assert not any(info.values()), info
                hidden = plain.eval()(flat[0], attention_mask=flat[1])[0]
                out[f"hidden_{kind.__name__}"] = hidden.clone()
    save_file(out, folder / "plain.safetensors")
    (folder / "names.json").write_text(json.dumps(names))
assert "harness" not in [name.split(".")[0] for name, m in sys.modules.items() if m]
"""


@dataclass
class Case:
    """A trained and saved model, some inputs, and what it gives for them in this process."""

    assembly: Assembly
    goal: Goal
    batch: Batch
    folder: Path
    ours: dict[str, torch.Tensor]

    @property
    def plain(self) -> dict[str, torch.Tensor]:
        """What the plain libraries give."""
        return dict(load_file(self.folder / "plain.safetensors"))


def features_of(task: str, goal: Goal, language: str, split: Any, count: int) -> list[Feature]:
    examples = examples_of(task, language, count, split)
    return encode(goal, examples, EncodeOptions(max_length=100), training=split == "train")


def train(assembly: Assembly, tasks: list[TrainTask]) -> None:
    training = Training(epochs=1, learning_rate=1e-2, batch_size=8, full_learning_rate=1e-3)
    Trainer(assembly, tasks, training, Numerics(), seed="s", pad_id=1, micro_tokens=600).run()


def outputs(assembly: Assembly, goal: Goal, batch: Batch) -> dict[str, torch.Tensor]:
    """Logits by name, and the last hidden states."""
    with torch.no_grad():
        found = {}
        if goal.format.trained:
            found = goal.format.forward(assembly.model.eval(), goal.name, batch)
        hidden = assembly.model.eval().roberta(
            batch.input_ids, attention_mask=batch.attention_mask
        )[0]
        return {**found, "hidden": hidden}


@pytest.fixture(scope="module")
def cases(base: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """Every case trained, saved, and run through the plain libraries in another process."""
    root = tmp_path_factory.mktemp("saved")
    sources = {}
    tasks = {}
    for name in ("nli.A0", "sup.B0"):
        task, language = name.split(".")
        goal = goal_of(task, name.replace(".", "_"))
        tasks[name] = TrainTask(
            goal.name, goal.format, features_of(task, goal, language, "train", 16)
        )
        assembly = get_recipe("direct").assemble(base, goal, [], 4)
        train(assembly, [tasks[name]])
        assembly.save(root / name / "trained")
        sources[name] = TrainedSource(name, root / name / "trained", goal.format, goal.labels)
    made, listed = {}, []
    for name, (kind, task, chosen) in CASES.items():
        goal = goal_of(task, f"world-{task}")
        assembly = get_recipe(kind).assemble(base, goal, [sources[s] for s in chosen], 4)
        if goal.format.trained:
            train(
                assembly,
                [TrainTask(goal.name, goal.format, features_of(task, goal, "A0", "train", 16))],
            )
        else:
            train(assembly, [tasks[s] for s in chosen])
        folder = root / name
        assembly.save(folder / "trained")
        # In fusion, torch takes another kernel for weights that want gradients: 1e-6 apart.
        assembly.model.requires_grad_(False)
        batch = collate(features_of(task, goal, "B1", "test", 5), 1)
        ids, mask = batch.input_ids, batch.attention_mask
        if goal.format.name == "multiple_choice":  # the library's own shape of such inputs
            ids, mask = (t.reshape(5, -1, t.shape[-1]) for t in (ids, mask))
        save_file(
            {"input_ids": ids.contiguous(), "attention_mask": mask.contiguous()},
            folder / "inputs.safetensors",
        )
        head = goal.name if goal.format.trained else None
        listed.append({"name": name, "active": assembly.active, "head": head})
        made[name] = Case(assembly, goal, batch, folder, outputs(assembly, goal, batch))
    (root / "cases.json").write_text(json.dumps(listed))
    subprocess.run(
        [sys.executable, "-I", "-c", PLAIN, str(NANO), str(root)],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        check=True,
        cwd=root,
    )
    return made


@pytest.mark.parametrize("name", CASES)
def test_plain_libraries_give_the_same_numbers(cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    plain, ours = case.plain, case.ours
    compared = set(ours)
    assert compared <= set(plain)
    for key in compared:
        finite = torch.isfinite(ours[key])  # span QA puts -inf at padding
        assert finite.any()
        torch.testing.assert_close(ours[key][finite], plain[key][finite], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_training_moved_what_is_compared(cases: dict[str, Case], base: Any, name: str) -> None:
    """Or else an untrained part would not be missed."""
    case = cases[name]
    fresh = outputs(Assembly(base), Goal("", get_format("bitext_retrieval"), ()), case.batch)
    moved = (fresh["hidden"] - case.ours["hidden"]).abs().max()
    assert moved > 0.05


def test_full_fine_tuning_is_a_plain_backbone(cases: dict[str, Case]) -> None:
    case = cases["full-ft"]
    for kind in ("XLMRobertaModel", "AutoModel"):
        torch.testing.assert_close(
            case.plain[f"hidden_{kind}"], case.ours["hidden"], rtol=0, atol=1e-6
        )
    config = json.loads((case.folder / "trained" / "backbone" / "config.json").read_bytes())
    shipped = json.loads((NANO / "config.json").read_bytes())
    assert config.keys() <= shipped.keys()
    assert config == {key: shipped[key] for key in config}


@pytest.mark.parametrize("name", CASES)
def test_names_travel_with_the_files(cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    found = json.loads((case.folder / "names.json").read_bytes())
    modules = [source.replace(".", "_") for source in CASES[name][2]]
    own = [case.goal.name] if case.goal.format.trained and name != "full-ft" else []
    assert found["adapters"] == sorted([*modules, *own])
    assert found["heads"] == ([case.goal.name] if case.goal.format.trained else [])
    assert found["fusion"] == ([",".join(modules)] if len(modules) > 1 else [])


@pytest.mark.parametrize("name", CASES)
def test_loading_it_back_gives_the_very_same(cases: dict[str, Case], base: Any, name: str) -> None:
    case = cases[name]
    loaded = load_assembly(base, case.folder / "trained")
    assert loaded.active == case.assembly.active
    assert loaded.count_trainable() == 0
    again = outputs(loaded, case.goal, case.batch)
    assert again.keys() == case.ours.keys()
    assert all(torch.equal(again[key], value) for key, value in case.ours.items())


@pytest.mark.parametrize("name", CASES)
def test_only_safetensors_are_written_and_nothing_else_is_stored(
    cases: dict[str, Case], name: str
) -> None:
    case = cases[name]
    files = [path for path in (case.folder / "trained").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors"}
    wanted = ["adapters", *(f"heads.{head}." for head in case.assembly.trained.get("head", []))]
    if name == "full-ft":
        wanted.append("roberta.")
    stored = sum(
        parameter.numel()
        for key, parameter in case.assembly.model.named_parameters()
        if ".adapters." in key
        or "adapter_fusion_layer" in key
        or any(key.startswith(part) for part in wanted)
    )
    assert stored_parameters([case.folder / "trained"]) == stored


def test_no_path_of_this_machine_is_saved(cases: dict[str, Case]) -> None:
    for case in cases.values():
        for path in (case.folder / "trained").rglob("*.json"):
            assert "/" not in path.read_text(), path
