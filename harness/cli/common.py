"""Options that several commands share, and turning them into settings."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import psutil

from harness.bench import Bench, Plan, Selection, Settings, Step, worker_memory
from harness.catalog import Catalog, Suite, default_directory
from harness.errors import InputError, reading
from harness.model import backbone_from_argument, resolve_numerics, silence_libraries

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
_BATCH_TOKENS = 16384
_PREDICT_TOKENS_CPU = 2048  # larger ones fall out of a core's cache: 1.3 s instead of 1.7 s (nano)
LARGEST_SEED = 2**63 - 1
_ONLY_KEYS = ("recipe", "set", "target", "setting")
log = logging.getLogger(__name__)


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
        f"[default: {_BATCH_TOKENS}, and {_PREDICT_TOKENS_CPU} for predicting on CPUs]",
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
    help="Read the targets that the catalog knows on the hub from there, instead of from files.",
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
        help=f"Part of the suite: {', '.join(_ONLY_KEYS)}; may be repeated.",
    ),
    click.option("--seeds", metavar="1,2,3", help="Seeds instead of the suite's."),
    backbone_option,
)


def load_catalog(folders: tuple[Path, ...], *, hub: bool) -> Catalog:
    """The shipped catalog with the user's folders on top; `hub`: targets read from the hub."""
    catalog = Catalog.load([default_directory(), *folders])
    return catalog.on_hub() if hub else catalog


def make_settings(options: dict[str, Any], store: Path) -> tuple[Settings, int]:
    """Settings and number of workers from the machine and data options."""
    allowed = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if allowed else os.cpu_count() or 1
    numerics = resolve_numerics(
        options["device"],
        options["dtype"],
        options["threads"],
        tf32=options["tf32"],
        deterministic=options["deterministic"],
    )
    workers = options["workers"]
    if workers is None:
        workers = 1 if numerics.device != "cpu" else max(1, cores // numerics.threads)
    data = options["data_folder"]
    if data is not None:
        check_folder(data)
    settings = Settings(
        store=store,
        data=data,
        bad_rows=options["bad_rows"],
        numerics=numerics,
        micro_tokens=options["batch_tokens"] or _BATCH_TOKENS,
        predict_tokens=options["batch_tokens"]
        or (_PREDICT_TOKENS_CPU if numerics.device == "cpu" else _BATCH_TOKENS),
        checkpoint_seconds=options["checkpoint_seconds"],
        checkpoint_steps=options["checkpoint_steps"],
    )
    return settings, workers


def check_folder(data: Path) -> None:
    """InputError unless --data is a folder."""
    with reading(data):
        is_folder = data.is_dir()
    if not is_folder:
        raise InputError(f"--data: {data} is not a folder")


def make_bench(suite_name: str, options: dict[str, Any]) -> tuple[Bench, int]:
    """A bench and its number of workers from a command's options."""
    catalog = load_catalog(options["catalog_folders"], hub=options["hub"])
    suite = catalog.suite(suite_name)
    out = options["out"] or Path("results") / suite_name
    settings, workers = make_settings(options, options["store"] or out / "store")
    backbone = options["backbone"]
    only = parse_only(options["only"])
    _check_only(only, suite)
    selection = Selection(
        only=only,
        seeds=parse_seeds(options["seeds"]),
        backbone=None
        if backbone is None
        else catalog.backbones.get(backbone) or backbone_from_argument(backbone),
    )
    return Bench(catalog, suite, settings, out, selection), workers


def fit_workers(workers: int, bench: Bench, plan: Plan, missing: Sequence[Step]) -> int:
    """As many of the workers as free memory has room for, one at least; says so if fewer."""
    each = worker_memory(plan, missing, bench.settings)
    free = psutil.virtual_memory().available
    fitting = max(1, min(workers, free // each if each else workers))
    if fitting < workers:
        log.warning(
            "%d of %d workers: one takes up to %s of memory (estimated), %s are free; "
            "--workers overrules this",
            fitting,
            workers,
            size(each),
            size(free),
        )
    return fitting


def size(number: float) -> str:
    """Bytes for people."""
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"


def parse_only(values: tuple[str, ...]) -> dict[str, list[str]]:
    """`--only target=a,b --only recipe=c` as a mapping."""
    only: dict[str, list[str]] = {}
    for value in values:
        key, equals, names = value.partition("=")
        if not equals or key not in _ONLY_KEYS or not names:
            keys = ", ".join(_ONLY_KEYS)
            raise InputError(f"--only: '{value}'; write KEY=A,B with KEY one of {keys}")
        only.setdefault(key, []).extend(names.split(","))
    return only


def _check_only(only: Mapping[str, Sequence[str]], suite: Suite) -> None:
    """Refuse a name that is not in the suite: it would run less than was asked for."""
    blocks = suite.blocks
    there: dict[str, list[str]] = {
        "recipe": [name for block in blocks for name in block.recipes],
        "set": [name for block in blocks for name in block.source_sets],
        "target": [name for block in blocks for name in block.targets],
        "setting": list(suite.settings),
    }
    for key, names in only.items():
        for name in names:
            if name not in there[key]:
                has = ", ".join(dict.fromkeys(there[key])) or "none"
                raise InputError(
                    f"--only: {key} '{name}' is not in suite '{suite.name}'; it has {has}"
                )


def parse_seeds(text: str | None) -> tuple[int, ...]:
    """`1,2,3` as numbers."""
    if text is None:
        return ()
    try:
        seeds = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"--seeds: '{text}'; write whole numbers such as 1,2,3") from error
    if len(set(seeds)) < len(seeds) or min(seeds) < 0 or max(seeds) > LARGEST_SEED:
        raise InputError(f"--seeds: '{text}'; each seed once, from 0 to {LARGEST_SEED}")
    return seeds


def show_log(*, quiet: bool = False) -> None:
    """Print what harness logs: warnings and, unless quiet, notices; silence its libraries."""
    from harness.cli.progress import ClickHandler  # noqa: PLC0415

    logger = logging.getLogger("harness")
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    logger.handlers = [ClickHandler()]
    silence_libraries()
