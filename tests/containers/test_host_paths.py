"""What of this machine a sandbox may read, and where its output appears."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.containers.host_paths import appearing, readable_mounts, writing
from harness.errors import InputError, WorkError


@pytest.mark.parametrize(
    ("place", "mode"), [("data", 0o700), ("data", 0o704), ("data/in/x", 0o640), ("data/in", 0o750)]
)
def test_something_that_others_may_not_read(tmp_path: Path, place: str, mode: int) -> None:
    (tmp_path / "data/in").mkdir(parents=True)
    (tmp_path / "data/in/x").touch()
    (tmp_path / "data/in/x").chmod(0o644)
    (tmp_path / "data/in/dangling").symlink_to("/nowhere")
    assert len(readable_mounts({"/data": tmp_path / "data"})) == 1
    (tmp_path / place).chmod(mode)
    with pytest.raises(InputError) as refused:
        readable_mounts({"/data": tmp_path / "data"})
    assert str(refused.value) == (
        f"{tmp_path / place}: only its owner may read it, not the user in the container; "
        f"chmod -R o+rX {tmp_path / 'data'}"
    )


def test_a_single_file_and_a_link_to_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch(0o600)
    (tmp_path / "link").symlink_to("folder")
    with pytest.raises(InputError, match="folder/file: only its owner"):
        readable_mounts({"/file": tmp_path / "folder" / "file"})
    (tmp_path / "folder" / "file").chmod(0o604)
    (mount,) = readable_mounts({"/data": tmp_path / "link"})
    assert (mount["Source"], mount["Target"]) == (str(tmp_path / "folder"), "/data")


def test_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="bundle: cannot be read: no such file"):
        readable_mounts({"/bundle": tmp_path / "bundle"})


@pytest.mark.parametrize("kind", ["file", "full folder"])
def test_output_that_is_there_already(tmp_path: Path, kind: str) -> None:
    output = tmp_path / "out"
    if kind == "file":
        output.touch()
    else:
        (output / "in").mkdir(parents=True)
    with pytest.raises(InputError, match="out: is not empty"), appearing(output):
        raise AssertionError("used")
    assert list(tmp_path.iterdir()) == [output]


def test_unfinished_output_is_removed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), appearing(tmp_path / "new" / "out") as folder:
        (folder / "file").touch()
        raise KeyboardInterrupt
    assert list((tmp_path / "new").iterdir()) == []


def test_no_place_for_output(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkError, match="out: cannot be written"), appearing(tmp_path / "file/out"):
        raise AssertionError("used")


def test_full_disk() -> None:
    with pytest.raises(WorkError) as failed, writing(Path("out")), open("/dev/full", "wb") as full:
        full.write(b"x")
    assert str(failed.value) == (
        "out: cannot be written: No space left on device; check the folder and free space"
    )
