"""The store: one artifact per key whoever asks, the same results however they are made."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from harness.bench import Store, verify_artifact
from harness.bench.store import artifact_id
from harness.canonical import canonical_json
from tests.bench.conftest import Results, Runner, running

KEY = "0123456789abcdef" * 4


def put(store: Store, text: str = "weights") -> Path:
    def build(folder: Path) -> None:
        (folder / "sub").mkdir()
        (folder / "sub" / "file.txt").write_text(text)
        (folder / "costs.json").write_text("{}")

    with store.lock("fit", KEY):
        return store.put("fit", KEY, build)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    made.create()
    return made


def test_an_artifact_is_there_once_it_is_whole(store: Store) -> None:
    assert store.get("fit", KEY) is None
    folder = put(store)
    assert store.get("fit", KEY) == folder == store.path("fit", KEY)
    assert verify_artifact(folder) is None
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert sorted(manifest["files"]) == ["costs.json", "sub/file.txt"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_files_get_the_permissions_that_the_user_gives(store: Store, umask: int, mode: int) -> None:
    """safetensors writes files that their owner alone can read; a store may be a group's."""
    before = os.umask(umask)
    try:
        with store.lock("fit", KEY):
            folder = store.put(
                "fit", KEY, lambda at: save_file({"a": np.zeros(1)}, at / "x.safetensors")
            )
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == {"x.safetensors": mode, "manifest.json": mode}


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(1)])
def test_a_build_that_fails_leaves_nothing(store: Store, error: BaseException) -> None:
    def build(folder: Path) -> None:
        (folder / "half.txt").write_text("half")
        raise error

    with store.lock("fit", KEY), pytest.raises(type(error)):
        store.put("fit", KEY, build)
    assert store.get("fit", KEY) is None
    assert not [path for path in store.root.rglob("*") if path.name == "half.txt"]


def test_what_a_killed_build_left_does_not_get_into_the_next_one(store: Store) -> None:
    left = store.root / "work" / f"partial-fit-{KEY}"
    left.mkdir(parents=True)
    (left / "half.txt").write_text("half")
    assert not (put(store) / "half.txt").exists()
    assert not left.exists()


def test_looking_changes_nothing(store: Store) -> None:
    folder = put(store)
    (folder / "costs.json").write_text("[]")
    before = sorted(store.root.rglob("*"))
    assert not store.has("fit", KEY)
    assert sorted(store.root.rglob("*")) == before


