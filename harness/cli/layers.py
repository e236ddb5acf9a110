"""`xstilts layers`: which layer and pooling retrieve best, all of them in one pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from harness.bench import Scorer, check_sweep, parse_layers, sweep_layers
from harness.cli.common import show_log
from harness.cli.model import model_options, prepare, show_progress
from harness.cli.options import data_options, load_catalog, machine_options
from harness.errors import InputError
from harness.formats import POOLINGS

_SCORED = (
    "these are the rows that are scored: choose no layer by this table, or its score is no longer "
    "zero-shot"
)


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--target", required=True, metavar="NAME", help="A target of retrieval.")
@click.option(
    "--layers",
    default="all",
    show_default=True,
    metavar="0,8-16",
    help="Layers to compare; 0 is the embeddings.",
)
@click.option(
    "--pooling", default=",".join(POOLINGS), show_default=True, help="Poolings to compare."
)
@click.option(
    "--on",
    type=click.Choice(["dev", "test"]),
    default="dev",
    show_default=True,
    help="Rows to compare on; a choice may rest on dev only.",
)
@model_options("Whose backbone is used.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with each language.")
@data_options
@machine_options
def command(
    folder: Path | None, target: str, layers: str, pooling: str, on: str, suite: str,
    as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """Compare layers and poolings of the model in FOLDER, or of the bare backbone.

    All are scored from one forward pass over the sentences; the score is the mean over languages.
    """
    show_log()
    poolings = _poolings(pooling)
    check_sweep(load_catalog(options["catalog_folders"], hub=options["hub"]).target(target), on)
    ready = prepare(folder, (target,), suite, options)
    (chosen,) = ready.targets
    wanted = parse_layers(layers, ready.depth)
    scorer = Scorer(ready.bench.settings, ready.bench.data, show_progress)
    result = sweep_layers(
        ready.model, chosen, ready.backbone, scorer, layers=wanted, poolings=poolings, on=on,
    )  # fmt: skip
    if as_json:
        click.echo(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        click.echo(_table(result, poolings))


def _poolings(text: str) -> list[str]:
    names = list(dict.fromkeys(text.split(",")))
    if not set(names) <= set(POOLINGS):
        raise InputError(f"--pooling: '{text}'; write one or more of {','.join(POOLINGS)}")
    return names


def _table(result: dict[str, Any], poolings: list[str]) -> str:
    """Layers as rows, poolings as columns."""
    target, default, on = result["target"], result["default"], result["on"]
    scores = {(row["layer"], row["pooling"]): row["score"] for row in result["rows"]}
    best = max(scores, key=lambda key: scores[key]) if on == "dev" else None

    def cell(layer: int, pooling: str) -> str:
        marks = "*" if (layer, pooling) == best else ""
        marks += "d" if default == {"layer": layer, "pooling": pooling} else ""
        return f"{scores[layer, pooling]:.1f} {marks:2}"

    layers = sorted({layer for layer, _ in scores})
    table = tabulate(
        [[layer, *(cell(layer, pooling) for pooling in poolings)] for layer in layers],
        headers=["layer", *poolings],
        disable_numparse=True,
        colalign=["right"] * (1 + len(poolings)),
    )
    count = len(target["languages"])
    return "\n".join(
        [
            f"{target['name']}, {target['split']}: task score in percent, mean over languages "
            f"({count})",
            "",
            table,
            "",
            "d: the target's default" + ("; *: the best" if best else ""),
            *([_SCORED] if on == "test" else []),
            result["signature"],
        ]
    )
