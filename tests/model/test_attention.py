"""What fusions attend to: the library's numbers, and their means over tokens."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import torch
from adapters.composition import Fuse

from harness.model import (
    attentions_to,
    folded,
    lowest_fusion,
    mean_attentions,
    states_before,
)
from tests.model.fused import LAYERS, difference, library_model, logits, ours_of, rows

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("within", [True, False])
def test_attentions_are_the_librarys(within: bool) -> None:
    library = library_model([{}] * 3).eval()
    ours, ids = ours_of(library), rows()
    with torch.no_grad():
        output = library(ids, head="t", output_adapter_fusion_attentions=True)
        by_layer = output.adapter_fusion_attentions["s0,s1,s2"]
        found: dict[int, torch.Tensor] = {}
        with attentions_to(ours, lambda layer, p: found.update({layer: p})):
            if within:
                with folded(ours):
                    logits(ours, ids)
            else:
                logits(ours, ids)
        again = ours(ids, head="t", output_adapter_fusion_attentions=True)
    assert sorted(found) == list(range(LAYERS))
    for layer, p in found.items():
        expected = torch.tensor(by_layer[layer]["output_adapter"])
        assert difference(p, expected) < 1e-12
        own = again.adapter_fusion_attentions["s0,s1,s2"][layer]["output_adapter"]
        assert difference(torch.tensor(own), expected) < 1e-12
    found.clear()
    logits(ours, ids)
    assert not found


@pytest.mark.parametrize("places", [{}, {"mh_adapter": True}], ids=["one place", "two"])
def test_attentions_do_not_count_a_pass_that_failed(places: dict[str, Any]) -> None:
    """Of tokens that are no padding; of fusions in two places of a layer the mean."""
    library, ids = library_model([places] * 3, top=places).eval(), rows()
    ours = ours_of(library)
    mask = torch.ones_like(ids)
    mask[:, 20:] = 0
    layer = ours.roberta.encoder.layer[1]
    with torch.no_grad(), mean_attentions(ours) as means:

        def fail(*_: Any) -> None:
            raise torch.OutOfMemoryError

        hook = layer.register_forward_hook(fail)
        with suppress(torch.OutOfMemoryError):
            ours(ids, attention_mask=mask, head="t")
        hook.remove()
        assert (means.tokens, means.sums) == (0, {})
        ours(ids, attention_mask=mask, head="t")
    assert means.tokens == 20 * len(ids)
    by_layer = torch.tensor(means.by_layer())
    assert by_layer.shape == (LAYERS, 3)
    assert torch.allclose(by_layer.sum(1), torch.ones(LAYERS))
    told = library(ids, attention_mask=mask, head="t", output_adapter_fusion_attentions=True)
    for layer_index, found in enumerate(by_layer):
        by_place = told.adapter_fusion_attentions["s0,s1,s2"][layer_index].values()
        assert len(by_place) == len(places) + 1
        expected = sum(torch.tensor(p)[:, :20].mean((0, 1)) for p in by_place) / len(by_place)
        assert difference(found.double(), expected) < 1e-5


def test_a_pass_below_the_fusions_counts_no_tokens() -> None:
    """As one that makes states for a prefix cache anew."""
    ours, ids = ours_of(library_model([{"leave_out": [0, 1]}] * 2).eval()), rows()
    with torch.no_grad(), mean_attentions(ours) as means:
        mask = torch.ones_like(ids)
        states_before(ours, 2, ids, mask)
        assert (means.tokens, means.sums) == (0, {})
        ours(ids, attention_mask=mask, head="t")
    assert means.tokens == ids.numel()


@pytest.mark.parametrize(
    ("settings", "lowest"), [({}, 0), ({"leave_out": [0]}, 1), ({"leave_out": [0, 1]}, 2)]
)
def test_the_lowest_fusion_is_the_models(settings: dict[str, Any], lowest: int) -> None:
    ours = ours_of(library_model([settings] * 2))
    assert lowest_fusion(ours) == lowest
    ours.set_active_adapters(Fuse("s0", "s1"))
    assert lowest_fusion(ours) == lowest
    ours.set_active_adapters("t")
    assert lowest_fusion(ours) is None