def test_a_damaged_artifact_is_set_aside_and_kept_for_who_wants_to_look(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    folder = put(store)
    (folder / "sub" / "file.txt").write_text("weightz")
    assert store.get("fit", KEY) is None
    (aside,) = (store.root / "damaged").iterdir()
    assert (aside / "sub" / "file.txt").read_text() == "weightz"
    assert f"fit {KEY[:12]} is damaged (sub/file.txt does not match its hash)" in caplog.text


def test_a_damaged_artifact_is_left_to_whoever_is_making_it_anew(store: Store) -> None:
    folder = put(store)
    (folder / "costs.json").unlink()
    with store.lock("fit", KEY):
        assert store.get("fit", KEY) is None  # as another process would: it has no lock
        assert folder.is_dir()
        assert store.get("fit", KEY, locked=True) is None
        assert not folder.exists()


def test_a_rewritten_manifest_does_not_vouch_for_changed_files(store: Store) -> None:
    folder = put(store)
    other = Store(store.root / "other")
    other.create()
    changed = put(other, "other weights")
    (folder / "sub" / "file.txt").write_text("other weights")
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"] = json.loads((changed / "manifest.json").read_bytes())["files"]
    (folder / "manifest.json").write_bytes(canonical_json(manifest))
    assert verify_artifact(folder) == "its manifest was changed"


def test_an_artifact_under_another_key_is_none(store: Store) -> None:
    folder = put(store)
    moved = folder.with_name(KEY[::-1])
    folder.rename(moved)
    assert not store.has("fit", moved.name)
    assert store.get("fit", moved.name) is None
    assert not moved.exists()  # set aside


def test_a_copy_is_whole_wherever_it_lies_and_whatever_its_name(
    store: Store, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(put(store), tmp_path / "my model"))
    assert verify_artifact(copied) is None
    assert artifact_id(copied) == ("fit", KEY)
    (copied / "costs.json").write_text("[]")
    assert verify_artifact(copied) == "costs.json does not match its hash"
    (copied / "manifest.json").write_text("[]")
    assert verify_artifact(copied) == "its manifest is missing or unreadable"
    assert artifact_id(copied) is None


def test_a_lock_is_one_holder_at_a_time_and_does_not_wait_unless_told(store: Store) -> None:
    with store.lock("fit", KEY) as first, store.lock("fit", KEY, wait=False) as second:
        assert (first, second) == (True, False)
    with store.lock("fit", KEY, wait=False) as third:
        assert third
    entered: list[bool] = []

    def wait() -> None:
        with store.lock("fit", KEY) as mine:
            entered.append(mine)

    with store.lock("fit", KEY):
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not entered
    waiting.join()
    assert entered == [True]


def test_a_finished_step_loses_the_checkpoints_that_a_kill_left(
    tiny: Runner, finished: Results, tmp_path: Path
) -> None:
    out = copy(finished, tmp_path)
    step = finished.artifacts()[0]
    left = out.store / "work" / f"{step.parent.name}-{step.name}" / "step-000000003"
    left.mkdir(parents=True)
    tiny.finish(out.out).assert_equal(finished)
    assert not left.exists()


def test_the_same_seed_gives_the_same_again_elsewhere(
    tiny: Runner, finished: Results, tmp_path: Path
) -> None:
    again = tiny.finish(tmp_path / "deep" / "down" / "again")
    again.assert_equal(finished)
    ids = {name: record["id"][:8] for name, record in finished.records().items()}
    assert list(ids) == [
        f"noisy--tiny-nli--{recipe}--adapters--seed1--{record_id}.json"
        for recipe, record_id in zip(("direct", "stack--tiny-one"), ids.values(), strict=True)
    ]


def test_the_number_of_workers_changes_nothing(
    tiny: Runner, finished: Results, tmp_path: Path
) -> None:
    """Two here; `finished` has none, and one is in the test of a busy step below."""
    tiny.finish(tmp_path / "out", workers=2).assert_equal(finished)


def test_a_store_elsewhere_serves_another_run(
    tiny: Runner, finished: Results, tmp_path: Path
) -> None:
    before = identities(finished)
    done = tiny.run(tmp_path / "out", "--store", finished.store)
    assert done.code == 0, done.err
    assert "5 steps, 5 done" in done.err
    assert Results(tmp_path / "out").records(paths=False) == finished.records(paths=False)
    assert identities(finished) == before


def test_running_again_repeats_nothing(tiny: Runner, finished: Results, tmp_path: Path) -> None:
    out = copy(finished, tmp_path)
    before = identities(out)
    tiny.finish(out.out).assert_equal(finished)
    assert identities(out) == before


def test_two_runs_on_one_store_share_the_work(
    tiny: Runner, finished: Results, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with running(tiny, out) as first, running(tiny, out) as second:
        results, seen = Results(out), dict[str, tuple[int, int]]()
        while first.process.poll() is None or second.process.poll() is None:
            for name, identity in identities(results).items():
                assert seen.setdefault(name, identity) == identity, "built a second time"
        assert (first.end(), second.end()) == (0, 0), first.err + second.err
    results.assert_equal(finished)
    assert seen == identities(results)
    assert not (results.store / "damaged").exists()
    results.assert_nothing_half_written()


def test_a_step_that_another_run_is_doing_is_left_to_it(
    tiny: Runner, finished: Results, tmp_path: Path
) -> None:
    """With the lock of a step taken, a run does what it can and waits for that step."""
    out = Results(tmp_path / "out")
    busy = next(path for path in finished.artifacts() if path.parent.name == "source")
    lock = out.store / "locks" / f"source-{busy.name}"
    lock.parent.mkdir(parents=True)
    with lock.open("a") as handle, running(tiny, out.out, workers=1) as run:
        fcntl.flock(handle, fcntl.LOCK_EX)
        direct = len(finished.artifacts()) - 3  # all but the source and what needs it
        assert run.until(lambda: len(out.artifacts()) == direct)
        assert not out.begun()
        fcntl.flock(handle, fcntl.LOCK_UN)
        assert run.end() == 0
    out.assert_equal(finished)


def identities(results: Results) -> dict[str, tuple[int, int]]:
    """What tells whether an artifact was built again: inode and time of its costs."""
    found = {}
    for artifact in results.artifacts():
        stat = (artifact / "costs.json").stat()
        found[f"{artifact.parent.name}/{artifact.name}"] = (stat.st_ino, stat.st_mtime_ns)
    return found


def copy(results: Results, folder: Path) -> Results:
    """A copy that a test may damage."""
    return Results(Path(shutil.copytree(results.out, folder / "copy")))
