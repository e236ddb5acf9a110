"""`xstilts plan`: what a suite would run, what is done, what it is estimated to cost."""

from __future__ import annotations

import json
from typing import Any

import click
from tabulate import tabulate

from harness.bench import Footprint, Plan, Store, estimate, footprint
from harness.cli.common import fit_workers, make_bench, show_log
from harness.cli.options import data_options, machine_options, suite_options
from harness.cli.progress import duration, size


@click.command()
@click.argument("suite", default="default")
@suite_options
@data_options
@machine_options
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@click.option("--steps", "show_steps", is_flag=True, help="List every step.")
def command(suite: str, as_json: bool, show_steps: bool, **options: Any) -> None:
    """Show what SUITE would run: steps, what is done, estimated time, memory and disk.

    Changes nothing.
    """
    show_log()
    bench, workers = make_bench(suite, options)
    plan = bench.plan()
    store = Store(bench.settings.store)
    done = plan.done(store) if bench.settings.store.is_dir() else set()
    seconds, measured = estimate(plan, store, done)
    missing = [step for step_id, step in plan.steps.items() if step_id not in done]
    left = sum(seconds[step.id] for step in missing)
    sizes = {step.id: footprint(plan, step, bench.settings) for step in plan.steps.values()}
    if options["workers"] is None:
        workers = fit_workers(workers, bench, plan, missing)
    if as_json:
        click.echo(json.dumps(_as_json(plan, done, seconds, measured, sizes, workers), indent=2))
        return
    click.echo(_by_kind(plan, done, seconds, sizes))
    if show_steps:
        click.echo(_every_step(plan, done, seconds))
    source = "measured on the steps that are done" if measured else "not measured on this machine"
    click.echo(
        f"{len(plan.cells)} results; {len(missing)} of {len(plan.steps)} steps to do, about "
        f"{duration(left)} of one worker, {duration(left / max(1, workers))} with {workers} "
        f"(speed {source})"
    )
    if missing:
        memory = max(sizes[step.id].memory for step in missing)
        checkpoints = workers * max(sizes[step.id].checkpoint for step in missing)
        disk = sum(sizes[step.id].disk for step in missing)
        click.echo(
            f"estimated: up to {size(memory)} of memory a worker; {size(disk)} of disk in "
            f"{bench.settings.store}, and up to {size(checkpoints)} for checkpoints while it runs"
        )


def _by_kind(
    plan: Plan,
    done: set[tuple[str, str]],
    seconds: dict[tuple[str, str], float],
    sizes: dict[tuple[str, str], Footprint],
) -> str:
    rows: list[list[object]] = []
    for kind in dict.fromkeys(step.kind for step in plan.steps.values()):
        steps = [step for step in plan.steps.values() if step.kind == kind]
        finished = sum(step.id in done for step in steps)
        left = [step.id for step in steps if step.id not in done]
        row: list[object] = [
            kind,
            len(steps),
            finished,
            len(left),
            duration(sum(seconds[i] for i in left)),
        ]
        row += [
            size(max(sizes[i].memory for i in left)) if left else "-",
            size(sum(sizes[i].disk for i in left)) if left else "-",
        ]
        rows.append(row)
    headers = ["step", "all", "done", "to do", "time", "memory", "disk"]
    return tabulate(rows, headers=headers) + "\n"


def _every_step(
    plan: Plan, done: set[tuple[str, str]], seconds: dict[tuple[str, str], float]
) -> str:
    rows = [
        [
            "done" if step.id in done else "to do",
            step.kind,
            step.label,
            duration(seconds[step.id]),
            step.key[:12],
        ]
        for step in plan.steps.values()
    ]
    return tabulate(rows, headers=["", "step", "what", "estimated", "key"]) + "\n"


def _as_json(
    plan: Plan,
    done: set[tuple[str, str]],
    seconds: dict[tuple[str, str], float],
    measured: bool,
    sizes: dict[tuple[str, str], Footprint],
    workers: int,
) -> dict[str, Any]:
    return {
        "results": len(plan.cells),
        "workers": workers,
        "speed_measured": measured,
        "steps": [
            {
                "kind": step.kind,
                "key": step.key,
                "label": step.label,
                "done": step.id in done,
                "estimated_seconds": seconds[step.id],
                "estimated_memory_bytes": sizes[step.id].memory,
                "estimated_disk_bytes": sizes[step.id].disk,
                "estimated_checkpoint_bytes": sizes[step.id].checkpoint,
            }
            for step in plan.steps.values()
        ],
    }
