"""`xstilts plan` from declared sizes and with a GPU: what it prints, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.bench.conftest import Done, Results, Runner, xstilts
from tests.declared import ELSEWHERE, write_sizes


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sizes(tmp_path_factory.mktemp("sizes"))


@pytest.fixture
def plan(catalog: Path, tmp_path: Path) -> Any:
    """The thin suite planned with these options."""

    def run(*options: str) -> Done:
        return xstilts("plan", "thin", "--catalog", catalog, "--out", tmp_path / "out", *options)

    return run


def cells(text: str, start: str) -> list[str]:
    """The cells of the one line that starts so."""
    (line,) = [line for line in text.splitlines() if line.startswith(start)]
    return line.split()


def test_without_data_and_weights(plan: Any, tmp_path: Path) -> None:
    done = plan("--sizes")
    assert done.code == 0, done.err
    assert cells(done.out, "fit      fuse")[:5] == ["fit", "fuse", "2", "0", "2"]
    assert cells(done.out, "all ")[:4] == ["all", "13", "0", "13"]
    assert "6 results; 13 of 13 steps to do" in done.out
    assert "rows: from the sizes that the catalog declares" in done.out
    assert "not verified: thin-nli (test)\n" in done.out
    assert not (tmp_path / "out").exists()
    needs = plan()
    assert needs.code == 2
    assert (
        "give their folder with --data DIR (`xstilts plan --sizes` does without)" in needs.errors[0]
    )


def test_device_hours_name_what_they_rest_on(plan: Any) -> None:
    done = plan("--sizes", "--gpu", "h100", "--share", "1e-8")
    assert done.code == 0, done.err
    # 49,785,600 operations of pairs.en and asked.sw, as on paper in tests/bench/test_gpu.py, at
    # 669,000 a second: 74 seconds
    row = ["source", "2", "0", "2", "0.0", "M", "<", "0.01", "0.0207"]
    assert cells(done.out, "source ")[:9] == row
    assert "device-hours of one H100 in fp32: an estimate by the constants below;" in done.out
    assert "with --dtype bf16" not in done.out  # in which another share would be reached
    assert ": fits (factors fitted to fp32 on CPUs, unmeasured on GPUs)" in done.out
    assert "66.9 TFLOP/s  data sheet: NVIDIA H100 SXM" in done.out
    assert cells(done.out, "share of the peak")[-2:] == ["1e-08", "--share"]
    assert cells(done.out, "tokens of a row of span_qa")[6:8] == ["230", "unmeasured:"]
    assumed = plan("--sizes", "--gpu", "L4", "--dtype", "bf16")
    assert cells(assumed.out, "share of the peak")[-3:] == ["0.25", "unmeasured:", "assumed"]
    assert "with --dtype bf16" not in assumed.out
    slow = plan("--sizes", "--gpu", "h100")
    assert "with --dtype bf16 about < 0.01, at 0.25 of 989.4 TFLOP/s" in slow.out


def test_json_has_numbers_and_what_is_unmeasured(plan: Any) -> None:
    document = json.loads(plan("--sizes", "--gpu", "A100-40GB", "--tf32", "--json").out)
    assert {step["key"] for step in document["steps"]} == {None}
    assert document["declared_sizes"] == {
        "unverified": {"thin-nli": ["test"]}, "without_dev": [], "unopened": [],
        "short_of_tokens": [],
    }  # fmt: skip
    gpu = document["gpu"]
    assert (gpu["arithmetic"], gpu["peak_tflops"], gpu["share"]) == ("tf32", 156.0, 0.35)
    assert gpu["unmeasured"] == ["share", "tokens_of_a_row", "memory"]
    assert (gpu["fits"], gpu["memory_bytes"]) == (True, 40_000_000_000)
    total = sum(group["flops"] for group in document["groups"])
    assert total == sum(step["flops"] for step in document["steps"])
    assert gpu["device_hours"] == pytest.approx(total / (156e12 * 0.35) / 3600)


def test_a_step_too_large_for_the_gpu_is_said(tmp_path: Path) -> None:
    done = xstilts("plan", "xtreme-full-ft", "--sizes", "--gpu", "T4", "--out", tmp_path, "--steps")
    assert done.code == 0, done.err
    assert "of 14.9 GiB: does NOT fit: lower --batch-tokens" in done.out
    assert "full-ft -> xnli (seed 1)" in done.out


@pytest.mark.parametrize(
    "block",
    [
        "{recipes: [multitask], targets: [thin-nli], source_sets: [thin-two], row: joint}",
        "{recipes: [fuse], targets: [thin-ret], source_sets: [thin-two], row: two}",
    ],
)
def test_a_mixture_without_any_size_names_them(tmp_path: Path, block: str) -> None:
    whole = "{recipes: [fuse], targets: [thin-nli, thin-ret], source_sets: [thin-two], row: two}"
    catalog = write_sizes(
        tmp_path / "sizes",
        {
            "sources/pairs.en.yaml": ("size: {train: 100, dev: 10}\n", ""),
            "sources/asked.sw.yaml": ("size: {train: 30, dev: 5}\n", ""),
            "suites/thin.yaml": (whole, block),
        },
    )
    done = xstilts("plan", "thin", "--sizes", "--catalog", catalog, "--out", tmp_path / "out")
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    for name in ("pairs.en", "asked.sw"):
        assert f"source '{name}' (size.train)" in done.errors[0]


def test_what_sizes_leave_unchecked_is_said(tmp_path: Path) -> None:
    catalog = write_sizes(
        tmp_path / "sizes",
        {
            "source_sets/pairs-one.yaml": ("[pairs.en]\n", "[pairs.en]\nbudget: {tokens: 9000}\n"),
            "source_sets/thin-two.yaml": ("[pairs.en, asked.sw]", "[pairs.en, ext.sw]"),
            "suites/thin.yaml": ("targets: [thin-nli, thin-ret], source_sets: [thin-two]",
                                 "targets: [thin-nli], source_sets: [thin-two]"),
        },
    )  # fmt: skip
    (catalog / "sources/ext.sw.yaml").write_text(ELSEWHERE)
    arguments = ["plan", "thin", "--sizes", "--catalog", str(catalog), "--out", str(tmp_path)]
    done = xstilts(*arguments)
    assert done.code == 0, done.err
    assert re.search(r"adapters from elsewhere, not opened, .*: ext\.sw\n", done.out)
    assert re.search(r"fewer tokens than the budget asks for: pairs\.en\n", done.out)
    declared = json.loads(xstilts(*arguments, "--json").out)["declared_sizes"]
    assert (declared["unopened"], declared["short_of_tokens"]) == (["ext.sw"], ["pairs.en"])


def test_nothing_is_done_in_a_plan_from_sizes(
    plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out/store").mkdir(parents=True)
    monkeypatch.setattr("harness.bench.Store.has", lambda *_: True)
    assert "13 of 13 steps to do" in plan("--sizes").out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--share", "0.3"], "--share: it is a share of a GPU's peak; name one with --gpu"),
        (["--sizes", "--hub"], "so --hub would not be read; give one of the two"),
        (["--sizes", "--data", "."], "so --data would not be read; give one of the two"),
        (["--sizes", "--gpu", "H1"], "--gpu: 'H1' is unknown; known: H200"),
        (["--sizes", "--gpu", "V100", "--dtype", "bf16"], "--dtype: V100 has no bf16"),
    ],
)
def test_wrong_options_are_one_line(plan: Any, options: list[str], said: str) -> None:
    done = plan(*options)
    assert (done.code, len(done.errors)) == (2, 1)
    assert said in done.errors[0]


def test_finished_steps_give_the_speed(tiny: Runner, finished: Results) -> None:
    """Seed 1 is done in the store; what is left of seed 2 goes by what it took."""
    done = xstilts(
        "plan", tiny.suite, "--catalog", tiny.catalog, "--out", finished.out, "--seeds", "1,2",
        "--gpu", "L40S",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert cells(done.out, "source ")[:4] == ["source", "2", "1", "1"]
    # What is done here was done on a CPU, so it says nothing about an L40S.
    assert "measured, not computed" not in done.out
    assert "with --dtype bf16" in done.out
    here = xstilts(
        "plan", tiny.suite, "--catalog", tiny.catalog, "--out", finished.out, "--seeds", "1,2"
    )
    assert "(speed measured on the steps that are done)" in here.out
    declared = xstilts(
        "plan", tiny.suite, "--catalog", tiny.catalog, "--out", finished.out, "--sizes"
    )
    assert cells(declared.out, "source ")[:4] == ["source", "1", "0", "1"]
    assert "not measured on this machine" in declared.out


def test_what_ran_with_recompute_is_not_taken_for_slow(tiny: Runner, tmp_path: Path) -> None:
    out, only = tmp_path / "out", ("--only", "recipe=direct")
    results = tiny.finish(out, *only, "--recompute")
    (costs,) = results.store.glob("fit/*/costs.json")

    def seconds(*options: str) -> float:
        """Of the training, which is done."""
        done = xstilts(
            "plan", tiny.suite, "--catalog", tiny.catalog, "--out", out, *only, "--json", *options
        )
        (step,) = (one for one in json.loads(done.out)["steps"] if one["kind"] == "fit")
        assert step["done"]
        return float(step["estimated_seconds"])

    wall = json.loads(costs.read_bytes())["wall_seconds"]
    assert seconds("--recompute") == pytest.approx(wall)
    assert 0.5 * wall < seconds() < 0.8 * wall
