"""Adapters in the upper layers only: where they stand, what drops out, starting in the middle."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import SeqBnConfig
from adapters.composition import Fuse
from safetensors import safe_open

from harness.formats import collate
from harness.model import (
    Assembly,
    BackboneFiles,
    adapters_below,
    add_adapter,
    add_fusion,
    fork_backbone,
    load_assembly,
    load_backbone,
    prefix_of,
    starting_at,
    states_before,
    training_mode,
)
from harness.recipes import get_recipe
from tests.nano import NANO, encode, examples_of, goal_of
from tests.train.conftest import OPTIONS

FIRST = 2  # of nano's three layers


def noisy(folder: Path) -> Path:
    """Nano with dropout, as XLM-R has it."""
    if not folder.exists():
        shutil.copytree(NANO, folder)
        config = json.loads((folder / "config.json").read_text())
        config |= {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
        (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noisy(tmp_path_factory.mktemp("noisy") / "nano")


def load(folder: Path, first: int = FIRST, *, dropout: bool = False) -> Any:
    files = BackboneFiles("nano", folder, "d" * 64, 4, first, dropout)
    return load_backbone(files, torch.device("cpu"))


def fused(base: Any, task: str = "nli") -> Assembly:
    """A fusion of three random adapters below the target's own."""
    goal = goal_of(task)
    assembly = get_recipe("direct").assemble(base, goal, [], 4)
    names = ["a", "b", "c"]
    for name in names:
        add_adapter(assembly.model, name, 4)
    fusion = add_fusion(assembly.model, names)
    assembly.activate(["stack", ["fuse", *names], goal.name])
    assembly.train_groups({"fusion": [fusion], "adapter": [goal.name], "head": [goal.name]})
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in assembly.model.named_parameters():
            if "adapter" in name:
                parameter.add_(torch.randn(parameter.shape) * 0.05)
    return assembly


def batch_of(task: str = "nli", count: int = 6) -> Any:
    examples = examples_of(task, "A0", count)
    return collate(encode(goal_of(task), examples, OPTIONS, training=True), 1)


def added(model: Any) -> set[int]:
    """The layers in which anything of adapters or fusions has parameters."""
    return {
        int(name.split(".layer.")[1].split(".")[0])
        for name, _ in model.named_parameters()
        if ".adapters." in name or ".adapter_fusion_layer." in name
    }


@pytest.mark.parametrize(("first", "layers"), [(0, {0, 1, 2}), (1, {1, 2}), (2, {2})])
def test_adapters_and_fusions_stand_in_the_upper_layers(
    folder: Path, tmp_path: Path, first: int, layers: set[int]
) -> None:
    base = load(folder, first)
    assembly = fused(base)
    assert added(assembly.model) == layers
    trained = [name for name, _ in assembly.trainable() if not name.startswith("heads.")]
    assert {int(name.split(".layer.")[1].split(".")[0]) for name in trained} == layers
    assembly.save(tmp_path)
    (file,) = (tmp_path / "fusion").glob("*.safetensors")
    with safe_open(file, framework="pt") as handle:
        assert {int(key.split(".layer.")[1].split(".")[0]) for key in handle.keys()} == layers  # noqa: SIM118
    again = load_assembly(load(folder, 0), tmp_path)  # the saved parts say where they stand
    assert added(again.model) == layers
    batch, goal = batch_of(), goal_of("nli")
    with torch.no_grad():
        one, other = (
            goal.format.forward(m.eval(), goal.name, batch)["logits"]
            for m in (assembly.model, again.model)
        )
    assert torch.equal(one, other)


def test_the_place_is_that_of_the_library(folder: Path) -> None:
    """The same adapter with the library's own leave_out gives the same output."""
    base = load(folder)
    ours, theirs = (fork_backbone(base, share=True) for _ in range(2))
    torch.manual_seed(0)
    add_adapter(ours, "a", 4)
    theirs.add_adapter("a", config=SeqBnConfig(reduction_factor=4, leave_out=[0, 1]))
    theirs.load_state_dict(ours.state_dict())  # strict: the same parameters by name
    batch = batch_of()
    for model in (ours, theirs):
        model.set_active_adapters("a")
    with torch.no_grad():
        one, other = (m.roberta(batch.input_ids, batch.attention_mask)[0] for m in (ours, theirs))
        bare = base.roberta(batch.input_ids, batch.attention_mask)[0]
    assert torch.equal(one, other)
    assert not torch.equal(one, bare)


