"""Folded weights are never those of another model."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable

import pytest
import torch
from adapters import SeqBnConfig, XLMRobertaAdapterModel
from adapters.composition import Fuse, Stack

from harness.model import attentions_to, folded
from tests.model.fused import (
    LAYERS,
    WIDTH,
    add_again,
    difference,
    gradient_difference,
    gradients,
    library_model,
    logits,
    ours_of,
    rows,
    train,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def step(model: XLMRobertaAdapterModel) -> None:
    """One step of the optimizer that does not tell tensors that they changed."""
    model.train()
    trained = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.1, fused=True)
    versions = [one._version for one in trained]
    logits(model, rows()).sum().backward()
    optimizer.step()
    assert [one._version for one in trained] == versions
    model.eval()


def replace_source(model: XLMRobertaAdapterModel) -> None:
    model.delete_adapter("s1")
    torch.manual_seed(98)
    model.add_adapter("s1", config=SeqBnConfig(reduction_factor=4))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".s1." in name:
                parameter.normal_(0, 0.2)
    model.double().eval()
    model.set_active_adapters(Stack(Fuse("s0", "s1", "s2"), "t"))


def load_weights(model: XLMRobertaAdapterModel) -> None:
    other = library_model([{}] * 3, seed=42)
    model.load_state_dict(other.state_dict())


def assign_weights(model: XLMRobertaAdapterModel) -> None:
    """Other tensors, of version 0 as those of any copy."""
    other = copy.deepcopy(library_model([{}] * 3, seed=42))
    model.load_state_dict(other.state_dict(), assign=True)
    assert {one._version for one in model.parameters()} == {0}


def load_data(model: XLMRobertaAdapterModel) -> None:
    """As some loaders do: it changes no version, and inside the scope it is not noticed."""
    for name, parameter in model.named_parameters():
        if "adapter_fusion" in name:
            parameter.data.mul_(2.0)


def step_of_the_encoder(model: XLMRobertaAdapterModel) -> None:
    """Trained without the head, by a pass that goes around it."""
    model.train()
    torch.manual_seed(1)
    trained = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.1, fused=True)
    states = model.roberta(rows())[0]
    (states * torch.arange(states.numel()).view_as(states)).sum().backward()
    optimizer.step()
    model.eval()


def retrain_source(model: XLMRobertaAdapterModel) -> None:
    train(model, ".s1.")
    model.set_active_adapters("s1")
    step(model)
    train(model, "adapter_fusion", ".t.")
    model.set_active_adapters(Stack(Fuse("s0", "s1", "s2"), "t"))


def switch(model: XLMRobertaAdapterModel) -> None:
    model.set_active_adapters("s1")
    with torch.inference_mode(), folded(model):
        logits(model, rows())
    model.set_active_adapters(Stack(Fuse("s0", "s1", "s2"), "t"))


CHANGES = [
    step,
    step_of_the_encoder,
    add_again,
    replace_source,
    load_weights,
    assign_weights,
    load_data,
    retrain_source,
    switch,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: str(change.__name__))
def test_folded_weights_are_those_of_now(change: Callable[[XLMRobertaAdapterModel], None]) -> None:
    library = library_model([{}] * 3).eval()
    ours = ours_of(library)
    for time in range(2):
        with torch.inference_mode(), folded(ours):
            before = logits(ours, rows())
        for model in (library, ours):
            change(model)
        expected = logits(library, rows())
        if time == 0 and change is not switch:
            assert difference(before, expected) > 1e-4  # the change shows
        with torch.inference_mode():
            assert difference(logits(ours, rows()), expected) < 1e-12
            with folded(ours):
                assert difference(logits(ours, rows()), expected) < 1e-12


@pytest.mark.parametrize(
    "change",
    [one for one in CHANGES if one not in (load_data, switch)],
    ids=lambda one: one.__name__,
)
def test_even_inside_the_scope(change: Callable[[XLMRobertaAdapterModel], None]) -> None:
    library = library_model([{}] * 3).eval()
    ours = ours_of(library)
    with folded(ours):
        with torch.no_grad():
            logits(ours, rows())
        for model in (library, ours):
            change(model)
        with torch.no_grad():
            assert difference(logits(ours, rows()), logits(library, rows())) < 1e-12


def test_weights_without_versions_are_folded_for_each_pass() -> None:
    """Those of a model that was made in inference mode."""
    with torch.inference_mode():
        library = library_model([{}] * 3).eval()
        ours = ours_of(library)
        assert all(one.is_inference() for one in ours.parameters())
        with folded(ours):
            before = logits(ours, rows())
            for model in (library, ours):
                for name, parameter in model.named_parameters():
                    if "adapter_fusion" in name:
                        parameter.mul_(2.0)
            expected = logits(library, rows())
            assert difference(before, expected) > 1e-4
            assert difference(logits(ours, rows()), expected) < 1e-12


@pytest.mark.parametrize("fusion", [{}, {"query_before_ln": True}], ids=["one input", "two"])
def test_nothing_is_kept_beside_what_evaluation_reads(fusion: dict[str, bool]) -> None:
    """3 N r + 2 N rows of d and their biases, as wide as autocast's type; no second copy."""
    ours = ours_of(library_model([{}] * 3, fusion, dtype=torch.float32).eval())
    rows_kept = 3 * 3 * 8 + 2 * 3 + 1  # b_k's may stay
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16), folded(ours):
        before = bytes_of_tensors()
        logits(ours, rows())
        kept = bytes_of_tensors() - before
    assert 0 < kept <= LAYERS * rows_kept * (WIDTH + 1) * 2


