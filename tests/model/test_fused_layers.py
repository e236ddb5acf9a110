"""Our AdapterFusion gives the library's outputs and gradients."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters.composition import Fuse, Stack

from harness.model import folded, library_reason, use_fused_layers
from harness.model import fusion_algebra as algebra
from tests.model.fused import (
    LAYERS,
    add_again,
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
EXACT = {torch.float64: 1e-12, torch.float32: 1e-5}
CASES: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "one": ([{}], {}),
    "two": ([{}, {}], {}),
    "three": ([{}] * 3, {}),
    "nine": ([{}] * 9, {}),
    "fifteen": ([{}] * 15, {}),
    "no-dropout": ([{}] * 3, {"dropout_prob": 1e-12}),
    "much-dropout": ([{}] * 5, {"dropout_prob": 0.5}),
    "value-after-softmax": ([{}] * 3, {"value_before_softmax": False}),
    "query-before-ln": ([{}] * 3, {"query_before_ln": True}),
    "no-value": ([{}] * 3, {"value": False}),
    "no-query": ([{}] * 3, {"query": False}),
    "no-key": ([{}] * 3, {"key": False}),
    "scaled": ([{"scaling": 0.25}, {"scaling": 4.0}, {}], {}),
    "widths": ([{"reduction_factor": 2}, {"reduction_factor": 16}, {}], {}),
    "gelu": ([{"non_linearity": "gelu"}] * 3, {}),
    # not 0 where its input is 0, which the padding of narrower adapters must not show
    "sigmoid-widths": ([{"non_linearity": "sigmoid", "reduction_factor": 2},
                        {"non_linearity": "sigmoid", "reduction_factor": 8}], {}),
    "upper-layers": ([{"leave_out": [0]}] * 3, {}),
    "lower-layers": ([{"leave_out": [2]}] * 3, {}),
    "some-leave-out": ([{"leave_out": [1]}, {}, {}], {}),
}  # fmt: skip


@pytest.fixture(params=["folded", "pushed-back"])
def order(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both orders of the products, whatever would pay."""
    for rule in ("scores_pay", "output_pays"):
        monkeypatch.setattr(algebra, rule, lambda *_, **__: request.param == "folded")


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's own fusion must not be what is compared with itself."""

    def fail(*_: Any) -> None:
        raise AssertionError("the library fused")

    monkeypatch.setattr("adapters.methods.modeling.BertFusion.forward", fail)


@pytest.mark.usefixtures("order")
@pytest.mark.parametrize("dtype", EXACT, ids=str)
@pytest.mark.parametrize("kind", ["dynamic", "static"])
@pytest.mark.parametrize("case", CASES)
def test_outputs_and_gradients_are_the_librarys(
    case: str, kind: str, dtype: torch.dtype, request: pytest.FixtureRequest
) -> None:
    adapters, fusion = CASES[case]
    library = library_model(adapters, fusion, dtype=dtype, kind=kind)
    ours, ids = ours_of(library), rows()
    assert list(ours.state_dict()) == list(library.state_dict())
    expected = {}
    for mode in (True, False):
        library.train(mode)
        expected[mode] = logits(library, ids).detach(), gradients(library, ids)
    library.eval()
    request.getfixturevalue("refused")
    for mode in (True, False):
        ours.train(mode)
        assert difference(logits(ours, ids), expected[mode][0]) < EXACT[dtype]
        found = gradients(ours, ids)
        assert gradient_difference(found, expected[mode][1]) < EXACT[dtype]
    with torch.inference_mode():
        assert difference(logits(ours, ids), expected[False][0]) < EXACT[dtype]
        with folded(ours):
            for _ in range(2):
                assert difference(logits(ours, ids), expected[False][0]) < EXACT[dtype]


@pytest.mark.parametrize("shape", [(1, 2), (4, 24)])
@pytest.mark.parametrize("case", ["three", "query-before-ln", "no-value", "no-query", "no-key"])
def test_models_in_half_precision(case: str, shape: tuple[int, int]) -> None:
    """Without autocast, whatever the size of a pass; the library is 0.03 away from float32."""
    exact = library_model(*CASES[case], dtype=torch.float32).eval()
    library, ids = copy.deepcopy(exact).bfloat16(), rows(*shape)
    ours = ours_of(library)
    expected = exact.roberta(ids)[0]
    found = [library.roberta(ids)[0], ours.roberta(ids)[0]]
    with torch.no_grad(), folded(ours):
        found.append(ours.roberta(ids)[0])
    assert [one.dtype for one in found] == [torch.bfloat16] * 3
    assert max(difference(one, expected) for one in found) < 0.06
    assert all(one.dtype == torch.bfloat16 for one in gradients(ours.train(), ids).values())


