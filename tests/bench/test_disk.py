"""A full disk and a read-only one: one line, exit code 1, nothing half-written; it can go on."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bench.conftest import Done, Results, Runner

Mount = Callable[[str], Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Makes a file system of a size; skips where that is not allowed."""
    made: list[Path] = []

    def make(size: str) -> Path:
        folder = tmp_path / f"disk{len(made)}"
        folder.mkdir()
        if not command("mount", "-t", "tmpfs", "-o", f"size={size}", "xstilts-test", str(folder)):
            pytest.skip("mounting a small file system needs root (and CAP_SYS_ADMIN)")
        made.append(folder)
        return folder

    yield make
    for folder in made:
        command("umount", "--lazy", str(folder))  # this process may still map files of it


def command(*arguments: str) -> bool:
    try:
        return subprocess.run(arguments, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def remount(folder: Path, option: str) -> None:
    assert command("mount", "-o", f"remount,{option}", str(folder))


def failed(done: Done, *said: str) -> None:
    """One error line that says all of it; exit code 1; no traceback and no table."""
    assert done.code == 1, done.err
    (line,) = done.errors
    assert all(part in line for part in said), line
    assert "Traceback" not in done.err
    assert done.out == ""


# The store of a finished run is 1.3 MB; with each of these the disk is full at another place.
@pytest.mark.parametrize("kilobytes", [8, 60, 200, 400, 800, 1200])
def test_a_full_disk(tiny: Runner, finished: Results, mount: Mount, kilobytes: int) -> None:
    disk = mount(f"{kilobytes}k")
    results = Results(disk / "out")
    failed(tiny.run(results.out, "--checkpoint-steps", "4"), "No space left", "free space")
    results.assert_nothing_half_written()
    remount(disk, "size=64m")
    done = tiny.run(results.out, "--checkpoint-steps", "4")
    assert done.code == 0, done.err
    assert "damaged" not in done.err
    results.assert_equal(finished)


def test_a_full_disk_in_a_worker(tiny: Runner, finished: Results, mount: Mount) -> None:
    disk = mount("300k")
    results = Results(disk / "out")
    failed(tiny.run(results.out, workers=1), "No space left", "free space")
    results.assert_nothing_half_written()
    remount(disk, "size=64m")
    tiny.finish(results.out).assert_equal(finished)


def test_a_disk_that_is_full_when_the_records_are_written(
    tiny: Runner, finished: Results, mount: Mount, tmp_path: Path
) -> None:
    disk = mount("8k")
    out = disk / "out"
    done = tiny.run(out, "--store", finished.store)
    assert done.code == 1
    (line,) = done.errors
    assert "o space left on device" in line
    Results(out).assert_nothing_half_written()
    remount(disk, "size=64m")
    assert tiny.run(out, "--store", finished.store).code == 0
    assert Results(out).records(paths=False) == finished.records(paths=False)


def test_a_read_only_output(tiny: Runner, mount: Mount) -> None:
    disk = mount("1m")
    remount(disk, "ro")
    failed(tiny.run(disk / "out"), str(disk / "out"), "ead-only file system", "--out")
    assert not list(disk.iterdir())


def test_an_output_that_becomes_read_only(tiny: Runner, finished: Results, mount: Mount) -> None:
    disk = mount("64m")
    results = tiny.finish(disk / "out", "--only", "recipe=direct")
    before = results.files()
    remount(disk, "ro")
    failed(tiny.run(results.out), "ead-only file system", "--out")
    assert results.files() == before
    remount(disk, "rw")
    tiny.finish(results.out).assert_equal(finished)


def test_a_read_only_store_that_is_complete_still_serves(
    tiny: Runner, finished: Results, mount: Mount, tmp_path: Path
) -> None:
    disk = mount("64m")
    store = tiny.finish(disk / "out").store
    remount(disk, "ro")
    done = tiny.run(tmp_path / "out", "--store", store)
    assert done.code == 0, done.err
    assert Results(tmp_path / "out").records(paths=False) == finished.records(paths=False)
