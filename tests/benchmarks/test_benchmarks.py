"""What the benchmarks compute from their measures, and that each says how it is run."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import bench_evaluation
import bench_plan
import common
import fusion_cases
import lengths
import numpy as np
import plan_files
import pytest
import torch
from models import Shape, fused, random_model
from torch.utils.flop_counter import FlopCounterMode

from harness.catalog import Catalog, default_directory
from harness.model import use_fused_layers

FOLDER = Path(common.__file__).parent
SCRIPTS = sorted(path.name for path in FOLDER.glob("bench_*.py"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_says_how_it_is_run(script: str) -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / script), "--help"],
        env=common.environment(1),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "--quick" in done.stdout
    assert "--json" in done.stdout
    assert f"python benchmarks/{script}" in (FOLDER / script).read_text(encoding="utf-8")


def test_a_ratio_is_the_median_over_rounds_not_the_ratio_of_medians() -> None:
    def runs(*seconds: float) -> list[dict[str, float]]:
        return [{"seconds": one, "cpu_seconds": 1.0} for one in seconds]

    found = {"ours": runs(1, 10, 2), "theirs": runs(3, 20, 8), "absent": []}
    assert common.ratio(found, "theirs", "ours") == 3  # of 3, 2 and 4; medians would give 8 / 2
    assert common.ratio(found, "theirs", "ours", "cpu_seconds") == 1
    assert common.ratio(found, "absent", "ours") is None
    assert common.ratio(found, "unknown", "ours") is None
    assert "absent" not in common.times_table(found, "ours")
    goal = common.time_goal("it", found, "theirs", "ours", 2.5, "at least")
    assert goal.row() == ["it", "3.00x", "at least 2.5x", "met", "1.00x"]
    assert common.time_goal("it", found, "absent", "ours", 2.5, "at least").row()[1:] == [
        "-", "at least 2.5x", "not measured", "-"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "kind", "verdict"),
    [(5.0, "at least", "met"), (4.99, "at least", "missed"), (5.0, "at most", "met"),
     (5.01, "at most", "missed"), (None, "at least", "not measured")],
)  # fmt: skip
def test_goals(value: float | None, kind: str, verdict: str) -> None:
    goal = common.Goal("what", value, 5, kind)  # type: ignore[arg-type]
    assert goal.verdict == verdict
    assert verdict in common.goals_table([goal])


def test_the_high_water_mark_is_that_of_this_process() -> None:
    status = "VmPeak:\t 900 kB\nVmHWM:\t  512 kB\nVmRSS:\t  100 kB\n"
    assert common.kilobytes(status, "VmHWM") == 512
    code = (
        "import json; from common import resident_bytes as r; "
        "before = r('VmHWM'); b'x' * 300_000_000; print(json.dumps({'rise': r('VmHWM') - before}))"
    )
    used = subprocess.run(
        [sys.executable, "-c", code], cwd=FOLDER, capture_output=True, check=True, text=True
    )
    assert 250e6 < json.loads(used.stdout)["rise"] < 350e6


def test_a_failed_process_ends_the_benchmark_with_its_message() -> None:
    with pytest.raises(SystemExit, match="exit code 3\nno luck"):
        common.fresh(
            [sys.executable, "-c", "import sys; sys.stderr.write('no luck'); sys.exit(3)"], 1
        )


@pytest.mark.parametrize(
    ("text", "count"), [("", 1), ("abcd", 1), ("abcdefgh", 2), ("北京大学生", 3), ("東京 1964", 3)]
)
def test_subwords_are_estimated_from_characters(text: str, count: int) -> None:
    assert lengths.subwords(text) == count


def test_lengths_are_those_of_the_files_cut_at_the_maximum(tmp_path: Path) -> None:
    (tmp_path / "xnli").mkdir()
    (tmp_path / "pawsx").mkdir()
    (tmp_path / "xnli" / "test-en.tsv").write_text("abcd\tabcdefgh\r\n", encoding="utf-8")
    (tmp_path / "pawsx" / "test-de.tsv").write_text("x" * 4000 + "\ty\n", encoding="utf-8")
    found = lengths.lengths("pairs", 400, tmp_path)
    assert set(found) == {4 + 1 + 2, 128}
    # XTREME has 75,150 rows of XNLI and 14,000 of PAWS-X
    assert found.count(7) / 400 == pytest.approx(75_150 / 89_150, abs=0.05)
    (tmp_path / "panx").mkdir()
    (tmp_path / "panx" / "test-sw.tsv").write_text("Msimbo\nwa\n\nposta\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"udpos/test-\*\.tsv"):
        lengths.lengths("tags", 5, tmp_path)
    (tmp_path / "udpos").mkdir()
    (tmp_path / "udpos" / "test-en.tsv").write_text("a\tX\nb\tX\nc\tX\n", encoding="utf-8")
    # 6 letters are 2 subwords, every other word here is 1; two specials
    assert set(lengths.lengths("tags", 100, tmp_path)) == {2 + 2 + 1, 2 + 1, 2 + 3}


def test_stored_quantiles_give_their_own_distribution() -> None:
    for name, kind in lengths.KINDS.items():
        found = lengths.lengths(name, 20_000, None)
        stored = lengths.QUANTILES[name]
        assert max(found) <= kind.maximum
        assert len(stored) == 21
        assert list(stored) == sorted(stored)
        assert np.allclose(lengths.quantiles(found)[1:-1], stored[1:-1], atol=0.03 * kind.maximum)


def test_rows_are_in_xtremes_proportions() -> None:
    found = lengths.shares(10_000)
    assert sum(found.values()) == pytest.approx(10_000, abs=2)
    assert found["tags"] > 4 * found["pairs"] > 4 * found["questions"]


def test_operations_of_a_step_are_those_that_torch_counts(one_thread: None) -> None:
    case = fusion_cases.Case("xstilts", sources=3, layers=3, batch=16, length=16)
    shape = Shape(case.layers, width=256, heads=4, reduction=4)
    model = random_model(shape, case.sources)
    use_fused_layers(model)
    step = fusion_cases.TrainingStep(case, fused(model, case.sources))
    with FlopCounterMode(display=False) as counter:
        step()
    expected = fusion_cases.training_flops(shape, case.sources, case.batch, case.length)
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.012)  # biases, head


def test_full_fine_tuning_with_and_without_its_embeddings(one_thread: None) -> None:
    shapes = []
    for variant in ("full ft", "full ft + embeddings"):
        assembly = fusion_cases.full(
            random_model(Shape(1, width=32, heads=2), 0), embeddings="embeddings" in variant
        )
        fusion_cases.TrainingStep(fusion_cases.Case(variant, 0, 1, 3, 5), assembly)()
        named = dict(assembly.model.roberta.named_parameters())
        shapes.append({name for name, one in named.items() if one.grad is not None})
    names = ("word_embeddings.weight", "position_embeddings.weight",
             "token_type_embeddings.weight", "LayerNorm.weight", "LayerNorm.bias")  # fmt: skip
    assert shapes[1] - shapes[0] == {f"embeddings.{name}" for name in names}
    assert shapes[0]


def test_other_logits_end_the_benchmark() -> None:
    rows = [np.array([0.5, 1.0]), np.array([2.0, 3.0])]
    bench_evaluation.check("same", rows, [row + 1e-6 for row in rows], ordered=True)
    bench_evaluation.check("moved", rows[::-1], rows, ordered=False)
    with pytest.raises(SystemExit, match="moved: logits differ by"):
        bench_evaluation.check("moved", rows[::-1], rows, ordered=True)
    with pytest.raises(SystemExit, match="nan"):
        bench_evaluation.check("nan", [row * np.nan for row in rows], rows, ordered=True)


def test_the_plan_is_a_catalog_and_the_scripts_do_the_same_work(tmp_path: Path) -> None:
    plan = replace(plan_files.Plan(), rows=40, target_rows=10, scored=5)
    plan_files.write_catalog(plan, tmp_path / "catalog")
    plan_files.write_rows(plan, tmp_path / "data")
    catalog = Catalog.load([default_directory(), tmp_path / "catalog"])
    suite = catalog.suite("plan")
    assert [(block.recipes, block.targets) for block in suite.blocks] == [
        (("stack",), tuple(plan.target_names)), (("fuse",), tuple(plan.target_names)),
    ]  # fmt: skip
    scripts = list(bench_plan.commands(plan, tmp_path, tmp_path / "out"))
    assert [one[0] for one in scripts] == ["direct"] * 9 + ["stack", "fuse"] * 3
    for one in scripts:
        assert one.count("--source") == {"direct": 0, "stack": 1, "fuse": 9}[one[0]]
        assert one.count("--test") == (0 if one[0] == "direct" else len(plan.languages))
        options = argparse.Namespace(
            train=one[one.index("--train") + 1], dev=one[one.index("--dev") + 1]
        )
        expected = plan.rows if one[0] == "direct" else plan.target_rows
        assert len(Path(options.train).read_text(encoding="utf-8").splitlines()) == expected + 1
        assert len(Path(options.dev).read_text(encoding="utf-8").splitlines()) == plan.scored + 1


def test_rows_of_the_plan_are_as_long_as_their_text_says(tmp_path: Path) -> None:
    from harness.model import load_tokenizer
    from tests.nano import NANO

    path = tmp_path / "name" / "train.tsv"
    plan_files._write(path, 300, plan_files._words())
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    tokenizer = load_tokenizer(NANO)
    found = [len(tokenizer(first, second)["input_ids"]) for first, second, _ in rows]
    assert all(len(ids) == 3 for ids in rows)
    assert found == [4 + len(first.split()) + len(second.split()) for first, second, _ in rows]
    assert max(found) <= plan_files.MAX_LENGTH
    assert 9 < torch.tensor(found).float().mean() < 12
