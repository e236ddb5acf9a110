"""Operations and device-hours: against paper, against torch's own counter, against data sheets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import XLMRobertaAdapterModel
from torch.utils.flop_counter import FlopCounterMode

from harness.bench import (
    GPUS,
    Gpu,
    Outlook,
    Speed,
    compute,
    find_gpu,
    look_at,
    speed_of,
)
from harness.bench.flops import Parts
from harness.bench.steps import SourceWork
from harness.catalog import Shape
from harness.errors import InputError
from harness.model import (
    Assembly,
    Numerics,
    Prefix,
    add_adapter,
    add_fusion,
    folded,
    prefix_of,
    remove_pooler,
    set_prefix,
    use_fused_layers,
)
from tests.declared import bench_of, pretraining_of, write_sizes, write_two_backbones
from tests.nano import NANO

# tests/declared.py on paper: d 8, feed-forward 16, 2 layers, bottleneck 2; rows of 20 tokens.
# A token in a layer: linears 2 (4 8^2 + 2 8 16) = 1024, attention 4 20 8 = 640, adapter 4 8 2 = 64.
# Backward of a trained adapter on a frozen backbone: upper layer 1024 + 2 640 + 2 64, lowest 96.
FORWARD, BACKWARD = 2 * (1024 + 640 + 64), 1024 + 1280 + 128 + 96
# A folded fusion of two (N r = 4): 4 rows down, 4 + 2 for scores, 4 + 2 for the output, of 2 8
# each. In training scores have one more, and a pass of 10 rows of 20 tokens folds: K B (2 64 6),
# its product with Q (2 64 7), V B (2 64 6). Backward: twice the scores and the output, once down;
# K B and V B once, the product with Q twice; in the lowest layer no gradient goes below weights.
FUSED = 2 * (1024 + 640 + 64 + 16 * (4 + 6 + 6))
FUSED_TRAINED = 2 * (1024 + 640 + 64 + 16 * (4 + 7 + 6) + 128 * (6 + 7 + 6) / 200)
FUSED_FOLDS = 128 * (6 + 2 * 7 + 6) / 200
FUSED_BACK = (1024 + 1280 + 128 + 16 * (4 + 2 * 7 + 2 * 6) + FUSED_FOLDS) + (
    128 + 16 * (7 + 2 * 6) + FUSED_FOLDS
)
PAPER = {
    # 3 epochs of 100 rows, 3 evaluations of 10
    "source pairs.en": (6600, 6000 * (FORWARD + BACKWARD) + 600 * FORWARD),
    # 2 epochs of 50 rows, one evaluation of 4
    "direct -> thin-nli": (2080, 2000 * (FORWARD + BACKWARD) + 80 * FORWARD),
    "stack[pairs-one] -> thin-nli": (2080, 2000 * (3584 + 2592) + 80 * 3584),
    "full-ft -> thin-nli": (2080, 2000 * 3 * 3328 + 80 * 3328),
    "fuse[thin-two] -> thin-nli": (
        2080,
        pytest.approx(2000 * (FUSED_TRAINED + FUSED_BACK) + 80 * FUSED, rel=1e-12),
    ),
    "score direct on thin-nli": (240, 240 * FORWARD),
    "score full-ft on thin-nli": (240, 240 * 3328),
    # 6 pairs of sentences of 12 tokens (attention 4 12 8 = 384), through the first layer only
    "score direct on thin-ret": (144, 144 * (1024 + 384)),
}


def test_numbers_of_a_plan_are_those_on_paper(tmp_path: Path) -> None:
    bench = bench_of(write_sizes(tmp_path))
    plan = bench.plan()
    found = {
        step.label.removesuffix(" (seed 1)"): compute(plan, step, bench.settings)
        for step in plan.steps.values()
    }
    for label, (tokens, flops) in PAPER.items():
        assert (found[label].tokens, found[label].flops) == (tokens, flops), label
    assert FORWARD == 3456
    assert BACKWARD == 2528


def test_recomputing_is_another_pass_and_folding_goes_by_passes(tmp_path: Path) -> None:
    bench = bench_of(write_sizes(tmp_path))
    plan = bench.plan()
    (pairs,) = [s for s in plan.steps.values() if s.label == "source pairs.en (seed 1)"]
    again = compute(plan, pairs, replace(bench.settings, recompute=True))
    assert again.flops == PAPER["source pairs.en"][1] + 6000 * FORWARD
    assert isinstance(pairs.work, SourceWork)
    # With adapters in the upper layer alone: the lower one has no gradients.
    upper = replace(pairs.work, backbone=replace(pairs.work.backbone, first_adapter_layer=1))
    once, again = (
        compute(plan, replace(pairs, work=upper), replace(bench.settings, recompute=wanted)).flops
        for wanted in (False, True)
    )
    assert again - once == 6000 * (1024 + 640 + 64)
    (fuse,) = [s for s in plan.steps.values() if s.label.startswith("fuse[thin-two] -> thin-nli")]
    halves = compute(plan, fuse, replace(bench.settings, micro_tokens=100))
    folds = 2 * 128 * (6 + 7 + 6) / 200 + 2 * FUSED_FOLDS  # of a pass of 200 tokens, by token
    assert halves.flops - compute(plan, fuse, bench.settings).flops == pytest.approx(2000 * folds)


def test_pretraining_counts_its_head_and_a_pass_more_to_recompute(tmp_path: Path) -> None:
    bench = bench_of(write_sizes(tmp_path))
    shape = replace(bench.plan().shapes["thin"], positions=20)
    plan = replace(bench.plan(), shapes={"made": shape})
    step = pretraining_of(shape, steps=3, batch_tokens=100, mask_rate=0.5)
    # No adapters: 3328 a token and twice that backward; three times half the words through a layer
    # of 8 and the vocabulary of 100.
    head = 3 * 0.5 * 2 * 8 * (8 + 100)
    once = compute(plan, step, bench.settings)
    assert (once.tokens, once.flops) == (300, 300 * (3 * 3328 + head))
    again = compute(plan, step, replace(bench.settings, recompute=True))
    assert again.flops == 300 * (4 * 3328 + head)


def test_a_mixture_counts_each_task_with_its_own_length(tmp_path: Path) -> None:
    bench = bench_of(write_sizes(tmp_path))
    plan = bench.plan()
    (step,) = [s for s in plan.steps.values() if s.label.startswith("fuse[thin-two] -> thin-ret")]
    # 2 epochs of 100 pairs of 44 tokens and 30 questions cut at 50; 2 evaluations of 10 pairs
    assert compute(plan, step, bench.settings).tokens == 2 * (100 * 44 + 30 * 50) + 2 * 10 * 44


@pytest.mark.parametrize(
    ("training", "tokens"),
    [
        ("batch_size: 10, min_steps: 45", 5 * 2200),  # 10 steps an epoch
        ("batch_tokens: 500, min_steps: 13", 4 * 2200),  # 2000 tokens, 4 steps an epoch
        ("batch_tokens: 500", 3 * 2200),
        ("batch_size: 10, evaluations: 7", 3 * 2000 + 7 * 200),
    ],
)
def test_epochs_repeat_up_to_the_least_number_of_steps(
    tmp_path: Path, training: str, tokens: int
) -> None:
    changed = {"sources/pairs.en.yaml": ("batch_size: 10", training)}
    bench = bench_of(write_sizes(tmp_path, changed))
    plan = bench.plan()
    (step,) = [s for s in plan.steps.values() if s.label == "source pairs.en (seed 1)"]
    assert compute(plan, step, bench.settings).tokens == tokens


def test_choices_are_rows_of_their_own(tmp_path: Path) -> None:
    changed = {
        "sources/pairs.en.yaml": (
            "format: pair_classification\nlabels: [a, b]",
            "format: multiple_choice",
        )
    }
    bench = bench_of(write_sizes(tmp_path, changed))
    plan = bench.plan()
    (step,) = [s for s in plan.steps.values() if s.label == "source pairs.en (seed 1)"]
    assert compute(plan, step, bench.settings).tokens == 4 * 6600


# --- against torch ---


@pytest.fixture(scope="module", params=[0, 1, 2])
def model(request: pytest.FixtureRequest) -> Any:
    """Nano with attention that the counter sees, four adapters and a fusion of three of them.

    They stand in all layers, or above the lowest ones.
    """
    found = XLMRobertaAdapterModel.from_pretrained(str(NANO), attn_implementation="eager")
    remove_pooler(found)
    use_fused_layers(found)
    set_prefix(found, Prefix(request.param))
    for name in ("a", "b", "c", "t"):
        add_adapter(found, name, 4)
    add_fusion(found, ["a", "b", "c"])
    return found


FUSION = ["fuse", "a", "b", "c"]


@pytest.mark.parametrize(
    ("active", "groups", "parts"),
    [
        (None, {}, Parts(32)),
        ("t", {"adapter": ["t"]}, Parts(32, trained=1)),
        (["stack", "a", "t"], {"adapter": ["t"]}, Parts(32, 1, trained=1)),
        (
            ["stack", FUSION, "t"],
            {"adapter": ["t"], "fusion": ["a,b,c"]},
            Parts(32, 3, fused=True, trained=1),
        ),
        (FUSION, {"fusion": ["a,b,c"]}, Parts(32, 3, fused=True)),
        (None, {"backbone": ["t"]}, Parts(32, full=True)),
    ],
    ids=["bare", "direct", "stack", "fuse", "fuse-only", "full-ft"],
)
@pytest.mark.parametrize("rows", [1, 3, 40])  # one row is too short for folding to pay
def test_operations_are_those_that_torch_counts(
    model: Any, active: Any, groups: dict[str, list[str]], parts: Parts, rows: int
) -> None:
    config = model.config
    parts = replace(parts, below=0 if parts.full else prefix_of(model).layers)
    shape = Shape(
        config.vocab_size, config.hidden_size, config.intermediate_size, config.num_hidden_layers,
        config.num_attention_heads, 64, dropout=False,
    )  # fmt: skip
    assembly = Assembly(model)
    assembly.activate(active)
    assembly.train_groups(groups)
    model.train()
    length = 16
    batch = rows * length
    tokens = torch.arange(5, 5 + batch).reshape(rows, length)
    mask = torch.ones_like(tokens)
    with FlopCounterMode(display=False) as forward:
        states = model.roberta(tokens, attention_mask=mask).last_hidden_state
    assert forward.get_total_flops() == pytest.approx(
        batch * parts.forward(shape, length, batch=batch), rel=1e-12
    )
    if groups:
        with FlopCounterMode(display=False) as backward:
            states.sum().backward()
        assert backward.get_total_flops() == pytest.approx(
            batch * parts.backward(shape, length, batch), rel=1e-12
        )
    model.eval()
    with torch.inference_mode(), folded(model):
        model.roberta(tokens, attention_mask=mask)
        with FlopCounterMode(display=False) as again:
            model.roberta(tokens, attention_mask=mask)
    assert again.get_total_flops() == batch * parts.forward(shape, length)
    if groups:
        model.train()
        with assembly.recomputing(True), FlopCounterMode(display=False) as recomputed:
            states = model.roberta(tokens, attention_mask=mask).last_hidden_state
            states.sum().backward()
        once = forward.get_total_flops() + backward.get_total_flops()
        assert recomputed.get_total_flops() - once == pytest.approx(
            batch * parts.again(shape, length, batch), rel=1e-12
        )


# --- hours ---


def test_hours_are_operations_over_the_share_of_the_peak(tmp_path: Path) -> None:
    bench = bench_of(write_sizes(tmp_path))
    plan = bench.plan()
    slow = Speed(Gpu("x", 1, None, None, 1e-6, "none"), "fp32", 1e-6, 0.5, assumed=False)
    outlook = look_at(plan, frozenset(), bench.settings, slow)
    (source,) = [group for group in outlook.groups() if group.kind == "source"]
    assert [(g.kind, g.recipe, len(g.steps)) for g in outlook.groups()] == [
        ("source", "", 2),
        ("fit", "direct", 1),
        ("fit", "full-ft", 1),
        ("fit", "stack", 1),
        ("fit", "fuse", 2),
        ("predict", "direct", 2),
        ("predict", "full-ft", 1),
        ("predict", "stack", 1),
        ("predict", "fuse", 2),
    ]
    # asked.sw: 3 epochs of 30 rows and of 5 on dev, of 20 tokens: the operations are alike
    flops = PAPER["source pairs.en"][1] + 1800 * (FORWARD + BACKWARD) + 300 * FORWARD
    assert source.device_hours() == pytest.approx(flops / 500_000 / 3600)
    assert source.device_hours(replace(slow, peak=2e-6)) == pytest.approx(flops / 1e6 / 3600)
    assert outlook.formats() == ["bitext_retrieval", "pair_classification", "span_qa"]


@pytest.mark.parametrize(
    ("reported", "names"),
    [
        ("NVIDIA H200", ["H200"]),
        ("NVIDIA H100 80GB HBM3", ["H100"]),
        ("NVIDIA A100-SXM4-80GB", ["A100-80GB"]),
        ("NVIDIA A100 80GB PCIe", ["A100-80GB"]),
        ("NVIDIA A100-SXM4-40GB", ["A100-40GB"]),
        ("NVIDIA L40S", ["L40S"]),
        ("NVIDIA GeForce RTX 4090", ["RTX-4090"]),
        ("NVIDIA L4", ["L4"]),
        ("Tesla V100-SXM2-32GB", ["V100"]),
        ("Tesla V100-SXM3-32GB", []),
        ("Tesla T4", ["T4"]),
        # Parts of a GPU, and other cards of that name
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", []),
        ("NVIDIA A100-SXM4-40GB MIG 3g.20gb", []),
        ("NVIDIA L40S-12Q", []),
        ("GRID T4-8C", []),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", []),
        ("NVIDIA GeForce RTX 4090 D", []),
        ("NVIDIA H100 PCIe", []),
        ("NVIDIA H100 NVL", []),
        ("NVIDIA H200 NVL", []),
        ("NVIDIA GH200 480GB", []),
        ("NVIDIA A100-PCIE-40GB", ["A100-40GB"]),
        ("NVIDIA A100-SXM-64GB", []),
        ("Tesla V100-SXM2-16GB", []),
        ("Tesla V100-PCIE-32GB", []),
        ("Tesla V100S-PCIE-32GB", []),
        ("NVIDIA RTX A6000", []),
        (None, []),
    ],
)
def test_a_gpu_is_known_by_what_it_calls_itself(reported: str | None, names: list[str]) -> None:
    assert [gpu.name for gpu in GPUS if gpu.calls_itself(reported)] == names


def test_a_speed_measured_on_such_a_gpu_wins(tmp_path: Path) -> None:
    longer = {"sources/asked.sw.yaml": ("max_length: 20", "max_length: 50")}
    bench = bench_of(write_sizes(tmp_path / "catalog", longer))
    plan = bench.plan()
    pairs, _ = (step for step in plan.steps.values() if step.kind == "source")
    folder = tmp_path / "source" / pairs.key
    folder.mkdir(parents=True)
    settings = replace(bench.settings, store=tmp_path)
    speed = speed_of(find_gpu("T4"), Numerics(), None)

    def after(gpu: str | None) -> Outlook:
        costs = {"wall_seconds": 1000.0, "gpu": gpu}
        (folder / "costs.json").write_text(json.dumps(costs))
        return look_at(plan, frozenset({pairs.id}), settings, speed)

    outlook = after("Tesla T4")
    assert outlook.measured == outlook.measured_there == {"source"}
    assert len(outlook.missing) == len(plan.steps) - 1
    sources, *others = outlook.groups()
    # 3 epochs of 30 rows and of 5 on dev, of 50 tokens, whose attention is 4 50 8 = 1600: time goes
    # by operations, of which a token of a longer row takes more.
    forward, backward = 2 * (1024 + 1600 + 64), 1024 + 3200 + 128 + 96
    flops = 4500 * (forward + backward) + 750 * forward
    seconds = 1000 * flops / PAPER["source pairs.en"][1]
    assert sources.device_hours() == pytest.approx(seconds / 3600)
    # What it did in one arithmetic says nothing about another.
    assert sources.device_hours(speed) == pytest.approx(speed.seconds(flops) / 3600)
    for other in (None, "NVIDIA L4"):
        outlook = after(other)
        assert (outlook.measured, outlook.measured_there) == ({"source"}, set())
        assert outlook.groups()[0].device_hours() == pytest.approx(speed.seconds(flops) / 3600)
    # 8.1 TFLOP/s, 0.6 of it
    assert others[0].device_hours() == pytest.approx(
        PAPER["direct -> thin-nli"][1] / 4.86e12 / 3600
    )


def test_a_measured_speed_goes_by_the_size_of_the_encoder(tmp_path: Path) -> None:
    """Four layers of 16, 32 wide inside, beside two of 8, 16 wide: 2 * 2 * 2 times as much."""
    bench = bench_of(write_two_backbones(tmp_path / "catalog"))
    plan = bench.plan()
    pairs = {
        step.work.backbone.name: step for step in plan.steps.values()
        if step.label.startswith("source pairs.en")
    }  # fmt: skip
    settings = replace(bench.settings, store=tmp_path)

    def seconds(done: dict[str, float], of: str) -> float:
        for name, wall in done.items():
            artifact = tmp_path / "source" / pairs[name].key
            artifact.mkdir(parents=True, exist_ok=True)
            (artifact / "costs.json").write_text(json.dumps({"wall_seconds": wall}))
        ids = frozenset(pairs[name].id for name in done)
        return look_at(plan, ids, settings, None).seconds[pairs[of].id]

    assert seconds({"thin": 100.0}, "wide") == pytest.approx(800)
    assert seconds({"wide": 100.0}, "thin") == pytest.approx(12.5)
    assert seconds({"thin": 100.0, "wide": 1700.0}, "thin") == pytest.approx(200)


@pytest.mark.parametrize("gpu", [None, "Tesla T4"])
def test_speeds_go_by_whether_steps_recomputed(tmp_path: Path, gpu: str | None) -> None:
    bench = bench_of(write_sizes(tmp_path / "catalog"))
    plan = bench.plan()
    pairs, _ = (step for step in plan.steps.values() if step.kind == "source")
    folder = tmp_path / "source" / pairs.key
    folder.mkdir(parents=True)
    speed = None if gpu is None else speed_of(find_gpu("T4"), Numerics(), None)

    def seconds(did: bool, wanted: bool) -> float:
        """Of the very step, which took 1000, if it were done again."""
        costs = {"wall_seconds": 1000.0, "gpu": gpu, "recompute": did}
        (folder / "costs.json").write_text(json.dumps(costs))
        settings = replace(bench.settings, store=tmp_path, recompute=wanted)
        outlook = look_at(plan, frozenset({pairs.id}), settings, speed)
        return outlook.seconds[pairs.id] if speed is None else outlook.device_seconds(pairs.id)

    once = PAPER["source pairs.en"][1]
    more = (once + 6000 * FORWARD) / once
    assert seconds(False, False) == pytest.approx(1000)
    assert seconds(True, True) == pytest.approx(1000)
    assert seconds(False, True) == pytest.approx(1000 * more)
    assert seconds(True, False) == pytest.approx(1000 / more)


@pytest.mark.parametrize(
    ("mixture", "tokens"),
    [
        ("", 2 * (100 * 44 + 30 * 50)),  # as the operations above
        ("mixture: {sampling: proportional, cap: 50}\n", 2 * (50 * 44 + 30 * 50)),
    ],
)
def test_a_cost_is_the_tokens_of_each_task(tmp_path: Path, mixture: str, tokens: int) -> None:
    changed = {"source_sets/thin-two.yaml": ("asked.sw]\n", f"asked.sw]\n{mixture}")}
    bench = bench_of(write_sizes(tmp_path, changed))
    plan = bench.plan()
    costs = {step.label.removesuffix(" (seed 1)"): step.cost for step in plan.steps.values()}
    assert costs["fuse[thin-two] -> thin-ret"] == pytest.approx(tokens * 1.6)  # two adapters below
    assert costs["source pairs.en"] == 3 * 100 * 20
    assert costs["source asked.sw"] == 3 * 30 * 20
    assert costs["score direct on thin-ret"] == pytest.approx(6 * 2 * 12 / 3)


def test_an_unmeasured_speed_goes_by_the_size_of_the_encoder(tmp_path: Path) -> None:
    """XLM-R Large has 24 layers of 1024 where nano has 3 of 128, half as wide inside: 768 times."""
    bench = bench_of(write_sizes(tmp_path), "xtreme")
    plan = bench.plan()
    nano = replace(plan, shapes={"xlmr-large": Shape(918, 128, 256, 3, 4, 96, dropout=False)})
    large, small = (
        look_at(one, frozenset(), bench.settings, None).whole().seconds for one in (plan, nano)
    )
    assert large == pytest.approx(768 * small)


DENSE = [
    # What the data sheets print with sparsity, halved; what they print without it.
    ("H100", "bf16", 1979 / 2),
    ("H100", "tf32", 989 / 2),
    ("H200", "bf16", 1979 / 2),
    ("A100-80GB", "bf16", 624 / 2),
    ("A100-40GB", "tf32", 312 / 2),
    ("L40S", "bf16", 733 / 2),
    ("RTX-4090", "bf16", 330.3 / 2),
    ("L4", "bf16", 242 / 2),
    ("V100", "fp32", 15.7),
    ("T4", "fp32", 8.1),
]


@pytest.mark.parametrize(("name", "arithmetic", "peak"), DENSE)
def test_peaks_are_those_of_the_data_sheets(name: str, arithmetic: str, peak: float) -> None:
    numerics = Numerics(dtype="bf16" if arithmetic == "bf16" else "fp32", tf32=arithmetic == "tf32")
    speed = speed_of(find_gpu(name.lower()), numerics, None)
    assert (speed.gpu.name, speed.arithmetic, speed.assumed) == (name, arithmetic, True)
    assert speed.peak == pytest.approx(peak, rel=0.02)


def test_a_share_of_ones_own_is_not_assumed() -> None:
    speed = speed_of(find_gpu("H100"), Numerics(dtype="bf16"), 0.4)
    assert (speed.share, speed.assumed) == (0.4, False)
    assert speed.seconds(989.4e12 * 0.4 * 7) == pytest.approx(7)


def test_every_gpu_is_slower_the_finer_it_computes() -> None:
    def falls(numbers: Sequence[float | None]) -> bool:
        known = [number for number in numbers if number is not None]
        return known == sorted(known, reverse=True)

    assert all(falls((gpu.bf16, gpu.tf32, gpu.fp32)) or gpu.name == "RTX-4090" for gpu in GPUS)
    assert len({gpu.name for gpu in GPUS}) == len(GPUS)


def test_what_cannot_be_planned_is_refused() -> None:
    with pytest.raises(InputError, match=r"--gpu: 'H1000' is unknown; known: H200, H100, .*T4"):
        find_gpu("H1000")
    with pytest.raises(InputError, match=r"--dtype: T4 has no bf16; .*--dtype fp32, .*L4"):
        speed_of(find_gpu("T4"), Numerics(dtype="bf16"), None)
    assert speed_of(find_gpu("V100"), Numerics(tf32=True), None).arithmetic == "fp32"
