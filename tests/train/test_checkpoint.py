"""Checkpoints: the newest whole one comes back exactly; nothing else ever does."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.canonical import canonical_json
from harness.train import Checkpointer, Stopwatch
from harness.train import checkpoint as module

STATE = {"steps": 4, "best_score": 61.5, "history": [[2, 60.25], [4, 61.5]], "note": "ü"}


def tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "weights/a": torch.randn(3, 5, generator=generator),
        "optimizer/step/a": torch.tensor(4.0),
        "random/cpu": torch.get_rng_state(),
        "empty": torch.zeros(0, 2),
    }


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert tensor.dtype == other[name].dtype
        assert tensor.shape == other[name].shape
        assert torch.equal(tensor, other[name])


def loaded(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    found = Checkpointer(folder).load()
    assert found is not None
    return found


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    Checkpointer(tmp_path / "new" / "folder").save(4, tensors(), STATE)
    found, state = loaded(tmp_path / "new" / "folder")
    assert_same(found, tensors())
    assert state == STATE


def test_there_is_none(tmp_path: Path) -> None:
    assert Checkpointer(tmp_path).load() is None
    assert Checkpointer(tmp_path / "nowhere").load() is None


def test_the_newest_one_replaces_the_others(tmp_path: Path) -> None:
    checkpointer = Checkpointer(tmp_path)
    for step in (8, 9, 10, 11):  # as text, 10 comes before 8
        checkpointer.save(step, tensors(step), {"steps": step})
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000011"]
    found, state = loaded(tmp_path)
    assert state == {"steps": 11}
    assert_same(found, tensors(11))


def test_a_checkpoint_of_the_same_step_is_replaced(tmp_path: Path) -> None:
    for seed in (1, 2):
        Checkpointer(tmp_path).save(4, tensors(seed), {"seed": seed})
    assert loaded(tmp_path)[1] == {"seed": 2}


def test_the_same_state_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the seconds spent."""
    monkeypatch.setattr(Stopwatch, "seconds", lambda _: {"wall_seconds": 1.5, "cpu_seconds": 1.0})
    for name in ("one", "two"):
        Checkpointer(tmp_path / name).save(4, tensors(), dict(reversed(STATE.items())))
    for file in ("state.json", "tensors.safetensors"):
        one, two = (tmp_path / name / "step-000000004" / file for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("every_seconds", "every_steps", "due"),
    [(None, 3, [3, 6, 9]), (None, 1, list(range(1, 10))), (None, None, []), (1000.0, None, []),
     (0.0, None, list(range(1, 10))), (1000.0, 4, [4, 8])],
)  # fmt: skip
def test_when_one_is_due(
    tmp_path: Path, every_seconds: float | None, every_steps: int | None, due: list[int]
) -> None:
    checkpointer = Checkpointer(tmp_path, every_seconds, every_steps)
    assert [step for step in range(1, 10) if checkpointer.due(step)] == due


def test_time_counts_from_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    checkpointer = Checkpointer(tmp_path, every_seconds=60)
    now[0] = 159.0
    assert not checkpointer.due(1)
    now[0] = 160.0
    assert checkpointer.due(1)
    checkpointer.save(1, tensors(), {})
    assert not checkpointer.due(2)


def test_at_most_a_tenth_of_the_time_goes_into_saving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine gigabytes of weights and optimizer take a while; often would be all the time."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    original = module.save_file

    def slow(*arguments: Any) -> None:
        original(*arguments)
        now[0] += 45.0

    monkeypatch.setattr(module, "save_file", slow)
    checkpointer = Checkpointer(tmp_path, every_seconds=60, every_steps=100)
    checkpointer.save(1, tensors(), {})
    now[0] += 449.0
    assert not checkpointer.due(2)
    assert checkpointer.due(100)  # asked for by number
    now[0] += 1.0
    assert checkpointer.due(3)


