"""`xstilts plan`: what a suite would run, what is done, what it is estimated to cost."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import click

from harness.bench import GPUS, Bench, Speed, Store, find_gpu, look_at, speed_of
from harness.cli.common import fit_workers, make_bench, show_log
from harness.cli.options import data_options, machine_options, suite_options
from harness.cli.plan_text import as_json, device_lines, every_step, here_lines, notes, table
from harness.errors import InputError
from harness.model import Numerics


@click.command()
@click.argument("suite", default="default")
@suite_options
@data_options
@machine_options
@click.option(
    "--sizes",
    "from_sizes",
    is_flag=True,
    help="Count the rows that the catalog declares: needs neither data nor weights.",
)
@click.option(
    "--gpu",
    metavar="NAME",
    help=f"Estimate device-hours on a GPU: {', '.join(gpu.name for gpu in GPUS)}.",
)
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of the GPU's peak that is reached. [default: assumed, and listed]",
)
@click.option("--json", "print_json", is_flag=True, help="Print the plan as JSON.")
@click.option("--steps", "show_steps", is_flag=True, help="List every step.")
def command(
    suite: str,
    from_sizes: bool,
    gpu: str | None,
    share: float | None,
    print_json: bool,
    show_steps: bool,
    **options: Any,
) -> None:
    """Show what SUITE would run: steps, what is done, estimated time, memory and disk.

    Changes nothing.
    """
    show_log()
    _check(from_sizes, gpu, share, options)
    bench, workers = make_bench(suite, options, from_sizes=from_sizes)
    settings = bench.settings
    speed = None if gpu is None else speed_of(find_gpu(gpu), settings.numerics, share)
    plan = bench.plan()
    done = _done(bench)
    if speed is not None:  # a GPU predicts in larger passes than a CPU
        settings = replace(settings, predict_tokens=settings.micro_tokens)
    outlook = look_at(plan, done, settings, speed)
    if options["workers"] is None and speed is None:
        workers = fit_workers(workers, bench, plan, outlook.missing)
    if print_json:
        click.echo(json.dumps(as_json(bench, outlook, workers), indent=2))
        return
    click.echo(table(outlook))
    if show_steps:
        click.echo(every_step(bench, outlook))
    if speed is None:
        lines = here_lines(bench, outlook, workers)
    else:
        # A share of one's own, or a measured speed, is one of this arithmetic and of no other.
        known = share is not None or outlook.measured_there
        faster = None if known else _in_bf16(speed, settings.numerics)
        lines = device_lines(bench, outlook, faster)
    for line in (*lines, *notes(bench)):
        click.echo(line)


def _in_bf16(speed: Speed, numerics: Numerics) -> Speed | None:
    """The same GPU in bf16, where it has that and is planned in something slower."""
    if speed.arithmetic == "bf16" or speed.gpu.bf16 is None:
        return None
    return speed_of(speed.gpu, replace(numerics, dtype="bf16"), None)


def _check(from_sizes: bool, gpu: str | None, share: float | None, options: dict[str, Any]) -> None:
    if share is not None and gpu is None:
        raise InputError("--share: it is a share of a GPU's peak; name one with --gpu")
    for option, given in (("--data", options["data_folder"]), ("--hub", options["hub"])):
        if from_sizes and given:
            raise InputError(
                f"--sizes: counts what the catalog declares, so {option} would not be read; "
                "give one of the two"
            )


def _done(bench: Bench) -> frozenset[tuple[str, str]]:
    """The finished steps; none of a plan from sizes, which has not looked at what they are of."""
    if bench.from_sizes or not bench.settings.store.is_dir():
        return frozenset()
    return frozenset(bench.plan().done(Store(bench.settings.store)))