@pytest.mark.parametrize("tokens", [1, 2000])
def test_what_pays_goes_by_the_tokens_of_a_pass(
    tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    monkeypatch.setattr(algebra, "fold_scores", lambda *given: made.append(1) or fold(*given))
    ours = ours_of(library_model([{}] * 3))
    logits(ours, rows(max(1, tokens // 20), min(20, tokens)))
    assert len(made) == (LAYERS if tokens > 1 else 0)


fold = algebra.fold_scores


def test_training_follows_the_librarys_losses() -> None:
    library = library_model([{}] * 4, dtype=torch.float32)
    losses = []
    for model in (library, ours_of(library)):
        model.train()
        trained = [one for one in model.parameters() if one.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-3, fused=True)
        labels = torch.arange(8) % 3
        torch.manual_seed(7)
        found = []
        for step in range(50):
            output = model(rows(8, 16, seed=step % 5), head="t").logits
            loss = torch.nn.functional.cross_entropy(output, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        losses.append(torch.tensor(found))
    assert losses[0].min() < losses[0][0] - 0.2  # it does learn
    assert (losses[1] - losses[0]).abs().max() < 1e-4


def test_nothing_as_wide_as_all_outputs_is_kept_for_the_backward_pass() -> None:
    """The library keeps tensors [B, L, N, d]; ours none that is wider than a bottleneck's."""
    library = library_model([{}] * 9)
    sizes: dict[str, int] = {}
    ids = rows(6, 24)
    for name, model in (("library", library), ("ours", ours_of(library))):
        kept = []

        def pack(tensor: torch.Tensor, into: list[int] = kept) -> torch.Tensor:
            into.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            logits(model.train(), ids)
        sizes[name] = max(kept)
    assert sizes["library"] == 9 * 32 * ids.numel()
    assert sizes["ours"] <= max(9 * 8 + 9, 4 * 24) * ids.numel()  # 4 heads attend to 24


REASONS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "temperature": ({}, {"temperature": True}, "its temperature falls from call to call"),
    "residual": ({}, {"residual_before": True}, "the residual is added before the attention"),
    "ln-before": ({"ln_before": True}, {}, "has a layer norm of its own"),
    "ln-after": ({"ln_after": True}, {}, "has a layer norm of its own"),
    "gate": ({"use_gating": True}, {}, "has a gate"),
    "dropout": ({"dropout": 0.2}, {}, "has dropout"),
    "scaling": ({"scaling": "learned"}, {}, "learns its scaling"),
    "phm": ({"phm_layer": True, "phm_dim": 2, "shared_phm_rule": False, "factorized_phm_W": False},
            {}, "has no linear projections"),
}  # fmt: skip


@pytest.mark.parametrize("case", REASONS)
def test_what_is_not_covered_runs_in_the_library_and_says_why(
    case: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings, fusion, why = REASONS[case]
    library = library_model([{}, settings], fusion)
    ours = ours_of(library)
    with caplog.at_level(logging.WARNING, "harness"):
        for mode in (True, False):
            expected = logits(library.train(mode), rows())
            assert torch.equal(logits(ours.train(mode), rows()), expected)
    (line,) = said(caplog)
    assert line.startswith("Fuse[s0, s1] is computed by the adapters library: ")
    assert line.endswith(why)


def test_trained_sources_run_in_the_library(caplog: pytest.LogCaptureFixture) -> None:
    library = library_model([{}, {}])
    train(library, "adapter_fusion", ".s1.")
    ours = ours_of(library)
    with caplog.at_level(logging.WARNING, "harness"):
        found, expected = gradients(ours.train(), rows()), gradients(library.train(), rows())
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert said(caplog)[0].endswith("adapter 's1' is itself trained")


def test_different_activations_run_in_the_library(caplog: pytest.LogCaptureFixture) -> None:
    library = library_model([{}, {"non_linearity": "gelu"}]).eval()
    with caplog.at_level(logging.WARNING, "harness"):
        assert torch.equal(logits(ours_of(library), rows()), logits(library, rows()))
    assert said(caplog)[0].endswith("its adapters have different activations")


@pytest.mark.parametrize("case", REASONS)
def test_the_reason_is_known_without_a_pass(case: str) -> None:
    settings, fusion, why = REASONS[case]
    ours = ours_of(library_model([{}, settings], fusion).eval())
    train(ours, "nothing")
    assert library_reason(ours).endswith(why)
    fine = ours_of(library_model([{"mh_adapter": True, "output_adapter": False}] * 2).eval())
    assert library_reason(fine) == ""
    fine.set_active_adapters("t")
    assert library_reason(fine) == ""


def test_files_are_the_librarys(tmp_path: Path) -> None:
    library = library_model([{}] * 3).eval()
    ours = ours_of(library)
    ours.save_adapter_fusion(str(tmp_path), "s0,s1,s2", use_safetensors=True)
    expected = logits(library, rows())
    other = library_model([{}] * 3).eval()
    add_again(other)
    with torch.no_grad():
        assert difference(logits(other, rows()), expected) > 1e-4
        other.load_adapter_fusion(str(tmp_path), use_safetensors=True)
        other.set_active_adapters(Stack(Fuse("s0", "s1", "s2"), "t"))
        assert torch.equal(logits(other.double().eval(), rows()), expected)


def test_use_fused_layers_twice_changes_nothing() -> None:
    ours = ours_of(library_model([{}] * 3).eval())
    expected = logits(ours, rows())
    use_fused_layers(ours)
    assert torch.equal(logits(ours, rows()), expected)
