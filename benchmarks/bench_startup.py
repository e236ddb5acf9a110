"""How long commands take to start, each in a fresh process.

    python benchmarks/bench_startup.py [--quick] [--rounds 5] [--threads 2] [--json FILE]

Beside them what cannot be avoided: an empty Python, and the imports of torch, transformers and
adapters that every command needs which loads a model. They take turns; files are in the cache.
"""

from __future__ import annotations

import sys

from common import Goal, Runs, fresh, median, parser, report, times_table

_XSTILTS = "from harness.cli import main; main()"
_EMPTY, _IMPORTS = "python -c pass", "import torch, transformers, adapters"
_COMMANDS = {
    _EMPTY: ["-c", "pass"],
    "xstilts --help": ["-c", _XSTILTS, "--help"],
    "xstilts bench --help": ["-c", _XSTILTS, "bench", "--help"],
    "xstilts data ls": ["-c", _XSTILTS, "data", "ls"],
    "xstilts plan default": ["-c", _XSTILTS, "plan", "default"],
    _IMPORTS: ["-c", _IMPORTS],
}


def main() -> None:
    """Measure, print the table, write JSON if asked."""
    arguments = parser(__doc__, rounds=5, quick="one round").parse_args()
    rounds = 1 if arguments.quick else arguments.rounds
    runs: Runs = {}
    for round_ in range(-1, rounds):  # the first fills the file cache
        for name, command in _COMMANDS.items():
            found = fresh([sys.executable, *command], arguments.threads)["whole"]
            if round_ >= 0:
                runs.setdefault(name, []).append(found)
    name = "xstilts --help"
    wall, cpu = (median(runs, name, key) for key in ("seconds", "cpu_seconds"))
    goals = [Goal(name, wall, 0.3, "at most", " s", by_cpu=cpu)]
    report(
        f"Start-up, medians of {rounds}", [times_table(runs, _EMPTY)], goals, {"runs": runs},
        arguments.threads, arguments.json,
    )  # fmt: skip


if __name__ == "__main__":
    main()
