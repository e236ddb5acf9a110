"""`xstilts evaluate`: a trained model on targets, in all their languages."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import click
from tabulate import tabulate

from harness.bench import Scorer, evaluate_model
from harness.cli.common import show_log
from harness.cli.model import model_options, prepare, show_progress
from harness.cli.options import data_options, machine_options, prefix_option
from harness.errors import InputError
from harness.results import write_json

_UNDEFINED = "–"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--target",
    "targets",
    multiple=True,
    required=True,
    metavar="NAME",
    help="A target to score; may be repeated.",
)
@model_options("The suite whose definition of low-resource is used.")
@click.option(
    "--attention",
    is_flag=True,
    help="Also show how much a fusion attends to each source, by language; JSON has it by layer.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the scores as JSON.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write that JSON to this file.",
)
@data_options
@machine_options
@prefix_option
def command(
    folder: Path, targets: tuple[str, ...], suite: str, attention: bool, as_json: bool,
    out: Path | None, **options: Any,
) -> None:  # fmt: skip
    """Score the model in FOLDER on targets, in all their languages.

    FOLDER is what `xstilts train --out` wrote, or a fit of a store: STORE/fit/KEY. Its head must
    have the target's format and labels; retrieval needs no head.
    """
    show_log()
    if out is not None and not out.absolute().parent.is_dir():
        raise InputError(f"--out: {out.parent} is not a folder; make it first")
    ready = prepare(folder, targets, suite, options)
    assert ready.model is not None
    scorer = Scorer(ready.bench.settings, ready.bench.data, show_progress)
    result = evaluate_model(ready.model, ready.targets, ready.backbone, scorer, attention=attention)
    if out is not None:
        write_json(out, result)
    if as_json:
        click.echo(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        for number, one in enumerate(result["targets"]):
            click.echo(("\n" if number else "") + _table(one))
            if attention:
                click.echo("\n" + _attentions(one["attention"]))


def _table(result: dict[str, Any]) -> str:
    """Languages as rows, then what the numbers are."""
    target, scores, means = result["target"], result["scores"], result["averages"]
    metrics = list(next(iter(scores.values()))["metrics"])
    shown = metrics if len(metrics) > 1 else []  # a single metric is the score
    rows = [
        [
            code,
            f"{entry['score']:.1f}",
            *(f"{entry['metrics'][name]:.1f}" for name in shown),
            entry["n"],
            f"{entry['floor']['score']:.1f}",
            "yes" if entry["above_floor"]["beats"] else "no",
            entry["seen"],
        ]
        for code, entry in scores.items()
    ]
    header = ["language", "score", *shown, "n", "floor", "beats floor", "seen"]
    text = tabulate(
        rows,
        headers=header,
        disable_numparse=True,
        colalign=["left", *["right"] * (len(header) - 3), "left", "left"],
    )
    averages = "; ".join(
        f"{label} {_mean(means[key])}"
        for key, label in (
            ("all", "all languages"), ("zero_shot", "zero-shot"), ("low_resource", "low-resource"),
        )
        if means[key]
    )  # fmt: skip
    confidence = next(iter(scores.values()))["above_floor"]["confidence"]
    return "\n".join(
        [
            f"{target['name']}, {target['split']}: {', '.join(metrics)} in percent",
            "",
            text,
            "",
            f"average: {averages or _UNDEFINED}",
            f"beats floor: better than chance or majority with {confidence:.0%} confidence "
            "(paired bootstrap)",
            "seen: what was trained before in the language: nothing, language (another task), task",
            result["signature"],
        ]
    )


def _attentions(found: dict[str, Any]) -> str:
    """Languages as rows, sources as columns, means over layers in percent."""
    rows = [
        [code, *(f"{100 * fmean(column):.1f}" for column in zip(*layers, strict=True))]
        for code, layers in found["layers"].items()
    ]
    table = tabulate(
        rows,
        headers=["attention", *found["adapters"]],
        disable_numparse=True,
        colalign=["left", *["right"] * len(found["adapters"])],
    )
    layers = len(next(iter(found["layers"].values())))
    return f"{table}\n\nattention: in percent, means over all tokens and {layers} layers"


def _mean(block: dict[str, Any]) -> str:
    return f"{block['score']:.1f} ({block['n_languages']})"
