"""From the options of a command to a bench: settings, workers, selection."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.bench import Bench, Plan, Selection, Settings, Step, worker_memory
from harness.catalog import Suite, backbone_from_argument
from harness.cli.log import print_log
from harness.cli.options import (
    BATCH_TOKENS,
    ONLY_KEYS,
    PREDICT_TOKENS_CPU,
    check_folder,
    load_catalog,
    parse_size,
)
from harness.cli.progress import size
from harness.errors import InputError
from harness.machine import free_memory, usable_cores
from harness.model import resolve_numerics, silence_libraries

LARGEST_SEED = 2**63 - 1
log = logging.getLogger(__name__)


def make_settings(options: dict[str, Any], store: Path) -> tuple[Settings, int]:
    """Settings and number of workers from the machine and data options."""
    numerics = resolve_numerics(
        options["device"],
        options["dtype"],
        options["threads"],
        tf32=options["tf32"],
        deterministic=options["deterministic"],
    )
    workers = options["workers"]
    if workers is None:
        workers = 1 if numerics.device != "cpu" else max(1, usable_cores() // numerics.threads)
    data = options["data_folder"]
    if data is not None:
        check_folder(data)
    settings = Settings(
        store=store,
        data=data,
        bad_rows=options["bad_rows"],
        numerics=numerics,
        micro_tokens=options["batch_tokens"] or BATCH_TOKENS,
        recompute=options["recompute"],
        predict_tokens=options["batch_tokens"]
        or (PREDICT_TOKENS_CPU if numerics.device == "cpu" else BATCH_TOKENS),
        checkpoint_seconds=options["checkpoint_seconds"],
        checkpoint_steps=options["checkpoint_steps"],
        prefix_cache=parse_size("--prefix-cache", options.get("prefix_cache")),
    )
    return settings, workers


def make_bench(
    suite_name: str, options: dict[str, Any], *, from_sizes: bool = False
) -> tuple[Bench, int]:
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
    return Bench(catalog, suite, settings, out, selection, from_sizes), workers


def fit_workers(workers: int, bench: Bench, plan: Plan, missing: Sequence[Step]) -> int:
    """As many of the workers as free memory has room for, one at least; says so if fewer."""
    each = worker_memory(plan, missing, bench.settings)
    free = free_memory()
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


def parse_only(values: tuple[str, ...]) -> dict[str, list[str]]:
    """`--only target=a,b --only recipe=c` as a mapping."""
    only: dict[str, list[str]] = {}
    for value in values:
        key, equals, names = value.partition("=")
        if not equals or key not in ONLY_KEYS or not names:
            keys = ", ".join(ONLY_KEYS)
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
    """Print what harness logs, and silence its libraries."""
    print_log(quiet=quiet)
    silence_libraries()
