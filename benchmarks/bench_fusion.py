"""Fuse(N): one layer's fusion and a whole model, beside `adapters` and full fine-tuning.

    python benchmarks/bench_fusion.py [--quick] [--layers 3] [--batch 24] [--length 128]
        [--device cpu|cuda] [--dtype fp32|bf16] [--rounds 3] [--threads 2] [--json FILE]

On a GPU, one command, no network: --device cuda --dtype bf16 --layers 24 --batch 256 --length 128

Random weights in XLM-R Large's shape (d 1024, 16 heads, bottleneck 64) with fewer layers, random
ids; the vocabulary is small, but for full fine-tuning with its embeddings (250,002 x 1,024). A
training step is forward, backward, clipping and AdamW, in the same code for all; "adapters" is
the same model before `speed_up`. All take turns in one process. Peak memory is that of a
step on the whole batch in a fresh process, above weights and optimizer state (on a GPU: the
allocator's). The lowest layer has no gradient below its fusion, so few layers flatter nobody but
the library.
"""

from __future__ import annotations

import argparse
import gc
import json
from contextlib import ExitStack
from typing import Any

from common import (
    Goal,
    Runs,
    child,
    median,
    mib,
    parser,
    ratio,
    report,
    time_goal,
    times_table,
)
from tabulate import tabulate

_COUNTS, _MAIN = (1, 3, 9, 15), 9
_BLOCK = {"forward": "forward", "train": "forward + backward", "folded": "folded inference"}


def main() -> None:
    """Measure, print the tables, write JSON if asked."""
    made = parser(__doc__, rounds=3, quick="two layers, 4 x 128 tokens, N = 9, one round")
    made.add_argument("--layers", type=int, default=3)
    made.add_argument("--batch", type=int, default=24)
    made.add_argument("--length", type=int, default=128)
    made.add_argument("--block-batch", type=int, default=8, help="rows for one layer's fusion")
    made.add_argument("--device", default="cpu")
    made.add_argument("--dtype", default="fp32", choices=["fp32", "bf16"])
    arguments = made.parse_args()
    if arguments.child:
        print(json.dumps(_peak_of(json.loads(arguments.child))))
        return
    counts: tuple[int, ...] = _COUNTS
    if arguments.quick:
        arguments.layers, arguments.batch, arguments.rounds, counts = 2, 4, 1, (_MAIN,)
    import torch  # noqa: PLC0415  (children import it under their own number of threads)

    from harness.errors import InputError  # noqa: PLC0415  (as torch)
    from harness.model import resolve_numerics  # noqa: PLC0415  (as torch)

    try:
        resolve_numerics(arguments.device, arguments.dtype, arguments.threads)
    except InputError as error:
        raise SystemExit(f"bench_fusion: {error}") from error
    torch.set_num_threads(arguments.threads)
    blocks = {count: _measure_block(arguments, count) for count in counts}
    models = {count: _measure_model(arguments, count) for count in counts}
    peaks = {count: _measure_peaks(arguments, count) for count in counts}
    share = _share(arguments, models[_MAIN])
    title = (
        f"Fuse(N) at d = 1024, bottleneck 64, {arguments.layers} layers, {arguments.device} "
        f"{arguments.dtype}; step of {arguments.batch} x {arguments.length} tokens, one layer's "
        f"fusion on {arguments.block_batch} x {arguments.length}"
    )
    report(
        title,
        [
            "One layer's fusion (seconds; ratios are adapters / xstilts)\n"
            + _pairs(blocks, _BLOCK),
            "Whole model\n"
            + _pairs(models, {"train": "training step", "evaluate": "evaluation forward"}),
            f"Training step, N = {_MAIN}\n" + times_table(_part(models[_MAIN], "train"), "xstilts"),
            f"Evaluation forward, N = {_MAIN}\n"
            + times_table(_part(models[_MAIN], "evaluate"), "bare backbone"),
            "Peak memory of a training step above weights and optimizer state, MiB\n"
            + _peaks_table(peaks),
            f"model FLOP/s of a training step, N = {_MAIN}: {share:.0%} of the measured matrix "
            f"rate of {arguments.device} in {arguments.dtype}",
        ],
        _goals(arguments, blocks[_MAIN], models[_MAIN], peaks[_MAIN], share),
        {"blocks": blocks, "models": models, "peak_bytes": peaks, "matrix_rate_share": share},
        arguments.threads,
        arguments.json,
    )


