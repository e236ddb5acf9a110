"""Lean layers give torch's and the library's values, bit by bit, and keep less."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from adapters import PromptTuningConfig, XLMRobertaAdapterModel
from adapters.composition import Parallel

from harness.model.lean_layers import use_lean_layers
from tests.model.fused import gradients, library_model, logits, rows, train

pytestmark = pytest.mark.usefixtures("one_thread")


def lean_of(model: XLMRobertaAdapterModel) -> XLMRobertaAdapterModel:
    lean = copy.deepcopy(model)
    use_lean_layers(lean)
    return copy.deepcopy(lean)  # copies are lean, too


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("parts", [("adapter_fusion", ".t."), ("",)], ids=["adapters", "all"])
@pytest.mark.parametrize("mode", [True, False])
def test_values_and_gradients_are_the_librarys(
    parts: tuple[str, ...], mode: bool, padded: bool
) -> None:
    library = library_model([{}] * 3, dtype=torch.float32)
    train(library, *parts)
    ids = rows()
    if padded:
        ids[1, 9:] = library.config.pad_token_id
    mask = (ids != library.config.pad_token_id).long()
    found = []
    for model in (library.train(mode), lean_of(library).train(mode)):
        torch.manual_seed(3)
        output = model(ids, attention_mask=mask, head="t").logits
        following = torch.rand(3)  # as many random numbers were drawn
        output.square().sum().backward()
        found.append([output, following, *(p.grad for p in model.parameters() if p.requires_grad)])
    assert len(found[0]) > 10
    largest = max(float(one.detach().abs().max()) for one in found[0][2:] if one is not None)
    for mine, theirs in zip(found[1], found[0], strict=True):
        assert (mine is None) == (theirs is None)
        # Where all is trained, three gradients are added up in another order.
        assert mine is None or (mine - theirs).abs().max() < 1e-6 * largest
    assert all(torch.equal(*pair) for pair in zip(found[0][:2], found[1][:2], strict=True))


def test_less_is_kept() -> None:
    library, ids = library_model([{}] * 2, dtype=torch.float32).train(), rows(8, 32)
    kept = []
    for model in (library, lean_of(library)):
        sizes: dict[int, int] = {}

        def keep(tensor: torch.Tensor, into: dict[int, int] = sizes) -> torch.Tensor:
            into[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            whole = logits(model, ids)
        kept.append(sum(sizes.values()))
        del whole
    # In the two layers above the lowest trained weights: probabilities before and after dropout and
    # its mask, 4 heads of 32 x 32 floats a row each, and of two masks 3 bytes in 4.
    row = 2 * (2 * 4 * 32 * 32 * 4 + 2 * 3 * 32 * 32)
    assert kept[0] - kept[1] > 8 * row


@pytest.mark.parametrize(
    "backbone",
    [
        {"position_embedding_type": "relative_key"},
        {"position_embedding_type": "relative_key_query"},
        {"is_decoder": True, "use_cache": False},
    ],
    ids=["relative_key", "relative_key_query", "decoder"],
)
@pytest.mark.parametrize("mode", [True, False])
def test_other_attentions_are_the_librarys(backbone: dict[str, Any], mode: bool) -> None:
    library = library_model([{}] * 2, dtype=torch.float32, **backbone)
    train(library, "adapter_fusion", ".t.")
    found = []
    for model in (library.train(mode), lean_of(library).train(mode)):
        torch.manual_seed(3)
        found.append(logits(model, rows()))
    assert torch.equal(*found)


@pytest.mark.parametrize("mode", [True, False])
def test_prompt_tuning_is_the_librarys(mode: bool) -> None:
    """Its prompt makes rows longer, and the mask with them."""
    library = library_model([{}] * 2, dtype=torch.float32)
    library.add_adapter("p", config=PromptTuningConfig(prompt_length=3))
    library.set_active_adapters("p")
    train(library, "prompt_tuning")
    ids = rows()
    ids[1, 9:] = library.config.pad_token_id
    mask = (ids != library.config.pad_token_id).long()
    found = []
    for model in (library.train(mode), lean_of(library).train(mode)):
        torch.manual_seed(3)
        found.append(model.roberta(ids, attention_mask=mask)[0])
    assert torch.equal(*found)


def test_parallel_adapters_are_the_librarys() -> None:
    library = library_model([{}] * 2).train()
    library.set_active_adapters(Parallel("s0", "s1"))
    train(library, ".s0.", ".s1.")
    lean = lean_of(library)
    found = []
    for model in (library, lean):
        torch.manual_seed(5)
        found.append(model.roberta(rows())[0])
    assert torch.equal(*found)


def test_gradients_without_dropout_are_the_librarys() -> None:
    library = library_model([{}] * 2)
    for module in library.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    expected, found = gradients(library.train(), rows()), gradients(lean_of(library), rows())
    assert all(torch.equal(found[name], expected[name]) for name in expected)
