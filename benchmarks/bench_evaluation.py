"""Evaluation of a mixed-language set, beside `adapters` with transformers' Trainer.

    python benchmarks/bench_evaluation.py [--quick] [--model 4x384|2x1024] [--rows 400]
        [--batch 32] [--data DIR] [--rounds 3] [--threads 2] [--json FILE]

Three kinds of rows in the proportions of XTREME's test sets: pairs (XNLI, PAWS-X), sentences to
tag (PAN-X, UD-POS), both with maximum 128, and questions with contexts (XQuAD's lengths; maximum
384). Lengths are those of real rows in all languages, characters / 4 (benchmarks/lengths.py), read
in DIR (default: $XSTILTS_SHARED_DATA), without it by stored quantiles of them. Ids and weights are
random, rows are in random order, all languages of a kind are one call.

xstilts is `harness.train.predict` with the command's token budget. The others are AdapterTrainer's
`predict` on the `adapters` library's own model, batches of 32: every row padded to the maximum as
XTREME's scripts do it; padded to the longest of a batch; the same with group_by_length. All take
turns in one process, all start from token ids, and must give the same logits.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import Clock, Goal, Runs, has_accelerate, parser, report, time_goal, times_table
from lengths import KINDS, lengths, shares

if TYPE_CHECKING:
    import numpy as np

_SOURCES = 9
_OURS, _MAXIMUM, _RANDOM, _GROUPED = "xstilts", "padded to maximum", "dynamic", "group_by_length"
_SHAPES = {"4x384": (4, 384, 6), "2x1024": (2, 1024, 16)}
_TOLERANCE = 1e-4  # of logits up to 1: batches of another shape round differently
Predict = Callable[[str, Sequence[int]], "list[np.ndarray]"]  # kind, lengths: logits of each row


def main() -> None:
    """Measure, print the tables, write JSON if asked."""
    made = parser(__doc__, rounds=3, quick="an eighth of the rows, one round")
    made.add_argument("--model", choices=sorted(_SHAPES), default="4x384", help="layers x width")
    made.add_argument("--rows", type=int, default=400, help="of all kinds")
    made.add_argument("--batch", type=int, default=32, help="rows of a batch of the Trainer")
    made.add_argument("--data", type=Path, default=os.environ.get("XSTILTS_SHARED_DATA"))
    arguments = made.parse_args()
    if arguments.quick:
        arguments.rows, arguments.rounds = 50, 1
    rows = {
        kind: lengths(kind, count, arguments.data) for kind, count in shares(arguments.rows).items()
    }
    runs = {name: measure(arguments, rows, name) for name in ("fuse", "stack")}
    counts = ", ".join(
        f"{len(one)} {kind} of {sum(one) / len(one):.0f} tokens (maximum {KINDS[kind].maximum})"
        for kind, one in rows.items()
    )
    origin = f"of rows in {arguments.data}" if arguments.data else "by stored quantiles"
    report(
        f"Evaluation, {arguments.model}: {counts}; lengths {origin}; Trainer's batches of "
        f"{arguments.batch}",
        [
            f"{what}, {kind} rows\n" + times_table(part, _OURS)
            for name, what in (("fuse", f"Stack(Fuse of {_SOURCES}, t)"), ("stack", "Stack(s, t)"))
            for kind, part in runs[name].items()
        ],
        goals(runs),
        {"runs": runs, "rows": rows},
        arguments.threads,
        arguments.json,
    )


def measure(
    arguments: argparse.Namespace, rows: dict[str, list[int]], active: str
) -> dict[str, Runs]:
    """Rounds of every way, by kind of rows and for `all`; SystemExit if their logits differ."""
    import torch  # noqa: PLC0415  (slow; --help needs none)

    torch.set_num_threads(arguments.threads)
    runs: dict[str, Runs] = {kind: {} for kind in ("all", *rows)}
    expected: dict[str, list[np.ndarray]] = {}
    with tempfile.TemporaryDirectory() as folder:
        ways = build(arguments, active, Path(folder))
        for round_ in range(-1, arguments.rounds):
            for way, predict in ways.items():
                used = {}
                for kind, its_lengths in rows.items():
                    some = its_lengths if round_ >= 0 else its_lengths[:4]  # the first warms up
                    clock = Clock.start()
                    found = predict(kind, some)
                    used[kind] = clock.read()
                    if way == _OURS:
                        expected[kind] = found
                    check(f"{way}, {kind}", found, expected[kind], ordered=way != _GROUPED)
                used["all"] = {key: sum(one[key] for one in used.values()) for key in used["pairs"]}
                for kind, one in used.items() if round_ >= 0 else ():
                    runs[kind].setdefault(way, []).append(one)
    return runs


def build(arguments: argparse.Namespace, active: str, folder: Path) -> dict[str, Predict]:
    """The ways to predict, on two copies of one model."""
    from models import Shape, fused, random_model  # noqa: PLC0415  (torch)

    from harness.formats import get_format  # noqa: PLC0415  (as torch)
    from harness.model import speed_up  # noqa: PLC0415  (as torch)

    layers, width, heads = _SHAPES[arguments.model]
    ways: dict[str, Predict] = {}
    for way in [_OURS, *([_MAXIMUM, _RANDOM, _GROUPED] if has_accelerate() else [])]:
        model = random_model(Shape(layers, width, heads), _SOURCES)
        get_format("span_qa").add_head(model, "questions", [])
        get_format("tagging").add_head(model, "tags", [f"T{number}" for number in range(17)])
        assembly = fused(model, _SOURCES)
        if active == "stack":
            assembly.activate(["stack", "s0", "t"])
        assembly.train_groups({})
        if way == _OURS:
            speed_up(model)
            ways[way] = _ours(assembly, arguments.threads)
        else:
            ways[way] = _by_trainer(model, way, arguments.batch, folder)
    return ways


def _ids(its_lengths: Sequence[int]) -> list[list[int]]:
    """A row of random ids for each length, the same in every call."""
    import numpy as np  # noqa: PLC0415  (as torch)
    from models import SMALL_VOCABULARY, SPECIALS  # noqa: PLC0415  (as torch)

    random = np.random.default_rng(3)
    return [random.integers(SPECIALS, SMALL_VOCABULARY, one).tolist() for one in its_lengths]


def _ours(assembly: Any, threads: int) -> Predict:
    from models import PAD  # noqa: PLC0415  (as torch)

    from harness.cli.options import PREDICT_TOKENS_CPU  # noqa: PLC0415  (as torch)
    from harness.formats import Feature, get_format  # noqa: PLC0415  (as torch)
    from harness.model import Numerics  # noqa: PLC0415  (as torch)
    from harness.train import predict  # noqa: PLC0415  (as torch)

    formats = {
        "pairs": (get_format("pair_classification"), "t"),
        "questions": (get_format("span_qa"), "questions"),
        "tags": (get_format("tagging"), "tags"),
    }

    def call(kind: str, its_lengths: Sequence[int]) -> list[np.ndarray]:
        form, head = formats[kind]
        features = [Feature((tuple(ids),), place) for place, ids in enumerate(_ids(its_lengths))]
        logits = predict(
            assembly, head, form, features, numerics=Numerics(threads=threads), pad_id=PAD,
            batch_tokens=PREDICT_TOKENS_CPU,
        )  # fmt: skip
        return [_joined(*one.values()) for one in logits]

    return call


def _by_trainer(model: Any, way: str, batch: int, folder: Path) -> Predict:
    """As scripts on `adapters` and transformers do it."""
    import torch  # noqa: PLC0415  (as torch above)
    from adapters import AdapterTrainer  # noqa: PLC0415  (as torch)
    from models import PAD  # noqa: PLC0415  (as torch)
    from transformers import TrainingArguments  # noqa: PLC0415  (as torch)

    settings = TrainingArguments(
        output_dir=str(folder), per_device_eval_batch_size=batch, use_cpu=True, disable_tqdm=True,
        group_by_length=way == _GROUPED, dataloader_pin_memory=False, report_to=[],
    )  # fmt: skip

    def collate(rows: list[dict[str, list[int]]]) -> dict[str, Any]:
        # What DataCollatorWithPadding makes, without the need for a tokenizer of this vocabulary.
        longest = max(len(row["input_ids"]) for row in rows)
        return {
            name: torch.tensor([row[name] + [pad] * (longest - len(row[name])) for row in rows])
            for name, pad in (("input_ids", PAD), ("attention_mask", 0))
        }

    def call(kind: str, its_lengths: Sequence[int]) -> list[np.ndarray]:
        model.active_head = "t" if kind == "pairs" else kind
        rows = []
        for ids in _ids(its_lengths):
            missing = KINDS[kind].maximum - len(ids) if way == _MAXIMUM else 0
            mask = [1] * len(ids) + [0] * missing
            rows.append({"input_ids": ids + [PAD] * missing, "attention_mask": mask})
        trainer = AdapterTrainer(model=model, args=settings, data_collator=collate)
        found = trainer.predict(rows).predictions
        sides = found if isinstance(found, tuple) else (found,)
        if kind != "pairs" and way != _GROUPED:  # without padding; with it rows have moved
            cut = zip(*sides, its_lengths, strict=True)
            return [_joined(*(side[:one] for side in row)) for *row, one in cut]
        return [_joined(*row) for row in zip(*sides, strict=True)]

    return call


def _joined(*sides: Any) -> np.ndarray:
    """All logits of a row, one after the other."""
    import numpy as np  # noqa: PLC0415  (as torch)

    return np.concatenate([side.reshape(-1) for side in sides])


def check(
    what: str, found: Sequence[np.ndarray], expected: Sequence[np.ndarray], *, ordered: bool
) -> None:
    """SystemExit unless both ways gave the same logits.

    group_by_length returns rows in the order of its batches: there the first logits of all rows
    are compared, sorted.
    """
    import numpy as np  # noqa: PLC0415  (as torch)

    if ordered:
        worst = max(float(abs(a - b).max()) for a, b in zip(found, expected, strict=True))
    else:
        first, other = (np.sort([row[0] for row in one]) for one in (found, expected))
        worst = float(abs(first - other).max())
    if not worst < _TOLERANCE:
        raise SystemExit(f"{what}: logits differ by {worst}, more than {_TOLERANCE}")


def goals(runs: dict[str, dict[str, Runs]]) -> list[Goal]:
    """Of the issue that asked for this."""
    limits = [
        ("fuse", _MAXIMUM, 8.0), ("fuse", _RANDOM, 4.0), ("stack", _MAXIMUM, 3.5),
        ("stack", _RANDOM, 1.7), ("stack", _GROUPED, 1.0),
    ]  # fmt: skip
    return [
        time_goal(f"{name}: {way} / xstilts", runs[name]["all"], way, _OURS, limit, "at least")
        for name, way, limit in limits
    ]  # fmt: skip


if __name__ == "__main__":
    main()