def _case(arguments: argparse.Namespace, variant: str, count: int) -> dict[str, Any]:
    return {
        "variant": variant, "sources": count, "layers": arguments.layers,
        "batch": arguments.batch, "length": arguments.length,
        "device": arguments.device, "dtype": arguments.dtype,
    }  # fmt: skip


def _measure_block(arguments: argparse.Namespace, count: int) -> Runs:
    """Rounds of `xstilts forward`, `adapters forward`, ... of one layer's fusion."""
    from fusion_cases import Block, Case, folded, timed  # noqa: PLC0415  (as torch)

    runs: Runs = {}
    blocks = {}
    for variant in ("xstilts", "adapters"):
        case = _case(arguments, variant, count)
        case |= {"layers": 1, "batch": arguments.block_batch}
        blocks[variant] = Block(Case(**case), Case(**case).build().model)
    for round_ in range(-1, arguments.rounds * 3):  # short, so more rounds; the first warms up
        for what in _BLOCK:
            for variant, block in blocks.items():
                if what == "train":
                    found = timed(block.train, arguments.device)
                elif what == "forward":
                    found = timed(block.evaluate, arguments.device)
                else:
                    with folded(block.model):
                        block.evaluate()  # folds
                        found = timed(block.evaluate, arguments.device)
                if round_ >= 0:
                    runs.setdefault(f"{variant} {what}", []).append(found)
    return runs


def _measure_model(arguments: argparse.Namespace, count: int) -> Runs:
    """Rounds of `xstilts train`, `bare backbone evaluate`, ...; what does not fit is left out."""
    from fusion_cases import (  # noqa: PLC0415  (as torch)
        VARIANTS,
        Case,
        TrainingStep,
        evaluation,
        timed,
        torch,
    )

    runs: Runs = {}

    def measure(name: str, call: Any, round_: int) -> None:
        found = timed(call, arguments.device)
        if round_ >= 0:  # the first warms up
            runs.setdefault(name, []).append(found)

    steps = {}
    for variant in VARIANTS if count == _MAIN else VARIANTS[:2]:
        case = Case(**_case(arguments, variant, count))
        steps[variant] = TrainingStep(case, case.build())
    sides = [(variant, steps[variant]) for variant in VARIANTS[:2]]
    for round_ in range(-1, arguments.rounds):
        for variant, step in list(steps.items()):
            try:
                measure(f"{variant} train", step, round_)
            except torch.OutOfMemoryError as error:
                print(f"N = {count}, {variant}: a step does not fit: {error}")
                del steps[variant]
            step.optimizer.zero_grad()
        with ExitStack() as stack:
            calls = {
                variant: stack.enter_context(evaluation(step.case, step.assembly))
                for variant, step in sides
            }
            for variant, call in calls.items():
                call()  # folds
                measure(f"{variant} evaluate", call, round_)
        ours = steps["xstilts"]
        with evaluation(ours.case, ours.assembly, bare=True) as call:
            measure("bare backbone evaluate", call, round_)
    return runs