def test_seconds_of_earlier_processes_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = {"perf_counter": 100.0, "process_time": 7.0}
    monkeypatch.setattr(time, "perf_counter", lambda: now["perf_counter"])
    monkeypatch.setattr(time, "process_time", lambda: now["process_time"])
    first = Checkpointer(tmp_path)
    now |= {"perf_counter": 130.0, "process_time": 27.0}
    first.save(4, tensors(), STATE)
    now |= {"perf_counter": 135.0, "process_time": 30.0}  # what a kill loses
    now |= {"perf_counter": 9000.0, "process_time": 1.0}  # another process
    second = Checkpointer(tmp_path)
    now |= {"perf_counter": 9002.0, "process_time": 2.5}
    assert second.stopwatch.seconds() == {"wall_seconds": 2.0, "cpu_seconds": 1.5}
    second.load()
    assert second.stopwatch.seconds() == {"wall_seconds": 32.0, "cpu_seconds": 21.5}
    second.save(8, tensors(), STATE)
    third = Checkpointer(tmp_path)
    third.load()
    assert third.stopwatch.seconds() == {"wall_seconds": 32.0, "cpu_seconds": 21.5}


# --- damage ---


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    Checkpointer(folder).save(4, tensors(), STATE)
    return folder / "step-000000004"


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_flipped_bit_and_no_cut_goes_unnoticed(whole: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["state.json", "tensors.safetensors"]))
    raw = bytearray((whole / name).read_bytes())
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, 8 * len(raw) - 1))
        raw[at // 8] ^= 1 << at % 8
    else:
        raw = raw[: data.draw(st.integers(0, len(raw) - 1))]
    folder = whole.parent.with_name("damaged")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole.parent, folder)
    (folder / whole.name / name).write_bytes(raw)
    assert Checkpointer(folder).load() is None
    assert not list(folder.iterdir())


def change_state(folder: Path) -> None:
    body = json.loads((folder / "state.json").read_bytes())
    body["state"]["best_score"] = 99.0
    (folder / "state.json").write_bytes(canonical_json(body))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "state.json").unlink(), "missing or unreadable"),
        (lambda folder: (folder / "tensors.safetensors").unlink(), "missing or unreadable"),
        (lambda folder: (folder / "state.json").write_text("[1]"), "missing or unreadable"),
        (lambda folder: (folder / "state.json").write_text("4"), "missing or unreadable"),
        (lambda folder: (folder / "tensors.safetensors").write_bytes(b"x"), "match its hash"),
        (change_state, "state.json was changed"),
    ],
)
def test_the_newest_whole_one_is_used(
    tmp_path: Path, whole: Path, caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], object], said: str,
) -> None:  # fmt: skip
    """A kill between two renames leaves two; if the newer one is damaged the older one serves."""
    shutil.copytree(whole, tmp_path / "fit-key" / "step-000000004")
    newer = tmp_path / "fit-key" / "step-000000006"
    shutil.copytree(whole, newer)
    damage(newer)
    found, state = loaded(tmp_path / "fit-key")
    assert state == STATE
    assert_same(found, tensors())
    (message,) = (record.getMessage() for record in caplog.records)
    assert message.startswith("fit-key: the checkpoint of step-000000006 is damaged (")
    assert said in message
    assert not newer.exists()


# --- writing ---


def test_a_save_that_fails_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save(4, tensors(), STATE)

    def half(_: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", half)
    with pytest.raises(OSError, match="No space left"):
        checkpointer.save(6, tensors(), STATE)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000004"]


def test_what_a_killed_save_left_is_cleared(tmp_path: Path) -> None:
    left = tmp_path / f"partial-{os.getpid() + 1}"
    left.mkdir()
    (left / "tensors.safetensors").write_bytes(b"half")
    assert Checkpointer(tmp_path).load() is None
    Checkpointer(tmp_path).save(4, tensors(), STATE)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000004"]
