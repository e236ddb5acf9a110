"""`xstilts bench`: run a suite, show progress, print the table, write records."""

from __future__ import annotations

from typing import Any

import click

from harness.cli.docker import (
    bench_in_docker,
    docker_options,
    stop_with_client,
    wants_docker,
)
from harness.cli.options import data_options, machine_options, prefix_option, suite_options


@click.command()
@click.argument("suite", default="default")
@suite_options
@data_options
@machine_options
@prefix_option
@docker_options
@click.option("--json", "as_json", is_flag=True, help="Print the tables as JSON.")
@click.option("--languages", is_flag=True, help="Also the scores in all languages, per target.")
@click.option("--quiet", is_flag=True, help="No progress, no notices: only warnings and errors.")
@click.pass_context
def command(
    ctx: click.Context, /, suite: str, as_json: bool, languages: bool, quiet: bool, **options: Any
) -> None:
    """Run SUITE (default: the built-in world, no data needed), print the table, write the records.

    Running it again continues where it stopped and repeats nothing that is done. Ctrl-C and SIGTERM
    stop it with a checkpoint (exit code 130 and 143); a second Ctrl-C stops it at once.
    """
    if wants_docker(options):
        ctx.exit(bench_in_docker(ctx, suite, options, quiet=quiet))
    stop_with_client()
    from harness.cli.bench_here import run_here  # noqa: PLC0415  (imports torch: seconds)

    run_here(suite, options, as_json=as_json, languages=languages, quiet=quiet)