def bytes_of_tensors() -> int:
    """Of all that are alive, without parameters."""
    gc.collect()
    storages = [one.untyped_storage() for one in gc.get_objects() if type(one) is torch.Tensor]
    return sum({one.data_ptr(): one.nbytes() for one in storages}.values())


def test_folds_of_one_arithmetic_are_not_used_in_another() -> None:
    library = library_model([{}] * 3, dtype=torch.float32).eval()
    ours = ours_of(library)
    with torch.no_grad(), folded(ours):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = logits(ours, rows())
        whole = logits(ours, rows())
    assert difference(whole, logits(library, rows())) < 1e-5
    assert 1e-5 < difference(half, whole) < 0.1


def test_weights_folded_in_inference_mode_do_not_reach_training() -> None:
    library = library_model([{}] * 3)
    ours = ours_of(library)
    with folded(ours):
        with torch.inference_mode():
            logits(ours, rows())
        found = gradients(ours.train(), rows())
    assert gradient_difference(found, gradients(library.train(), rows())) < 1e-12


def test_copies_keep_nothing_of_a_scope_around_the_original() -> None:
    library = library_model([{}] * 3).eval()
    ours = ours_of(library)
    layer = weakref.ref(ours.roberta.encoder.layer[0].output)
    with folded(ours), attentions_to(ours, lambda *_: None):
        with torch.no_grad():
            logits(ours, rows())
        twin = copy.deepcopy(ours)
        logits(twin, rows())  # with gradients, which ends its own folds only
        fused = {model: model.roberta.encoder.layer[0].output.fused for model in (ours, twin)}
        assert fused[ours].folds
        assert (fused[twin].folds, fused[twin].on_attention) == (None, None)
    for model in (library, twin):
        step(model)
    with torch.no_grad():
        assert difference(logits(twin, rows()), logits(library, rows())) < 1e-12
    del ours, fused
    gc.collect()
    assert layer() is None  # nothing in the copy leads to the original


def test_copies_fuse_with_their_own_weights() -> None:
    ours = ours_of(library_model([{}] * 3).eval())
    twin = copy.deepcopy(ours)
    with torch.no_grad():
        before = logits(twin, rows())
        for name, parameter in ours.named_parameters():
            if "adapter_fusion" in name:
                parameter.zero_()
        assert torch.equal(logits(twin, rows()), before)
        assert difference(logits(ours, rows()), before) > 1e-4
