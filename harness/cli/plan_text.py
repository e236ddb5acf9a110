"""How `xstilts plan` shows a plan: tables and lines for people, JSON for scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tabulate import tabulate

from harness.bench import MEAN_TOKENS, Bench, Group, Outlook, Speed
from harness.cli.progress import duration, size

_SPLITS = ("train", "dev", "test")
_FROM_SIZES = "from the sizes that the catalog declares: nothing was read, nothing counts as done"


def table(outlook: Outlook) -> str:
    """The steps by kind and recipe, and their sum."""
    groups = outlook.groups()
    with_gpu = outlook.speed is not None
    costs = ["tokens", "PFLOPs", "device-hours"] if with_gpu else ["time"]
    headers = ["step", "recipe", "all", "done", "to do", *costs, "memory", "disk"]
    rows = [_row(group, with_gpu) for group in groups]
    if len(groups) > 1:
        rows.append(_row(outlook.whole(), with_gpu))
    aligned = ["left", "left", *["right"] * (len(headers) - 2)]
    return tabulate(rows, headers=headers, colalign=aligned, disable_numparse=True) + "\n"


def _row(group: Group, with_gpu: bool) -> list[str]:
    left = len(group.left)
    counts = [str(len(group.steps)), str(len(group.steps) - left), str(left)]
    if with_gpu:
        compute = group.compute
        costs = [
            f"{compute.tokens / 1e6:,.1f} M",
            _short(compute.flops / 1e15),
            _short(group.device_hours()),
        ]
    else:
        costs = [duration(group.seconds)]
    sizes = [size(group.memory), size(group.disk)] if left else ["-", "-"]
    return [group.kind, group.recipe, *counts, *costs, *sizes]


def _short(number: float) -> str:
    """Three digits and no more."""
    if 0 < number < 0.01:
        return "< 0.01"
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def every_step(bench: Bench, outlook: Outlook) -> str:
    """A line for each step."""
    with_gpu = outlook.speed is not None
    rows = [
        [
            "done" if step.id in outlook.done else "to do",
            step.kind,
            step.label,
            _short(outlook.device_seconds(step.id) / 3600)
            if with_gpu
            else duration(outlook.seconds[step.id]),
            "" if bench.from_sizes else step.key[:12],
        ]
        for step in outlook.plan.steps.values()
    ]
    headers = ["", "step", "what", "device-hours" if with_gpu else "estimated", "key"]
    return tabulate(rows, headers=headers) + "\n"


def here_lines(bench: Bench, outlook: Outlook, workers: int) -> Iterator[str]:
    """What is left to do on this machine."""
    left = outlook.whole().seconds
    source = (
        "measured on the steps that are done"
        if outlook.measured
        else "not measured on this machine"
    )
    yield (
        f"{_what(outlook)}, about {duration(left)} of one worker, "
        f"{duration(left / max(1, workers))} with {workers} (speed {source})"
    )
    whole = outlook.whole()
    if whole.left:
        yield (
            f"estimated: up to {size(whole.memory)} of memory a worker; {size(whole.disk)} of disk "
            f"in {bench.settings.store}, and up to {size(workers * whole.checkpoint)} for "
            "checkpoints while it runs"
        )


def device_lines(bench: Bench, outlook: Outlook, faster: Speed | None) -> Iterator[str]:
    """What is left to do in hours of the GPU, whether it fits, and what the numbers rest on.

    `faster` is its speed in bf16, where that is another.
    """
    speed = outlook.speed
    assert speed is not None
    gpu, whole = speed.gpu, outlook.whole()
    yield (
        f"{_what(outlook)}, about {_short(whole.device_hours())} device-hours of one {gpu.name} in "
        f"{speed.arithmetic}: an estimate by the constants below; all epochs are counted, and "
        "early stopping shortens"
    )
    if faster is not None:
        yield (
            f"with --dtype {faster.arithmetic} about {_short(whole.device_hours(faster))}, at "
            f"{faster.share:g} of {faster.peak:g} TFLOP/s"
        )
    if outlook.measured_there:
        yield (
            f"measured, not computed: {', '.join(sorted(outlook.measured_there))} (by the steps "
            f"that such a GPU did in {bench.settings.store})"
        )
    if whole.left:
        room = gpu.memory_gb * 1e9
        verdict = "fits" if whole.memory <= room else "does NOT fit: lower --batch-tokens"
        yield (
            f"memory: up to {size(whole.memory)} of {size(room)}: {verdict} (factors fitted to "
            "fp32 on CPUs, unmeasured on GPUs)"
        )
        yield (
            f"disk: {size(whole.disk)} in {bench.settings.store}, and up to "
            f"{size(whole.checkpoint)} for a checkpoint while it runs"
        )
    yield ""
    yield tabulate(_constants(outlook), headers=["constant", "value", "from"])


def _constants(outlook: Outlook) -> Iterator[list[str]]:
    speed = outlook.speed
    assert speed is not None
    yield [
        f"peak of {speed.gpu.name} in {speed.arithmetic}, dense",
        f"{speed.peak:g} TFLOP/s",
        f"data sheet: {speed.gpu.sheet}",
    ]
    origin = "unmeasured: assumed" if speed.assumed else "--share"
    yield ["share of the peak that is reached", f"{speed.share:g}", origin]
    for name in outlook.formats():
        yield [
            f"tokens of a row of {name}",
            f"{MEAN_TOKENS[name]}",
            "unmeasured: characters of English files / 4",
        ]


def notes(bench: Bench) -> Iterator[str]:
    """What a plan from declared sizes rests on."""
    declared = bench.declared
    if declared is None:
        return
    yield ""
    yield f"rows: {_FROM_SIZES}"
    if declared.unverified:
        found = (
            f"{name} ({', '.join(sorted(keys, key=_SPLITS.index))})"
            for name, keys in declared.unverified.items()
        )
        yield f"sizes as published, not verified: {'; '.join(found)}"
    if declared.without_dev:
        names = ", ".join(declared.without_dev)
        yield f"no size of dev, so selecting on it is not counted: {names}"
    if declared.unopened:
        yield (
            "adapters from elsewhere, not opened, so nobody checked that their files are sound, "
            f"are of the backbone, and fuse: {', '.join(declared.unopened)}"
        )
    if declared.short:
        yield (
            "all rows are counted, and by mean lengths they have fewer tokens than the budget "
            f"asks for: {', '.join(declared.short)}"
        )


def _what(outlook: Outlook) -> str:
    steps = outlook.plan.steps
    return f"{len(outlook.plan.cells)} results; {len(outlook.missing)} of {len(steps)} steps to do"


def as_json(bench: Bench, outlook: Outlook, workers: int) -> dict[str, Any]:
    """The plan for scripts."""
    document: dict[str, Any] = {
        "results": len(outlook.plan.cells),
        "workers": workers,
        "speed_measured": bool(outlook.measured),
        "measured_kinds": sorted(outlook.measured),
    }
    if bench.declared is not None:
        document["declared_sizes"] = {
            "unverified": {name: list(keys) for name, keys in bench.declared.unverified.items()},
            "without_dev": list(bench.declared.without_dev),
            "unopened": list(bench.declared.unopened),
            "short_of_tokens": list(bench.declared.short),
        }
    speed = outlook.speed
    if speed is not None:
        whole = outlook.whole()
        document["gpu"] = {
            "name": speed.gpu.name,
            "arithmetic": speed.arithmetic,
            "peak_tflops": speed.peak,
            "peak_from": speed.gpu.sheet,
            "share": speed.share,
            "memory_bytes": int(speed.gpu.memory_gb * 1e9),
            "fits": whole.memory <= speed.gpu.memory_gb * 1e9,
            "device_hours": whole.device_hours(),
            "measured_kinds": sorted(outlook.measured_there),
            "tokens_of_a_row": {name: MEAN_TOKENS[name] for name in outlook.formats()},
            "unmeasured": [*(["share"] if speed.assumed else []), "tokens_of_a_row", "memory"],
        }
    document["groups"] = [_group(group) for group in outlook.groups()]
    document["steps"] = [
        {
            "kind": step.kind,
            "key": None if bench.from_sizes else step.key,
            "label": step.label,
            "done": step.id in outlook.done,
            "estimated_seconds": outlook.seconds[step.id],
            "estimated_memory_bytes": outlook.sizes[step.id].memory,
            "estimated_disk_bytes": outlook.sizes[step.id].disk,
            "estimated_checkpoint_bytes": outlook.sizes[step.id].checkpoint,
            **_device(outlook, step.id),
        }
        for step in outlook.plan.steps.values()
    ]
    return document


def _group(group: Group) -> dict[str, Any]:
    found: dict[str, Any] = {
        "kind": group.kind,
        "recipe": group.recipe or None,
        "steps": len(group.steps),
        "to_do": len(group.left),
        "estimated_seconds": group.seconds,
        "estimated_memory_bytes": group.memory,
        "estimated_disk_bytes": group.disk,
    }
    if group.outlook.speed is not None:
        compute = group.compute
        found |= {
            "tokens": compute.tokens,
            "flops": compute.flops,
            "device_hours": group.device_hours(),
        }
    return found


def _device(outlook: Outlook, step: tuple[str, str]) -> dict[str, float]:
    if outlook.speed is None:
        return {}
    compute = outlook.computes[step]
    return {
        "tokens": compute.tokens,
        "flops": compute.flops,
        "device_seconds": outlook.device_seconds(step),
    }
