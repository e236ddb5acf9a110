"""`xstilts train`: one source adapter, written in the `adapters` library's format."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import click

from harness.bench import LocalExecutor, SourceWork, Store, plan_source
from harness.cli.common import (
    data_options,
    machine_options,
    make_bench,
    show_library_warnings,
)
from harness.cli.progress import TerminalProgress
from harness.errors import InputError, WorkError


@click.command()
@click.argument("source")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False),
              help="Folder for adapter and head; must not exist yet.")
@click.option("--suite", default="default", show_default=True,
              help="The suite whose scored rows are kept out of training, and whose backbone is used.")
@click.option("--setting", default=None, help="Hyper-parameters. [default: the suite's first]")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0))
@click.option("--store", type=click.Path(path_type=Path, file_okay=False),
              help="Folder of trained artifacts. [default: results/SUITE/store]")
@click.option("--backbone", help="Catalog name, local folder, or hub id@revision.")
@data_options
@machine_options
def command(
    source: str, out: Path, suite: str, setting: str | None, seed: int, **options: Any
) -> None:
    """Train the adapter of SOURCE (e.g. nli.A0) on the frozen backbone.

    Load the result with `model.load_adapter(OUT/adapters/NAME, use_safetensors=True)`.
    """
    show_library_warnings()
    if out.exists():
        raise InputError(f"--out: {out} exists; choose a new folder")
    options |= {"out": None, "only": (), "seeds": None}
    bench, workers = make_bench(suite, options)
    spec = bench.catalog.source(source)
    backbone = bench.selection.backbone or bench.catalog.backbone(bench.suite.backbones[0])
    plan = plan_source(
        spec, backbone, bench.data, bench.settings, setting or bench.suite.settings[0], seed
    )
    store = Store(bench.settings.store)
    done = plan.done(store)
    missing = sum(step.cost for step_id, step in plan.steps.items() if step_id not in done)
    progress = TerminalProgress(plan, len(done), missing)
    try:
        store.create()
        LocalExecutor(bench.settings, bench.data, workers, progress).run(plan)
        step = next(s for s in plan.steps.values() if isinstance(s.work, SourceWork))
        artifact = store.get(step.kind, step.key)
        if artifact is None:
            raise WorkError(f"store: {step.label} is damaged; run the same command again")
        shutil.copytree(artifact / "trained", out)
        shutil.copy(artifact / "training.json", out / "training.json")
    except OSError as error:
        raise WorkError(f"{error.filename or out}: {error.strerror or error}") from error
    finally:
        progress.close()
    click.echo(f"{source}: adapter and head in {out}")
