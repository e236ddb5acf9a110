"""A whole small plan by `xstilts bench`, beside the same work as scripts on `adapters` and Trainer.

    python benchmarks/bench_plan.py [--quick] [--rounds 1] [--threads 2] [--json FILE]

9 sources of 2,000 rows, 3 targets of 320, each scored in 5 languages of 100 rows, recipes stack
(the first source) and fuse (all nine), 4 layers of 384 with random weights, one epoch, batches of
32, rows of random words. Lengths are those of real pairs divided by 4 (maximum 32 instead of 128).

xstilts is its command with one worker of one thread per --threads; the time is that of the whole
command, with everything it does beside (checks, hashes, checkpoints, statistics, records). The
scripts (benchmarks/plan_script.py) are 9 + 6 processes, one after the other, with --threads
threads: rows padded to the maximum, nothing shared but the source adapters on disk. Their time
stands there with and without start and imports of each process; that of xstilts with its own.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import Runs, fresh, has_accelerate, parser, report, time_goal, times_table
from plan_files import (
    BATCH,
    LABELS,
    MAX_LENGTH,
    RATE,
    Plan,
    write_backbone,
    write_catalog,
    write_rows,
)

_SCRIPT = Path(__file__).with_name("plan_script.py")
_QUICK = Plan(sources=3, rows=320, targets=1, target_rows=160, languages=("en", "de"))
_OURS, _SCRIPTS, _WORK = "xstilts", "scripts", "scripts without start and imports"


def main() -> None:
    """Measure, print the table, write JSON if asked."""
    arguments = parser(
        __doc__, rounds=1, quick="3 sources of 320 rows, one target in two languages"
    ).parse_args()
    plan = _QUICK if arguments.quick else Plan()
    runs: Runs = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_backbone(plan, folder / "backbone")
        write_rows(plan, folder / "data")
        write_catalog(plan, folder / "catalog")
        for round_ in range(arguments.rounds):
            runs.setdefault(_OURS, []).append(by_xstilts(plan, folder, round_, arguments.threads))
            if has_accelerate():
                whole, work = by_scripts(plan, folder, round_, arguments.threads)
                runs.setdefault(_SCRIPTS, []).append(whole)
                runs.setdefault(_WORK, []).append(work)
    goals = [
        time_goal("whole plan, scripts / xstilts", runs, _SCRIPTS, _OURS, 4, "at least"),
        time_goal("the same, scripts without start and imports", runs, _WORK, _OURS, 4, "at least"),
    ]
    report(
        f"A plan: {plan.text()}", [times_table(runs, _OURS)], goals, {"runs": runs},
        arguments.threads, arguments.json,
    )  # fmt: skip


def by_xstilts(plan: Plan, folder: Path, round_: int, threads: int) -> dict[str, float]:
    """Seconds of the command, from an empty store."""
    out = folder / f"xstilts{round_}"
    command = [sys.executable, "-m", "harness.cli", "bench", "plan", "--quiet", "--no-docker"]
    command += ["--catalog", str(folder / "catalog"), "--data", str(folder / "data")]
    command += ["--backbone", str(folder / "backbone"), "--out", str(out)]
    used: dict[str, float] = fresh([*command, "--workers", str(threads)], threads=1)["whole"]
    records = len(list((out / "records").glob("*.json")))
    if records != 2 * plan.targets:
        raise SystemExit(f"xstilts wrote {records} records instead of {2 * plan.targets}")
    return used


def by_scripts(
    plan: Plan, folder: Path, round_: int, threads: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of all scripts, whole and without start and imports."""
    whole, work = ({"seconds": 0.0, "cpu_seconds": 0.0} for _ in range(2))
    for arguments in commands(plan, folder, folder / f"scripts{round_}"):
        found = fresh([sys.executable, str(_SCRIPT), *arguments], threads)
        for total, one in ((whole, found["whole"]), (work, found)):
            for key in total:
                total[key] += one[key]
        print(f"{' '.join(arguments[:3])}: {_short(found)}", file=sys.stderr)
    return whole, work


def commands(plan: Plan, folder: Path, out: Path) -> Iterator[list[str]]:
    """The arguments of each script, in the order in which they need each other."""
    adapters = {}
    for source in plan.source_names:
        adapters[source.replace(".", "_")] = out / source
        yield ["direct", "--name", source.replace(".", "_"), *_common(folder, source, out / source)]
    for target in plan.target_names:
        for recipe, count in (("stack", 1), ("fuse", plan.sources)):
            place = out / f"{target}-{recipe}"
            arguments = [recipe, "--name", target.replace("-", "_")]
            arguments += _common(folder, target, place)
            for name, adapter in list(adapters.items())[:count]:
                arguments += ["--source", f"{name}={adapter}"]
            for language in plan.languages:
                file = folder / "data" / target / f"test.{language}.tsv"
                arguments += ["--test", f"{language}={file}"]
            yield arguments


def _common(folder: Path, name: str, out: Path) -> list[str]:
    data = folder / "data" / name
    return [
        "--backbone", str(folder / "backbone"), "--train", str(data / "train.tsv"),
        "--dev", str(data / "dev.tsv"), "--out", str(out), "--max-length", str(MAX_LENGTH),
        "--batch", str(BATCH), "--rate", str(RATE), "--labels", *LABELS,
    ]  # fmt: skip


def _short(found: dict[str, Any]) -> str:
    return json.dumps({key: found[key] for key in ("seconds", "scores", "whole")})


if __name__ == "__main__":
    main()
