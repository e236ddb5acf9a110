"""Averages and Parallel of adapters by our algebra, beside the library and by hand."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest
import torch
from adapters import SeqBnConfig, XLMRobertaAdapterModel
from adapters.composition import Average, BatchSplit, Parallel, Stack
from adapters.methods.bottleneck import BottleneckLayer, BottleneckState

from tests.model.fused import (
    difference,
    gradient_difference,
    gradients,
    library_model,
    logits,
    ours_of,
    rows,
    said,
    train,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def mean_by_hand(model: XLMRobertaAdapterModel, weights: list[float]) -> torch.Tensor:
    """All adapters of a layer replaced by one of their widths together: the weighted mean."""
    model = copy.deepcopy(model)
    names = [f"s{i}" for i in range(len(weights))]
    width = sum(model.roberta.encoder.layer[0].output.adapters[n].down_sample for n in names)
    model.add_adapter("all", config=SeqBnConfig(reduction_factor=32 / width))
    model.double()
    for layer in model.roberta.encoder.layer:
        parts = layer.output.adapters
        whole = parts["all"]
        with torch.no_grad():
            whole.adapter_down[0].weight.copy_(
                torch.cat([parts[n].adapter_down[0].weight for n in names])
            )
            whole.adapter_down[0].bias.copy_(
                torch.cat([parts[n].adapter_down[0].bias for n in names])
            )
            ups = [parts[n].adapter_up for n in names]
            whole.adapter_up.weight.copy_(
                torch.cat([w * up.weight for w, up in zip(weights, ups, strict=True)], dim=1)
            )
            whole.adapter_up.bias.copy_(
                sum(w * up.bias for w, up in zip(weights, ups, strict=True))
            )
    model.set_active_adapters(Stack("all", "t"))
    return logits(model.eval(), rows())


@pytest.mark.parametrize("weights", [[1 / 3] * 3, [0.5, 0.3, 0.2]])
@pytest.mark.parametrize("settings", [{}, {"use_gating": False, "dropout": 1e-9}])
def test_an_average_is_the_weighted_mean(weights: list[float], settings: dict[str, Any]) -> None:
    """Fused, and, for adapters that are not covered, by the library with its mean put right."""
    ours = ours_of(library_model([settings] * 3).eval())
    ours.set_active_adapters(Stack(Average("s0", "s1", "s2", weights=weights), "t"))
    exact = 1e-12 if settings == {} else 1e-7  # the library keeps weights in float32
    assert difference(logits(ours, rows()), mean_by_hand(ours, weights)) < exact


def test_the_average_of_an_adapter_and_its_copy_is_that_adapter() -> None:
    ours = ours_of(library_model([{}, {}]).eval())
    for layer in ours.roberta.encoder.layer:
        parts = layer.output.adapters
        parts["s1"].load_state_dict(parts["s0"].state_dict())
    ours.set_active_adapters(Stack(Average("s0", "s1"), "t"))
    found = logits(ours, rows())
    ours.set_active_adapters(Stack("s0", "t"))
    assert difference(found, logits(ours, rows())) < 1e-12


def test_an_average_with_gradients(caplog: pytest.LogCaptureFixture) -> None:
    """Adapters that are averaged and trained take the library's way to the same mean."""
    ours = ours_of(library_model([{}] * 3)).train()
    ours.set_active_adapters(Stack(Average("s0", "s1", "s2"), "t"))
    train(ours, ".t.")
    fused = gradients(ours, rows())
    train(ours, ".t.", ".s2.")
    with caplog.at_level(logging.WARNING, "harness"):
        whole = gradients(ours, rows())
    assert said(caplog)[0].endswith("adapter 's2' is itself trained")
    same = {name: whole[name] for name in fused}
    assert gradient_difference(same, fused) < 1e-7  # the library keeps weights in float32
    assert any(".s2." in name for name in whole)


@pytest.mark.parametrize("settings", [{}, {"scaling": 0.5}, {"leave_out": [0]}])
def test_parallel_is_the_librarys(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are copied for each adapter in the lowest layer that has them, and stay apart."""
    library = library_model([settings, {**settings, "reduction_factor": 8}, settings]).eval()
    ours = ours_of(library)
    found, grads = [], []
    for model in (library, ours):
        model.set_active_adapters(Parallel("s0", "s1", "s2"))
        train(model, "word_embeddings")
        if model is ours:
            monkeypatch.setattr(BottleneckLayer, "compose_parallel", None)
        states = model.roberta(rows())[0]
        model.zero_grad()
        (states * torch.arange(states.numel()).view_as(states)).sum().backward()
        found.append(states.detach())
        grads.append(model.roberta.embeddings.word_embeddings.weight.grad)
    assert found[0].shape[0] == 3 * len(rows())
    assert difference(found[1], found[0]) < 1e-12
    assert difference(grads[1], grads[0]) < 1e-12
    assert difference(found[0][:4], found[0][4:8]) > 1e-3


NESTINGS = {
    "parallel": Parallel("s0", Average("s1", "s2")),
    "batch-split": BatchSplit("s0", Average("s1", "s2"), batch_sizes=[2, 2]),
    "above-parallel": Stack(
        Parallel("s0", "s1"), BatchSplit("s0", "s1", "s2", batch_sizes=[4, 2, 2])
    ),
}


@pytest.mark.parametrize("case", NESTINGS)
def test_compositions_beside_others_are_the_librarys(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library joins the states of all of them, up-projections too, if the first has one."""
    library = library_model([{}, {}, {"leave_out": [0]}]).eval()
    mean = BottleneckLayer.mean

    def true_mean(self: Any, states: list[Any], weights: torch.Tensor) -> BottleneckState:
        state: BottleneckState = mean(self, states, weights)
        return state._replace(hidden_states=state.hidden_states * len(weights))

    monkeypatch.setattr(BottleneckLayer, "mean", true_mean)
    found = []
    for model in (library, ours_of(library)):
        model.set_active_adapters(NESTINGS[case])
        found.append(model.roberta(rows())[0])
    assert difference(found[1], found[0]) < 1e-12


def test_rows_that_do_not_divide_are_refused_as_by_the_library(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ours = ours_of(library_model([{}] * 3).eval())
    ours.set_active_adapters(Stack(Parallel("s0", "s1"), Parallel("s0", "s1", "s2")))
    with (
        caplog.at_level(logging.WARNING, "harness"),
        pytest.raises(ValueError, match="must be divisible"),
    ):
        ours.roberta(rows(2))
    assert said(caplog) == []


def test_parallel_of_what_is_trained_is_the_librarys(caplog: pytest.LogCaptureFixture) -> None:
    library = library_model([{}, {}]).eval()
    ours = ours_of(library)
    found = []
    for model in (library, ours):
        model.set_active_adapters(Parallel("s0", "s1"))
        train(model, ".s0.")
        with caplog.at_level(logging.WARNING, "harness"):
            found.append(model.roberta(rows())[0])
    assert torch.equal(*found)
    assert said(caplog)[0].endswith("adapter 's0' is itself trained")
