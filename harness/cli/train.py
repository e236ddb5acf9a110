"""`xstilts train`: one source adapter, written in the `adapters` library's format."""

from __future__ import annotations

import json
import secrets
import shutil
from pathlib import Path
from typing import Any

import click

from harness.bench import (
    Bench,
    LocalExecutor,
    Store,
    check_prefix,
    inspect_backbone,
    plan_source,
)
from harness.catalog import Source
from harness.cli.common import LARGEST_SEED, make_bench, show_log
from harness.cli.options import backbone_option, data_options, machine_options, prefix_option
from harness.cli.progress import TerminalProgress
from harness.errors import InputError, WorkError

_TRAINING = "training.json"


@click.command()
@click.argument("source")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for adapter and head; must not exist yet.",
)
@click.option(
    "--suite",
    default="default",
    show_default=True,
    help="The suite whose scored rows are kept out of training, and whose backbone is used.",
)
@click.option("--setting", default=None, help="Hyper-parameters. [default: the suite's first]")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0, LARGEST_SEED))
@click.option(
    "--store",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of trained artifacts. [default: results/SUITE/store]",
)
@backbone_option
@data_options
@machine_options
@prefix_option
def command(
    source: str, out: Path, suite: str, setting: str | None, seed: int, **options: Any
) -> None:
    """Train the adapter of SOURCE (e.g. nli.A0) on the frozen backbone, with its head.

    A source that is an adapter from elsewhere is checked and copied as it is, without a head.

    The `adapters` library loads the result with `model.load_adapter("OUT/adapters/NAME",
    use_safetensors=True)`, where NAME is SOURCE with _ for dots; `xstilts evaluate OUT` scores it.
    """
    show_log()
    if out.exists():
        raise InputError(f"--out: {out} exists; choose a new folder")
    # Its steps follow each other: a second worker would only wait.
    workers = 0 if options["workers"] == 0 else 1
    options |= {"out": None, "only": (), "seeds": None, "workers": workers}
    bench, _ = make_bench(suite, options)
    spec = bench.catalog.source(source)
    bench = bench.with_backbone(bench.backbones[0])
    setting = setting or bench.suite.settings[0]
    _check(bench, spec, setting)
    check_prefix(bench.settings, bench.backbones)
    backbone = inspect_backbone(bench.backbones[0])
    plan = plan_source(spec, backbone, bench.data, bench.settings, setting, seed)
    store = Store(bench.settings.store)
    done = plan.done(store)
    missing = sum(step.cost for step_id, step in plan.steps.items() if step_id not in done)
    progress = TerminalProgress(plan, len(done), missing)
    try:
        store.create()
        LocalExecutor(bench.settings, bench.data, workers, progress).run(plan)
        step = next(s for s in plan.steps.values() if s.kind == "source")
        artifact = store.get(step.kind, step.key)
        if artifact is None:
            raise WorkError(f"store: {step.label} is damaged; run the same command again")
        best = _best_score(artifact)
        _copy(artifact, out)
    except OSError as error:
        raise WorkError(f"{error.filename or out}: {error.strerror or error}") from error
    finally:
        progress.close()
    if spec.adapter is not None:
        click.echo(f"{source}: adapter from elsewhere in {out}, as it was; nothing was trained")
        return
    shown = "" if best is None else f" (dev score {best:.1f})"
    click.echo(f"{source}: adapter and head in {out}{shown}")


def _best_score(artifact: Path) -> float | None:
    """The dev score that selected the weights, if any did."""
    file = artifact / _TRAINING
    if not file.is_file():  # of an adapter from elsewhere
        return None
    score: float | None = json.loads(file.read_bytes())["best_score"]
    return score


def _check(bench: Bench, source: Source, setting: str) -> None:
    """InputError for what would train without complaint, and be wrong."""
    catalog, suite = bench.catalog, bench.suite
    if source.world == suite.needs_data:
        fitting = [name for name, one in catalog.suites.items() if one.needs_data != source.world]
        raise InputError(
            f"--suite: '{suite.name}' scores other data than source '{source.name}' comes from, so "
            f"its scored rows cannot be kept out; allowed: {', '.join(sorted(fitting))}"
        )
    known = {*suite.settings, *source.settings}
    known |= {name for target in catalog.targets.values() for name in target.settings}
    if setting not in known:
        raise InputError(f"--setting: '{setting}' is unknown; known: {', '.join(sorted(known))}")


def _copy(artifact: Path, out: Path) -> None:
    """The trained model as `out`, which appears whole or not at all."""
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}.tmp")
    try:
        shutil.copytree(artifact / "trained", temporary)
        if (artifact / _TRAINING).is_file():
            shutil.copy(artifact / _TRAINING, temporary / _TRAINING)
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
