"""Time and memory of the overlap matrix, beside those of reading the same files alone.

    python benchmarks/overlap.py --data DIR [--target 'files-*']

One process each, one core. Peak memory is that of the process, its imports included.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from tabulate import tabulate

from harness.catalog import Backbone, Catalog
from harness.cli.data_options import to_compare
from harness.data import SCORED, DataContext, Split, overlap_matrix, splits
from harness.data.inventory import read_split


def main() -> None:
    """Measure both in processes of their own and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--target", action="append", default=[], help="as `data check` has it")
    parser.add_argument("--what", choices=["reading", "matrix"], help="measure this one here")
    arguments = parser.parse_args()
    if arguments.what:
        print(json.dumps(measure(arguments.what, arguments.data, arguments.target)))
        return
    rows = []
    for what in ("reading", "matrix"):
        command = [sys.executable, __file__, *sys.argv[1:], "--what", what]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append([what, *json.loads(done.stdout).values()])
    print(tabulate(rows, headers=["what", "data sets", "rows", "CPU s", "wall s", "peak MiB"]))


def measure(what: str, data: Path, targets: list[str]) -> dict[str, float]:
    """Read everything, and compare it if asked."""
    catalog = Catalog.load()
    context = DataContext(data, language_iso3=catalog.language_iso3())
    owners = to_compare(catalog, (), (), targets)
    trained, scored = (
        [split for one in found if not isinstance(one, Backbone) for split in splits(one)]
        for found in owners
    )
    wall, cpu = time.perf_counter(), time.process_time()
    if what == "matrix":
        matrix = overlap_matrix(trained, scored, context, lambda _: None)
        sizes = [one.rows for one in (*matrix.trained, *matrix.scored)]
    else:
        wanted = [one for one in trained if one.split not in SCORED]
        wanted += [one for one in scored if one.split in SCORED]
        sizes = [_size(split, context) for split in wanted]
    return {
        "sets": sum(size > 0 for size in sizes),
        "rows": sum(sizes),
        "cpu_s": round(time.process_time() - cpu, 1),
        "wall_s": round(time.perf_counter() - wall, 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _size(split: Split, context: DataContext) -> int:
    found = read_split(split, replace(context, _cache={})).dataset
    return 0 if found is None else len(found)


if __name__ == "__main__":
    main()
