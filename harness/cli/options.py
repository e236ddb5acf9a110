"""Options that several commands share; nothing heavy is imported for them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness.catalog import Catalog, default_directory
from harness.errors import InputError, reading

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
BATCH_TOKENS = 16384
PREDICT_TOKENS_CPU = 2048  # larger ones fall out of a core's cache: 1.3 s instead of 1.7 s (nano)
ONLY_KEYS = ("recipe", "set", "target", "setting")


def all_of(*options: Decorator) -> Decorator:
    """One decorator for several options; help lists them in this order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


# Device, arithmetic, threads, workers, memory and checkpoints.
machine_options = all_of(
    click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda:N."),
    click.option(
        "--dtype",
        default="fp32",
        show_default=True,
        type=click.Choice(["fp32", "bf16"]),
        help="Arithmetic of the forward pass; bf16 is slow on CPUs.",
    ),
    click.option(
        "--tf32/--no-tf32",
        default=False,
        show_default=True,
        help="Allow TF32 matrix products on GPUs.",
    ),
    click.option(
        "--deterministic/--no-deterministic",
        default=True,
        show_default=True,
        help="Only deterministic kernels.",
    ),
    click.option(
        "--threads",
        default=1,
        show_default=True,
        type=click.IntRange(1),
        help="CPU threads of one worker.",
    ),
    click.option(
        "--workers",
        type=click.IntRange(0),
        help="Worker processes; 0 runs in this one. [default: cores / threads, as memory allows]",
    ),
    click.option(
        "--batch-tokens",
        type=click.IntRange(1),
        help="Padded tokens of a forward pass at most; shrinks when memory runs out. "
        f"[default: {BATCH_TOKENS}, and {PREDICT_TOKENS_CPU} for predicting on CPUs]",
    ),
    click.option(
        "--recompute",
        is_flag=True,
        help="Training keeps only the inputs of layers and computes the rest again for gradients: "
        "less memory, more time, the same numbers.",
    ),
    click.option(
        "--checkpoint-seconds",
        type=float,
        default=60.0,
        show_default=True,
        help="How often a training writes a checkpoint.",
    ),
    click.option(
        "--checkpoint-steps",
        type=click.IntRange(1),
        help="Write one every so many optimizer steps as well.",
    ),
)

prefix_option = click.option(
    "--prefix-cache",
    metavar="SIZE",
    help="Keep the states below the first adapters on disk, SIZE at most (such as 20GB), for "
    "backbones whose layers there are frozen and without dropout.",
)

# Where data is, what to do with bad rows, and the user's own catalog.
data_option = click.option(
    "--data",
    "data_folder",
    type=click.Path(path_type=Path),
    help="Folder with the data files.",
)
bad_rows_option = click.option(
    "--bad-rows",
    type=click.Choice(["refuse", "skip"]),
    default="refuse",
    show_default=True,
    help="What to do with a malformed row.",
)
catalog_option = click.option(
    "--catalog",
    "catalog_folders",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A folder laid out like adapters_cfg/ with more (or other) YAML.",
)
hub_option = click.option(
    "--hub",
    is_flag=True,
    help="Read sources and targets that the catalog knows on the hub from there, not from files.",
)
data_options = all_of(data_option, hub_option, bad_rows_option, catalog_option)

# Which part of a suite to run, and where results go.
backbone_option = click.option("--backbone", help="Catalog name, local folder, or hub id@revision.")
suite_options = all_of(
    click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder of records and store. [default: results/SUITE]",
    ),
    click.option(
        "--store",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder of trained artifacts, to share between runs. [default: OUT/store]",
    ),
    click.option(
        "--only",
        multiple=True,
        metavar="KEY=A,B",
        help=f"Part of the suite: {', '.join(ONLY_KEYS)}; may be repeated.",
    ),
    click.option("--seeds", metavar="1,2,3", help="Seeds instead of the suite's."),
    backbone_option,
)


def load_catalog(folders: tuple[Path, ...], *, hub: bool) -> Catalog:
    """The shipped catalog with the user's folders on top; `hub`: read from there what is there."""
    catalog = Catalog.load([default_directory(), *folders])
    return catalog.on_hub() if hub else catalog


def parse_size(option: str, text: str | None) -> int | None:
    """`20GB` or `500MiB` as bytes."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?) ?([KMGT]i?)B", text.strip(), re.IGNORECASE)
    if match is None or not float(match[1]):
        raise InputError(f"{option}: '{text}'; write a size above 0 such as 500MB, 20GB or 1TiB")
    power = "KMGT".index(match[2][0].upper()) + 1
    return int(float(match[1]) * (1024 if len(match[2]) > 1 else 1000) ** power)


def check_folder(data: Path) -> None:
    """InputError unless --data is a folder."""
    with reading(data):
        is_folder = data.is_dir()
    if not is_folder:
        raise InputError(f"--data: {data} is not a folder")
