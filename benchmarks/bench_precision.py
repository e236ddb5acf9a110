"""How far bf16 predictions agree with fp32 ones: the same trained models, scored in both.

    python benchmarks/bench_precision.py [--quick] [--device cpu|cuda:0] [--json FILE]

Trains `direct` and `fuse` for targets of the world in fp32 on nano (seed 1), then scores every fit
in fp32 and in bf16. Printed: the score in both, mean over languages, and the share of examples
with the same prediction. A backbone of three layers of 128: not XLM-R Large.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

from common import ROOT, fresh, parser, report
from tabulate import tabulate

_TARGETS = ("world-nli", "world-sup", "world-qa")


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    made = parser(__doc__, rounds=1, quick="one target of the three")
    made.add_argument("--device", default="cpu")
    arguments = made.parse_args()
    targets = _TARGETS[:1] if arguments.quick else _TARGETS
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "harness.cli",
            "bench",
            "default",
            "--seeds",
            "1",
            "--out",
            folder,
        ]
        command += ["--only", "recipe=direct,fuse", "--only", f"target={','.join(targets)}"]
        command += ["--device", arguments.device, "--no-docker", "--quiet"]
        fresh(command, arguments.threads, ROOT)
        rows = compare(Path(folder) / "store", arguments.device, arguments.threads)
    table = tabulate(
        [list(row.values()) for row in rows],
        headers=["recipe", "target", "score fp32", "score bf16", "same predictions %"],
        floatfmt=".2f",
    )
    report("bf16 beside fp32", [table], [], {"rows": rows}, arguments.threads, arguments.json)


def compare(store: Path, device: str, threads: int) -> list[dict[str, Any]]:
    """Scores and agreement of every fit in a store."""
    from harness.bench import open_model  # noqa: PLC0415  (torch only where it is needed)
    from harness.model import silence_libraries  # noqa: PLC0415  (as above)

    silence_libraries()
    models = [open_model(folder) for folder in sorted((store / "fit").iterdir())]
    rows = []
    for model in sorted(models, key=lambda one: (one.recipe, one.name)):
        both = [scored(model, device, dtype, threads) for dtype in ("fp32", "bf16")]
        same = [
            one["prediction"] == other["prediction"]
            for one, other in zip(both[0][1], both[1][1], strict=True)
        ]
        rows.append({
            "recipe": model.recipe, "target": model.name, "fp32": both[0][0], "bf16": both[1][0],
            "same": 100 * fmean(same),
        })  # fmt: skip
    return rows


def scored(model: Any, device: str, dtype: str, threads: int) -> tuple[float, list[dict[str, Any]]]:
    """The mean task score over the languages of its own target, and the predictions."""
    from harness.bench import Scorer, SuiteData  # noqa: PLC0415  (as above)
    from harness.bench.evaluate import load_model  # noqa: PLC0415
    from harness.bench.scoring import target_format  # noqa: PLC0415
    from harness.bench.steps import Settings  # noqa: PLC0415
    from harness.catalog import Catalog  # noqa: PLC0415
    from harness.data import DataContext  # noqa: PLC0415
    from harness.model import (  # noqa: PLC0415
        load_backbone,
        load_tokenizer,
        locate_backbone,
        resolve_numerics,
    )
    from harness.recipes import Goal  # noqa: PLC0415

    catalog, numerics = Catalog.load(), resolve_numerics(device, dtype, threads)
    target, files = catalog.target(model.name), locate_backbone(catalog.backbone("nano"))
    base = load_backbone(files, numerics.torch_device, numerics.frozen_dtype)
    scorer = Scorer(
        Settings(model.store, None, "refuse", numerics, predict_tokens=2048),
        SuiteData(catalog, catalog.suite("default"), DataContext()),
    )
    form = target_format(target, base.config.num_hidden_layers)
    goal = Goal(model.heads[0], form, target.labels, model.seed)
    found = scorer.score(load_model(model, base), goal, target, load_tokenizer(files.folder))
    scores = [form.task_score(form.aggregate(one)) for one in found.statistics.values()]
    return fmean(scores), found.rows


if __name__ == "__main__":
    main()
