"""What commands that score one model share: finding its backbone, and checking the targets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import click

from harness.bench import (
    Bench,
    SavedModel,
    Store,
    check_fit,
    check_prefix,
    check_target,
    find_backbone,
    inspect_backbone,
    open_model,
)
from harness.catalog import Target
from harness.cli.common import make_bench
from harness.cli.options import Decorator, all_of
from harness.errors import InputError
from harness.model import BackboneFiles


class Prepared(NamedTuple):
    """A model (None: the bare backbone), its backbone and targets that fit both."""

    model: SavedModel | None
    targets: list[Target]
    backbone: BackboneFiles
    depth: int  # layers of the backbone
    bench: Bench


def model_options(suite_help: str) -> Decorator:
    """Whose definitions are used, which backbone is, and where it lies; for `prepare`."""
    return all_of(
        click.option("--suite", default="default", show_default=True, help=suite_help),
        click.option(
            "--backbone",
            help="Catalog name, local folder, or hub id@revision. [default: the model's own]",
        ),
        click.option(
            "--store",
            type=click.Path(path_type=Path, file_okay=False),
            help="Where a backbone that was pretrained here lies. "
            "[default: the store that FOLDER is in, else results/SUITE/store]",
        ),
    )


def prepare(
    folder: Path | None, targets: tuple[str, ...], suite: str, options: dict[str, Any]
) -> Prepared:
    """Open the model in a folder and find its backbone; InputError for a target that fits not."""
    model = None if folder is None else open_model(folder)
    named = options["backbone"]
    store = options["store"] or (model and model.store)
    options |= {"out": None, "only": (), "seeds": None, "store": store}
    options["workers"] = 0  # it runs in this process
    bench, _ = make_bench(suite, options)
    chosen = [bench.catalog.target(name) for name in dict.fromkeys(targets)]
    name = bench.suite.backbones[0]
    if model is not None:
        for target in chosen:
            check_target(model, target)
        name = model.backbone
        if named is None and name not in bench.catalog.backbones:
            raise InputError(
                f"{folder}: its backbone '{name}' is not in the catalog; name it with --backbone"
            )
    spec = bench.selection.backbone or bench.catalog.backbone(name)
    files = None if model is None else find_backbone(model, spec, Store(bench.settings.store))
    check_prefix(bench.settings, [spec])
    known = inspect_backbone(spec, files)
    bench = bench.with_backbone(spec)
    for target in chosen:
        check_fit(known, target, "", trained=False)
    if known.files is None:
        raise InputError(
            f"backbone '{spec.name}' is pretrained by its suite; name the folder where that put "
            "it, STORE/backbone/KEY, with --backbone"
        )
    return Prepared(model, chosen, known.files, known.shape.layers, bench)


def show_progress(done: int, total: int, _: float | None) -> None:
    """A counter on a terminal."""
    if sys.stderr.isatty():
        click.echo(f"\r{done}/{total} examples", err=True, nl=done >= total)