@pytest.mark.parametrize("task", ["nli", "pos", "qa", "mc"])
@pytest.mark.parametrize("training", [False, True])
def test_starting_in_the_middle_changes_nothing(folder: Path, task: str, training: bool) -> None:
    assembly = fused(load(folder), task)
    model, goal, batch = assembly.model.double(), goal_of(task), batch_of(task)
    with torch.no_grad():
        states = states_before(model.eval(), FIRST, batch.input_ids, batch.attention_mask)

    def run(*, known: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        training_mode(model) if training else model.eval()
        model.zero_grad()
        torch.manual_seed(5)
        if known:
            with starting_at(model, FIRST, states):
                outputs = goal.format.forward(model, goal.name, batch)
        else:
            outputs = goal.format.forward(model, goal.name, batch)
        loss, _ = goal.format.loss(outputs, batch)
        loss.backward()
        gradients = {n: p.grad.clone() for n, p in assembly.trainable() if p.grad is not None}
        return loss.detach(), gradients

    (loss, gradients), (known_loss, known_gradients) = run(known=False), run(known=True)
    assert abs(float(loss - known_loss)) <= 1e-12 * float(loss)
    assert gradients.keys() == known_gradients.keys()
    largest = max(float(g.abs().max()) for g in gradients.values())
    for name, gradient in gradients.items():
        assert float((gradient - known_gradients[name]).abs().max()) <= 1e-12 * largest, name
    assert len(model.roberta.encoder.layer) == 3  # it is as it was


def test_padding_of_the_states_does_not_matter(folder: Path) -> None:
    assembly = fused(load(folder))
    model, goal, batch = assembly.model.double().eval(), goal_of("nli"), batch_of()
    with torch.no_grad():
        expected = goal.format.forward(model, goal.name, batch)["logits"]
        states = states_before(model, FIRST, batch.input_ids, batch.attention_mask)
        states = states * batch.attention_mask.unsqueeze(-1)
        with starting_at(model, FIRST, states):
            found = goal.format.forward(model, goal.name, batch)["logits"]
    assert (batch.attention_mask == 0).any()
    assert float((found - expected).abs().max()) <= 1e-12


def test_the_model_is_as_before_after_an_error(folder: Path) -> None:
    model = fused(load(folder)).model
    embeddings = model.roberta.embeddings
    with pytest.raises(RuntimeError, match="stop"), starting_at(model, FIRST, torch.zeros(1, 1, 1)):
        raise RuntimeError("stop")
    assert model.roberta.embeddings is embeddings
    assert [type(layer).__name__ for layer in model.roberta.encoder.layer] == [
        type(model.roberta.encoder.layer[2]).__name__
    ] * 3


@pytest.mark.parametrize("dropout", [True, False])
def test_dropout_below_is_that_of_the_yaml(folder: Path, dropout: bool) -> None:
    model, batch = fused(load(folder, dropout=dropout)).model, batch_of()
    training_mode(model)
    with torch.no_grad():
        one, other = (
            states_before(model, FIRST, batch.input_ids, batch.attention_mask) for _ in range(2)
        )
        outputs = [model.roberta(batch.input_ids, batch.attention_mask)[0] for _ in range(2)]
    assert torch.equal(one, other) is not dropout
    assert not torch.equal(*outputs)  # above there is dropout either way


def test_full_fine_tuning_knows_no_prefix(folder: Path) -> None:
    assembly = get_recipe("full-ft").assemble(load(folder), goal_of("nli"), [], 4)
    assert prefix_of(assembly.model).layers == 0
    training_mode(assembly.model)
    assert all(module.training for module in assembly.model.modules())
    names = {name for name, p in assembly.model.named_parameters() if p.requires_grad}
    assert "roberta.encoder.layer.0.output.dense.weight" in names


def test_adapters_below_are_found(folder: Path) -> None:
    model = fork_backbone(load(folder, 0), share=True)
    for name, config in {
        "everywhere": SeqBnConfig(),
        "upper": SeqBnConfig(leave_out=[0, 1]),
        "at_the_input": SeqBnConfig(
            leave_out=[0, 1], inv_adapter="nice", inv_adapter_reduction_factor=2
        ),
    }.items():
        model.add_adapter(name, config=config)
    names = ["everywhere", "upper", "at_the_input"]
    assert adapters_below(model, names, 2) == ["everywhere", "at_the_input"]
    assert adapters_below(model, names, 0) == ["at_the_input"]


def test_a_fusion_of_upper_layers_by_the_library_says_so(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, batch = fork_backbone(load(folder), share=True), batch_of()
    for name in ("a", "b"):
        model.add_adapter(name, config=SeqBnConfig(leave_out=[0, 1], use_gating=name == "b"))
    add_fusion(model, ["a", "b"])
    model.set_active_adapters(Fuse("a", "b"))
    with caplog.at_level(logging.WARNING, "harness"):
        model.roberta(batch.input_ids, batch.attention_mask)
    (line,) = [
        record.getMessage() for record in caplog.records if record.name.startswith("harness")
    ]
    assert line.startswith("Fuse[a, b] is computed by the adapters library: ")