def _measure_peaks(arguments: argparse.Namespace, count: int) -> dict[str, int | None]:
    """Bytes of each variant; None where it does not fit."""
    from fusion_cases import VARIANTS, Case, peak_bytes, torch  # noqa: PLC0415  (as torch)

    peaks: dict[str, int | None] = {}
    for variant in VARIANTS if count == _MAIN else VARIANTS[:2]:
        case = _case(arguments, variant, count)
        if arguments.device == "cpu":
            peaks[variant] = child(__file__, case, arguments.threads)["peak_bytes"]
            continue
        gc.collect()
        try:
            peaks[variant] = peak_bytes(Case(**case))
        except torch.OutOfMemoryError:
            peaks[variant] = None
    return peaks


def _peak_of(case: dict[str, Any]) -> dict[str, int]:
    from fusion_cases import Case, peak_bytes  # noqa: PLC0415  (as torch)

    return {"peak_bytes": peak_bytes(Case(**case))}


def _share(arguments: argparse.Namespace, runs: Runs) -> float:
    """Operations a second of our training step as a share of a large matrix product's."""
    from fusion_cases import matrix_rate, training_flops  # noqa: PLC0415  (as torch)
    from models import Shape  # noqa: PLC0415  (as torch)

    rate = matrix_rate(arguments.device, arguments.dtype)
    shape = Shape(arguments.layers)
    flops = training_flops(shape, _MAIN, arguments.batch, arguments.length)
    return flops / median(runs, "xstilts train") / rate


def _pairs(runs: dict[int, Runs], kinds: dict[str, str]) -> str:
    """xstilts beside adapters, for each N and kind."""
    rows = []
    for count, found in runs.items():
        for kind, name in kinds.items():
            ours, library = f"xstilts {kind}", f"adapters {kind}"
            fits = library in found
            rows.append(
                [count, name, median(found, ours), median(found, library) if fits else None,
                 ratio(found, library, ours), ratio(found, library, ours, "cpu_seconds")]
            )  # fmt: skip
    headers = ["N", "", "xstilts s", "adapters s", "ratio", "by CPU s"]
    return tabulate(rows, headers, floatfmt=("", "", ".4f", ".4f", ".2f", ".2f"), missingval="-")


def _part(runs: Runs, kind: str) -> Runs:
    return {n.removesuffix(f" {kind}"): runs[n] for n in runs if n.endswith(f" {kind}")}


def _peaks_table(peaks: dict[int, dict[str, int | None]]) -> str:
    names = list(peaks[_MAIN])
    rows = [
        [count, *(None if one.get(name) is None else mib(one[name] or 0) for name in names)]
        for count, one in peaks.items()
    ]
    return tabulate(rows, ["N", *names], floatfmt=".0f", missingval="-")


def _goals(
    arguments: argparse.Namespace,
    block: Runs,
    model: Runs,
    peaks: dict[str, int | None],
    share: float,
) -> list[Goal]:
    ours, library = "xstilts train", "adapters train"
    both = peaks["xstilts"] and peaks["adapters"]
    memory = (peaks["xstilts"] or 0) / (peaks["adapters"] or 1) if both else None
    goals = [
        time_goal(f"Fuse({_MAIN}) alone, forward + backward, adapters / xstilts",
                  block, library, ours, 5, "at least"),
        time_goal("the same, folded inference", block, "adapters folded", "xstilts folded",
                  12, "at least"),
        time_goal("training step, adapters / xstilts", model, library, ours, 2.5, "at least"),
        time_goal("training step, xstilts / full fine-tuning without its embeddings",
                  model, ours, "full ft train", 0.85, "at most"),
        time_goal("training step, xstilts / full fine-tuning with its embeddings",
                  model, ours, "full ft + embeddings train", 0.7, "at most"),
        time_goal("evaluation, xstilts / bare backbone",
                  model, "xstilts evaluate", "bare backbone evaluate", 1.2, "at most"),
        Goal("peak memory of a training step, xstilts / adapters", memory, 0.3, "at most"),
    ]  # fmt: skip
    if arguments.device != "cpu":
        goals.append(Goal("model FLOP/s of the matrix rate", 100 * share, 40, "at least", " %"))
    return goals


if __name__ == "__main__":
    main()
