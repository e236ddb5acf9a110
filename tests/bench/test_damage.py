"""Files of a store that were changed, cut or lost: noticed, said, made again, as before."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.bench import Store
from tests.bench.conftest import Results, Runner

# Of each kind of step, every file that its artifact holds; * stands for the name of an adapter.
KINDS = {
    "source": (
        "manifest.json",
        "costs.json",
        "training.json",
        "trained/about.json",
        "trained/composition.json",
        "trained/adapters/*/adapter.safetensors",
        "trained/adapters/*/adapter_config.json",
        "trained/heads/*/model_head.safetensors",
        "trained/heads/*/head_config.json",
    ),
    "predict": (
        "manifest.json",
        "costs.json",
        "predictions.jsonl",
        "statistics.safetensors",
        "floors.safetensors",
    ),
}
KINDS["fit"] = KINDS["source"]
FILES = [(kind, name) for kind, names in KINDS.items() for name in names]


def flip(path: Path) -> None:
    """Another bit in the middle."""
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def truncate(path: Path) -> None:
    """The first half alone, as a full disk leaves it."""
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])


def empty(path: Path) -> None:
    """Nothing in it, as a crash of the machine leaves it."""
    path.write_bytes(b"")


def delete(path: Path) -> None:
    """Gone."""
    path.unlink()


DAMAGE = (flip, truncate, empty, delete)


@pytest.fixture
def copy(finished: Results, tmp_path: Path) -> Results:
    """A finished run to damage."""
    return Results(Path(shutil.copytree(finished.out, tmp_path / "copy")))


def one_file(results: Results, kind: str, name: str) -> Path:
    artifact = next(path for path in results.artifacts() if path.parent.name == kind)
    return next(artifact.glob(name))


def repair(tiny: Runner, damaged: Results, finished: Results, *said: str) -> None:
    """Run again: it must say what was wrong, and end with what there was before."""
    done = tiny.run(damaged.out)
    assert done.code == 0, done.err
    (line,) = [one for one in done.err.splitlines() if "is damaged (" in one]
    assert all(part in line for part in said), line
    assert "[5/5]" in done.err  # one step was made again
    assert "[4/5]" not in done.err
    damaged.assert_equal(finished)
    damaged.assert_nothing_half_written()


def test_the_list_of_files_is_complete(finished: Results) -> None:
    there = {
        (artifact.parent.name, str(path.relative_to(artifact)))
        for artifact in finished.artifacts()
        for path in artifact.rglob("*")
        if path.is_file()
    }
    matched = {
        (kind, name)
        for kind, name in there
        for other, pattern in FILES
        if kind == other and Path(name).match(pattern) and name.count("/") == pattern.count("/")
    }
    assert matched == there


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize(("kind", "name"), FILES)
def test_every_damage_to_every_file_is_noticed(
    copy: Results, kind: str, name: str, damage: Callable[[Path], None]
) -> None:
    path = one_file(copy, kind, name)
    artifact = next(folder for folder in copy.artifacts() if path.is_relative_to(folder))
    assert Store(copy.store).has(kind, artifact.name)
    damage(path)
    assert not Store(copy.store).has(kind, artifact.name)


@pytest.mark.parametrize(
    ("kind", "name", "damage"),
    [(*file, DAMAGE[number % len(DAMAGE)]) for number, file in enumerate(FILES)],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_damaged_file_is_made_again(
    tiny: Runner, copy: Results, finished: Results, kind: str, name: str,
    damage: Callable[[Path], None],
) -> None:  # fmt: skip
    path = one_file(copy, kind, name)
    damage(path)
    what = "its manifest" if name == "manifest.json" else f"{path.name} "
    repair(tiny, copy, finished, f"store: {kind} ", what, "set aside and made again")


@pytest.mark.parametrize("kind", KINDS)
def test_a_lost_artifact_is_made_again(
    tiny: Runner, copy: Results, finished: Results, kind: str
) -> None:
    """A whole folder that is gone is no damage: it is as if the step had not been done."""
    shutil.rmtree(one_file(copy, kind, "manifest.json").parent)
    done = tiny.run(copy.out)
    assert done.code == 0, done.err
    assert "5 steps, 4 done" in done.err
    copy.assert_equal(finished)


def test_an_artifact_that_is_an_empty_folder_is_made_again(
    tiny: Runner, copy: Results, finished: Results
) -> None:
    artifact = one_file(copy, "fit", "manifest.json").parent
    shutil.rmtree(artifact)
    artifact.mkdir()
    repair(tiny, copy, finished, "its manifest is missing")


def test_an_artifact_that_is_a_file_is_made_again(
    tiny: Runner, copy: Results, finished: Results
) -> None:
    artifact = one_file(copy, "fit", "manifest.json").parent
    shutil.rmtree(artifact)
    artifact.write_text("no folder")
    repair(tiny, copy, finished, "its manifest is missing")


@pytest.mark.parametrize("name", ["extra.txt", "trained/extra.safetensors"])
def test_a_file_that_does_not_belong_there_is_noticed(
    tiny: Runner, copy: Results, finished: Results, name: str
) -> None:
    artifact = one_file(copy, "source", "manifest.json").parent
    (artifact / name).write_bytes(b"stranger")
    repair(tiny, copy, finished, f"({name} does not belong to it)")


def test_a_link_in_the_place_of_a_file_is_followed_and_its_content_checked(
    tiny: Runner, copy: Results, finished: Results
) -> None:
    path = one_file(copy, "predict", "predictions.jsonl")
    path.unlink()
    path.symlink_to(copy.out / "nowhere")
    repair(tiny, copy, finished, "predictions.jsonl")


def test_everything_damaged_at_once_is_made_again(
    tiny: Runner, copy: Results, finished: Results
) -> None:
    for artifact in copy.artifacts():
        flip(artifact / "costs.json")
    done = tiny.run(copy.out)
    assert done.code == 0, done.err
    assert done.err.count("is damaged") == 5
    copy.assert_equal(finished)


def test_a_damaged_record_is_written_again(tiny: Runner, copy: Results, finished: Results) -> None:
    flipped, gone = sorted((copy.out / "records").iterdir())
    flip(flipped)
    delete(gone)
    done = tiny.run(copy.out)
    assert done.code == 0, done.err
    assert "5 steps, 5 done" in done.err
    copy.assert_equal(finished)


def test_plan_tells_damage_but_does_not_touch_it(tiny: Runner, copy: Results) -> None:
    from tests.bench.conftest import xstilts

    flip(one_file(copy, "fit", "costs.json"))
    before = sorted(copy.out.rglob("*"))
    done = xstilts("plan", "tiny", "--catalog", tiny.catalog, "--out", copy.out)
    assert done.code == 0, done.err
    assert "1 of 5 steps to do" in done.out
    assert sorted(copy.out.rglob("*")) == before


# --- checkpoints of a step that is not finished ---


@pytest.fixture(scope="session")
def stopped(tiny: Runner, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A run that was stopped in the first training, after its checkpoint at step 12."""
    from harness.train import Checkpointer

    class Stop(Exception):
        pass

    def fail(checkpointer: Checkpointer, step: int) -> bool:
        if step == 13:
            raise Stop
        return original(checkpointer, step)

    original = Checkpointer.due
    results = Results(tmp_path_factory.mktemp("stopped") / "out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpointer, "due", fail)
        assert tiny.run(results.out, "--checkpoint-steps", "4").code == 1
    assert list(results.checkpoints().values()) == [12]
    return results


def test_a_whole_checkpoint_is_continued_from(
    tiny: Runner, stopped: Results, finished: Results, tmp_path: Path
) -> None:
    results = Results(Path(shutil.copytree(stopped.out, tmp_path / "copy")))
    done = tiny.run(results.out)
    assert "continuing at step 12 of 18" in done.err
    assert "is damaged" not in done.err
    results.assert_equal(finished)


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", ["state.json", "tensors.safetensors"])
def test_a_damaged_checkpoint_is_not_used(
    tiny: Runner, stopped: Results, finished: Results, tmp_path: Path, name: str,
    damage: Callable[[Path], None],
) -> None:  # fmt: skip
    results = Results(Path(shutil.copytree(stopped.out, tmp_path / "copy")))
    damage(next(results.store.glob(f"work/*/step-*/{name}")))
    done = tiny.run(results.out)
    assert done.code == 0, done.err
    assert "the checkpoint of step-000000012 is damaged" in done.err
    assert "continuing" not in done.err
    results.assert_equal(finished)


def test_a_changed_number_in_a_checkpoint_is_noticed(
    tiny: Runner, stopped: Results, finished: Results, tmp_path: Path
) -> None:
    """The best score so far decides which weights are kept: it is valid JSON, but not used."""
    results = Results(Path(shutil.copytree(stopped.out, tmp_path / "copy")))
    path = next(results.store.glob("work/*/step-*/state.json"))
    raw = path.read_bytes()
    at = raw.index(b'"best_score":') + len(b'"best_score":')
    path.write_bytes(raw[:at] + b"9" + raw[at:])
    done = tiny.run(results.out)
    assert "state.json was changed" in done.err
    results.assert_equal(finished)
