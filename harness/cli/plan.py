"""`xstilts plan`: what a suite would run, what is done, what it is estimated to cost."""

from __future__ import annotations

import json
from typing import Any

import click
from tabulate import tabulate

from harness.bench import Plan, Store, estimate
from harness.cli.common import (
    data_options,
    machine_options,
    make_bench,
    show_log,
    suite_options,
)
from harness.cli.progress import duration


@click.command()
@click.argument("suite", default="default")
@suite_options
@data_options
@machine_options
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@click.option("--steps", "show_steps", is_flag=True, help="List every step.")
def command(suite: str, as_json: bool, show_steps: bool, **options: Any) -> None:
    """Show what SUITE would run: steps, what is done already, estimated time. Changes nothing."""
    show_log()
    bench, workers = make_bench(suite, options)
    plan = bench.plan()
    store = Store(bench.settings.store)
    done = plan.done(store) if bench.settings.store.is_dir() else set()
    seconds, measured = estimate(plan, store, done)
    left = sum(seconds[step_id] for step_id in plan.steps if step_id not in done)
    if as_json:
        click.echo(json.dumps(_as_json(plan, done, seconds, measured, workers), indent=2))
        return
    click.echo(_by_kind(plan, done, seconds))
    if show_steps:
        click.echo(_every_step(plan, done, seconds))
    source = "measured on the steps that are done" if measured else "not measured on this machine"
    todo = len(plan.steps) - len(done)
    click.echo(
        f"{len(plan.cells)} results; {todo} of {len(plan.steps)} steps to do, about "
        f"{duration(left)} of one worker, {duration(left / max(1, workers))} with {workers} "
        f"(speed {source})"
    )


def _by_kind(plan: Plan, done: set[tuple[str, str]], seconds: dict[tuple[str, str], float]) -> str:
    rows = []
    for kind in dict.fromkeys(step.kind for step in plan.steps.values()):
        steps = [step for step in plan.steps.values() if step.kind == kind]
        finished = sum(step.id in done for step in steps)
        left = sum(seconds[step.id] for step in steps if step.id not in done)
        rows.append([kind, len(steps), finished, len(steps) - finished, duration(left)])
    return tabulate(rows, headers=["step", "all", "done", "to do", "estimated"]) + "\n"


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
            }
            for step in plan.steps.values()
        ],
    }
